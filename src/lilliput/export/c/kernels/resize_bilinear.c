/* Between four pixels, by weights of 10 bits. */
struct resize_bilinear {
    const uint16_t *row_lower, *row_upper;
    const int16_t *row_share;
    const uint16_t *column_lower, *column_upper;
    const int16_t *column_share;
    int16_t batch, in_height, in_width, out_height, out_width, channels;
};

static void resize_bilinear(const struct resize_bilinear *layer, const int8_t *x, int8_t *y)
{
    const int channels = layer->channels;
    for (int n = 0; n < layer->batch; n++) {
        for (int row = 0; row < layer->out_height; row++) {
            const int8_t *above = x + layer->row_lower[row] * layer->in_width * channels;
            const int8_t *below = x + layer->row_upper[row] * layer->in_width * channels;
            const int32_t down = layer->row_share[row];
            for (int column = 0; column < layer->out_width; column++) {
                const int left = layer->column_lower[column] * channels;
                const int right = layer->column_upper[column] * channels;
                const int32_t over = layer->column_share[column];
                for (int k = 0; k < channels; k++) {
                    const int32_t sum = above[left + k] * (1024 - down) * (1024 - over)
                        + below[left + k] * down * (1024 - over)
                        + above[right + k] * (1024 - down) * over
                        + below[right + k] * down * over;
                    *y++ = (int8_t)((sum + (sum > 0 ? 1 << 19 : -(1 << 19))) / (1 << 20));
                }
            }
        }
        x += (int32_t)layer->in_height * layer->in_width * channels;
    }
}
