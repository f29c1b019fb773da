/* As `fully_connected`: some columns of four filters are unpacked at a time. */
struct fully_connected_packed {
    struct packed weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const uint8_t *bits;
    int32_t rows, in_channels, out_channels;
    int32_t together;   /* columns that are unpacked at once: all, where there are several rows */
    int16_t per_filter; /* 1 where each has a multiplier of its own, else 0 */
    int16_t out_zero, low, high;
};

static void fully_connected_packed(
    const struct fully_connected_packed *layer, const int8_t *x, int8_t *y, int32_t *scratch)
{
    const int32_t length = layer->in_channels, filters = layer->out_channels;
    const int32_t zero = 2 * layer->out_zero + 1;
    struct unpacking until = packed_from(&layer->weights);
    uint32_t *weights = (uint32_t *)scratch;
    int32_t sums[4];
    for (int32_t f = 0; f < filters; f += 4) {
        const int32_t *bias = layer->bias + f;
        const int32_t count = filters - f < 4 ? filters - f : 4;
        for (int32_t from = 0; from < length; from += layer->together) {
            const int32_t left = length - from, columns = left < layer->together ? left : layer->together;
            unpack(&until, weights, (columns + 3) / 4 * 4);
            for (int32_t row = 0; row < layer->rows; row++) {
                for (int32_t k = 0; from == 0 && k < 4; k++) {
                    sums[k] = bias[k];
                }
                dot_4x1(weights, x + row * length + from, columns, sums);
                for (int32_t k = 0; left == columns && k < count; k++) {
                    const int32_t which = (f + k) * layer->per_filter;
                    y[row * filters + f + k] =
                        rescaled_once(sums[k], layer->multiplier[which], layer->bits[which], zero);
                }
            }
        }
    }
    narrowed(y, layer->rows * filters, layer->low, layer->high);
}
