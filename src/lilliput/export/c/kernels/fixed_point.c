/* x * multiplier * 2^(shift - 31), rounded as TensorFlow Lite rounds. */
static inline int32_t doubled_high(int32_t a, int32_t b)
{
    const int64_t product = (int64_t)a * b;
    const int64_t nudge = product >= 0 ? (int64_t)1 << 30 : 1 - ((int64_t)1 << 30);
    return (a == b && a == INT32_MIN) ? INT32_MAX : (int32_t)((product + nudge) / ((int64_t)1 << 31));
}

static inline int32_t divided(int32_t x, int bits)
{
    const int32_t mask = (int32_t)(((uint32_t)1 << bits) - 1u);
    const int32_t threshold = (mask >> 1) + (x < 0 ? 1 : 0);
    return (x >> bits) + ((x & mask) > threshold ? 1 : 0);
}

static inline int32_t scaled(int32_t x, int32_t multiplier, int shift)
{
    const int left = shift > 0 ? shift : 0;
    const int right = shift > 0 ? 0 : -shift;
    return divided(doubled_high((int32_t)((uint32_t)x << left), multiplier), right);
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
