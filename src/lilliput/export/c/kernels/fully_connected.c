/* A dense layer, four filters at a time; see `dot_4x1` for how weights lie. Biases are filled up with
   zeros to a multiple of four. */
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
        const int32_t *bias = layer->bias, *multiplier = layer->multiplier;
        const uint8_t *bits = layer->bits;
        for (int32_t left = filters; left > 0; left -= 4, bias += 4) {
            int32_t sums[4] = {bias[0], bias[1], bias[2], bias[3]};
            dot_4x1(weights, x, length, sums);
            weights += (length + 3) / 4 * 4;
            const int32_t *end = sums + (left < 4 ? left : 4);
            for (const int32_t *sum = sums; sum != end; sum++) {
                *out++ = rescaled_once(*sum, *multiplier, *bits, zero);
                multiplier += layer->per_filter;
                bits += layer->per_filter;
            }
        }
    }
    narrowed(y, layer->rows * filters, layer->low, layer->high);
}
