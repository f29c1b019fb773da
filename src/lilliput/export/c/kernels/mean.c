/* The mean over the middle of three axes. */
struct mean {
    int32_t outer, count, inner, multiplier;
    int16_t in_zero, out_zero, shift;
};

static void mean(const struct mean *layer, const int8_t *x, int8_t *y)
{
    for (int32_t i = 0; i < layer->outer; i++, x += layer->count * layer->inner) {
        for (int32_t k = 0; k < layer->inner; k++) {
            int32_t sum = -layer->in_zero * layer->count;
            for (int32_t j = 0; j < layer->count; j++) {
                sum += x[j * layer->inner + k];
            }
            *y++ = clamped(scaled(sum, layer->multiplier, layer->shift) + layer->out_zero, INT8_MIN, INT8_MAX);
        }
    }
}
