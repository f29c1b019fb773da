/* Frequencies of tokens, as listed or as a shape says: docs/format.md. */
#include "tables.h"

#include <string.h>

enum { SHAPES = 6, POINTS = 209, SCALES = 128 };

static const int32_t tails[SHAPES][POINTS] = {
#include "shapes.inc"
};

/* Mass of a shape beyond so many halves of a unit on both sides, in units of 2^-24. */
static int64_t tail(uint64_t halves, unsigned shape, unsigned scale)
{
    static const uint32_t quarters[4] = {1073741824u, 902905651u, 759250125u, 638450708u};
    uint64_t at = (halves * quarters[scale & 3]) >> (8 + (scale >> 2));
    const int32_t *points = tails[shape];
    if (at >> 25) {
        return 0;
    }
    if (at < 4096) {
        return 16777216 - (((16777216 - points[0]) * (int64_t)at) >> 12);
    }
    unsigned digits = 12;
    while (at >> (digits + 1)) {
        digits++;
    }
    unsigned shift = digits - 4;
    size_t cell = (size_t)(digits - 12) * 16 + (size_t)(at >> shift) - 16;
    int64_t rest = (int64_t)(at & ((1u << shift) - 1));
    return points[cell] - (((int64_t)(points[cell] - points[cell + 1]) * rest) >> shift);
}

/* The mass of each token below the limit. */
static void weigh(uint32_t *mass, const lilliput_alphabet *of, uint32_t limit, unsigned shape,
                  unsigned scale)
{
    uint32_t token = 0, near = limit < of->direct ? limit : of->direct;
    int64_t inner = 16777216, outer = tail(1, shape, scale);
    for (uint64_t distance = 0; token < near; distance++) {
        uint32_t own = (uint32_t)((inner - outer) >> (distance > 0));
        mass[token++] = own;
        if (distance && token < near) {
            mass[token++] = own;
        }
        inner = outer;
        outer = tail(2 * distance + 3, shape, scale);
    }
    if (token < limit) {
        inner = tail(lilliput_low(of, 0), shape, scale);
    }
    for (; token < limit; token++) {
        outer = tail(lilliput_low(of, token + 1 - of->direct), shape, scale);
        mass[token] = (uint32_t)(inner - outer);
        inner = outer;
    }
}

/* What spikes leave is shared among the other `free` tokens as the shape says. */
static void share(uint32_t *frequency, const uint32_t *mass, uint32_t limit, uint32_t rest,
                  uint32_t free)
{
    uint64_t total = 0, all = 0, sum = 0, before = 0;
    for (uint32_t token = 0; token < limit; token++) {
        total += frequency[token] ? 0 : mass[token];
    }
    for (uint32_t token = 0; token < limit; token++) {
        uint64_t whole = (uint64_t)mass[token] * rest;
        all += frequency[token] || whole < total ? 0 : whole - total;
    }
    uint32_t left = rest - free;
    for (uint32_t token = 0; token < limit; token++) {
        if (frequency[token]) {
            continue;
        }
        uint64_t whole = (uint64_t)mass[token] * rest;
        sum += whole < total ? 0 : whole - total;
        uint64_t end = all ? sum * left / all : left; /* to the first, where all have nothing */
        frequency[token] = (uint32_t)(1 + end - before);
        before = end;
    }
}

static void fill(lilliput_table *table, const uint32_t *frequency, uint32_t size)
{
    uint32_t start = 0;
    for (uint32_t token = 0; token < size; token++) {
        table->range[token] = frequency[token] << 16 | start;
        memset(table->slot + start, (int)token, frequency[token]);
        start += frequency[token];
    }
}

void lilliput_read_table(reader *in, lilliput_table *table, const lilliput_alphabet *of)
{
    uint32_t frequency[LILLIPUT_TOKENS] = {0}, mass[LILLIPUT_TOKENS];
    uint32_t size = of->direct + of->classes, kind = number(in, SHAPES), scale = 0;
    uint32_t limit = size, rest = LILLIPUT_TOTAL, spikes, next = 0;
    if (kind) {
        scale = number(in, SCALES - 1);
        limit = number(in, size);
    }
    spikes = number(in, size);
    for (uint32_t i = 0; i < spikes && !in->error; i++) {
        uint32_t token = next + number(in, LILLIPUT_TOKENS);
        uint32_t own = 1 + number(in, LILLIPUT_TOTAL - 1);
        if (token >= limit || own > rest) {
            fail(in, LILLIPUT_NONSENSE);
            return;
        }
        frequency[token] = own;
        rest -= own;
        next = token + 1;
    }
    uint32_t free = kind && !in->error ? limit - spikes : 0;
    if (rest < free || (rest && !free)) {
        fail(in, LILLIPUT_NONSENSE);
    }
    if (in->error) {
        return;
    }
    if (free) {
        weigh(mass, of, limit, kind - 1, scale);
        share(frequency, mass, limit, rest, free);
    }
    fill(table, frequency, size);
}
