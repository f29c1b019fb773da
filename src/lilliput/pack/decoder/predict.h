/* Integers that were told from others before them. */
#ifndef LILLIPUT_PREDICT_H
#define LILLIPUT_PREDICT_H

#include "reader.h"

/* Reads how integers are predicted; taps are 1 where they are not. */
void lilliput_read_prediction(reader *in, lilliput_prediction *how, size_t count);

/* Adds to each integer what was predicted. */
void lilliput_add_predicted(const lilliput_prediction *how, uint32_t *values, size_t count);

#endif
