/* A convolution of each channel by itself; weights are [height][width][out]. */
struct depthwise_conv_2d {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int16_t batch, in_height, in_width, in_channels, out_height, out_width, out_channels;
    int16_t kernel_height, kernel_width, stride_height, stride_width;
    int16_t dilation_height, dilation_width, pad_height, pad_width, multiple;
    int16_t in_zero, out_zero, low, high;
};

static void depthwise_conv_2d(const struct depthwise_conv_2d *layer, const int8_t *x, int8_t *y)
{
    for (int n = 0; n < layer->batch; n++) {
        for (int row = 0; row < layer->out_height; row++) {
            const int top = row * layer->stride_height - layer->pad_height;
            for (int column = 0; column < layer->out_width; column++) {
                const int left = column * layer->stride_width - layer->pad_width;
                for (int out = 0; out < layer->out_channels; out++) {
                    const int8_t *w = layer->weights + out;
                    const int8_t *v = x + out / layer->multiple;
                    int32_t sum = layer->bias[out];
                    for (int i = 0; i < layer->kernel_height; i++) {
                        const int r = top + i * layer->dilation_height;
                        for (int j = 0; j < layer->kernel_width; j++, w += layer->out_channels) {
                            const int c = left + j * layer->dilation_width;
                            if (r < 0 || r >= layer->in_height || c < 0 || c >= layer->in_width) {
                                continue;
                            }
                            sum += (v[(r * layer->in_width + c) * layer->in_channels] - layer->in_zero) * *w;
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
