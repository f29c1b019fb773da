/* Sums of products of bytes, four at a time, where a processor has what it takes. */
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
static inline uint32_t even_bytes(uint32_t x) /* bytes 0 and 2 as halfwords with their signs */
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(x));
    return pair;
}

static inline uint32_t odd_bytes(uint32_t x)
{
    uint32_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(x));
    return pair;
}

static inline int32_t two_products(uint32_t a, uint32_t b, int32_t sum)
{
    __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

static inline uint32_t four_bytes(const int8_t *x)
{
    uint32_t word;
    __builtin_memcpy(&word, x, 4);
    return word;
}
#endif
