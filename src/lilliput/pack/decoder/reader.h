/* Numbers of a block's head, read within bounds: docs/format.md. */
#ifndef LILLIPUT_READER_H
#define LILLIPUT_READER_H

#include "block.h"

typedef struct {
    const uint8_t *at, *end;
    int error;
} reader;

static inline void fail(reader *in, int error)
{
    if (!in->error) {
        in->error = error;
    }
}

/* The next number, at most `most`; 0 after an error. */
static inline uint32_t number(reader *in, uint32_t most)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (in->at == in->end) {
            fail(in, LILLIPUT_CUT_OFF);
            return 0;
        }
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1) {
            break; /* more than 64 bits */
        }
        value |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) {
            if (value > most) {
                break;
            }
            return (uint32_t)value;
        }
    }
    fail(in, LILLIPUT_NONSENSE);
    return 0;
}

#endif
