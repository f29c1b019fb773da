/* Some filters of a convolution at all places of a map, two places at a time. */
struct filters_over_map {
    const struct window *over;
    const uint32_t *weights; /* these, and the scaling, as `filters_by_2x2` reads them */
    const int32_t *scaling;
    uint32_t *columns; /* room for two, and for what a place sees */
    int32_t filters, quarters, zero;
    int32_t each; /* channels that they read */
};

static inline void filters_over_map(const struct filters_over_map *of, const int8_t *map, int8_t *out)
{
    const struct window *over = of->over;
    const int32_t places = (int32_t)over->out_height * over->out_width;
    const int is_flat = over->kernel_height * over->kernel_width * over->stride_height * over->stride_width == 1;
    uint32_t *columns = of->columns;
    int8_t *row = (int8_t *)(columns + 4 * of->quarters);
    for (int32_t place = 0; place < places; place += 2) {
        const int32_t next = place + 1 < places ? place + 1 : place;
        struct filters_by_2x2 two = {
            .weights = of->weights,
            .columns = columns,
            .quarters = of->quarters,
            .scaling = of->scaling,
            .one = out + place * over->out_channels,
            .other = out + next * over->out_channels,
            .filters = of->filters,
            .zero = of->zero,
        };
        if (is_flat) {
            spread(columns, map + place * over->in_channels, of->each);
            spread(columns + 2, map + next * over->in_channels, of->each);
        } else {
            column(over, map, place, 0, of->each, row, columns);
            column(over, map, next, 0, of->each, row, columns + 2);
        }
        filters_by_2x2(&two);
    }
}
