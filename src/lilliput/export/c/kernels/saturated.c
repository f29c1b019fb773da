#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
static inline int32_t saturated(int32_t x)
{
    int32_t byte;
    __asm__("ssat %0, #8, %1" : "=r"(byte) : "r"(x));
    return byte;
}
#else
static inline int32_t saturated(int32_t x)
{
    return x < -128 ? -128 : (x > 127 ? 127 : x);
}
#endif
