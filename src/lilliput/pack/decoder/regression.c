/* Each column of a block foretold from those before it: docs/format.md. Integers only. */
#include "regression.h"

enum { MOST_SEEN = 2047, MOST_SURPRISE = 8191, MOST_WEIGHT = 16383, MOST_FACTOR = 1 << 25 };

static inline size_t row_of(size_t row)
{
    return row * (row + 1) / 2;
}

/* Divides by 2^shift and rounds down. */
static inline int64_t shifted(int64_t value, int shift)
{
    if (shift < 0) {
        return value * ((int64_t)1 << -shift);
    }
    return value >= 0 ? value >> shift : ~(~value >> shift);
}

static inline int64_t within(int64_t value, int64_t most)
{
    return value > most ? most : value < -most ? -most : value;
}

void lilliput_regression_begin(lilliput_regression *of, size_t columns)
{
    for (size_t i = 0; i < row_of(columns); i++) {
        of->products[i] = 0;
        of->weights[i] = 0;
    }
    of->columns = columns;
    of->rows = 0;
    of->next_fit = LILLIPUT_BATCH;
}

/* The sum wraps: that takes values which nothing foretells. */
int32_t lilliput_regression_foretold(const lilliput_regression *of, size_t column)
{
    const int16_t *weights = of->weights + row_of(column);
    uint32_t sum = 0;
    for (size_t i = 0; i < column; i++) {
        sum += (uint32_t)(weights[i] * of->surprises[i]);
    }
    return (int32_t)shifted(sum >> 31 ? (int64_t)sum - ((int64_t)1 << 32) : (int64_t)sum, 8);
}

void lilliput_regression_saw(lilliput_regression *of, size_t column, int32_t value,
                             int32_t foretold)
{
    int64_t surprise = 16 * (int64_t)value - shifted(foretold, 4);
    of->surprises[column] = (int16_t)within(surprise, MOST_SURPRISE);
    of->batch[column][of->rows % LILLIPUT_BATCH] = (int16_t)within(value, MOST_SEEN);
}

/* How far a column's squares are from 2^24 to 2^26, in halves of binary digits. */
static int shift_of(int64_t squares)
{
    int digits = -1;
    while (digits < 62 && squares >> (digits + 1)) {
        digits++;
    }
    return squares ? (digits + 4) / 2 - 14 : 0;
}

/* Splits products into factors and rests, L D L^T with ridges, row by row. */
static void fit(lilliput_regression *of)
{
    int64_t ridge = (int64_t)of->columns, rows = (int64_t)of->rows;
    for (size_t i = 0; i < of->columns; i++) {
        size_t own = row_of(i);
        of->shifts[i] = shift_of(of->products[own + i]);
        for (size_t j = 0; j <= i; j++) {
            size_t other = row_of(j);
            const int32_t *factors = of->factors + own, *rests = of->rests + other;
            int64_t rest = shifted(of->products[own + j], of->shifts[i] + of->shifts[j]);
            uint64_t known = 0;
            if (i == j) {
                rest = rest ? rest : (int64_t)1 << 24;
                rest += rest * ridge / rows;
            }
            for (size_t k = 0; k < j; k++) {
                known += (uint64_t)((int64_t)factors[k] * rests[k]);
            }
            rest -= shifted((int64_t)known, 20);
            rest = within(rest, INT32_MAX);
            if (i == j) {
                of->rests[own + i] = (int32_t)(rest < 1 << 10 ? 1 << 10 : rest);
                continue;
            }
            of->rests[own + j] = (int32_t)rest;
            int64_t factor = within(rest * (1 << 20) / of->rests[other + j], MOST_FACTOR);
            of->factors[own + j] = (int32_t)factor;
            factor = shifted(factor, 8 + of->shifts[j] - of->shifts[i]);
            of->weights[own + j] = (int16_t)within(factor, MOST_WEIGHT);
        }
    }
}

static void add_batch(lilliput_regression *of)
{
    for (size_t i = 0; i < of->columns; i++) {
        int64_t *products = of->products + row_of(i);
        for (size_t j = 0; j <= i; j++) {
            int32_t sum = 0;
            for (size_t k = 0; k < LILLIPUT_BATCH; k++) {
                sum += of->batch[i][k] * of->batch[j][k];
            }
            products[j] += sum;
        }
    }
}

void lilliput_regression_row(lilliput_regression *of)
{
    of->rows++;
    if (of->rows % LILLIPUT_BATCH) {
        return;
    }
    add_batch(of);
    if (of->rows >= of->next_fit) {
        size_t step = of->rows / 4 > of->columns / 8 ? of->rows / 4 : of->columns / 8;
        fit(of);
        of->next_fit = of->rows + (step > LILLIPUT_BATCH ? step : LILLIPUT_BATCH);
    }
}
