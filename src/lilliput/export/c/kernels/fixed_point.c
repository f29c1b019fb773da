/* a * b / 2^31, to the nearest, halves up; b is not INT32_MIN. */
static inline int32_t doubled_high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + ((int64_t)1 << 30)) >> 31);
}

/* x / 2^bits, to the nearest, halves away from zero; x is not INT32_MIN. */
static inline int32_t divided(int32_t x, int bits)
{
    const int32_t nearer = x + (x >> 31);
    return bits > 0 ? (nearer >> bits) + ((nearer >> (bits - 1)) & 1) : x;
}

/* x * multiplier * 2^(shift - 31), rounded twice, as TensorFlow Lite does. */
static inline int32_t scaled(int32_t x, int32_t multiplier, int shift)
{
    if (shift > 0) {
        return doubled_high((int32_t)((uint32_t)x << shift), multiplier);
    }
    return divided(doubled_high(x, multiplier), -shift);
}

/* The same rounded once, as the dense layers of TensorFlow Lite do. */
static inline int32_t scaled_once(int32_t x, int32_t multiplier, int shift)
{
    const int bits = 31 - shift;
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << (bits - 1))) >> bits);
}

static inline int8_t clamped(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)(x < low ? low : (x > high ? high : x));
}
