/* Sums along a line as outputs of one channel, two at a time; `step` bytes lie between them. */
#if !defined(__ARM_FEATURE_MVE)
struct scaling {
    int32_t twice_bias, multiplier, bits;
    int32_t zero; /* twice the zero point, and 1 */
    int32_t step;
};

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
/* As `rescaled`. */
#define RESCALE_ALONG(sum) \
    "add " sum ", r4, " sum ", lsl #1\n\t" \
    "smmulr " sum ", " sum ", r5\n\t" \
    "add " sum ", " sum ", " sum ", asr #31\n\t" \
    "add " sum ", " sum ", r7, asr #1\n\t" \
    "asrs " sum ", " sum ", r6\n\t" \
    "ssat " sum ", #8, " sum "\n\t"

__attribute__((naked, noinline)) static void rescaled_along(
    const struct scaling *of __attribute__((unused)), const int32_t *sums __attribute__((unused)),
    int32_t count __attribute__((unused)), int8_t *y __attribute__((unused)))
{
    __asm__(
        "push {r4-r10, lr}\n\t"
        "ldmia r0, {r4, r5, r6, r7, r8}\n\t"
        "lsls r7, r6\n\t"
        "subs r2, #2\n\t"
        "blt 2f\n"
        "1:\n\t"
        "ldmia r1!, {r9, r10}\n\t" RESCALE_ALONG("r9") RESCALE_ALONG("r10")
        "strb r9, [r3]\n\t"
        "strb r10, [r3, r8]\n\t"
        "add r3, r3, r8, lsl #1\n\t"
        "subs r2, #2\n\t"
        "bge 1b\n"
        "2:\n\t"
        "cmn r2, #1\n\t"
        "bne 3f\n\t"
        "ldr r9, [r1]\n\t" RESCALE_ALONG("r9")
        "strb r9, [r3]\n"
        "3:\n\t"
        "pop {r4-r10, pc}");
}
#else
static void rescaled_along(
    const struct scaling *of, const int32_t *sums, int32_t count, int8_t *y)
{
    for (; count > 0; count--, sums++, y += of->step) {
        *y = rescaled(of->twice_bias + 2 * *sums, of->multiplier, of->bits, of->zero);
    }
}
#endif
#endif
