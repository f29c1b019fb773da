/* Some filters of a convolution at all places of a map, two places at a time, with Helium four. */
struct filters_over_map {
    const struct window *over;
    const uint32_t *weights; /* these, and the scaling, as `filters_by_2x2` reads them */
    const int32_t *scaling;
    uint32_t *columns; /* room for some, and for what a place sees */
    int32_t filters, quarters, zero;
    int32_t each; /* channels that they read */
};

/* What a place sees, as a column. */
static inline void column_of(const struct filters_over_map *of, const int8_t *map, int32_t place, uint32_t *to)
{
    const struct window *over = of->over;
    if (over->kernel_height * over->kernel_width * over->stride_height * over->stride_width == 1) {
        spread(to, map + place * over->in_channels, of->each);
    } else {
        column(over, map, place, 0, of->each, (int8_t *)(of->columns + 4 * of->quarters), to);
    }
}

static inline void filters_over_map(const struct filters_over_map *of, const int8_t *map, int8_t *out)
{
    const struct window *over = of->over;
    const int32_t places = (int32_t)over->out_height * over->out_width;
#if defined(__ARM_FEATURE_MVE)
    for (int32_t place = 0; place < places; place += 4) {
        const int32_t last = places - 1 - place < 3 ? places - 1 - place : 3;
        const uint32x4_t of_four = vminq_u32(vidupq_n_u32(0, 1), vdupq_n_u32((uint32_t)last));
        const struct filters_by_2x4 four = {
            .weights = of->weights,
            .columns = of->columns,
            .quarters = of->quarters,
            .scaling = of->scaling,
            .out = out + place * over->out_channels,
            .places = vmulq_n_u32(of_four, (uint32_t)over->out_channels),
            .filters = of->filters,
            .zero = of->zero,
        };
        for (int32_t k = 0; k < 4; k++) {
            column_of(of, map, place + (k < last ? k : last), of->columns + k);
        }
        filters_by_2x4(&four);
    }
#else
    for (int32_t place = 0; place < places; place += 2) {
        const int32_t next = place + 1 < places ? place + 1 : place;
        struct filters_by_2x2 two = {
            .weights = of->weights,
            .columns = of->columns,
            .quarters = of->quarters,
            .scaling = of->scaling,
            .one = out + place * over->out_channels,
            .other = out + next * over->out_channels,
            .filters = of->filters,
            .zero = 2 * of->zero + 1,
        };
        column_of(of, map, place, of->columns);
        column_of(of, map, next, of->columns + 2);
        filters_by_2x2(&two);
    }
#endif
}
