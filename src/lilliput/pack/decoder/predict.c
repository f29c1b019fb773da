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

/* A tap of `SIDE` filters, in 16 bits; gives what tells whether these were too few. */
static uint32_t add_tap(int16_t side[][SIDE], uint32_t tap, uint32_t first, const int16_t *weights)
{
    int32_t sum[SIDE];
    uint32_t most = 0;
    for (int i = 0; i < SIDE; i++) {
        sum[i] = 0;
    }
    for (uint32_t before = first; before < tap; before++) {
        for (int i = 0; i < SIDE; i++) {
            sum[i] += (int32_t)weights[before] * side[before][i];
        }
    }
    for (int i = 0; i < SIDE; i++) {
        int32_t is_up = -(sum[i] >> (SHIFT - 1) & 1);
        int32_t value = (side[tap][i] ^ is_up) - is_up + ((sum[i] + HALF) >> SHIFT);
        most |= (uint32_t)value + 32768u;
        side[tap][i] = (int16_t)value;
    }
    return most;
}

/* Filters whose taps are neighbours, `SIDE` side by side; nothing where 16 bits are too few. */
static int add_narrow(const lilliput_prediction *how, uint32_t *values)
{
    int16_t side[LILLIPUT_TAPS][SIDE];
    uint32_t taps = how->taps, most = 0;
    for (uint32_t i = 0; i < SIDE; i++) {
        for (uint32_t tap = 0; tap < taps; tap++) {
            most |= values[i * taps + tap] + 32768u;
            side[tap][i] = (int16_t)values[i * taps + tap];
        }
    }
    for (uint32_t tap = 1; tap < taps; tap++) {
        uint32_t first = tap > how->reach ? tap - how->reach : 0;
        most |= add_tap(side, tap, first, how->weights + first_of(tap));
    }
    for (uint32_t i = 0; i < SIDE && most < 65536; i++) {
        for (uint32_t tap = 0; tap < taps; tap++) {
            values[i * taps + tap] = (uint32_t)side[tap][i];
        }
    }
    return most < 65536;
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
    for (size_t at = 0; at < count;) {
        if (how->stride == 1 && count - at >= many && add_narrow(how, values + at)) {
            at += many;
        } else {
            add_in_order(how, values + at);
            at += group;
        }
    }
}
