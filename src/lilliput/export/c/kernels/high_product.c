/* a * b / 2^32, to the nearest, halves up. */
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
static inline int32_t high_product(int32_t a, int32_t b)
{
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(a), "r"(b));
    return high;
}
#else
static inline int32_t high_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 31)) >> 32);
}
#endif
