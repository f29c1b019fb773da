/* Decodes the blocks of a .lil file: docs/format.md. No heap, no recursion, every read bounded. */
#ifndef LILLIPUT_BLOCK_H
#define LILLIPUT_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { /* what lilliput_decode_block gives */
    LILLIPUT_DECODED = 0,
    LILLIPUT_CUT_OFF = 1,   /* the block ends too early */
    LILLIPUT_NONSENSE = 2,  /* a field, or frequencies, cannot be */
    LILLIPUT_UNFINISHED = 3 /* the code does not end where it must */
};

enum { LILLIPUT_TABLES = 64, LILLIPUT_LINES = 65536, LILLIPUT_TOTAL = 4096, LILLIPUT_TOKENS = 256 };
enum { LILLIPUT_TAPS = 64, LILLIPUT_STRIDE = 1 << 22 };

typedef struct {
    uint32_t range[LILLIPUT_TOKENS]; /* frequency * 65536 + start */
    uint8_t slot[LILLIPUT_TOTAL];
} lilliput_table;

typedef struct {
    uint32_t taps, stride, reach;
    int16_t weights[LILLIPUT_TAPS * (LILLIPUT_TAPS - 1) / 2]; /* tap by tap, of those before */
} lilliput_prediction;

typedef struct { /* the decoder's memory; what is in it before and after means nothing */
    lilliput_table tables[LILLIPUT_TABLES];
    lilliput_table lines[2];
    lilliput_prediction prediction;
    uint32_t flags, count; /* which lines have classes; tables there are */
    uint8_t rows[LILLIPUT_LINES];
    uint8_t columns[LILLIPUT_LINES];
    uint8_t alive[LILLIPUT_LINES]; /* the classes of columns that are not dead */
} lilliput_memory;

/* Decodes `count` integers, `columns` to a row, from `size` bytes. Integers are given modulo 2^32.
 */
int lilliput_decode_block(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                          size_t columns, lilliput_memory *memory);

size_t lilliput_memory_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
