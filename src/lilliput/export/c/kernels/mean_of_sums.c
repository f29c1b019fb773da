/* As `mean`, of places that were summed up. */
struct mean_of_sums {
    int32_t count, multiplier;
    int16_t channels, in_zero, out_zero, shift;
};

static void mean_of_sums(const struct mean_of_sums *layer, const int8_t *x, int8_t *y)
{
    const int32_t *sums = (const int32_t *)(const void *)x;
    for (int32_t c = 0; c < layer->channels; c++) {
        const int32_t sum = scaled(sums[c] - layer->in_zero * layer->count, layer->multiplier, layer->shift);
        y[c] = clamped(sum + layer->out_zero, INT8_MIN, INT8_MAX);
    }
}
