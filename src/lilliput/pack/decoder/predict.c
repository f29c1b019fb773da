/* Each tap of a filter from the taps before it, times weights of 1/32: docs/format.md. */
#include "predict.h"

#include <string.h>

enum { SHIFT = 5, HALF = 16, SIDE = 32 };

static size_t first_of(size_t tap)
{
    return tap * (tap - 1) / 2;
}

void lilliput_read_prediction(reader *in, lilliput_prediction *how, size_t count)
{
    how->taps = 1 + number(in, LILLIPUT_TAPS - 1);
    if (how->taps == 1) {
        return;
    }
    how->stride = number(in, LILLIPUT_STRIDE);
    how->reach = number(in, how->taps - 1);
    if (!how->stride || count % ((size_t)how->taps * how->stride)) {
        fail(in, LILLIPUT_NONSENSE);
    }
    memset(how->weights, 0, sizeof how->weights);
    for (uint32_t tap = 1; tap < how->taps && !in->error; tap++) {
        for (uint32_t back = 1; back <= tap && back <= how->reach; back++) {
            uint32_t folded = number(in, 255);
            how->weights[first_of(tap) + tap - back] =
                (int16_t)(folded & 1 ? -(int)(folded >> 1) - 1 : (int)(folded >> 1));
        }
    }
}

/* What is left, with the other sign where the sum was rounded up, and the sum over 32. */
static inline uint32_t added(uint32_t left, uint32_t sum)
{
    uint32_t is_up = 0u - (sum >> (SHIFT - 1) & 1), half = sum + HALF;
    uint32_t rounded = half >> SHIFT | (0u - (half >> 31)) << (32 - SHIFT);
    return (left ^ is_up) - is_up + rounded;
}

/* The bits of a number's size. */
static inline uint32_t size_of(int32_t value)
{
    return (uint32_t)(value ^ -(value < 0));
}

/* A tap of `SIDE` filters; gives the bits of all sizes. */
static uint32_t add_tap(int16_t side[][SIDE], uint32_t tap, uint32_t first, const int16_t *weights)
{
    int32_t sum[SIDE] = {0};
    uint32_t most = 0;
    for (uint32_t before = first; before < tap; before++) {
        for (int i = 0; i < SIDE; i++) {
            sum[i] += (int32_t)weights[before] * side[before][i];
        }
    }
    for (int i = 0; i < SIDE; i++) {
        int32_t is_up = -(sum[i] >> (SHIFT - 1) & 1);
        int32_t value = (side[tap][i] ^ is_up) - is_up + ((sum[i] + HALF) >> SHIFT);
        most |= size_of(value);
        side[tap][i] = (int16_t)value;
    }
    return most;
}

/* The same where sums have 16 bits. */
static uint32_t add_small_tap(int16_t side[][SIDE], uint32_t tap, uint32_t first,
                              const int16_t *weights)
{
    int16_t sum[SIDE] = {0};
    uint16_t most[SIDE];
    uint32_t all = 0;
    for (uint32_t before = first; before < tap; before++) {
        for (int i = 0; i < SIDE; i++) {
            sum[i] = (int16_t)(sum[i] + weights[before] * side[before][i]);
        }
    }
    for (int i = 0; i < SIDE; i++) {
        int16_t up = sum[i] >> (SHIFT - 1) & 1;
        int16_t value = (int16_t)((side[tap][i] ^ -up) + up + (sum[i] >> SHIFT) + up);
        most[i] = (uint16_t)(value ^ (value >> 15));
        side[tap][i] = value;
    }
    for (int i = 0; i < SIDE; i++) {
        all |= most[i];
    }
    return all;
}

/* Filters whose taps are neighbours, `SIDE` side by side; nothing where 16 bits are too few. */
static inline int add_side(const lilliput_prediction *how, uint32_t *values, uint32_t taps,
                           const uint32_t *load)
{
    int16_t side[LILLIPUT_TAPS][SIDE];
    uint32_t most = 0;
    for (uint32_t i = 0; i < SIDE * taps; i++) {
        most |= size_of((int32_t)values[i]);
    }
    for (uint32_t i = 0; i < SIDE; i++) {
        for (uint32_t tap = 0; tap < taps; tap++) {
            side[tap][i] = (int16_t)values[i * taps + tap];
        }
    }
    for (uint32_t tap = 1; tap < taps && most < 32768; tap++) {
        uint32_t first = tap > how->reach ? tap - how->reach : 0;
        const int16_t *weights = how->weights + first_of(tap);
        int is_small = most < 16384 && (most + 1) * load[tap] < 32768;
        most |= is_small ? add_small_tap(side, tap, first, weights)
                         : add_tap(side, tap, first, weights);
    }
    for (uint32_t i = 0; i < SIDE && most < 32768; i++) {
        for (uint32_t tap = 0; tap < taps; tap++) {
            values[i * taps + tap] = (uint32_t)side[tap][i];
        }
    }
    return most < 32768;
}

/* Filters of any stride, one integer after another. */
static void add_in_order(const lilliput_prediction *how, uint32_t *values)
{
    size_t stride = how->stride;
    for (uint32_t tap = 1; tap < how->taps; tap++) {
        const int16_t *weights = how->weights + first_of(tap);
        uint32_t first = tap > how->reach ? tap - how->reach : 0;
        for (size_t i = 0; i < stride; i++) {
            uint32_t sum = 0;
            for (uint32_t before = first; before < tap; before++) {
                sum += (uint32_t)(int32_t)weights[before] * values[before * stride + i];
            }
            values[tap * stride + i] = added(values[tap * stride + i], sum);
        }
    }
}

void lilliput_add_predicted(const lilliput_prediction *how, uint32_t *values, size_t count)
{
    size_t group = (size_t)how->taps * how->stride, many = SIDE * group;
    uint32_t load[LILLIPUT_TAPS] = {0}; /* how much larger than integers the sum of a tap may be */
    for (uint32_t tap = 1; tap < how->taps; tap++) {
        for (uint32_t before = 0; before < tap; before++) {
            load[tap] += size_of(how->weights[first_of(tap) + before]) + 1;
        }
    }
    for (size_t at = 0; at < count;) {
        int is_done = 0;
        if (how->stride == 1 && count - at >= many) {
            is_done = how->taps == 9 ? add_side(how, values + at, 9, load)
                                     : add_side(how, values + at, how->taps, load);
        }
        if (!is_done) {
            add_in_order(how, values + at);
        }
        at += is_done ? many : group;
    }
}
