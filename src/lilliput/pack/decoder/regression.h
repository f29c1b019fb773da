/* Each column of a block foretold from those before it, by regression over the rows so far. */
#ifndef LILLIPUT_REGRESSION_H
#define LILLIPUT_REGRESSION_H

#include <stddef.h>
#include <stdint.h>

enum { LILLIPUT_REGRESSORS = 512, LILLIPUT_BATCH = 32 };

typedef struct { /* lower triangles: row i has i + 1 items */
    int64_t products[LILLIPUT_REGRESSORS * (LILLIPUT_REGRESSORS + 1) / 2];
    int32_t rests[LILLIPUT_REGRESSORS * (LILLIPUT_REGRESSORS + 1) / 2];
    int32_t factors[LILLIPUT_REGRESSORS * (LILLIPUT_REGRESSORS + 1) / 2];
    int16_t weights[LILLIPUT_REGRESSORS * (LILLIPUT_REGRESSORS + 1) / 2];
    int16_t batch[LILLIPUT_REGRESSORS][LILLIPUT_BATCH];
    int16_t surprises[LILLIPUT_REGRESSORS]; /* of this row, in 16ths */
    int shifts[LILLIPUT_REGRESSORS];
    size_t columns, rows, next_fit;
} lilliput_regression;

void lilliput_regression_begin(lilliput_regression *of, size_t columns);

/* What is foretold of a column, in 256ths. */
int32_t lilliput_regression_foretold(const lilliput_regression *of, size_t column);

/* Takes in what the column was. */
void lilliput_regression_saw(lilliput_regression *of, size_t column, int32_t value,
                             int32_t foretold);

/* Ends a row. */
void lilliput_regression_row(lilliput_regression *of);

#endif
