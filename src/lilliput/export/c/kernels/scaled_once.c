/* The same rounded once, as the dense layers of TensorFlow Lite do. */
static inline int32_t scaled_once(int32_t x, int32_t multiplier, int shift)
{
    const int bits = 31 - shift;
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << (bits - 1))) >> bits);
}
