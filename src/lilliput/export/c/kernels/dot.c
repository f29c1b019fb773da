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

/* p with each of v[0] to v[3]. */
static inline void dot_1x4(const int8_t *p, const int8_t *const *v, int32_t n, int32_t *sums)
{
    const int8_t *e = v[0], *f = v[1], *g = v[2], *h = v[3];
    int32_t i = sums[0], j = sums[1], k = sums[2], l = sums[3];
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
    const int8_t *end = p + (n & ~3);
    while (p != end) {
        const uint32_t word = four_bytes(p);
        const uint32_t even = even_bytes(word), odd = odd_bytes(word);
        uint32_t a = four_bytes(e);
        i = two_products(even_bytes(a), even, i);
        i = two_products(odd_bytes(a), odd, i);
        a = four_bytes(f);
        j = two_products(even_bytes(a), even, j);
        j = two_products(odd_bytes(a), odd, j);
        a = four_bytes(g);
        k = two_products(even_bytes(a), even, k);
        k = two_products(odd_bytes(a), odd, k);
        a = four_bytes(h);
        l = two_products(even_bytes(a), even, l);
        l = two_products(odd_bytes(a), odd, l);
        p += 4;
        e += 4;
        f += 4;
        g += 4;
        h += 4;
    }
    n &= 3;
#endif
    for (int32_t m = 0; m < n; m++) {
        i += p[m] * e[m];
        j += p[m] * f[m];
        k += p[m] * g[m];
        l += p[m] * h[m];
    }
    sums[0] = i;
    sums[1] = j;
    sums[2] = k;
    sums[3] = l;
}

/* Four channels of x with the same four of w, over taps that lie `step` bytes apart in both. */
static inline void dot_by_channel(
    const int8_t *x, const int8_t *w, int32_t step, int32_t taps, int32_t *sums)
{
    int32_t i = sums[0], j = sums[1], k = sums[2], l = sums[3];
    for (; taps > 0; taps--, x += step, w += step) {
#if defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
        const uint32_t a = four_bytes(x), b = four_bytes(w);
        const uint32_t a_even = even_bytes(a), a_odd = odd_bytes(a);
        const uint32_t b_even = even_bytes(b), b_odd = odd_bytes(b);
        __asm__("smlabb %0, %1, %2, %0" : "+r"(i) : "r"(a_even), "r"(b_even));
        __asm__("smlabb %0, %1, %2, %0" : "+r"(j) : "r"(a_odd), "r"(b_odd));
        __asm__("smlatt %0, %1, %2, %0" : "+r"(k) : "r"(a_even), "r"(b_even));
        __asm__("smlatt %0, %1, %2, %0" : "+r"(l) : "r"(a_odd), "r"(b_odd));
#else
        i += x[0] * w[0];
        j += x[1] * w[1];
        k += x[2] * w[2];
        l += x[3] * w[3];
#endif
    }
    sums[0] = i;
    sums[1] = j;
    sums[2] = k;
    sums[3] = l;
}
