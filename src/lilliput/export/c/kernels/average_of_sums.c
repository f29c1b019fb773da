/* The mean of so many places that were summed up, rounded away from zero. */
struct average_of_sums {
    int32_t count;
    int16_t channels, low, high;
};

static void average_of_sums(const struct average_of_sums *layer, const int8_t *x, int8_t *y)
{
    const int32_t *sums = (const int32_t *)(const void *)x;
    const int32_t count = layer->count;
    for (int32_t c = 0; c < layer->channels; c++) {
        const int32_t half = sums[c] > 0 ? count / 2 : -(count / 2);
        y[c] = clamped((sums[c] + half) / count, layer->low, layer->high);
    }
}
