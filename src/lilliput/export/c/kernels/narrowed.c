/* Bytes cut to what a fused activation leaves; nothing to do where that is all of them. */
#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>
#endif

static inline void narrowed(int8_t *y, int32_t count, int32_t low, int32_t high)
{
    if (low == -128 && high == 127) {
        return;
    }
#if defined(__ARM_FEATURE_MVE)
    const int8x16_t least = vdupq_n_s8((int8_t)low), most = vdupq_n_s8((int8_t)high);
    for (; count >= 16; count -= 16, y += 16) {
        vstrbq_s8(y, vminq_s8(vmaxq_s8(vldrbq_s8(y), least), most));
    }
#endif
    for (; count > 0; count--, y++) {
        *y = (int8_t)(*y < low ? low : (*y > high ? high : *y));
    }
}
