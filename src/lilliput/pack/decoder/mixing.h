/* Blocks of form 3: docs/format.md. The model is the same in both directions. No heap, no
 * recursion, every read and write bounded. */
#ifndef LILLIPUT_MIXING_H
#define LILLIPUT_MIXING_H

#include "block.h"
#include "regression.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LILLIPUT_COLUMNS = 65536, /* in a row, at most */
    LILLIPUT_NEIGHBOURS = 4,
    LILLIPUT_FARTHEST = 1 << 22,
    LILLIPUT_CHEAPEST = 64, /* integers for each byte, at most: so time is bounded by bytes */
    LILLIPUT_COUNTERS = 3,
    LILLIPUT_INPUTS = 8,
    LILLIPUT_CONTEXTS = 64,
    LILLIPUT_NODES = 160,
    LILLIPUT_SETS = 26,
    LILLIPUT_KINDS = 32
};

typedef struct {
    int32_t weights[LILLIPUT_INPUTS];
    uint32_t times;
} lilliput_mixer;

typedef struct { /* of surprises, in 256ths */
    uint32_t value, times;
} lilliput_mean;

typedef struct { /* the coder's memory; what is in it before and after means nothing */
    uint32_t counters[LILLIPUT_COUNTERS][LILLIPUT_CONTEXTS][LILLIPUT_NODES];
    lilliput_mixer mixers[LILLIPUT_SETS][LILLIPUT_KINDS];
    lilliput_mean columns[LILLIPUT_COLUMNS];
    lilliput_mean groups[LILLIPUT_COLUMNS]; /* of columns that are foretold from each other */
    lilliput_mean places[LILLIPUT_REGRESSORS]; /* in a group */
    uint32_t squash[4096];
    int16_t stretch[4096];
    uint16_t logarithms[256];
    uint16_t shares[1001]; /* of the nth value in a mean, in 65,536ths */
    lilliput_regression regression;
} lilliput_mixing_memory;

typedef struct { /* what the head of a block says */
    uint32_t middle;
    uint32_t is_turned;
    uint32_t group; /* columns that are foretold from each other; 0 where none are */
    uint32_t neighbours[LILLIPUT_NEIGHBOURS]; /* how far back, from 1 on */
} lilliput_mixing_head;

/* As lilliput_decode_block. */
int lilliput_decode_mixed(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                          size_t columns, lilliput_mixing_memory *memory);

/* Writes what follows the head into `room` bytes; gives their number, or 0 where they are more, or
 * the head cannot be. */
size_t lilliput_encode_mixed(uint8_t *bytes, size_t room, uint32_t *values, size_t count,
                             size_t columns, const lilliput_mixing_head *head,
                             lilliput_mixing_memory *memory);

size_t lilliput_mixing_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
