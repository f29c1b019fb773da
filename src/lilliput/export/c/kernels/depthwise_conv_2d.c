/* A convolution of each channel by itself; weights are [height][width][out]. Four channels at a
   time where each has one filter. */
struct depthwise_conv_2d {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    struct window window;
    int16_t multiple, out_zero, low, high;
};

static void depthwise_conv_2d(
    const struct depthwise_conv_2d *layer, const int8_t *x, int8_t *y, int8_t *row)
{
    const struct window *over = &layer->window;
    const int32_t channels = over->in_channels, filters = over->out_channels;
    const int32_t taps = (int32_t)over->kernel_height * over->kernel_width;
    const int32_t places = (int32_t)over->out_height * over->out_width;
    for (int32_t n = 0; n < over->batch; n++, x += over->in_height * over->in_width * channels) {
        for (int32_t place = 0; place < places; place++, y += filters) {
            const int8_t *p = seen(over, x, place, 0, channels, row);
            for (int32_t f = 0; f < filters;) {
                int32_t sums[4] = {layer->bias[f]};
                int32_t count = 1;
                if (layer->multiple == 1 && f + 4 <= filters) {
                    count = 4;
                    for (int k = 1; k < 4; k++) {
                        sums[k] = layer->bias[f + k];
                    }
                    dot_by_channel(p + f, layer->weights + f, filters, taps, sums);
                } else {
                    for (int32_t t = 0; t < taps; t++) {
                        sums[0] += p[t * channels + f / layer->multiple] * layer->weights[t * filters + f];
                    }
                }
                for (int32_t k = 0; k < count; k++, f++) {
                    const int32_t z = scaled(sums[k], layer->multiplier[f], layer->shift[f]);
                    y[f] = clamped(z + layer->out_zero, layer->low, layer->high);
                }
            }
        }
    }
}
