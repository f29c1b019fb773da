/* What a kernel sees at a place, for `filters_by_2x2`: of four bytes a, b, c, d the halfwords
   b - 127, d - 127, then 256 a - (b - 127), 256 c - (d - 127). Every second pair of words is
   another place's. For `filters_by_2x4` the bytes as they are, every fourth word. */
#if defined(__ARM_FEATURE_MVE)
#include <arm_mve.h>

static uint32_t *spread(uint32_t *to, const int8_t *from, int32_t count)
{
    const uint32x4_t apart = vidupq_n_u32(0, 4);
    uint32_t *at = to;
    __asm__ volatile(
        "wlstp.8 lr, %[count], 2f\n"
        "1:\n\t"
        "vldrb.8 q0, [%[from]], #16\n\t"
        "vstrw.32 q0, [%[at], %q[apart], uxtw #2]\n\t"
        "adds %[at], #64\n\t"
        "letp lr, 1b\n"
        "2:"
        : [at] "+r"(at), [from] "+r"(from)
        : [count] "r"(count), [apart] "w"(apart)
        : "q0", "lr", "cc", "memory");
    return to + (count + 3) / 4 * 4;
}

static uint32_t *spread_zeros(uint32_t *to, int32_t zero, int32_t count)
{
    const uint32_t word = ((uint32_t)zero & 0xff) * 0x01010101;
    for (; count > 0; count -= 4, to += 4) {
        *to = word;
    }
    return to;
}
#else
static inline uint32_t *spread_four(uint32_t *to, uint32_t word)
{
#if defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
    uint32_t odd, even = (word << 8) & 0xff00ff00;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
    __asm__("ssub16 %0, %1, %2" : "=r"(odd) : "r"(odd), "r"(0x007f007f));
    __asm__("ssub16 %0, %1, %2" : "=r"(even) : "r"(even), "r"(odd));
#else
    const int32_t first = (int8_t)(word >> 8) - 127, second = (int8_t)(word >> 24) - 127;
    const int32_t third = (int8_t)word * 256 - first, fourth = (int8_t)(word >> 16) * 256 - second;
    const uint32_t odd = ((uint32_t)first & 0xffff) | (uint32_t)second << 16;
    const uint32_t even = ((uint32_t)third & 0xffff) | (uint32_t)fourth << 16;
#endif
    to[0] = odd;
    to[1] = even;
    return to + 4;
}

static inline uint32_t four_bytes(const int8_t *from)
{
#if defined(__ARM_FEATURE_UNALIGNED)
    uint32_t word;
    __builtin_memcpy(&word, from, 4);
    return word;
#else
    const uint32_t low = (uint8_t)from[0] | (uint32_t)(uint8_t)from[1] << 8;
    return low | (uint32_t)(uint8_t)from[2] << 16 | (uint32_t)(uint8_t)from[3] << 24;
#endif
}

static uint32_t *spread(uint32_t *to, const int8_t *from, int32_t count)
{
    for (; count >= 8; count -= 8, from += 8) {
        to = spread_four(spread_four(to, four_bytes(from)), four_bytes(from + 4));
    }
    if (count >= 4) {
        to = spread_four(to, four_bytes(from));
        count -= 4;
        from += 4;
    }
    if (count > 0) {
        uint32_t word = (uint8_t)from[0];
        word |= count > 1 ? (uint32_t)(uint8_t)from[1] << 8 : 0;
        word |= count > 2 ? (uint32_t)(uint8_t)from[2] << 16 : 0;
        to = spread_four(to, word);
    }
    return to;
}

static uint32_t *spread_zeros(uint32_t *to, int32_t zero, int32_t count)
{
    const uint32_t word = ((uint32_t)zero & 0xff) * 0x01010101;
    for (; count > 0; count -= 4) {
        to = spread_four(to, word);
    }
    return to;
}
#endif

/* Channels from..from + each, as `seen`; `row` is room for bytes that are no whole words. */
static void column(
    const struct window *over, const int8_t *x, int32_t place, int32_t from, int32_t each, int8_t *row,
    uint32_t *to)
{
    const int32_t taps = over->kernel_width;
    if (each % 4) {
        spread(to, seen(over, x, place, from, each, row), over->kernel_height * taps * each);
        return;
    }
    const int32_t top = place / over->out_width * over->stride_height - over->pad_height;
    const int32_t left = place % over->out_width * over->stride_width - over->pad_width;
    const int32_t right = left + (taps - 1) * over->dilation_width;
    const int is_run = each == over->in_channels && over->dilation_width == 1;
    for (int32_t i = 0; i < over->kernel_height; i++) {
        const int32_t r = top + i * over->dilation_height;
        const int8_t *line = x + r * over->in_width * over->in_channels + from;
        if (r < 0 || r >= over->in_height) {
            to = spread_zeros(to, over->in_zero, taps * each);
        } else if (is_run && left >= 0 && right < over->in_width) {
            to = spread(to, line + left * each, taps * each);
        } else {
            for (int32_t c = left; c <= right; c += over->dilation_width) {
                to = c >= 0 && c < over->in_width ? spread(to, line + c * over->in_channels, each)
                                                  : spread_zeros(to, over->in_zero, each);
            }
        }
    }
}
