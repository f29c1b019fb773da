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
