/* The next words of packed weights: whole numbers of four bits, places in a palette, or those that
   are not zero. Each way is a function of its own, so that its loop has all registers. */
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
    }
    until->code = 32 * (uint32_t)(codes - until->from->codes);
}

__attribute__((noinline)) static void unpack_places(struct unpacking *until, uint32_t *to, int32_t words)
{
    const struct packed *from = until->from;
    const uint8_t *palette = (const uint8_t *)from->palette;
    const int32_t bits = (int32_t)from->code_bits;
    const uint32_t mask = bits == 4 ? 0x0f0f0f0f : 0x03030303;
    const uint32_t *codes = from->codes + until->code / 32;
    for (; words > 0; words -= 8 / bits) {
        uint32_t word = *codes++;
        for (int32_t k = 8; k > 0; k -= bits, word >>= bits) {
            const uint32_t at = word & mask;
            const uint32_t low = palette[at & 255] | (uint32_t)palette[at >> 8 & 255] << 8;
            *to++ = low | (uint32_t)palette[at >> 16 & 255] << 16 | (uint32_t)palette[at >> 24] << 24;
        }
    }
    until->code = 32 * (uint32_t)(codes - from->codes);
}

__attribute__((noinline)) static void unpack_others(struct unpacking *until, uint32_t *to, int32_t words)
{
    struct unpacking of = *until;
    const uint32_t count = 4 * (uint32_t)words;
    for (int32_t k = 0; k < words; k++) {
        to[k] = 0;
    }
    while (of.zeros < count) {
        const uint32_t place = of.zeros;
        to[place / 4] |= weight_next(&of) << place % 4 * 8;
    }
    of.zeros -= count;
    *until = of;
}

/* `to` is room for a multiple of four words: those that are left of the last code are unpacked, too. */
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
