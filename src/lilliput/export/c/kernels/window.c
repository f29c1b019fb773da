/* How a kernel goes over a map. */
struct window {
    int16_t batch, in_height, in_width, in_channels, out_height, out_width, out_channels;
    int16_t kernel_height, kernel_width, stride_height, stride_width;
    int16_t dilation_height, dilation_width, pad_height, pad_width, in_zero;
};

#if defined(__ARM_FEATURE_MVE)
static inline int8_t *copied(int8_t *to, const int8_t *from, int32_t count)
{
    int8_t *at = to;
    __asm__ volatile(
        "wlstp.8 lr, %[count], 2f\n"
        "1:\n\t"
        "vldrb.8 q0, [%[from]], #16\n\t"
        "vstrb.8 q0, [%[at]], #16\n\t"
        "letp lr, 1b\n"
        "2:"
        : [at] "+r"(at), [from] "+r"(from)
        : [count] "r"(count)
        : "q0", "lr", "cc", "memory");
    return to + count;
}
#else
static inline int8_t *copied(int8_t *to, const int8_t *from, int32_t count)
{
    int8_t *end = to + count;
    for (; to + 4 <= end; to += 4, from += 4) {
        __builtin_memcpy(to, from, 4);
    }
    while (to < end) {
        *to++ = *from++;
    }
    return to;
}
#endif

static inline int8_t *filled(int8_t *to, int8_t value, int32_t count)
{
    for (; count > 0; count--) {
        *to++ = value;
    }
    return to;
}

/* What the kernel sees at a place, channels from..from + each: laid out tap after tap, the zero
   point where it looks over the edge; where the map lies, if that is one row already. */
static const int8_t *seen(
    const struct window *over, const int8_t *x, int32_t place, int32_t from, int32_t each, int8_t *row)
{
    const int32_t top = place / over->out_width * over->stride_height - over->pad_height;
    const int32_t left = place % over->out_width * over->stride_width - over->pad_width;
    const int32_t taps = over->kernel_width, step = over->dilation_width;
    int8_t *to = row;
    x += from;
    if (over->kernel_height == 1 && taps == 1) {
        return x + (top * over->in_width + left) * over->in_channels;
    }
    for (int32_t i = 0; i < over->kernel_height; i++) {
        const int32_t r = top + i * over->dilation_height;
        if (r < 0 || r >= over->in_height) {
            to = filled(to, (int8_t)over->in_zero, taps * each);
            continue;
        }
        const int8_t *line = x + r * over->in_width * over->in_channels;
        if (step == 1 && each == over->in_channels && left >= 0 && left + taps <= over->in_width) {
            to = copied(to, line + left * each, taps * each);
            continue;
        }
        for (int32_t j = 0, c = left; j < taps; j++, c += step) {
            const int is_inside = c >= 0 && c < over->in_width;
            to = is_inside ? copied(to, line + c * over->in_channels, each)
                           : filled(to, (int8_t)over->in_zero, each);
        }
    }
    return row;
}
