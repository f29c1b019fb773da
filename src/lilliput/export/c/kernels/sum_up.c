/* Adds places of a map, channel by channel, to sums of 32 bits. */
struct sum_up {
    int32_t count;
    int16_t channels, is_first;
};

static void sum_up(const struct sum_up *layer, const int8_t *x, int8_t *y)
{
    int32_t *sums = (int32_t *)(void *)y;
    for (int32_t c = 0; c < layer->channels; c++) {
        int32_t sum = layer->is_first ? 0 : sums[c];
        const int8_t *v = x + c;
        for (int32_t left = layer->count; left > 0; left--, v += layer->channels) {
            sum += *v;
        }
        sums[c] = sum;
    }
}
