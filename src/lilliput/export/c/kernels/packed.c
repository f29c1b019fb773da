/* Weights in few bits, in the order in which kernels read them, four in each word.

   Without gaps each has a code of 2 or 4 bits. With gaps there are codes, of 8 bits, too, only for
   those that are not zero, and before each one a gap, the number of zeros there; the largest gap
   goes on with the next one. A code is a place in the palette, or the weight where there is none. */
struct packed {
    const uint32_t *codes; /* without gaps the lowest bits of four bytes, then the next ones */
    const uint32_t *gaps;
    const int8_t *palette;
    uint32_t code_bits, gap_bits;
};

/* How far they are unpacked. */
struct unpacking {
    const struct packed *from;
    uint32_t code, gap; /* places of the next ones, in bits */
    uint32_t zeros;     /* before the next weight */
};

static inline uint32_t bits_at(const uint32_t *codes, uint32_t place, uint32_t mask)
{
    return codes[place / 32] >> place % 32 & mask;
}

static inline uint32_t zeros_next(struct unpacking *of)
{
    const uint32_t most = (1u << of->from->gap_bits) - 1;
    uint32_t gap, zeros = 0;
    do {
        gap = bits_at(of->from->gaps, of->gap, most);
        of->gap += of->from->gap_bits;
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

/* The next weight, or its lowest byte; `zeros` goes on to the one behind it. */
static inline uint32_t weight_next(struct unpacking *of)
{
    const struct packed *from = of->from;
    const uint32_t code = bits_at(from->codes, of->code, (1u << from->code_bits) - 1);
    of->code += from->code_bits;
    of->zeros += 1 + zeros_next(of);
    return from->palette ? (uint8_t)from->palette[code] : code;
}
