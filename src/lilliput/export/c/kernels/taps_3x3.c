/* Sums of 3 x 3 taps along three lines of halfwords, two at a time from *sums on until `end`. Of
   each row of taps a, b, c the weights are a | b << 16, then b | c << 16. The first steps by one
   halfword from sum to sum, the second by two. */
#if !defined(__ARM_FEATURE_MVE)
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define TAPS_3X3(name, first_line, other_line) \
    __attribute__((naked, noinline)) static void name( \
        const uint32_t *const *lines __attribute__((unused)), \
        const uint32_t *weights __attribute__((unused)), int32_t *sums __attribute__((unused)), \
        const int32_t *end __attribute__((unused))) \
    { \
        __asm__( \
            "push {r3-r11, lr}\n\t" \
            "mov r3, r2\n\t" \
            "ldmia r1, {r4-r9}\n\t" \
            "ldmia r0, {r0, r1, r2}\n" \
            "1:\n\t" first_line("r0", "r4", "r5") other_line("r1", "r6", "r7") \
                other_line("r2", "r8", "r9") \
            "strd r12, lr, [r3], #8\n\t" \
            "ldr r10, [sp]\n\t" \
            "cmp r3, r10\n\t" \
            "blo 1b\n\t" \
            "pop {r3-r11, pc}"); \
    }

/* Of four halfwords p q r s: p a + q b + r c, then q a + r b + s c. */
#define FIRST_BY_ONE(line, ab, bc) \
    "ldrd r10, r11, [" line "], #4\n\t" \
    "smuad r12, r10, " ab "\n\t" \
    "smultb lr, r10, " ab "\n\t" \
    "smlabt r12, r11, " bc ", r12\n\t" \
    "smlad lr, r11, " bc ", lr\n\t"
#define OTHER_BY_ONE(line, ab, bc) \
    "ldrd r10, r11, [" line "], #4\n\t" \
    "smlad r12, r10, " ab ", r12\n\t" \
    "smlatb lr, r10, " ab ", lr\n\t" \
    "smlabt r12, r11, " bc ", r12\n\t" \
    "smlad lr, r11, " bc ", lr\n\t"
/* Of six, p a + q b + r c, then r a + s b + t c. */
#define FIRST_BY_TWO(line, ab, bc) \
    "ldrd r10, r11, [" line "], #4\n\t" \
    "smuad r12, r10, " ab "\n\t" \
    "smlabt r12, r11, " bc ", r12\n\t" \
    "ldr r10, [" line ", #4]\n\t" \
    "smuad lr, r11, " ab "\n\t" \
    "smlabt lr, r10, " bc ", lr\n\t" \
    "adds " line ", #4\n\t"
#define OTHER_BY_TWO(line, ab, bc) \
    "ldrd r10, r11, [" line "], #4\n\t" \
    "smlad r12, r10, " ab ", r12\n\t" \
    "smlabt r12, r11, " bc ", r12\n\t" \
    "ldr r10, [" line ", #4]\n\t" \
    "smlad lr, r11, " ab ", lr\n\t" \
    "smlabt lr, r10, " bc ", lr\n\t" \
    "adds " line ", #4\n\t"

TAPS_3X3(taps_3x3, FIRST_BY_ONE, OTHER_BY_ONE)
TAPS_3X3(taps_3x3_by_two, FIRST_BY_TWO, OTHER_BY_TWO)
#else
static inline int32_t halfword(const uint32_t *from, int32_t place)
{
    return (int16_t)(from[place / 2] >> place % 2 * 16);
}

static void taps_3x3_by(
    int32_t stride, const uint32_t *const *lines, const uint32_t *weights, int32_t *sums,
    const int32_t *end)
{
    for (int32_t at = 0; sums < end; at += stride) {
        int32_t sum = 0;
        for (int32_t line = 0; line < 3; line++) {
            for (int32_t tap = 0; tap < 3; tap++) {
                const int32_t weight = halfword(weights + 2 * line + tap / 2, tap / 2 + tap % 2);
                sum += halfword(lines[line], at + tap) * weight;
            }
        }
        *sums++ = sum;
    }
}

static void taps_3x3(
    const uint32_t *const *lines, const uint32_t *weights, int32_t *sums, const int32_t *end)
{
    taps_3x3_by(1, lines, weights, sums, end);
}

static void taps_3x3_by_two(
    const uint32_t *const *lines, const uint32_t *weights, int32_t *sums, const int32_t *end)
{
    taps_3x3_by(2, lines, weights, sums, end);
}
#endif
#endif
