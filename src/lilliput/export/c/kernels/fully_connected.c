/* A dense layer, four filters at a time; see `dot_4x1` for how weights lie. */
struct fully_connected {
    const uint32_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const uint8_t *bits;
    int32_t rows, in_channels, out_channels;
    int16_t per_filter; /* 1 where each has a multiplier of its own, else 0 */
    int16_t out_zero, low, high;
};

static void fully_connected(const struct fully_connected *layer, const int8_t *x, int8_t *y)
{
    const int32_t length = layer->in_channels, filters = layer->out_channels;
    const int32_t zero = 2 * layer->out_zero + 1;
    int8_t *out = y;
    for (int32_t row = 0; row < layer->rows; row++, x += length) {
        const uint32_t *weights = layer->weights;
        for (int32_t f = 0; f < filters; weights += (length + 3) / 4 * 4) {
            const int32_t count = filters - f < 4 ? filters - f : 4;
            int32_t sums[4] = {0};
            for (int32_t k = 0; k < count; k++) {
                sums[k] = layer->bias[f + k];
            }
            dot_4x1(weights, x, length, sums);
            for (int32_t k = 0; k < count; k++, f++) {
                const int32_t c = layer->per_filter ? f : 0;
                *out++ = rescaled_once(sums[k], layer->multiplier[c], layer->bits[c], zero);
            }
        }
    }
    narrowed(y, layer->rows * filters, layer->low, layer->high);
}
