/* Blocks of form 3, decoded and encoded: docs/format.md. Integers only. */
#include "mixing.h"

#include "mixer.h"
#include "reader.h"

enum {
    POINTS = 209,
    ONE = 1 << 24,
    MOST_SURPRISE = 1 << 24,
    MOST_LINE = 250,
    LEAST_SPREAD = 8,
    LEARNED_BITS = 3 /* of a magnitude, below its leading one */
};

static const int32_t tails[][POINTS] = {
#include "shapes.inc"
};

/* Normal ones, and a first with a longer tail. */
static const int shape_of[DENSITIES] = {3, 4, 4};

/* Probability that a density is above a point, the point in 256ths from what is foretold. */
static inline int32_t above(const model *of, int64_t point, int density)
{
    uint64_t inverse = of->inverses[density];
    uint64_t distance = (uint64_t)(point < 0 ? -point : point);
    uint64_t at = (distance > MOST_SURPRISE ? MOST_SURPRISE : distance) * inverse >> 16;
    const int32_t *points = tails[shape_of[density]];
    int32_t both = 0;
    if (at < 4096) {
        both = ONE - (int32_t)((uint64_t)(ONE - points[0]) * at >> 12);
    } else if (!(at >> 25)) {
        uint32_t digits = digits_of(at), shift = digits - 4;
        size_t cell = (size_t)(digits - 12) * 16 + (size_t)(at >> shift) - 16;
        uint64_t rest = at & ((1u << shift) - 1);
        both = points[cell] - (int32_t)((uint64_t)(points[cell] - points[cell + 1]) * rest >> shift);
    }
    return point < 0 ? ONE - both / 2 : both / 2;
}

/* Probabilities of an integer at least so far above 0, or below. */
static inline int32_t upper(const model *of, uint64_t from, int density)
{
    return above(of, 256 * (int64_t)from - 128 - of->foretold, density);
}

static inline int32_t lower(const model *of, uint64_t from, int density)
{
    return above(of, 256 * (int64_t)from - 128 + of->foretold, density);
}

static inline void weigh(model *of, int32_t *masses, uint64_t from)
{
    for (int i = 0; i < DENSITIES; i++) {
        masses[i] = upper(of, from, i) + lower(of, from, i);
    }
}

/* What densities say of a decision. */
static inline void ask(model *of, int density, int32_t yes, int32_t no)
{
    of->inputs[LILLIPUT_COUNTERS + density] = odds(of->memory, yes, no);
}

static inline uint32_t least(uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

/* The leading binary digit of a magnitude: how many follow. */
static uint32_t digits(model *of, uint32_t magnitude, int32_t *masses, int32_t *beyond)
{
    uint32_t known = 0, wanted = of->by.is_encoder ? digits_of(magnitude) : 0;
    for (; known < 31 && !of->by.error; known++) {
        weigh(of, beyond, (uint64_t)2 << known);
        for (int i = 0; i < DENSITIES; i++) {
            ask(of, i, beyond[i], masses[i] - beyond[i]);
        }
        if (!learned(of, 1 + known, 1 + least(known, 6), known < wanted)) {
            return known;
        }
        for (int i = 0; i < DENSITIES; i++) {
            masses[i] = beyond[i];
        }
    }
    weigh(of, beyond, (uint64_t)2 << 31);
    return known;
}

/* The digits below the leading one. */
static uint32_t rest(model *of, uint32_t magnitude, uint32_t leading, int32_t *masses,
                     int32_t *beyond)
{
    uint32_t found = (uint32_t)1 << leading;
    for (uint32_t depth = 0; depth < leading && !of->by.error; depth++) {
        uint32_t below = leading - depth - 1, half = found + ((uint32_t)1 << below);
        uint32_t bit = magnitude >> below & 1, is_learned = depth < LEARNED_BITS;
        int32_t middle[DENSITIES];
        for (int i = 0; i < (is_learned ? DENSITIES : 1); i++) {
            middle[i] = upper(of, half, i) + lower(of, half, i);
            ask(of, i, middle[i] - beyond[i], masses[i] - middle[i]);
        }
        if (is_learned) {
            static const uint32_t nodes[] = {32, 48, 80}, kinds[] = {12, 20, 28};
            static const uint32_t most[] = {7, 7, 3};
            uint32_t place = least(leading, 15) << depth;
            place += found >> (leading - depth) & (((uint32_t)1 << depth) - 1);
            bit = learned(of, nodes[depth] + place, kinds[depth] + least(leading, most[depth]), bit);
        } else {
            bit = decision(&of->by, of->memory->squash[2048 + of->inputs[LILLIPUT_COUNTERS]], bit);
        }
        for (int i = 0; i < (is_learned ? DENSITIES : 1); i++) {
            *(bit ? &masses[i] : &beyond[i]) = middle[i];
        }
        found = bit ? half : found;
    }
    return found;
}

/* An integer's distance from the middle, modulo 2^32. */
static uint32_t distance(model *of, uint32_t value)
{
    uint32_t magnitude = value >> 31 ? 0 - value : value;
    int32_t masses[DENSITIES], beyond[DENSITIES];
    weigh(of, masses, 1);
    for (int i = 0; i < DENSITIES; i++) {
        ask(of, i, masses[i], ONE - masses[i]);
    }
    if (!learned(of, 0, 0, magnitude != 0)) {
        return 0;
    }
    uint32_t leading = digits(of, magnitude, masses, beyond);
    uint32_t found = rest(of, magnitude, leading, masses, beyond);
    for (int i = 0; i < DENSITIES; i++) {
        int32_t yes = lower(of, found, i) - lower(of, (uint64_t)found + 1, i);
        ask(of, i, yes, upper(of, found, i) - upper(of, (uint64_t)found + 1, i));
    }
    uint32_t is_below = learned(of, 144 + least(found, 8), 7 + least(found, 4), value >> 31);
    return is_below ? 0 - found : found;
}

typedef struct { /* of integers in the order in which they are coded */
    size_t rows, columns, row_step, column_step;
    size_t down[LILLIPUT_NEIGHBOURS], right[LILLIPUT_NEIGHBOURS];
    size_t back[LILLIPUT_NEIGHBOURS], around[LILLIPUT_NEIGHBOURS];
} layout;

static layout layout_of(const lilliput_mixing_head *head, size_t count, size_t columns)
{
    int is_whole = columns && count % columns == 0;
    size_t wide = is_whole ? columns : count, high = is_whole ? count / columns : 1;
    layout of = {high, wide, wide, 1, {0}, {0}, {0}, {0}};
    if (head->is_turned) {
        of.rows = wide;
        of.columns = high;
        of.row_step = 1;
        of.column_step = wide;
    }
    for (int i = 0; i < LILLIPUT_NEIGHBOURS; i++) {
        size_t down = of.columns ? head->neighbours[i] / of.columns : 0;
        size_t right = of.columns ? head->neighbours[i] % of.columns : 0;
        of.down[i] = down;
        of.right[i] = right;
        of.back[i] = down * of.row_step + right * of.column_step;
        of.around[i] = (down + 1) * of.row_step - (of.columns - right) * of.column_step;
    }
    return of;
}

static inline int32_t signed_of(uint32_t value)
{
    return value >> 31 ? -(int32_t)~value - 1 : (int32_t)value;
}

/* A neighbour's distance from the middle, -3 to 3, as 0 to 6; 3 where there is none. */
static inline uint32_t neighbour(const layout *in, const uint32_t *values, size_t row,
                                 size_t column, uint32_t middle, int which)
{
    size_t down = in->down[which], right = in->right[which];
    if (row < down + (column < right)) {
        return 3;
    }
    size_t at = row * in->row_step + column * in->column_step;
    at -= column < right ? in->around[which] : in->back[which];
    return (uint32_t)(within(signed_of(values[at] - middle), 3) + 3);
}

typedef struct { /* of what the integer that is coded belongs to */
    lilliput_mean all, row;
    lilliput_mean *column, *group, *place;
} spreads;

/* Where the integer in a column belongs; what is met for the first time is spread as all are. */
static void place(spreads *now, lilliput_mixing_memory *memory, uint32_t size, size_t column,
                  int is_first)
{
    size_t group = column / size, place = column % size;
    lilliput_mean start = {now->all.value, 1};
    now->column = &memory->columns[column];
    now->group = &memory->groups[group];
    now->place = &memory->places[place];
    if (is_first) {
        *now->column = start;
        if (!place) {
            *now->group = start;
        }
        if (!group) {
            *now->place = start;
        }
    }
}

static inline uint64_t part_of(uint64_t spread, uint64_t other, uint64_t all)
{
    uint64_t found = spread * other / (all + 1);
    return found > MOST_SURPRISE ? MOST_SURPRISE : found;
}

static void prepare(model *of, const spreads *now)
{
    uint32_t all = now->all.value, row = now->row.value, column = now->column->value;
    uint64_t fine = part_of(part_of(row, now->place->value, all), now->group->value, all);
    uint64_t three[DENSITIES] = {fine, row, column};
    for (int i = 0; i < DENSITIES; i++) {
        uint64_t spread = three[i] < LEAST_SPREAD ? LEAST_SPREAD : three[i];
        of->inverses[i] = ((uint64_t)1 << 36) / spread;
    }
    int32_t wide = quarters(row + 1) + quarters(column + 1) - 2 * quarters(all + 1);
    of->set = 1 + (uint32_t)(within(wide, 24) + 24) / 2;
    int32_t whole = of->foretold < 0 ? -((32 - of->foretold) / 64) : (of->foretold + 32) / 64;
    of->contexts[2] = (uint32_t)(within(whole, 31) + 31);
}

static inline void take_in(const model *of, lilliput_mean *mean, uint32_t value, uint32_t most)
{
    approach(of->memory, &mean->value, value, mean->times);
    mean->times += mean->times < most;
}

static void learn_spreads(const model *of, spreads *now, int32_t value)
{
    int64_t apart = 256 * (int64_t)value - of->foretold;
    uint32_t surprise = (uint32_t)within(apart < 0 ? -apart : apart, MOST_SURPRISE);
    take_in(of, &now->all, surprise, MOST_COUNT);
    take_in(of, &now->row, surprise, MOST_LINE);
    take_in(of, now->column, surprise, MOST_LINE);
    take_in(of, now->group, surprise, MOST_LINE);
    take_in(of, now->place, surprise, MOST_LINE);
}

/* Takes in what was foretold, and ends a group; there is nothing to learn from the last of all. */
static void learn_relations(model *of, uint32_t group, size_t column, int32_t value, int is_last)
{
    lilliput_regression *regression = &of->memory->regression;
    lilliput_regression_saw(regression, column % group, value, of->foretold);
    if ((column + 1) % group == 0 && !is_last) {
        lilliput_regression_row(regression);
    }
}

static void code_row(model *of, const lilliput_mixing_head *head, const layout *in, size_t row,
                     uint32_t *values, spreads *now)
{
    lilliput_mixing_memory *memory = of->memory;
    uint32_t group = head->group;
    now->row.value = now->all.value;
    now->row.times = 1;
    for (size_t column = 0; column < in->columns && !of->by.error; column++) {
        uint32_t *at = values + row * in->row_step + column * in->column_step, near[4];
        place(now, memory, group ? group : 1, column, !row);
        for (int i = 0; i < LILLIPUT_NEIGHBOURS; i++) {
            near[i] = neighbour(in, values, row, column, head->middle, i);
        }
        of->contexts[0] = 7 * near[0] + near[1];
        of->contexts[1] = 7 * near[2] + near[3];
        of->foretold =
            group ? lilliput_regression_foretold(&memory->regression, column % group) : 0;
        prepare(of, now);
        uint32_t found = distance(of, of->by.is_encoder ? *at - head->middle : 0);
        *at = found + head->middle;
        learn_spreads(of, now, signed_of(found));
        if (group) {
            learn_relations(of, group, column, signed_of(found),
                            row + 1 == in->rows && column + 1 == in->columns);
        }
    }
}

/* Codes all integers; gives the error. */
static int code(coder *by, const lilliput_mixing_head *head, const layout *in, uint32_t *values,
                lilliput_mixing_memory *memory)
{
    model of = {memory, *by, 0, {0}, {0}, 0, {0}};
    spreads now = {{1024, 0}, {0, 0}, NULL, NULL, NULL};
    begin(memory);
    of.inputs[LILLIPUT_INPUTS - 2] = 128;
    lilliput_regression_begin(&memory->regression, head->group);
    for (size_t row = 0; row < in->rows && !of.by.error; row++) {
        code_row(&of, head, in, row, values, &now);
    }
    *by = of.by;
    return ended(by);
}

static int is_possible(const lilliput_mixing_head *head, const layout *in)
{
    int is_whole = !head->group || in->columns % head->group == 0;
    return is_whole && head->group <= LILLIPUT_REGRESSORS && in->columns <= LILLIPUT_COLUMNS;
}

int lilliput_decode_mixed(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                          size_t columns, lilliput_mixing_memory *memory)
{
    reader in = {bytes, bytes + size, LILLIPUT_DECODED};
    lilliput_mixing_head head = {0, 0, 0, {0}};
    head.middle = number(&in, 0xFFFFFFFFu);
    head.is_turned = number(&in, 1);
    head.group = number(&in, LILLIPUT_REGRESSORS);
    for (int i = 0; i < LILLIPUT_NEIGHBOURS; i++) {
        head.neighbours[i] = 1 + number(&in, LILLIPUT_FARTHEST - 1);
    }
    layout order = layout_of(&head, count, columns);
    int is_cheap = count && (count - 1) / LILLIPUT_CHEAPEST >= size;
    if (is_cheap || !is_possible(&head, &order)) {
        fail(&in, LILLIPUT_NONSENSE);
    }
    if (in.error) {
        return in.error;
    }
    coder by = decoder_of(in.at, in.end);
    return by.error ? by.error : code(&by, &head, &order, values, memory);
}

size_t lilliput_encode_mixed(uint8_t *bytes, size_t room, uint32_t *values, size_t count,
                             size_t columns, const lilliput_mixing_head *head,
                             lilliput_mixing_memory *memory)
{
    layout order = layout_of(head, count, columns);
    coder by = encoder_of(bytes, room);
    if (!is_possible(head, &order) || code(&by, head, &order, values, memory)) {
        return 0;
    }
    return (size_t)(by.to - bytes);
}

size_t lilliput_mixing_bytes(void)
{
    return sizeof(lilliput_mixing_memory);
}
