#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
static inline uint32_t two_halfwords(int32_t low, int32_t high)
{
    uint32_t word;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(word) : "r"(low), "r"(high));
    return word;
}
#else
static inline uint32_t two_halfwords(int32_t low, int32_t high)
{
    return ((uint32_t)low & 0xffff) | (uint32_t)high << 16;
}
#endif
