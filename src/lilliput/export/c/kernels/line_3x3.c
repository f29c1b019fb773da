/* A 3 x 3 convolution along a line of one channel, on processors with Helium. Each place of a line
   has a word, of which byte n % 4 belongs to line n: what a window sees is three words, and one
   instruction sums up its products. */
#if defined(__ARM_FEATURE_MVE)
/* A line's bytes, `step` apart, into one byte of each word. */
static void line_in(int8_t *to, const int8_t *from, int32_t step, int32_t count)
{
    const uint32x4_t words = vidupq_n_u32(0, 4);
    const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)step);
    __asm__ volatile(
        "dlstp.32 lr, %[count]\n"
        "1:\n\t"
        "vldrb.u32 q0, [%[from], %q[apart]]\n\t"
        "vstrb.32 q0, [%[to], %q[words]]\n\t"
        "add %[from], %[from], %[far]\n\t"
        "adds %[to], #16\n\t"
        "letp lr, 1b"
        : [from] "+r"(from), [to] "+r"(to)
        : [count] "r"(count), [far] "r"(4 * step), [apart] "w"(apart), [words] "w"(words)
        : "q0", "lr", "cc", "memory");
}

/* Words of weights, the first line's in their lowest bytes. */
static inline uint32x4_t taps_of(const int8_t *weights)
{
    const mve_pred16_t three = vctp32q(3);
    const uint8_t *w = (const uint8_t *)weights;
    const uint32x4_t taps = vsliq_n_u32(vldrbq_z_u32(w, three), vldrbq_z_u32(w + 3, three), 8);
    return vsliq_n_u32(taps, vldrbq_z_u32(w + 6, three), 16);
}

/* The same with the first line's in another byte. */
static inline uint32x4_t turned(uint32x4_t taps, int32_t bytes)
{
    return vorrq_u32(vshlq_r_u32(taps, 8 * bytes), vshlq_r_u32(taps, 8 * bytes - 32));
}

struct line_3x3 {
    int32_t bias, multiplier, bits, zero;
    int32_t step; /* bytes from output to output */
};

/* Outputs, four at a time, as `rescaled_four`. Not inline: a predicate of the caller's would be lost,
   which compilers are not told. The first steps by one word from window to window, the second by
   two. */
#define LINE_3X3(name, four, second, third, fourth) \
    __attribute__((noinline)) static void name( \
        const struct line_3x3 *of, const int8_t *words, uint32x4_t taps, int8_t *y, int32_t count) \
    { \
        const uint32x4_t apart = vmulq_n_u32(vidupq_n_u32(0, 1), (uint32_t)of->step); \
        int32_t a, b; \
        __asm__ volatile( \
            "1:\n\t" \
            "vldrb.8 q0, [%[words]], #" four "\n\t" \
            "vldrb.8 q1, [%[words], #" third "]\n\t" \
            "vmladav.s8 %[a], %q[taps], q0\n\t" \
            "vmladav.s8 %[b], %q[taps], q1\n\t" \
            "vldrb.8 q0, [%[words], #" second "]\n\t" \
            "vldrb.8 q1, [%[words], #" fourth "]\n\t" \
            "vmov q2[2], q2[0], %[a], %[b]\n\t" \
            "vmladav.s8 %[a], %q[taps], q0\n\t" \
            "vmladav.s8 %[b], %q[taps], q1\n\t" \
            "vmov q2[3], q2[1], %[a], %[b]\n\t" \
            "vadd.i32 q2, q2, %[bias]\n\t" \
            "vqrdmulh.s32 q2, q2, %[multiplier]\n\t" \
            "vshr.s32 q0, q2, #31\n\t" \
            "vadd.i32 q2, q2, q0\n\t" \
            "vrshl.s32 q2, %[left]\n\t" \
            "vadd.i32 q2, q2, %[zero]\n\t" \
            "vqmovnb.s32 q2, q2\n\t" \
            "vqmovnb.s16 q2, q2\n\t" \
            "vctp.32 %[count]\n\t" \
            "vpst\n\t" \
            "vstrbt.32 q2, [%[y], %q[apart]]\n\t" \
            "add %[y], %[y], %[far]\n\t" \
            "subs %[count], #4\n\t" \
            "bgt 1b" \
            : [words] "+r"(words), [y] "+r"(y), [count] "+r"(count), [a] "=&Te"(a), [b] "=&Te"(b) \
            : [bias] "r"(of->bias), [multiplier] "r"(of->multiplier), [left] "r"(-of->bits), \
              [zero] "r"(of->zero), [far] "r"(4 * of->step), [taps] "w"(taps), [apart] "w"(apart) \
            : "q0", "q1", "q2", "cc", "memory"); \
    }

LINE_3X3(line_3x3, "16", "-12", "-8", "-4")
LINE_3X3(line_3x3_by_two, "32", "-24", "-16", "-8")
#endif
