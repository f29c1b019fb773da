/* A dense layer whose multipliers are too large for `fully_connected`; weights are [out][in]. */
struct fully_connected_wide {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t rows, in_channels, out_channels;
    int16_t out_zero, low, high;
};

static void fully_connected_wide(
    const struct fully_connected_wide *layer, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < layer->rows; row++, x += layer->in_channels) {
        const int8_t *w = layer->weights;
        for (int32_t f = 0; f < layer->out_channels; f++) {
            int32_t sum = layer->bias[f];
            for (int32_t k = 0; k < layer->in_channels; k++) {
                sum += x[k] * *w++;
            }
            const int32_t z = scaled_once(sum, layer->multiplier[f], layer->shift[f]);
            *y++ = clamped(z + layer->out_zero, layer->low, layer->high);
        }
    }
}
