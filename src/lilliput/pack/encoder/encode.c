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

/* Of classes of lines: their entropy, and about what their table takes. */
static int64_t weigh_lines(const uint8_t *lines, size_t count, const int64_t *times_log)
{
    uint32_t times[256] = {0};
    int64_t cost = lines ? times_log[count] : 0;
    for (size_t i = 0; lines && i < count; i++) {
        times[lines[i]]++;
    }
    for (uint32_t class_ = 0; class_ < 256; class_++) {
        cost += times[class_] ? LILLIPUT_LINE_COST - times_log[times[class_]] : 0;
    }
    return cost;
}

static void count_row(const uint8_t *tokens, const uint8_t *columns, size_t count, uint32_t size,
                      uint32_t *counts)
{
    for (size_t i = 0; columns && i < count; i++) {
        if (columns[i]) {
            counts[(size_t)(columns[i] - 1) * size + tokens[i]]++;
        }
    }
    for (size_t i = 0; !columns && i < count; i++) {
        counts[tokens[i]]++;
    }
}

int64_t lilliput_weigh(const lilliput_grid *of, const uint32_t *bits, uint32_t size,
                       const int64_t *times_log, uint32_t *counts, size_t tables)
{
    const uint8_t *tokens = of->tokens;
    int64_t cost = weigh_lines(of->rows, of->row_count, times_log) +
                   weigh_lines(of->columns, of->column_count, times_log);
    for (size_t row = 0; row < of->row_count; row++, tokens += of->column_count) {
        uint32_t own = of->rows ? of->rows[row] : 1;
        if (own) {
            count_row(tokens, of->columns, of->column_count, size, counts + (own - 1) * size);
        }
    }
    for (size_t table = 0; table < tables; table++, counts += size) {
        int64_t entropy = 0, used = 0, raw = 0;
        uint32_t whole = 0;
        for (uint32_t token = 0; token < size; token++) {
            whole += counts[token];
            used += counts[token] > 0;
            raw += (int64_t)counts[token] * bits[token];
            entropy -= times_log[counts[token]];
        }
        entropy += times_log[whole];
        int64_t listed = LILLIPUT_LISTED_COST * used;
        int64_t shaped = LILLIPUT_SPIKE_COST * used + LILLIPUT_SHAPE_COST + entropy / 200;
        cost += raw * 65536 + entropy + (listed < shaped ? listed : shaped);
    }
    return cost;
}
