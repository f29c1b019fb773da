/* A dense layer; weights are [out][in]. */
struct fully_connected {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t rows, in_channels, out_channels;
    int16_t in_zero, out_zero, low, high;
};

static void fully_connected(const struct fully_connected *layer, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < layer->rows; row++, x += layer->in_channels) {
        const int8_t *w = layer->weights;
        for (int32_t out = 0; out < layer->out_channels; out++, w += layer->in_channels) {
            int32_t sum = layer->bias[out];
            for (int32_t k = 0; k < layer->in_channels; k++) {
                sum += (x[k] - layer->in_zero) * w[k];
            }
            sum = scaled_once(sum, layer->multiplier[out], layer->shift[out]) + layer->out_zero;
            *y++ = clamped(sum, layer->low, layer->high);
        }
    }
}
