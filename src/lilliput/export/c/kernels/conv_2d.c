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
    const int is_flat = over->kernel_height * over->kernel_width * over->stride_height * over->stride_width == 1;
    uint32_t *columns = (uint32_t *)scratch;
    int8_t *row = (int8_t *)(columns + 4 * quarters);
    for (int32_t run = 0; run < over->batch * layer->groups; run++) {
        const int32_t group = run % layer->groups, n = run / layer->groups;
        const int8_t *map = x + n * over->in_height * over->in_width * over->in_channels;
        int8_t *out = y + n * places * over->out_channels + group * filters;
#if defined(__ARM_FEATURE_MVE)
        for (int32_t place = 0; place < places; place += 4) {
            const int32_t last = places - 1 - place < 3 ? places - 1 - place : 3;
            const uint32x4_t of_four = vminq_u32(vidupq_n_u32(0, 1), vdupq_n_u32((uint32_t)last));
            const struct filters_by_2x4 of = {
                .weights = layer->weights + group * padded * quarters,
                .columns = columns,
                .quarters = quarters,
                .scaling = layer->scaling + group * padded * 2,
                .out = out + place * over->out_channels,
                .places = vmulq_n_u32(of_four, (uint32_t)over->out_channels),
                .filters = filters,
                .zero = layer->out_zero,
            };
            for (int32_t k = 0; k < 4; k++) {
                const int32_t at = place + (k < last ? k : last);
                if (is_flat) {
                    spread(columns + k, map + at * over->in_channels + group * each, each);
                } else {
                    column(over, map, at, group * each, each, row, columns + k);
                }
            }
            filters_by_2x4(&of);
        }
#else
        for (int32_t place = 0; place < places; place += 2) {
            const int32_t next = place + 1 < places ? place + 1 : place;
            struct filters_by_2x2 of = {
                .weights = layer->weights + group * padded * quarters,
                .columns = columns,
                .quarters = quarters,
                .scaling = layer->scaling + group * padded * 2,
                .one = out + place * over->out_channels,
                .other = out + next * over->out_channels,
                .filters = filters,
                .zero = 2 * layer->out_zero + 1,
            };
            if (is_flat) {
                spread(columns, map + place * over->in_channels + group * each, each);
                spread(columns + 2, map + next * over->in_channels + group * each, each);
            } else {
                column(over, map, place, group * each, each, row, columns);
                column(over, map, next, group * each, each, row, columns + 2);
            }
            filters_by_2x2(&of);
        }
#endif
    }
    narrowed(y, over->batch * places * over->out_channels, layer->low, layer->high);
}
