/* Range ANS, from the last symbol to the first: docs/format.md. */
#include "encode.h"

enum { MOST_LANES = 64, CHUNK = 12 };

typedef struct {
    uint8_t *at;
    uint32_t state[MOST_LANES];
    uint32_t lane, lanes;
} coder;

/* The coder whose turn it is; turns go backwards. A word is written anyway, and kept where the state
 * would overflow: half of the branches would be guessed wrong. */
static inline void put(coder *to, uint32_t frequency, uint32_t start)
{
    to->lane = (to->lane - 1) & (to->lanes - 1);
    uint32_t state = to->state[to->lane];
    uint32_t is_long = 0u - (uint32_t)(state >> 20 >= frequency); /* all bits or none */
    to->at[-2] = (uint8_t)state;
    to->at[-1] = (uint8_t)(state >> 8);
    to->at -= is_long & 2;
    state = (state & ~is_long) | (state >> 16 & is_long);
    to->state[to->lane] = state + state / frequency * (4096 - frequency) + start;
}

static void put_raw(coder *to, uint32_t rest, uint32_t bits)
{
    for (uint32_t shift = bits ? (bits - 1) / CHUNK * CHUNK : 0; bits; shift -= CHUNK) {
        uint32_t left = CHUNK - (bits - shift);
        put(to, 1u << left, (rest >> shift & ((1u << (bits - shift)) - 1)) << left);
        bits = shift;
    }
}

static void put_all_raw(coder *to, const lilliput_symbols *of)
{
    for (size_t row = of->row_count; row-- > 0;) {
        for (size_t column = of->column_count; of->rows[row] && column-- > 0;) {
            size_t place = row * of->column_count + column;
            uint32_t token = of->tokens[place];
            if (of->columns[column] && of->bits[token]) {
                put_raw(to, of->folded[place] - of->bases[token], of->bits[token]);
            }
        }
    }
}

static void put_tokens(coder *to, const lilliput_symbols *of)
{
    for (size_t row = of->row_count; row-- > 0;) {
        const uint8_t *tokens = of->tokens + row * of->column_count;
        for (size_t column = of->column_count; of->rows[row] && column-- > 0;) {
            if (of->columns[column]) {
                size_t table = (size_t)of->rows[row] + of->columns[column] - 2;
                uint32_t range = of->ranges[table << 8 | tokens[column]];
                put(to, range >> 16, range & 0xffff);
            }
        }
    }
}

static void put_lines(coder *to, const uint32_t *ranges, const uint8_t *lines, size_t count)
{
    while (ranges && count-- > 0) {
        put(to, ranges[lines[count]] >> 16, ranges[lines[count]] & 0xffff);
    }
}

size_t lilliput_encode(const lilliput_symbols *of, uint8_t *bytes, size_t size)
{
    coder to = {bytes + size, {0}, 0, of->lanes};
    if (size < 4 * (size_t)of->lanes + 2 * of->symbols) {
        return 0;
    }
    to.lane = (uint32_t)of->symbols & (of->lanes - 1); /* whose turn it would be at the end */
    for (uint32_t lane = 0; lane < of->lanes; lane++) {
        to.state[lane] = 65536;
    }
    if (of->folded) {
        put_all_raw(&to, of);
    }
    put_tokens(&to, of);
    put_lines(&to, of->by_column, of->columns, of->column_count);
    put_lines(&to, of->by_row, of->rows, of->row_count);
    for (uint32_t lane = of->lanes; lane-- > 0;) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            *--to.at = (uint8_t)(to.state[lane] >> shift);
        }
    }
    return (size_t)(bytes + size - to.at);
}

void lilliput_count(const lilliput_symbols *of, uint32_t size, uint32_t *counts)
{
    const uint8_t *tokens = of->tokens;
    for (size_t row = 0; row < of->row_count; row++, tokens += of->column_count) {
        for (size_t column = 0; of->rows[row] && column < of->column_count; column++) {
            if (of->columns[column]) {
                size_t table = (size_t)of->rows[row] + of->columns[column] - 2;
                counts[table * size + tokens[column]]++;
            }
        }
    }
}
