/* Two columns that `column` wrote with all filters, two at a time.

   Weights lie four bytes of the first filter, four of the second, and so on. An odd byte has
   borrowed one if the even byte before it is negative, so that both are one halfword h = 256 o + e.
   For numbers x beside e and y beside o, a column holds v = y - 127 and z = 256 x - v; then
   h v + e z = 256 (o v + e x): four weights are widened by one instruction where two are usual.

   The scaling of a filter is its bias in 256ths, with the bits to shift by in its lowest byte, and
   then its multiplier; a sum begins as the whole first word, whose lowest byte is shifted out. */
#if !defined(__ARM_FEATURE_MVE)
struct filters_by_2x2 {
    const uint32_t *weights;
    const uint32_t *columns; /* v and z of one place, v and z of the other, and so on */
    int32_t quarters;        /* of a column: its length / 4 */
    const int32_t *scaling;
    int8_t *one, *other; /* where the outputs of either place go */
    int32_t filters;
    int32_t zero; /* twice the zero point, and 1 */
};

#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#define FOUR_OF_EACH \
    "ldmia r0!, {r7, r12}\n\t" \
    "ldmia r1!, {r3, r4, r5, r6}\n\t" \
    "smlad r8, r7, r3, r8\n\t" \
    "smlad r9, r7, r5, r9\n\t" \
    "sxtb16 r7, r7\n\t" \
    "smlad r10, r12, r3, r10\n\t" \
    "smlad r11, r12, r5, r11\n\t" \
    "sxtb16 r12, r12\n\t" \
    "smlad r8, r7, r4, r8\n\t" \
    "smlad r9, r7, r6, r9\n\t" \
    "smlad r10, r12, r4, r10\n\t" \
    "smlad r11, r12, r6, r11\n\t"
/* As `rescaled`: a sum by its multiplier, bits and what to add before that shift, twice. */
#define RESCALE(sum, multiplier, bits, rest) \
    "asrs " sum ", " sum ", #7\n\t" \
    "smmulr " sum ", " sum ", " multiplier "\n\t" \
    "add " sum ", " sum ", " sum ", asr #31\n\t" \
    "add " sum ", " sum ", " rest ", asr #1\n\t" \
    "asrs " sum ", " sum ", " bits "\n\t" \
    "ssat " sum ", #8, " sum "\n\t"

__attribute__((naked, noinline)) static void filters_by_2x2(
    struct filters_by_2x2 *of __attribute__((unused)))
{
    __asm__(
        "push {r4-r11, lr}\n\t"
        "mov lr, r0\n\t"
        "ldr r0, [lr]\n"
        "1:\n\t" /* two filters: their sums begin */
        "ldrd r1, r2, [lr, #4]\n\t"
        "ldr r3, [lr, #12]\n\t"
        "ldr r8, [r3]\n\t"
        "ldr r10, [r3, #8]\n\t"
        "mov r9, r8\n\t"
        "mov r11, r10\n\t"
        "subs r2, #4\n\t"
        "blt 3f\n"
        "2:\n\t" FOUR_OF_EACH FOUR_OF_EACH FOUR_OF_EACH FOUR_OF_EACH
        "subs r2, #4\n\t"
        "bge 2b\n"
        "3:\n\t"
        "adds r2, #4\n\t"
        "beq 5f\n"
        "4:\n\t" FOUR_OF_EACH
        "subs r2, #1\n\t"
        "bne 4b\n"
        "5:\n\t" /* and are written */
        "ldr r1, [lr, #12]\n\t"
        "ldr r12, [lr, #28]\n\t"
        "ldrb r2, [r1], #4\n\t"
        "ldr r3, [r1], #4\n\t"
        "ldrb r4, [r1], #4\n\t"
        "ldr r5, [r1], #4\n\t"
        "str r1, [lr, #12]\n\t"
        "lsl r6, r12, r2\n\t"
        "lsl r7, r12, r4\n\t"
        RESCALE("r8", "r3", "r2", "r6") RESCALE("r9", "r3", "r2", "r6")
        RESCALE("r10", "r5", "r4", "r7") RESCALE("r11", "r5", "r4", "r7")
        "ldrd r1, r3, [lr, #16]\n\t"
        "ldr r12, [lr, #24]\n\t"
        "strb r8, [r1], #1\n\t"
        "strb r9, [r3], #1\n\t"
        "subs r12, #1\n\t"
        "beq 6f\n\t"
        "strb r10, [r1], #1\n\t"
        "strb r11, [r3], #1\n\t"
        "strd r1, r3, [lr, #16]\n\t"
        "subs r12, #1\n\t"
        "str r12, [lr, #24]\n\t"
        "bne 1b\n"
        "6:\n\t"
        "pop {r4-r11, pc}");
}
#else
static inline uint32_t four_products(uint32_t w, uint32_t v, uint32_t z)
{
    const int32_t low = (int16_t)w * (int16_t)v + (int8_t)w * (int16_t)z;
    const int32_t high = (int16_t)(w >> 16) * (int16_t)(v >> 16);
    return (uint32_t)low + (uint32_t)high + (uint32_t)((int8_t)(w >> 16) * (int16_t)(z >> 16));
}

static void filters_by_2x2(struct filters_by_2x2 *of)
{
    const uint32_t *w = of->weights;
    for (int32_t filter = 0; filter < of->filters; filter++) {
        const int32_t *scaling = of->scaling + 2 * filter;
        uint32_t one = (uint32_t)scaling[0], other = one;
        for (int32_t k = 0; k < of->quarters; k++) {
            one += four_products(w[2 * k], of->columns[4 * k], of->columns[4 * k + 1]);
            other += four_products(w[2 * k], of->columns[4 * k + 2], of->columns[4 * k + 3]);
        }
        of->one[filter] = rescaled((int32_t)one >> 7, scaling[1], scaling[0] & 31, of->zero);
        of->other[filter] = rescaled((int32_t)other >> 7, scaling[1], scaling[0] & 31, of->zero);
        w += filter % 2 ? 2 * of->quarters - 1 : 1;
    }
}
#endif
#endif
