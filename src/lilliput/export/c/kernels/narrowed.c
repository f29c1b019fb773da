/* Bytes cut to what a fused activation leaves; nothing to do where that is all of them. */
static inline void narrowed(int8_t *y, int32_t count, int32_t low, int32_t high)
{
    if (low == -128 && high == 127) {
        return;
    }
    for (; count > 0; count--, y++) {
        *y = (int8_t)(*y < low ? low : (*y > high ? high : *y));
    }
}
