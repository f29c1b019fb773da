/* Four columns with all filters, two at a time, on processors with Helium.

   Weights lie as for `filters_by_2x2`, columns as bytes, four of each place in turn. Rounding a
   halfword 256 o + e to its upper byte gives the odd weight back what the even one borrowed.
   Scaling lies as there, too, but its biases are for sums of plain bytes. */
#if defined(__ARM_FEATURE_MVE)
struct filters_by_2x4 {
    const uint32_t *weights;
    const uint32_t *columns;
    int32_t quarters; /* of a column: its length / 4 */
    const int32_t *scaling;
    int8_t *out;
    uint32x4_t places; /* where in `out` those of each place lie */
    int32_t filters;
    int32_t zero;
};

/* q0 to q3 are 16 bytes of each place, q4 and q5 of the filters a and b. */
#define TWO_BY_FOUR \
    "vrshrnt.i16 q4, q4, #8\n\t" \
    "vrshrnt.i16 q5, q5, #8\n\t" \
    "vmladava.s8 %[a0], q4, q0\n\t" \
    "vmladava.s8 %[a1], q4, q1\n\t" \
    "vmladava.s8 %[a2], q4, q2\n\t" \
    "vmladava.s8 %[a3], q4, q3\n\t" \
    "vmladava.s8 %[b0], q5, q0\n\t" \
    "vmladava.s8 %[b1], q5, q1\n\t" \
    "vmladava.s8 %[b2], q5, q2\n\t" \
    "vmladava.s8 %[b3], q5, q3\n\t"
/* As many words as are left, and zeros. */
#define SOME_WORDS(vector, from, apart) \
    "vpst\n\t" \
    "vldrwt.u32 " vector ", [" from ", " apart ", uxtw #2]\n\t" \
    "adds " from ", #4\n\t"

/* Not inline: a predicate of the caller's would be lost, which compilers are not told. */
__attribute__((noinline)) static void filters_by_2x4(const struct filters_by_2x4 *of)
{
    const uint32x4_t places = of->places, by_four = vidupq_n_u32(0, 4), by_two = vidupq_n_u32(0, 2);
    const int32_t zero = of->zero, *scaling = of->scaling;
    const uint32_t *w = of->weights;
    int8_t *out = of->out;
    for (int32_t left = of->filters; left > 0; left -= 2, scaling += 4) {
        const uint32_t *x = of->columns;
        int32_t k = of->quarters;
        int32_t a0 = scaling[0] >> 8, a1 = a0, a2 = a0, a3 = a0;
        int32_t b0 = scaling[2] >> 8, b1 = b0, b2 = b0, b3 = b0;
        __asm__ volatile(
            "subs %[k], #4\n\t"
            "blt 2f\n"
            "1:\n\t"
            "vld40.32 {q0, q1, q2, q3}, [%[x]]\n\t"
            "vld41.32 {q0, q1, q2, q3}, [%[x]]\n\t"
            "vld42.32 {q0, q1, q2, q3}, [%[x]]\n\t"
            "vld43.32 {q0, q1, q2, q3}, [%[x]]!\n\t"
            "vld20.32 {q4, q5}, [%[w]]\n\t"
            "vld21.32 {q4, q5}, [%[w]]!\n\t" TWO_BY_FOUR
            "subs %[k], #4\n\t"
            "bge 1b\n"
            "2:\n\t"
            "adds %[k], #4\n\t"
            "beq 3f\n\t"
            "vctp.32 %[k]\n\t" SOME_WORDS("q0", "%[x]", "%q[by_four]")
                SOME_WORDS("q1", "%[x]", "%q[by_four]") SOME_WORDS("q2", "%[x]", "%q[by_four]")
                SOME_WORDS("q3", "%[x]", "%q[by_four]") SOME_WORDS("q4", "%[w]", "%q[by_two]")
                SOME_WORDS("q5", "%[w]", "%q[by_two]") TWO_BY_FOUR
            "subs %[k], #1\n\t"
            "add %[w], %[w], %[k], lsl #3\n"
            "3:\n\t"
            : [a0] "+Te"(a0), [a1] "+Te"(a1), [a2] "+Te"(a2), [a3] "+Te"(a3), [b0] "+Te"(b0),
              [b1] "+Te"(b1), [b2] "+Te"(b2), [b3] "+Te"(b3), [w] "+r"(w), [x] "+r"(x), [k] "+r"(k)
            : [by_four] "w"(by_four), [by_two] "w"(by_two)
            : "q0", "q1", "q2", "q3", "q4", "q5", "cc", "memory");
        const int32x4_t a = four_sums(a0, a1, a2, a3), b = four_sums(b0, b1, b2, b3);
        vstrbq_scatter_offset_s32(out++, places, rescaled_four(a, scaling[1], scaling[0] & 31, zero));
        if (left > 1) {
            vstrbq_scatter_offset_s32(out++, places, rescaled_four(b, scaling[3], scaling[2] & 31, zero));
        }
    }
}
#endif
