/* A convolution; weights are [out][height][width][in of a group]. Two places and two filters at
   a time. */
struct conv_2d {
    const int8_t *weights;
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    struct window window;
    int16_t groups, out_zero, low, high;
};

static inline int8_t conv_2d_out(const struct conv_2d *layer, int32_t sum, int32_t filter)
{
    const int32_t x = scaled(sum, layer->multiplier[filter], layer->shift[filter]);
    return clamped(x + layer->out_zero, layer->low, layer->high);
}

static void conv_2d(const struct conv_2d *layer, const int8_t *x, int8_t *y, int8_t *rows)
{
    const struct window *over = &layer->window;
    const int32_t each = over->in_channels / layer->groups;
    const int32_t filters = over->out_channels / layer->groups;
    const int32_t length = each * over->kernel_height * over->kernel_width;
    const int32_t places = (int32_t)over->out_height * over->out_width;
    for (int32_t run = 0; run < over->batch * layer->groups; run++) {
        const int32_t group = run % layer->groups;
        const int8_t *map = x + run / layer->groups * over->in_height * over->in_width * over->in_channels;
        int8_t *out = y + run / layer->groups * places * over->out_channels;
        for (int32_t place = 0; place < places; place += 2) {
            const int32_t next = place + 1 < places ? place + 1 : place;
            const int8_t *p = seen(over, map, place, group * each, each, rows);
            const int8_t *q = seen(over, map, next, group * each, each, rows + length);
            int8_t *at = out + place * over->out_channels, *beside = out + next * over->out_channels;
            for (int32_t k = 0; k < filters; k += 2) {
                const int32_t f = group * filters + k, g = k + 1 < filters ? f + 1 : f;
                const int32_t first = layer->bias[f], second = layer->bias[g];
                int32_t sums[4] = {first, first, second, second};
                dot_2x2(p, q, layer->weights + f * length, layer->weights + g * length, length, sums);
                at[f] = conv_2d_out(layer, sums[0], f);
                beside[f] = conv_2d_out(layer, sums[1], f);
                at[g] = conv_2d_out(layer, sums[2], g);
                beside[g] = conv_2d_out(layer, sums[3], g);
            }
        }
    }
}
