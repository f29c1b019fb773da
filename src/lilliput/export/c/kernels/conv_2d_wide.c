/* A convolution whose sums or multipliers are too large for `conv_2d`; weights are
   [out][height][width][in of a group]. */
struct conv_2d_wide {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    struct window window;
    int16_t groups, out_zero, low, high;
};

static void conv_2d_wide(const struct conv_2d_wide *layer, const int8_t *x, int8_t *y, int32_t *row)
{
    const struct window *over = &layer->window;
    const int32_t each = over->in_channels / layer->groups;
    const int32_t filters = over->out_channels / layer->groups;
    const int32_t length = each * over->kernel_height * over->kernel_width;
    const int32_t places = (int32_t)over->out_height * over->out_width;
    for (int32_t run = 0; run < over->batch * layer->groups; run++) {
        const int32_t group = run % layer->groups, n = run / layer->groups;
        const int8_t *map = x + n * over->in_height * over->in_width * over->in_channels;
        int8_t *out = y + n * places * over->out_channels;
        for (int32_t place = 0; place < places; place++, out += over->out_channels) {
            const int8_t *p = seen(over, map, place, group * each, each, (int8_t *)row);
            for (int32_t f = group * filters; f < (group + 1) * filters; f++) {
                const int8_t *w = layer->weights + f * length;
                int32_t sum = layer->bias[f];
                for (int32_t k = 0; k < length; k++) {
                    sum += p[k] * w[k];
                }
                const int32_t z = scaled(sum, layer->multiplier[f], layer->shift[f]);
                out[f] = clamped(z + layer->out_zero, layer->low, layer->high);
            }
        }
    }
}
