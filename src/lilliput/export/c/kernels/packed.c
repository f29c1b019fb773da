/* Weights in few bits, in the order in which kernels read them, four in each word.

   Without gaps each has a code of 2 or 4 bits. With gaps there are codes, of 8 bits, too, only for
   those that are not zero, and before each one a gap, the number of zeros there; the largest gap
   goes on with the next one. A code is a place in the palette, or the weight where there is none. */
struct packed {
    const uint32_t *codes; /* without gaps the lowest bits of four bytes, then the next ones */
    const uint32_t *gaps;
    const int8_t *palette;
    int16_t code_bits, gap_bits;
};

/* How far they are unpacked. */
struct unpacking {
    const struct packed *from;
    uint32_t code, gap; /* places of the next ones, in bits */
    uint32_t zeros;     /* before the next weight */
};

static inline uint32_t bits_at(const uint32_t *codes, uint32_t place, int32_t count)
{
    return codes[place / 32] >> place % 32 & ((1u << count) - 1);
}

static inline uint32_t zeros_next(struct unpacking *of)
{
    const int32_t bits = of->from->gap_bits;
    const uint32_t most = (1u << bits) - 1;
    uint32_t gap, zeros = 0;
    do {
        gap = bits_at(of->from->gaps, of->gap, bits);
        of->gap += (uint32_t)bits;
        zeros += gap;
    } while (gap == most);
    return zeros;
}

static struct unpacking packed_from(const struct packed *from)
{
    struct unpacking of = {.from = from};
    if (from->gaps) {
        of.zeros = zeros_next(&of);
    }
    return of;
}

static inline uint32_t extended(uint32_t four)
{
    return four | (four & 0x08080808) * 0x1e;
}

__attribute__((noinline)) static void unpack_whole(struct unpacking *until, uint32_t *to, int32_t words)
{
    const uint32_t *codes = until->from->codes + until->code / 32;
    for (; words > 0; words -= 2, to += 2) {
        const uint32_t word = *codes++;
        to[0] = extended(word & 0x0f0f0f0f);
        to[1] = extended(word >> 4 & 0x0f0f0f0f);
        until->code += 32;
    }
}

__attribute__((noinline)) static void unpack_places(struct unpacking *until, uint32_t *to, int32_t words)
{
    const struct packed *from = until->from;
    const uint8_t *palette = (const uint8_t *)from->palette;
    const int32_t bits = from->code_bits;
    const uint32_t mask = bits == 4 ? 0x0f0f0f0f : 0x03030303;
    for (; words > 0; words -= 8 / bits, until->code += 32) {
        const uint32_t word = from->codes[until->code / 32];
        for (int32_t k = 0; k < 8; k += bits) {
            const uint32_t at = word >> k & mask;
            const uint32_t low = palette[at & 255] | (uint32_t)palette[at >> 8 & 255] << 8;
            *to++ = low | (uint32_t)palette[at >> 16 & 255] << 16 | (uint32_t)palette[at >> 24] << 24;
        }
    }
}

__attribute__((noinline)) static void unpack_others(struct unpacking *until, uint32_t *to, int32_t words)
{
    struct unpacking of = *until;
    const uint8_t *palette = (const uint8_t *)of.from->palette;
    const int32_t bits = of.from->code_bits;
    const uint32_t count = 4 * (uint32_t)words;
    for (int32_t k = 0; k < words; k++) {
        to[k] = 0;
    }
    while (of.zeros < count) {
        const uint32_t code = bits_at(of.from->codes, of.code, bits);
        to[of.zeros / 4] |= (palette ? palette[code] : code) << of.zeros % 4 * 8;
        of.code += (uint32_t)bits;
        of.zeros += 1 + zeros_next(&of);
    }
    of.zeros -= count;
    *until = of;
}

/* The next words, and what is left of the last code; `to` is room for a multiple of four. */
static void unpack(struct unpacking *until, uint32_t *to, int32_t words)
{
    if (until->from->gaps) {
        unpack_others(until, to, words);
    } else if (until->from->palette) {
        unpack_places(until, to, words);
    } else {
        unpack_whole(until, to, words);
    }
}
