/* A transposed convolution; weights are [out][height][width][in]. */
struct transpose_conv {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int16_t batch, in_height, in_width, in_channels, out_height, out_width, out_channels;
    int16_t kernel_height, kernel_width, stride_height, stride_width, pad_height, pad_width;
    int16_t in_zero, out_zero, low, high;
};

static void transpose_conv(const struct transpose_conv *layer, const int8_t *x, int8_t *y)
{
    for (int n = 0; n < layer->batch; n++) {
        for (int row = 0; row < layer->out_height; row++) {
            for (int column = 0; column < layer->out_width; column++) {
                const int8_t *w = layer->weights;
                for (int out = 0; out < layer->out_channels; out++) {
                    int32_t sum = layer->bias[out];
                    for (int i = 0; i < layer->kernel_height; i++) {
                        const int r = row + layer->pad_height - i;
                        for (int j = 0; j < layer->kernel_width; j++, w += layer->in_channels) {
                            const int c = column + layer->pad_width - j;
                            if (r < 0 || r % layer->stride_height || r / layer->stride_height >= layer->in_height
                                || c < 0 || c % layer->stride_width || c / layer->stride_width >= layer->in_width) {
                                continue;
                            }
                            const int place = r / layer->stride_height * layer->in_width + c / layer->stride_width;
                            const int8_t *v = x + place * layer->in_channels;
                            for (int k = 0; k < layer->in_channels; k++) {
                                sum += (v[k] - layer->in_zero) * w[k];
                            }
                        }
                    }
                    sum = scaled(sum, layer->multiplier[out], layer->shift[out]) + layer->out_zero;
                    *y++ = clamped(sum, layer->low, layer->high);
                }
            }
        }
        x += (int32_t)layer->in_height * layer->in_width * layer->in_channels;
    }
}
