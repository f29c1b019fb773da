/* Four sums at a time, on processors with Helium. */
#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>

static inline int32x4_t four_sums(int32_t first, int32_t second, int32_t third, int32_t fourth)
{
    int32x4_t sums;
    __asm__("vmov %q0[2], %q0[0], %1, %3\n\t"
            "vmov %q0[3], %q0[1], %2, %4"
            : "=&w"(sums) : "r"(first), "r"(second), "r"(third), "r"(fourth));
    return sums;
}

/* As `rescaled`, but sums are not doubled yet and `zero` is the zero point itself. */
static inline int32x4_t rescaled_four(int32x4_t sums, int32_t multiplier, int32_t bits, int32_t zero)
{
    const int32x4_t x = vqrdmulhq_n_s32(sums, multiplier);
    int32x4_t y = vaddq_n_s32(vrshlq_n_s32(vaddq_s32(x, vshrq_n_s32(x, 31)), -bits), zero);
    __asm__("vqmovnb.s32 %q0, %q0\n\t"
            "vqmovnb.s16 %q0, %q0"
            : "+w"(y));
    return y; /* of each, the lowest byte counts */
}
#endif
