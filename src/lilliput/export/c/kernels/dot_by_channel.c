/* Four channels of x with the same four of w, over taps that lie `step` bytes apart in both. */
static inline void dot_by_channel(
    const int8_t *x, const int8_t *w, int32_t step, int32_t taps, int32_t *sums)
{
    int32_t i = sums[0], j = sums[1], k = sums[2], l = sums[3];
    for (; taps > 0; taps--, x += step, w += step) {
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
        const uint32_t a = four_bytes(x), b = four_bytes(w);
        const uint32_t a_even = even_bytes(a), a_odd = odd_bytes(a);
        const uint32_t b_even = even_bytes(b), b_odd = odd_bytes(b);
        __asm__("smlabb %0, %1, %2, %0" : "+r"(i) : "r"(a_even), "r"(b_even));
        __asm__("smlabb %0, %1, %2, %0" : "+r"(j) : "r"(a_odd), "r"(b_odd));
        __asm__("smlatt %0, %1, %2, %0" : "+r"(k) : "r"(a_even), "r"(b_even));
        __asm__("smlatt %0, %1, %2, %0" : "+r"(l) : "r"(a_odd), "r"(b_odd));
#else
        i += x[0] * w[0];
        j += x[1] * w[1];
        k += x[2] * w[2];
        l += x[3] * w[3];
#endif
    }
    sums[0] = i;
    sums[1] = j;
    sums[2] = k;
    sums[3] = l;
}
