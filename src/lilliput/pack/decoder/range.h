/* A binary range coder in one direction or the other: docs/format.md.
 *
 * Source: Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised
 * message"; carries wait as in Schindler's and LZMA's coders. */
#ifndef LILLIPUT_RANGE_H
#define LILLIPUT_RANGE_H

#include "block.h"

typedef struct {
    const uint8_t *at, *end; /* of a decoder */
    uint8_t *to, *room;      /* of an encoder */
    uint64_t low;
    uint32_t code, range, waiting;
    uint8_t held;
    int is_encoder, is_begun, error;
} coder;

static inline void take(coder *by)
{
    if (by->at == by->end) {
        by->error = LILLIPUT_CUT_OFF;
        return;
    }
    by->code = by->code << 8 | *by->at++;
}

static inline void give(coder *by, uint8_t byte)
{
    if (!by->is_begun) {
        by->is_begun = 1; /* the first byte is always 0 */
    } else if (by->to == by->room) {
        by->error = LILLIPUT_CUT_OFF;
    } else {
        *by->to++ = byte;
    }
}

static inline void move(coder *by)
{
    if (by->low < 0xFF000000u || by->low >> 32) {
        uint8_t carry = (uint8_t)(by->low >> 32);
        give(by, (uint8_t)(by->held + carry));
        for (; by->waiting; by->waiting--) {
            give(by, (uint8_t)(0xFF + carry));
        }
        by->held = (uint8_t)(by->low >> 24);
    } else {
        by->waiting++;
    }
    by->low = (by->low & 0xFFFFFF) << 8;
}

/* A binary decision, which is made when decoding; `share` of 65,536 is the probability of 1. */
static inline uint32_t decision(coder *by, uint32_t share, uint32_t bit)
{
    uint32_t bound = (by->range >> 16) * share;
    if (!by->is_encoder) {
        bit = by->code < bound;
        by->code -= bit ? 0 : bound;
    } else {
        by->low += bit ? 0 : bound;
    }
    by->range = bit ? bound : by->range - bound;
    while (by->range < 1 << 24 && !by->error) {
        by->range <<= 8;
        if (by->is_encoder) {
            move(by);
        } else {
            take(by);
        }
    }
    return bit;
}

static inline coder decoder_of(const uint8_t *at, const uint8_t *end)
{
    coder by = {at, end, NULL, NULL, 0, 0, 0xFFFFFFFFu, 0, 0, 0, 0, LILLIPUT_DECODED};
    for (int i = 0; i < 4; i++) {
        take(&by);
    }
    return by;
}

static inline coder encoder_of(uint8_t *to, size_t room)
{
    coder by = {NULL, NULL, to, to + room, 0, 0, 0xFFFFFFFFu, 0, 0, 1, 0, LILLIPUT_DECODED};
    return by;
}

/* Ends the code; an error where a decoder did not come to what an encoder leaves. */
static inline int ended(coder *by)
{
    for (int i = 0; by->is_encoder && i < 5; i++) {
        move(by);
    }
    if (!by->error && !by->is_encoder && (by->code || by->at != by->end)) {
        by->error = LILLIPUT_UNFINISHED;
    }
    return by->error;
}

#endif
