/* p and q with each of v and w. */
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
/* Four bytes of p, q, v and w, at an offset that is known; in few enough registers. */
#define FOUR_BY_FOUR(offset) \
    do { \
        uint32_t a, b, c; \
        __asm__( \
            "ldr %4, [%7, %11]\n\t" \
            "sxtb16 %4, %4\n\t" \
            "ldr %5, [%8, %11]\n\t" \
            "sxtb16 %5, %5\n\t" \
            "ldr %6, [%9, %11]\n\t" \
            "sxtb16 %6, %6\n\t" \
            "smlad %0, %6, %4, %0\n\t" \
            "smlad %1, %6, %5, %1\n\t" \
            "ldr %6, [%10, %11]\n\t" \
            "sxtb16 %6, %6\n\t" \
            "smlad %2, %6, %4, %2\n\t" \
            "smlad %3, %6, %5, %3\n\t" \
            "ldr %4, [%7, %11]\n\t" \
            "sxtb16 %4, %4, ror #8\n\t" \
            "ldr %5, [%8, %11]\n\t" \
            "sxtb16 %5, %5, ror #8\n\t" \
            "ldr %6, [%9, %11]\n\t" \
            "sxtb16 %6, %6, ror #8\n\t" \
            "smlad %0, %6, %4, %0\n\t" \
            "smlad %1, %6, %5, %1\n\t" \
            "ldr %6, [%10, %11]\n\t" \
            "sxtb16 %6, %6, ror #8\n\t" \
            "smlad %2, %6, %4, %2\n\t" \
            "smlad %3, %6, %5, %3\n\t" \
            : "+r"(pv), "+r"(qv), "+r"(pw), "+r"(qw), "=&r"(a), "=&r"(b), "=&r"(c) \
            : "r"(p), "r"(q), "r"(v), "r"(w), "i"(offset) \
            : "memory"); \
    } while (0)
#endif

static inline void dot_2x2(
    const int8_t *p, const int8_t *q, const int8_t *v, const int8_t *w, int32_t n, int32_t *sums)
{
    int32_t pv = sums[0], qv = sums[1], pw = sums[2], qw = sums[3];
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
    for (const int8_t *end = p + (n & ~15); p != end; p += 16, q += 16, v += 16, w += 16) {
        FOUR_BY_FOUR(0);
        FOUR_BY_FOUR(4);
        FOUR_BY_FOUR(8);
        FOUR_BY_FOUR(12);
    }
    n &= 15;
    for (const int8_t *end = p + (n & ~3); p != end; p += 4, q += 4, v += 4, w += 4) {
        FOUR_BY_FOUR(0);
    }
    n &= 3;
#endif
    for (int32_t k = 0; k < n; k++) {
        pv += p[k] * v[k];
        qv += q[k] * v[k];
        pw += p[k] * w[k];
        qw += q[k] * w[k];
    }
    sums[0] = pv;
    sums[1] = qv;
    sums[2] = pw;
    sums[3] = qw;
}
