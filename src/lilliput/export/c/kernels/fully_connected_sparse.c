/* A dense layer most of whose packed weights are zero: the others are multiplied as they come. */
struct fully_connected_sparse {
    struct packed weights; /* [out][in] */
    const int32_t *bias;
    const int32_t *multiplier;
    const uint8_t *bits;
    int32_t rows, in_channels, out_channels;
    int16_t per_filter; /* 1 where each has a multiplier of its own, else 0 */
    int16_t out_zero, low, high;
};

__attribute__((noinline)) static int32_t sum_of_others(
    struct unpacking *until, const int8_t *x, uint32_t count, int32_t sum)
{
    struct unpacking of = *until;
    while (of.zeros < count) {
        const int8_t value = x[of.zeros];
        sum += value * (int8_t)weight_next(&of);
    }
    of.zeros -= count;
    *until = of;
    return sum;
}

static void fully_connected_sparse(const struct fully_connected_sparse *layer, const int8_t *x, int8_t *y)
{
    const int32_t length = layer->in_channels, filters = layer->out_channels;
    int8_t *out = y;
    for (int32_t row = 0; row < layer->rows; row++, x += length) {
        struct unpacking until = packed_from(&layer->weights);
        for (int32_t f = 0; f < filters; f++) {
            const int32_t sum = sum_of_others(&until, x, (uint32_t)length, layer->bias[f]);
            const int32_t k = f * layer->per_filter;
            *out++ = rescaled_once(sum, layer->multiplier[k], layer->bits[k], 2 * layer->out_zero + 1);
        }
    }
    narrowed(y, layer->rows * filters, layer->low, layer->high);
}
