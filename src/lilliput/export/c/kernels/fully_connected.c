/* A dense layer; weights are [out][in]. */
struct fully_connected {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t rows, in_channels, out_channels;
    int16_t out_zero, low, high;
};

static void fully_connected(const struct fully_connected *layer, const int8_t *x, int8_t *y)
{
    const int32_t length = layer->in_channels;
    for (int32_t row = 0; row < layer->rows; row++, x += length, y += layer->out_channels) {
        for (int32_t out = 0; out < layer->out_channels; out += 4) {
            const int8_t *filters[4];
            int32_t sums[4];
            for (int32_t k = 0; k < 4; k++) {
                const int32_t c = out + k < layer->out_channels ? out + k : layer->out_channels - 1;
                filters[k] = layer->weights + c * length;
                sums[k] = layer->bias[c];
            }
            dot_1x4(x, filters, length, sums);
            for (int32_t k = 0; k < 4 && out + k < layer->out_channels; k++) {
                const int32_t c = out + k;
                const int32_t z = scaled_once(sums[k], layer->multiplier[c], layer->shift[c]);
                y[c] = clamped(z + layer->out_zero, layer->low, layer->high);
            }
        }
    }
}
