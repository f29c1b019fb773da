/* The place of the largest number of each row, the first one where several are. */
struct largest {
    int32_t rows, channels;
};

static void largest(const struct largest *layer, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < layer->rows; row++, x += layer->channels) {
        int32_t best = 0;
        for (int32_t k = 1; k < layer->channels; k++) {
            best = x[k] > x[best] ? k : best;
        }
        *y++ = (int8_t)best;
    }
}
