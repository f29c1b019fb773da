/* x / 2^bits, to the nearest, halves away from zero; x is not INT32_MIN. */
static inline int32_t divided(int32_t x, int bits)
{
    const int32_t nearer = x + (x >> 31);
    return bits > 0 ? (nearer >> bits) + ((nearer >> (bits - 1)) & 1) : x;
}
