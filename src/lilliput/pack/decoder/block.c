/* Decodes the blocks of a .lil file: docs/format.md. */
#include "block.h"

#include "reader.h"

enum { SHAPES = 6, POINTS = 209, SCALES = 128, MOST_LANES = 64, MOST_CLASS = 32 };

static const int32_t tails[SHAPES][POINTS] = {
#include "shapes.inc"
};

typedef struct {
    uint32_t direct, steps, classes;
} alphabet;

/* The smallest folded number of a class. */
static uint64_t low_of(const alphabet *of, uint32_t class_)
{
    uint64_t first = 1u << of->steps;
    uint64_t lead = first + (class_ & (first - 1));
    return of->direct - first + (lead << (class_ >> of->steps));
}

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

static int64_t mass_of(const alphabet *of, uint32_t token, unsigned shape, unsigned scale)
{
    if (token >= of->direct) {
        uint32_t class_ = token - of->direct;
        return tail(low_of(of, class_), shape, scale) - tail(low_of(of, class_ + 1), shape, scale);
    }
    uint64_t distance = (token + 1) >> 1;
    if (!distance) {
        return tail(0, shape, scale) - tail(1, shape, scale);
    }
    return (tail(2 * distance - 1, shape, scale) - tail(2 * distance + 1, shape, scale)) >> 1;
}

/* What spikes leave is shared among the other `free` tokens as the shape says. */
static void share(lilliput_table *table, const alphabet *of, uint32_t limit, uint32_t rest,
                  uint32_t free, unsigned shape, unsigned scale)
{
    uint64_t total = 0, all = 0, sum = 0, before = 0;
    for (uint32_t token = 0; token < limit; token++) {
        if (!table->frequency[token]) {
            total += (uint64_t)mass_of(of, token, shape, scale);
        }
    }
    for (int pass = 0; pass < 2; pass++) {
        int is_first = 1;
        for (uint32_t token = 0; token < limit; token++) {
            if (table->frequency[token]) {
                continue;
            }
            uint64_t mass = (uint64_t)mass_of(of, token, shape, scale) * rest;
            uint64_t excess = mass > total ? mass - total : 0;
            if (!pass) {
                all += excess;
                continue;
            }
            uint64_t end;
            sum += excess;
            if (all) {
                end = sum * (rest - free) / all;
            } else {
                end = rest - free;
                before = is_first ? 0 : end;
            }
            is_first = 0;
            table->start[token] = (uint16_t)(1 + end - before); /* until all are known */
            before = end;
        }
    }
    for (uint32_t token = 0; token < limit; token++) {
        if (!table->frequency[token]) {
            table->frequency[token] = table->start[token];
        }
    }
}

/* Reads a table's description, and fills its slots. */
static void read_table(reader *in, lilliput_table *table, const alphabet *of)
{
    uint32_t size = of->direct + of->classes, kind = number(in, SHAPES), scale = 0, limit = size;
    uint32_t rest = LILLIPUT_TOTAL, spikes, next = 0;
    for (uint32_t token = 0; token < LILLIPUT_TOKENS; token++) {
        table->frequency[token] = 0;
    }
    if (kind) {
        scale = number(in, SCALES - 1);
        limit = number(in, size);
    }
    spikes = number(in, size);
    for (uint32_t i = 0; i < spikes && !in->error; i++) {
        uint32_t token = next + number(in, LILLIPUT_TOKENS);
        uint32_t frequency = 1 + number(in, LILLIPUT_TOTAL - 1);
        if (token >= limit || frequency > rest) {
            fail(in, LILLIPUT_NONSENSE);
            return;
        }
        table->frequency[token] = (uint16_t)frequency;
        rest -= frequency;
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
        share(table, of, limit, rest, free, kind - 1, scale);
    }
    uint32_t start = 0;
    for (uint32_t token = 0; token < size; token++) {
        table->start[token] = (uint16_t)start;
        for (uint32_t i = 0; i < table->frequency[token]; i++) {
            table->slot[start++] = (uint8_t)token;
        }
    }
}

typedef struct {
    reader in;
    uint32_t state[MOST_LANES];
    uint32_t lane, lanes;
} coder;

/* The coder whose turn it is takes its new state, and a word where that is too small. */
static inline void advance(coder *from, uint32_t state)
{
    if (state < 65536) {
        if (from->in.at == from->in.end) {
            fail(&from->in, LILLIPUT_CUT_OFF);
        } else {
            state = state << 16 | (uint32_t)from->in.at[1] << 8 | from->in.at[0];
            from->in.at += 2;
        }
    }
    from->state[from->lane] = state;
    from->lane = (from->lane + 1) & (from->lanes - 1);
}

static inline uint32_t token(coder *from, const lilliput_table *table)
{
    uint32_t state = from->state[from->lane], slot = state & (LILLIPUT_TOTAL - 1);
    uint32_t found = table->slot[slot];
    advance(from, table->frequency[found] * (state >> 12) + slot - table->start[found]);
    return found;
}

/* The next bits, 12 at once, the lowest first. */
static uint32_t raw(coder *from, uint32_t bits)
{
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < bits; shift += 12) {
        uint32_t size = bits - shift < 12 ? bits - shift : 12, left = 12 - size;
        uint32_t state = from->state[from->lane], slot = state & (LILLIPUT_TOTAL - 1);
        value |= (slot >> left) << shift;
        advance(from, (state >> 12 << left) + (slot & ((1u << left) - 1)));
    }
    return value;
}

static void begin(coder *from, const reader *in)
{
    from->in = *in;
    from->lane = 0;
    size_t left = (size_t)(in->end - in->at);
    if (left < 4 * (size_t)from->lanes || left & 1) {
        fail(&from->in, LILLIPUT_CUT_OFF);
        return;
    }
    for (uint32_t lane = 0; lane < from->lanes; lane++) {
        const uint8_t *at = from->in.at;
        from->state[lane] = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 |
                            (uint32_t)at[3] << 24;
        from->in.at += 4;
    }
}

static int end(const coder *from)
{
    if (from->in.error) {
        return from->in.error;
    }
    for (uint32_t lane = 0; lane < from->lanes; lane++) {
        if (from->state[lane] != 65536) {
            return LILLIPUT_UNFINISHED;
        }
    }
    return from->in.at == from->in.end ? LILLIPUT_DECODED : LILLIPUT_UNFINISHED;
}

static void read_lines(coder *from, const lilliput_table *table, uint8_t *lines, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lines[i] = table ? (uint8_t)token(from, table) : 1;
    }
}

/* A folded number as an integer. */
static inline uint32_t unfolded(uint32_t folded, uint32_t middle)
{
    return ((folded >> 1) ^ (0u - (folded & 1u))) + middle;
}

/* One row: each integer, or its token (and 256 for the dead) where raw bits follow later. */
static void read_row(coder *from, const lilliput_memory *memory, uint32_t row_class,
                     uint32_t *values, size_t columns, const uint32_t *meaning, uint32_t dead,
                     uint32_t tables)
{
    for (size_t column = 0; column < columns; column++) {
        uint32_t column_class = memory->columns[column];
        if (!row_class || !column_class) {
            values[column] = dead;
            continue;
        }
        uint32_t place = row_class + column_class - 2;
        if (place >= tables) {
            fail(&from->in, LILLIPUT_NONSENSE);
            return;
        }
        values[column] = meaning[token(from, &memory->tables[place])];
    }
}

/* One row whose integers share a table. */
static void read_plain_row(coder *from, const lilliput_table *table, uint32_t *values, size_t count,
                           const uint32_t *meaning)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = meaning[token(from, table)];
    }
}

static void read_rest(coder *from, const alphabet *of, uint32_t *values, size_t count,
                      uint32_t middle)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t found = values[i], folded = found;
        if (found >= LILLIPUT_TOKENS) {
            folded = 0;
        } else if (found >= of->direct) {
            uint32_t class_ = found - of->direct;
            folded = (uint32_t)low_of(of, class_) + raw(from, class_ >> of->steps);
        }
        values[i] = unfolded(folded, middle);
    }
}

static uint32_t most_classes(const alphabet *of)
{
    uint32_t most = (32 - of->steps) << of->steps;
    return most < LILLIPUT_TOKENS - of->direct ? most : LILLIPUT_TOKENS - of->direct;
}

int lilliput_decode_block(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                          size_t columns, lilliput_memory *memory)
{
    static const alphabet line_alphabet = {MOST_CLASS + 1, 0, 0};
    reader in = {bytes, bytes + size, LILLIPUT_DECODED};
    coder from = {{0}, {0}, 0, 0};
    alphabet of = {1, 0, 0};
    uint32_t meaning[LILLIPUT_TOKENS];
    from.lanes = number(&in, MOST_LANES);
    uint32_t middle = number(&in, 0xFFFFFFFFu);
    of.direct = 1 + number(&in, LILLIPUT_TOKENS - 1);
    of.steps = number(&in, 3);
    of.classes = number(&in, most_classes(&of));
    uint32_t flags = number(&in, 3);
    int is_whole = columns && count % columns == 0;
    size_t rows = is_whole ? count / columns : 1;
    columns = is_whole ? columns : count;
    if (!from.lanes || from.lanes & (from.lanes - 1) ||
        (flags && (rows > LILLIPUT_LINES || columns > LILLIPUT_LINES))) {
        fail(&in, LILLIPUT_NONSENSE);
    }
    for (uint32_t i = 0; i < 2 && !in.error; i++) {
        if (flags >> i & 1) {
            read_table(&in, &memory->lines[i], &line_alphabet);
        }
    }
    uint32_t tables = 1 + number(&in, LILLIPUT_TABLES - 1);
    for (uint32_t i = 0; i < tables && !in.error; i++) {
        read_table(&in, &memory->tables[i], &of);
    }
    if (in.error) {
        return in.error;
    }
    for (uint32_t i = 0; i < LILLIPUT_TOKENS; i++) {
        meaning[i] = of.classes ? i : unfolded(i, middle);
    }
    begin(&from, &in);
    if (from.in.error) {
        return from.in.error;
    }
    if (flags) {
        read_lines(&from, flags & 1 ? &memory->lines[0] : NULL, memory->rows, rows);
        read_lines(&from, flags & 2 ? &memory->lines[1] : NULL, memory->columns, columns);
    }
    for (size_t row = 0; row < rows && !from.in.error; row++) {
        uint32_t *found = values + row * columns;
        if (!flags) {
            read_plain_row(&from, &memory->tables[0], found, columns, meaning);
        } else {
            read_row(&from, memory, memory->rows[row], found, columns, meaning,
                     of.classes ? LILLIPUT_TOKENS : middle, tables);
        }
    }
    if (of.classes && !from.in.error) {
        read_rest(&from, &of, values, count, middle);
    }
    return end(&from);
}

size_t lilliput_memory_bytes(void)
{
    return sizeof(lilliput_memory);
}
