/* A convolution, two places and two filters at a time, with Helium four places; see `filters_by_2x2`
   for how weights and scaling lie. Each group has an even number of filters, the last one of zeros
   if it is not one. */
struct conv_2d {
    const uint32_t *weights;
    const int32_t *scaling;
    struct window window;
    int16_t groups, out_zero, low, high;
};

static void conv_2d(const struct conv_2d *layer, const int8_t *x, int8_t *y, int32_t *scratch)
{
    const struct window *over = &layer->window;
    const int32_t each = over->in_channels / layer->groups;
    const int32_t filters = over->out_channels / layer->groups, padded = filters + filters % 2;
    const int32_t quarters = (each * over->kernel_height * over->kernel_width + 3) / 4;
    const int32_t places = (int32_t)over->out_height * over->out_width;
    for (int32_t run = 0; run < over->batch * layer->groups; run++) {
        const int32_t group = run % layer->groups, n = run / layer->groups;
        const struct filters_over_map of = {
            .over = over,
            .weights = layer->weights + group * padded * quarters,
            .scaling = layer->scaling + group * padded * 2,
            .columns = (uint32_t *)scratch,
            .filters = filters,
            .quarters = quarters,
            .zero = layer->out_zero,
            .each = each,
        };
        const int8_t *map = x + n * over->in_height * over->in_width * over->in_channels + group * each;
        filters_over_map(&of, map, y + n * places * over->out_channels + group * filters);
    }
    narrowed(y, over->batch * places * over->out_channels, layer->low, layer->high);
}
