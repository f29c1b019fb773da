/* first + second, each scaled to meet the other. */
struct add {
    int32_t size_0, size_1, size_2, size_3;
    int32_t first_stride_0, first_stride_1, first_stride_2, first_stride_3;
    int32_t second_stride_0, second_stride_1, second_stride_2, second_stride_3;
    int32_t first_multiplier, second_multiplier, out_multiplier;
    int16_t first_zero, second_zero, first_bits, second_bits, out_bits, out_zero, low, high;
};

/* x - zero, moved up by 20 bits, times multiplier / 2^(31 + bits), rounded twice; `moved_zero` is
   the zero point moved up by 21, `nudge` is all ones but for bits = 0, `half` is 2^bits / 2. */
static inline int32_t met(
    int32_t x, int32_t moved_zero, int32_t multiplier, int32_t nudge, int32_t half, int32_t bits)
{
    const int32_t high = high_product(x * (1 << 21) - moved_zero, multiplier);
    return (high + ((high >> 31) & nudge) + half) >> bits;
}

#if defined(__ARM_FEATURE_MVE)
/* The same for four. */
static inline int32x4_t four_met(int32x4_t x, int32_t moved_zero, int32_t multiplier, int32_t bits)
{
    const int32x4_t moved = vsubq_n_s32(vshlq_n_s32(x, 20), moved_zero / 2);
    const int32x4_t high = vqrdmulhq_n_s32(moved, multiplier);
    const int32x4_t nudge = vandq_s32(vshrq_n_s32(high, 31), vdupq_n_s32(bits ? -1 : 0));
    return vrshlq_n_s32(vaddq_s32(high, nudge), -bits);
}
#endif

static void add_along(const struct add *layer, const int8_t *a, const int8_t *b, int8_t *y)
{
    const int32_t a_step = layer->first_stride_3, b_step = layer->second_stride_3;
    const int32_t a_zero = layer->first_zero * (1 << 21), b_zero = layer->second_zero * (1 << 21);
    const int32_t a_multiplier = layer->first_multiplier, b_multiplier = layer->second_multiplier;
    const int32_t a_bits = layer->first_bits, b_bits = layer->second_bits;
    const int32_t a_nudge = a_bits ? -1 : 0, b_nudge = b_bits ? -1 : 0;
    const int32_t a_half = (1 << a_bits) >> 1, b_half = (1 << b_bits) >> 1;
    const int32_t multiplier = layer->out_multiplier, bits = layer->out_bits;
    const int32_t zero = 2 * layer->out_zero + 1;
    const int8_t *end = y + layer->size_3;
#if defined(__ARM_FEATURE_MVE)
    const uint32x4_t lanes = vidupq_n_u32(0, 1);
    const uint32x4_t a_apart = vmulq_n_u32(lanes, (uint32_t)a_step);
    const uint32x4_t b_apart = vmulq_n_u32(lanes, (uint32_t)b_step);
    for (; end - y >= 4; y += 4, a += 4 * a_step, b += 4 * b_step) {
        const int32x4_t four = vldrbq_gather_offset_s32(a, a_apart);
        const int32x4_t other = vldrbq_gather_offset_s32(b, b_apart);
        const int32x4_t p = four_met(four, a_zero, a_multiplier, a_bits);
        const int32x4_t q = four_met(other, b_zero, b_multiplier, b_bits);
        vstrbq_s32(y, rescaled_four(vaddq_s32(p, q), multiplier, bits, zero >> 1));
    }
#endif
    for (; y != end; a += a_step, b += b_step) {
        const int32_t p = met(*a, a_zero, a_multiplier, a_nudge, a_half, a_bits);
        const int32_t q = met(*b, b_zero, b_multiplier, b_nudge, b_half, b_bits);
        *y++ = rescaled(2 * (p + q), multiplier, bits, zero);
    }
}

static void add(const struct add *layer, const int8_t *first, const int8_t *second, int8_t *y)
{
    int8_t *out = y;
    for (int32_t i = 0; i < layer->size_0; i++) {
        for (int32_t j = 0; j < layer->size_1; j++) {
            for (int32_t k = 0; k < layer->size_2; k++, out += layer->size_3) {
                const int8_t *a = first + i * layer->first_stride_0 + j * layer->first_stride_1;
                const int8_t *b = second + i * layer->second_stride_0 + j * layer->second_stride_1;
                add_along(layer, a + k * layer->first_stride_2, b + k * layer->second_stride_2, out);
            }
        }
    }
    narrowed(y, (int32_t)(out - y), layer->low, layer->high);
}
