/* The encoder's hot loops; what NumPy does in `rans.py` and `choose.py`, and the very same bytes. */
#ifndef LILLIPUT_ENCODE_H
#define LILLIPUT_ENCODE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *tokens;   /* of each integer, row by row */
    const uint32_t *folded;  /* the integers; NULL where tokens say all */
    const uint32_t *bases;   /* the smallest folded number of each token */
    const uint8_t *rows;     /* class of each row, 0 for the dead */
    const uint8_t *columns;  /* likewise */
    const uint32_t *ranges;  /* 256 for each table: frequency * 65536 + start */
    const uint32_t *by_row;  /* of row classes, if these are coded */
    const uint32_t *by_column;
    const uint8_t *bits; /* raw bits of each token */
    size_t row_count, column_count;
    size_t symbols; /* classes of lines, tokens, and pieces of raw bits, in all */
    uint32_t lanes;
} lilliput_symbols;

/* Writes the states of `lanes` coders, 64 at most, and words to the end of `size` bytes; gives how
 * many bytes they are, or 0 where there are less than 4 for each coder and 2 for each symbol. */
size_t lilliput_encode(const lilliput_symbols *of, uint8_t *bytes, size_t size);

/* Adds up how often tokens below `size` occur in each table; in all one after another. */
void lilliput_count(const lilliput_symbols *of, uint32_t size, uint32_t *counts);

#endif
