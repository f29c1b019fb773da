/* The mean of what lies inside the map. */
struct average_pool_2d {
    int16_t batch, channels, in_height, in_width, out_height, out_width;
    int16_t kernel_height, kernel_width, stride_height, stride_width, pad_height, pad_width;
    int16_t low, high;
};

static void average_pool_2d(const struct average_pool_2d *layer, const int8_t *x, int8_t *y)
{
    for (int n = 0; n < layer->batch; n++) {
        for (int row = 0; row < layer->out_height; row++) {
            const int top = row * layer->stride_height - layer->pad_height;
            for (int column = 0; column < layer->out_width; column++) {
                const int left = column * layer->stride_width - layer->pad_width;
                for (int channel = 0; channel < layer->channels; channel++) {
                    const int8_t *v = x + channel;
                    int32_t sum = 0, count = 0;
                    for (int r = top < 0 ? 0 : top; r < top + layer->kernel_height && r < layer->in_height; r++) {
                        for (int c = left < 0 ? 0 : left; c < left + layer->kernel_width && c < layer->in_width; c++) {
                            sum += v[(r * layer->in_width + c) * layer->channels];
                            count++;
                        }
                    }
                    if (count > 0) {
                        sum = sum > 0 ? (sum + count / 2) / count : (sum - count / 2) / count;
                    }
                    *y++ = clamped(sum, layer->low, layer->high);
                }
            }
        }
        x += (int32_t)layer->in_height * layer->in_width * layer->channels;
    }
}
