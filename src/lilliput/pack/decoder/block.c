/* Decodes the blocks of a .lil file: docs/format.md. */
#include "predict.h"
#include "tables.h"

#include <string.h>

enum { MOST_LANES = 64, MOST_CLASS = 32, CHUNK = 256, FEW = 8 };

/* Added to the class of a token whose raw bits follow later; other values are small until then. */
#define FAR 0x40000000u

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
    uint32_t found = table->slot[slot], range = table->range[found];
    advance(from, (range >> 16) * (state >> 12) + slot - (range & 0xffff));
    return found;
}

/* As many tokens as coders are left in this turn; there are words for all of them. Nothing branches
 * where half of the branches would be guessed wrong. */
static inline void run(coder *from, const lilliput_table *tables, const uint8_t *classes,
                       const uint32_t *meaning, uint32_t *values, size_t count)
{
    uint32_t *states = from->state + from->lane;
    const uint8_t *at = from->in.at;
    for (size_t i = 0; i < count; i++) {
        const lilliput_table *table = classes ? tables + classes[i] - 1 : tables;
        uint32_t state = states[i], slot = state & (LILLIPUT_TOTAL - 1);
        uint32_t found = table->slot[slot], range = table->range[found];
        state = (range >> 16) * (state >> 12) + slot - (range & 0xffff);
        uint32_t longer = state << 16 | (uint32_t)at[1] << 8 | at[0];
        uint32_t is_short = 0u - (uint32_t)(state < 65536); /* all bits or none */
        states[i] = state ^ ((state ^ longer) & is_short);
        at += is_short & 2;
        values[i] = meaning[found];
    }
    from->in.at = at;
    from->lane = (from->lane + (uint32_t)count) & (from->lanes - 1);
}

/* Tokens one after another, in one table, or in that of each column's class. */
static void read_row(coder *from, const lilliput_table *tables, const uint8_t *classes,
                     const uint32_t *meaning, uint32_t *values, size_t count)
{
    while (count) {
        size_t size = from->lanes - from->lane;
        size = size < count ? size : count;
        if ((size_t)(from->in.end - from->in.at) >= 2 * size) {
            if (classes) {
                run(from, tables, classes, meaning, values, size);
            } else {
                run(from, tables, NULL, meaning, values, size);
            }
        } else {
            for (size_t i = 0; i < size; i++) {
                const lilliput_table *table = classes ? tables + classes[i] - 1 : tables;
                values[i] = meaning[token(from, table)];
            }
        }
        classes = classes ? classes + size : NULL;
        values += size;
        count -= size;
    }
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

/* The class of each line; gives the highest, and whether some are dead. */
static uint32_t read_lines(coder *from, const lilliput_table *table, uint8_t *lines, size_t count,
                           int *has_dead)
{
    uint32_t highest = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t found = table ? token(from, table) : 1;
        lines[i] = (uint8_t)found;
        highest = found > highest ? found : highest;
        *has_dead |= !found;
    }
    return highest;
}

/* A folded number as a distance from the middle. */
static inline uint32_t unfolded(uint32_t folded)
{
    return (folded >> 1) ^ (0u - (folded & 1u));
}

/* A row, where some columns are dead: what is alive one after another, then each in its place. */
static void read_alive(coder *from, const lilliput_memory *memory, const lilliput_table *tables,
                       const uint32_t *meaning, uint32_t *values, size_t count, size_t alive)
{
    read_row(from, tables, memory->alive, meaning, values, alive);
    for (size_t i = count; i-- > 0;) {
        uint32_t is_alive = memory->columns[i] > 0;
        alive -= is_alive;
        values[i] = values[alive] & (0u - is_alive);
    }
}

/* The same where few are dead: what lies between them at once. */
static void read_runs(coder *from, const lilliput_memory *memory, const lilliput_table *tables,
                      const uint32_t *meaning, uint32_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const uint8_t *own = memory->columns + i, *dead = memchr(own, 0, count - i);
        size_t size = dead ? (size_t)(dead - own) : count - i;
        read_row(from, tables, own, meaning, values + i, size);
        i += size;
        if (dead) {
            values[i] = 0;
        }
    }
}

/* All rows. */
static void read_rows(coder *from, lilliput_memory *memory, const uint32_t *meaning,
                      uint32_t *values, size_t rows, size_t columns)
{
    int has_dead = 0, has_dead_rows = 0;
    const lilliput_table *tables = memory->tables;
    uint32_t row_class = read_lines(from, memory->flags & 1 ? &memory->lines[0] : NULL,
                                    memory->rows, rows, &has_dead_rows);
    uint32_t column_class = read_lines(from, memory->flags & 2 ? &memory->lines[1] : NULL,
                                       memory->columns, columns, &has_dead);
    if (row_class && column_class && row_class + column_class - 2 >= memory->count) {
        fail(&from->in, LILLIPUT_NONSENSE);
    }
    size_t alive = 0;
    for (size_t i = 0; i < columns; i++) {
        memory->alive[alive] = memory->columns[i];
        alive += memory->columns[i] > 0;
    }
    for (size_t row = 0; row < rows && !from->in.error; row++, values += columns) {
        uint32_t own = memory->rows[row];
        if (!own || !column_class) {
            for (size_t i = 0; i < columns; i++) {
                values[i] = 0;
            }
        } else if (has_dead && columns - alive < columns / FEW) {
            read_runs(from, memory, tables + own - 1, meaning, values, columns);
        } else if (has_dead) {
            read_alive(from, memory, tables + own - 1, meaning, values, columns, alive);
        } else if (memory->flags & 2) {
            read_row(from, tables + own - 1, memory->columns, meaning, values, columns);
        } else {
            read_row(from, tables + own - 1, NULL, meaning, values, columns);
        }
    }
}

/* Puts numbers in the place of tokens that say only their first digits, chunk by chunk: first it is
 * looked where they are, which is hard to guess. */
static void read_rest(coder *from, const lilliput_alphabet *of, uint32_t *values, size_t count)
{
    for (size_t at = 0; at < count; at += CHUNK) {
        size_t size = count - at < CHUNK ? count - at : CHUNK;
        uint32_t places[CHUNK], found = 0;
        for (uint32_t i = 0; i < size; i++) {
            places[found] = i;
            found += values[at + i] - FAR < LILLIPUT_TOKENS;
        }
        for (uint32_t i = 0; i < found; i++) {
            uint32_t *value = values + at + places[i], class_ = *value - FAR;
            uint32_t folded = (uint32_t)lilliput_low(of, class_) + raw(from, class_ >> of->steps);
            *value = unfolded(folded);
        }
    }
}

static uint32_t most_classes(const lilliput_alphabet *of)
{
    uint32_t most = (32 - of->steps) << of->steps;
    return most < LILLIPUT_TOKENS - of->direct ? most : LILLIPUT_TOKENS - of->direct;
}

/* Reads what stands before the code, tables among it; gives the middle. */
static uint32_t read_head(coder *from, lilliput_memory *memory, lilliput_alphabet *of, size_t rows,
                          size_t columns)
{
    static const lilliput_alphabet line_alphabet = {MOST_CLASS + 1, 0, 0};
    reader *in = &from->in;
    from->lanes = number(in, MOST_LANES);
    uint32_t middle = number(in, 0xFFFFFFFFu);
    lilliput_read_prediction(in, &memory->prediction, rows * columns);
    of->direct = 1 + number(in, LILLIPUT_TOKENS - 1);
    of->steps = number(in, 3);
    of->classes = number(in, most_classes(of));
    memory->flags = number(in, 3);
    if (!from->lanes || from->lanes & (from->lanes - 1) ||
        (memory->flags && (rows > LILLIPUT_LINES || columns > LILLIPUT_LINES))) {
        fail(in, LILLIPUT_NONSENSE);
    }
    for (uint32_t i = 0; i < 2 && !in->error; i++) {
        if (memory->flags >> i & 1) {
            lilliput_read_table(in, &memory->lines[i], &line_alphabet);
        }
    }
    memory->count = 1 + number(in, LILLIPUT_TABLES - 1);
    for (uint32_t i = 0; i < memory->count && !in->error; i++) {
        lilliput_read_table(in, &memory->tables[i], of);
    }
    return middle;
}

int lilliput_decode_block(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                          size_t columns, lilliput_memory *memory)
{
    coder from = {{bytes, bytes + size, LILLIPUT_DECODED}, {0}, 0, 0};
    lilliput_alphabet of = {1, 0, 0};
    uint32_t meaning[LILLIPUT_TOKENS];
    int is_whole = columns && count % columns == 0;
    size_t rows = is_whole ? count / columns : 1;
    columns = is_whole ? columns : count;
    uint32_t middle = read_head(&from, memory, &of, rows, columns);
    if (from.in.error) {
        return from.in.error;
    }
    for (uint32_t i = 0; i < LILLIPUT_TOKENS; i++) {
        meaning[i] = i < of.direct ? unfolded(i) : FAR + i - of.direct;
    }
    reader in = from.in;
    begin(&from, &in);
    if (from.in.error) {
        return from.in.error;
    }
    if (memory->flags) {
        read_rows(&from, memory, meaning, values, rows, columns);
    } else {
        read_row(&from, memory->tables, NULL, meaning, values, count);
    }
    if (of.classes && !from.in.error) {
        read_rest(&from, &of, values, count);
    }
    int error = end(&from);
    if (!error && memory->prediction.taps > 1) {
        lilliput_add_predicted(&memory->prediction, values, count);
    }
    for (size_t i = 0; middle && i < count; i++) {
        values[i] += middle;
    }
    return error;
}

size_t lilliput_memory_bytes(void)
{
    return sizeof(lilliput_memory);
}
