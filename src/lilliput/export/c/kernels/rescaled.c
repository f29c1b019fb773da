/* twice * multiplier / 2^(32 + bits) + a zero point, for twice a sum: rounded twice, as `scaled`
   does, its second rounding and the zero point in one addition; zero is 2 * zero point + 1, bits
   are 1 to 21. Where kernels are assembly they may do it themselves. */
__attribute__((unused)) static inline int8_t rescaled(
    int32_t twice, int32_t multiplier, int32_t bits, int32_t zero)
{
    const int32_t x = high_product(twice, multiplier);
    return (int8_t)saturated((x + (x >> 31) + (zero * (1 << bits) >> 1)) >> bits);
}
