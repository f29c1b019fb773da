/* Rows that are still needed go to the beginning of their buffer, by words that may lie anywhere. */
struct move_up {
    int32_t count;
};

static void move_up(const struct move_up *layer, const int8_t *x, int8_t *y)
{
    const int8_t *end = y + layer->count;
    for (uint32_t word; y + 4 <= end; x += 4, y += 4) {
        __builtin_memcpy(&word, x, 4);
        __builtin_memcpy(y, &word, 4);
    }
    while (y < end) {
        *y++ = *x++;
    }
}
