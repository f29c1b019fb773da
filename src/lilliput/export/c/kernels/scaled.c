/* x * multiplier * 2^(shift - 31), rounded twice, as TensorFlow Lite does. */
static inline int32_t scaled(int32_t x, int32_t multiplier, int shift)
{
    if (shift > 0) {
        return doubled_high((int32_t)((uint32_t)x << shift), multiplier);
    }
    return divided(doubled_high(x, multiplier), -shift);
}
