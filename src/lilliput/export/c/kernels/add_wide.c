/* first + second, each scaled to meet the other, for multipliers that are too large for `add`. */
struct add_wide {
    int32_t size_0, size_1, size_2, size_3;
    int32_t first_stride_0, first_stride_1, first_stride_2, first_stride_3;
    int32_t second_stride_0, second_stride_1, second_stride_2, second_stride_3;
    int32_t first_multiplier, second_multiplier, out_multiplier;
    int16_t first_zero, second_zero, first_shift, second_shift, out_shift, out_zero, low, high;
};

static void add_wide(
    const struct add_wide *layer, const int8_t *first, const int8_t *second, int8_t *y)
{
    for (int32_t i = 0; i < layer->size_0; i++) {
        for (int32_t j = 0; j < layer->size_1; j++) {
            for (int32_t k = 0; k < layer->size_2; k++) {
                const int8_t *a = first + i * layer->first_stride_0 + j * layer->first_stride_1
                    + k * layer->first_stride_2;
                const int8_t *b = second + i * layer->second_stride_0 + j * layer->second_stride_1
                    + k * layer->second_stride_2;
                for (int32_t l = 0; l < layer->size_3; l++) {
                    const int32_t p = (a[l * layer->first_stride_3] - layer->first_zero) * (1 << 20);
                    const int32_t q = (b[l * layer->second_stride_3] - layer->second_zero) * (1 << 20);
                    const int32_t sum = scaled(p, layer->first_multiplier, layer->first_shift)
                        + scaled(q, layer->second_multiplier, layer->second_shift);
                    const int32_t out = scaled(sum, layer->out_multiplier, layer->out_shift);
                    *y++ = clamped(out + layer->out_zero, layer->low, layer->high);
                }
            }
        }
    }
}
