/* As `conv_2d`: some filters are unpacked and go over all maps, and then the next ones. */
struct conv_2d_packed {
    struct packed weights; /* nothing of them has borrowed */
    const int32_t *scaling;
    struct window window;
    int16_t groups, out_zero, low, high;
    int16_t together; /* filters that are unpacked at once: an even number, or all of a group */
};

/* Odd bytes borrow as `filters_by_2x2` reads them. */
static void borrow(uint32_t *words, int32_t count)
{
    for (; count > 0; count--, words++) {
        const uint32_t even = *words & 0x00ff00ff, odd = *words >> 8 & 0x00ff00ff;
        const uint32_t borrowed = (odd | 0x01000100) - (even >> 7 & 0x00010001);
        *words = (borrowed & 0x00ff00ff) << 8 | even;
    }
}

static void conv_2d_packed(
    const struct conv_2d_packed *layer, const int8_t *x, int8_t *y, int32_t *scratch)
{
    const struct window *over = &layer->window;
    const int32_t each = over->in_channels / layer->groups;
    const int32_t filters = over->out_channels / layer->groups;
    const int32_t quarters = (each * over->kernel_height * over->kernel_width + 3) / 4;
    const int32_t in_bytes = over->in_height * over->in_width * over->in_channels;
    const int32_t out_bytes = over->out_height * over->out_width * over->out_channels;
    uint32_t *weights = (uint32_t *)scratch;
    struct unpacking until = packed_from(&layer->weights);
    struct filters_over_map of = {
        .over = over,
        .weights = weights,
        .scaling = layer->scaling,
        .columns = weights + ((layer->together + 1) / 2 * 2 * quarters + 3) / 4 * 4,
        .quarters = quarters,
        .zero = layer->out_zero,
        .each = each,
    };
    for (int32_t first = 0; first < over->out_channels; first += of.filters) {
        const int32_t left = filters - first % filters, from = first / filters * each;
        of.filters = left < layer->together ? left : layer->together;
        const int32_t padded = of.filters + of.filters % 2;
        unpack(&until, weights, padded * quarters);
        borrow(weights, padded * quarters);
        for (int32_t n = 0; n < over->batch; n++) {
            filters_over_map(&of, x + n * in_bytes + from, y + n * out_bytes + first);
        }
        of.scaling += 2 * padded;
    }
    narrowed(y, over->batch * out_bytes, layer->low, layer->high);
}
