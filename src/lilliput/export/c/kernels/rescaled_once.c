/* sum * multiplier / 2^(32 + bits) + a zero point, rounded once, as `scaled_once` does; zero is
   2 * zero point + 1, bits are 1 to 21. */
static inline int8_t rescaled_once(int32_t sum, int32_t multiplier, int32_t bits, int32_t zero)
{
    const int32_t high = (int32_t)((int64_t)sum * multiplier >> 32);
    return (int8_t)saturated((high + (zero * (1 << bits) >> 1)) >> bits);
}
