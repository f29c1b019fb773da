/* Softmax along rows; exponentials of differences from the largest are looked up. */
struct softmax {
    const int32_t *exponentials;
    int32_t rows, channels;
    int16_t count;
};

/* 1 / (1 + x) for x from 0 to 1, both with 31 bits after the point: three steps of Newton's. */
static int32_t reciprocal(int32_t x)
{
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t y = 1515870810 + doubled_high(half, -1010580540);
    for (int i = 0; i < 3; i++) {
        y += doubled_high(y, (1 << 29) - doubled_high(half, y)) * 4;
    }
    return y > INT32_MAX / 2 ? INT32_MAX : y * 2;
}

static void softmax(const struct softmax *layer, const int8_t *x, int8_t *y)
{
    for (int32_t row = 0; row < layer->rows; row++, x += layer->channels, y += layer->channels) {
        int32_t most = INT8_MIN, sum = 0, bits = 0;
        for (int32_t k = 0; k < layer->channels; k++) {
            most = x[k] > most ? x[k] : most;
        }
        for (int32_t k = 0; k < layer->channels; k++) {
            if (most - x[k] < layer->count) {
                sum += divided(layer->exponentials[most - x[k]], 12);
            }
        }
        while (((uint32_t)sum << bits) < ((uint32_t)1 << 31)) {
            bits++;
        }
        const int32_t share = reciprocal((int32_t)(((uint32_t)sum << bits) - ((uint32_t)1 << 31)));
        for (int32_t k = 0; k < layer->channels; k++) {
            int32_t out = INT8_MIN;
            if (most - x[k] < layer->count) {
                out += divided(doubled_high(share, layer->exponentials[most - x[k]]), 35 - bits);
            }
            y[k] = clamped(out, INT8_MIN, INT8_MAX);
        }
    }
}
