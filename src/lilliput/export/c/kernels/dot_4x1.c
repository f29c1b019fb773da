/* x with each of four filters; weights lie four bytes of the first filter, of the second, the third
   and the fourth, and so on, the last ones filled up with zeros. */
#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>

static void dot_4x1(const uint32_t *weights, const int8_t *x, int32_t length, int32_t *sums)
{
    const uint32x4_t apart = vidupq_n_u32(0, 4);
    int32_t first = sums[0], second = sums[1], third = sums[2], fourth = sums[3];
    for (; length >= 16; length -= 16, weights += 16, x += 16) {
        const int8x16_t seen = vldrbq_s8(x);
        const uint32x4x4_t w = vld4q_u32(weights);
        first = vmladavaq_s8(first, vreinterpretq_s8_u32(w.val[0]), seen);
        second = vmladavaq_s8(second, vreinterpretq_s8_u32(w.val[1]), seen);
        third = vmladavaq_s8(third, vreinterpretq_s8_u32(w.val[2]), seen);
        fourth = vmladavaq_s8(fourth, vreinterpretq_s8_u32(w.val[3]), seen);
    }
    if (length > 0) {
        const mve_pred16_t rest = vctp32q((uint32_t)(length + 3) / 4);
        const int8x16_t seen = vldrbq_z_s8(x, vctp8q((uint32_t)length));
        uint32x4_t w[4];
        for (int32_t f = 0; f < 4; f++) {
            w[f] = vldrwq_gather_shifted_offset_z_u32(weights + f, apart, rest);
        }
        first = vmladavaq_s8(first, vreinterpretq_s8_u32(w[0]), seen);
        second = vmladavaq_s8(second, vreinterpretq_s8_u32(w[1]), seen);
        third = vmladavaq_s8(third, vreinterpretq_s8_u32(w[2]), seen);
        fourth = vmladavaq_s8(fourth, vreinterpretq_s8_u32(w[3]), seen);
    }
    sums[0] = first;
    sums[1] = second;
    sums[2] = third;
    sums[3] = fourth;
}
#else
static inline int32_t product(uint32_t word, int32_t place, const int8_t *x)
{
    return (int8_t)(word >> 8 * place) * x[place];
}

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
/* r1 goes over x, r0 over the weights. */
#define FOUR_BYTES \
    "ldr r4, [r1], #4\n\t" \
    "sxtb16 r5, r4\n\t" \
    "sxtb16 r6, r4, ror #8\n\t" \
    "ldmia r0!, {r7, r8, r9, r12}\n\t" ONE_FILTER("r7", "r3") ONE_FILTER("r8", "r10") \
        ONE_FILTER("r9", "r11") ONE_FILTER("r12", "lr")
#define ONE_FILTER(w, sum) \
    "sxtb16 r4, " w "\n\t" \
    "smlad " sum ", r4, r5, " sum "\n\t" \
    "sxtb16 r4, " w ", ror #8\n\t" \
    "smlad " sum ", r4, r6, " sum "\n\t"

__attribute__((naked, noinline)) static void quarters_4x1(
    const uint32_t *weights __attribute__((unused)), const int8_t *x __attribute__((unused)),
    int32_t quarters __attribute__((unused)), int32_t *sums __attribute__((unused)))
{
    __asm__(
        "push {r3-r11, lr}\n\t"
        "ldmia r3, {r3, r10, r11, lr}\n\t"
        "subs r2, #4\n\t"
        "blt 2f\n"
        "1:\n\t" FOUR_BYTES FOUR_BYTES FOUR_BYTES FOUR_BYTES
        "subs r2, #4\n\t"
        "bge 1b\n"
        "2:\n\t"
        "adds r2, #4\n\t"
        "beq 4f\n"
        "3:\n\t" FOUR_BYTES
        "subs r2, #1\n\t"
        "bne 3b\n"
        "4:\n\t"
        "ldr r0, [sp]\n\t"
        "stmia r0, {r3, r10, r11, lr}\n\t"
        "pop {r3-r11, pc}");
}
#else
static void quarters_4x1(const uint32_t *weights, const int8_t *x, int32_t quarters, int32_t *sums)
{
    for (; quarters > 0; quarters--, x += 4) {
        for (int32_t f = 0; f < 4; f++) {
            const uint32_t w = *weights++;
            sums[f] += product(w, 0, x) + product(w, 1, x) + product(w, 2, x) + product(w, 3, x);
        }
    }
}
#endif

static void dot_4x1(const uint32_t *weights, const int8_t *x, int32_t length, int32_t *sums)
{
    const int32_t quarters = length / 4, rest = length % 4;
    quarters_4x1(weights, x, quarters, sums);
    for (int32_t f = 0; f < 4; f++) {
        for (int32_t k = 0; k < rest; k++) {
            sums[f] += product(weights[4 * quarters + f], k, x + 4 * quarters);
        }
    }
}
#endif
