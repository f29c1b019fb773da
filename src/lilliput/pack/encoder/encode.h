/* The encoder's hot loops; what NumPy does in `rans.py` and `weigh.py`, and the very same bytes. */
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

typedef struct {
    const uint8_t *tokens;  /* of each integer, row by row */
    const uint8_t *rows;    /* class of each row, 0 for the dead; NULL where all are of class 1 */
    const uint8_t *columns; /* likewise */
    size_t row_count, column_count;
} lilliput_grid;

/* About what tables take, in 1/65536 bits. */
enum {
    LILLIPUT_LINE_COST = 14 * 65536,  /* of each class of lines */
    LILLIPUT_LISTED_COST = 622592,    /* of each token, 9.5 bits, where tokens are listed */
    LILLIPUT_SPIKE_COST = 47186,      /* of each token, 0.72 bits, where they have a shape, */
    LILLIPUT_SHAPE_COST = 60 * 65536, /* of the shape; and it costs 1/200 more than the tokens do */
};

/* What tokens below `size`, `bits` raw bits after each, and the classes of lines are likely to
 * take, in 1/65536 bits. `times_log` has n log2 n for all n up to the tokens there are; `counts` are
 * zero at first, and say in the end how often each token occurs, table by table. */
int64_t lilliput_weigh(const lilliput_grid *of, const uint32_t *bits, uint32_t size,
                       const int64_t *times_log, uint32_t *counts, size_t tables);

#endif
