/* A convolution of each channel by itself; weights are [height][width][out]. */
struct depthwise_conv_2d {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    struct window window;
    int16_t multiple, out_zero, low, high;
};

static void depthwise_conv_2d(
    const struct depthwise_conv_2d *layer, const int8_t *x, int8_t *y, int32_t *row)
{
    const struct window *over = &layer->window;
    const int32_t channels = over->in_channels, filters = over->out_channels;
    const int32_t taps = (int32_t)over->kernel_height * over->kernel_width;
    const int32_t places = (int32_t)over->out_height * over->out_width;
    for (int32_t n = 0; n < over->batch; n++, x += over->in_height * over->in_width * channels) {
        for (int32_t place = 0; place < places; place++, y += filters) {
            const int8_t *p = seen(over, x, place, 0, channels, (int8_t *)row);
            for (int32_t f = 0; f < filters; f++) {
                const int8_t *from = p + f / layer->multiple, *w = layer->weights + f;
                int32_t sum = layer->bias[f];
                for (int32_t t = 0; t < taps; t++, from += channels, w += filters) {
                    sum += *from * *w;
                }
                const int32_t z = scaled(sum, layer->multiplier[f], layer->shift[f]);
                y[f] = clamped(z + layer->out_zero, layer->low, layer->high);
            }
        }
    }
}
