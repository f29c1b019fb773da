/* Probabilities of binary decisions, mixed from counters and densities: docs/format.md.
 *
 * Source: Mahoney 2005, "Adaptive weighing of context models for lossless data compression", for
 * mixing in the logistic domain. */
#ifndef LILLIPUT_MIXER_H
#define LILLIPUT_MIXER_H

#include "mixing.h"
#include "range.h"

enum {
    DENSITIES = 3,
    MOST_STRETCH = 2047,
    MOST_COUNT = 1000,
    MOST_WEIGHT = (1 << 17) - 1
};

typedef struct { /* of the integer that is being coded */
    lilliput_mixing_memory *memory;
    coder by;
    int32_t foretold; /* in 256ths */
    uint64_t inverses[DENSITIES];
    uint32_t contexts[LILLIPUT_COUNTERS];
    uint32_t set;
    int32_t inputs[LILLIPUT_INPUTS];
} model;

static inline int64_t shifted(int64_t value, unsigned shift)
{
    return value >= 0 ? value >> shift : ~(~value >> shift);
}

static inline int32_t within(int64_t value, int32_t most)
{
    return (int32_t)(value > most ? most : value < -most ? -most : value);
}

/* Binary digits after the leading one; 0 for 0. */
static inline uint32_t digits_of(uint64_t value)
{
#ifdef __GNUC__
    return 63u - (uint32_t)__builtin_clzll(value | 1);
#else
    uint32_t found = 0;
    for (uint32_t step = 32; step; step /= 2) {
        if (value >> found >> step) {
            found += step;
        }
    }
    return found;
#endif
}

/* Logarithm to base 2 in quarters. */
static inline int32_t quarters(uint32_t value)
{
    if (value < 4) {
        return (int32_t)value;
    }
    uint32_t digits = digits_of(value);
    return (int32_t)(4 * (digits - 1) + ((value >> (digits - 2)) & 3));
}

/* Natural logarithm in 256ths. */
static inline int32_t logarithm(const lilliput_mixing_memory *memory, uint32_t value)
{
    uint32_t digits = digits_of(value);
    uint32_t rest = digits > 8 ? value >> (digits - 8) : value << (8 - digits);
    uint64_t both = ((uint64_t)digits << 16) + memory->logarithms[rest & 255];
    return (int32_t)(both * 181704 >> 26);
}

static inline int32_t odds(const lilliput_mixing_memory *memory, int32_t yes, int32_t no)
{
    uint32_t above = (uint32_t)(yes < 1 ? 1 : yes) + 4, below = (uint32_t)(no < 1 ? 1 : no) + 4;
    return within(logarithm(memory, above) - logarithm(memory, below), MOST_STRETCH);
}

/* Takes a value into a mean of so many. */
static inline void approach(const lilliput_mixing_memory *memory, uint32_t *mean, uint32_t value,
                            uint32_t times)
{
    uint64_t part = memory->shares[times];
    if (value >= *mean) {
        *mean += (uint32_t)((value - *mean) * part >> 16);
    } else {
        *mean -= (uint32_t)((*mean - value) * part >> 16);
    }
}

static void begin(lilliput_mixing_memory *memory)
{
    uint64_t power = 1u << 30;
    for (uint32_t i = 0; i <= MOST_COUNT; i++) {
        memory->shares[i] = (uint16_t)(655360 / (10 * i + 16));
    }
    for (uint32_t i = 0; i < 256; i++) {
        uint64_t square = (uint64_t)(256 + i) << 22;
        uint32_t found = 0;
        for (int bit = 0; bit < 16; bit++) {
            square = square * square >> 30;
            found = found << 1 | (uint32_t)(square >> 31);
            square >>= square >> 31;
        }
        memory->logarithms[i] = (uint16_t)found;
    }
    for (uint32_t i = 0; i < 2048; i++) {
        uint32_t above = (uint32_t)(((uint64_t)1 << 46) / (((uint64_t)1 << 30) + power));
        memory->squash[2048 + i] = above;
        memory->squash[2048 - i] = 65536 - above;
        power = power * 1069555606 >> 30;
    }
    memory->squash[0] = memory->squash[1];
    for (int32_t i = 0; i < 4096; i++) {
        memory->stretch[i] =
            (int16_t)within(logarithm(memory, (uint32_t)(2 * i + 1)) -
                                logarithm(memory, (uint32_t)(8191 - 2 * i)),
                            MOST_STRETCH);
    }
    for (uint32_t i = 0; i < LILLIPUT_COUNTERS; i++) {
        for (uint32_t j = 0; j < LILLIPUT_CONTEXTS; j++) {
            for (uint32_t k = 0; k < LILLIPUT_NODES; k++) {
                memory->counters[i][j][k] = 0;
            }
        }
    }
    for (uint32_t i = 0; i < LILLIPUT_SETS; i++) {
        for (uint32_t j = 0; j < LILLIPUT_KINDS; j++) {
            lilliput_mixer *mixer = &memory->mixers[i][j];
            for (uint32_t k = 0; k < LILLIPUT_INPUTS; k++) {
                mixer->weights[k] = k < 3 ? 6554 : k < 6 ? 13107 : 0;
            }
            mixer->times = 0;
        }
    }
}


static inline int32_t mixed(const model *of, const lilliput_mixer *mixer)
{
    int32_t sum = 0;
    for (int i = 0; i < LILLIPUT_INPUTS; i++) {
        sum += mixer->weights[i] * of->inputs[i];
    }
    return within(shifted(sum, 16), MOST_STRETCH);
}

static inline void learn(const model *of, lilliput_mixer *mixer, int32_t error)
{
    int32_t rate = 66 + (int32_t)(5243 / (4 + (mixer->times >> 4)));
    int32_t step = (int32_t)shifted(error * (int64_t)rate, 10);
    for (int i = 0; i < LILLIPUT_INPUTS; i++) {
        int32_t change = (int32_t)shifted(of->inputs[i] * step + (1 << 13), 14);
        mixer->weights[i] = within(mixer->weights[i] + change, MOST_WEIGHT);
    }
    mixer->times += mixer->times < 65535;
}

/* A decision whose probability is mixed and learned. */
static inline uint32_t learned(model *of, uint32_t node, uint32_t kind, uint32_t bit)
{
    lilliput_mixing_memory *memory = of->memory;
    uint32_t *counters[LILLIPUT_COUNTERS];
    for (int i = 0; i < LILLIPUT_COUNTERS; i++) {
        counters[i] = &memory->counters[i][of->contexts[i]][node];
        uint32_t seen = *counters[i];
        of->inputs[i] = seen & 1023 ? memory->stretch[seen >> 20] : of->inputs[LILLIPUT_COUNTERS];
    }
    lilliput_mixer *first = &memory->mixers[0][kind], *second = &memory->mixers[of->set][kind];
    int32_t one = mixed(of, first), two = mixed(of, second);
    uint32_t share_of_one = memory->squash[2048 + shifted(one + two, 1)];
    bit = decision(&of->by, share_of_one, bit);
    int32_t truth = bit ? 65536 : 0;
    learn(of, first, truth - (int32_t)memory->squash[2048 + one]);
    learn(of, second, truth - (int32_t)memory->squash[2048 + two]);
    for (int i = 0; i < LILLIPUT_COUNTERS; i++) {
        uint32_t times = *counters[i] & 1023, mean = *counters[i] >> 10;
        mean = times ? mean : memory->squash[2048 + of->inputs[LILLIPUT_COUNTERS]] << 6;
        approach(memory, &mean, bit ? 4194303 : 0, times);
        *counters[i] = mean << 10 | (times < MOST_COUNT ? times + 1 : times);
    }
    return bit;
}

#endif
