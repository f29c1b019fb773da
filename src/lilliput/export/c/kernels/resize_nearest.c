/* The pixel that lies next. */
struct resize_nearest {
    const uint16_t *rows;
    const uint16_t *columns;
    int16_t batch, in_height, in_width, out_height, out_width, channels;
};

static void resize_nearest(const struct resize_nearest *layer, const int8_t *x, int8_t *y)
{
    for (int n = 0; n < layer->batch; n++) {
        for (int row = 0; row < layer->out_height; row++) {
            for (int column = 0; column < layer->out_width; column++) {
                const int place = layer->rows[row] * layer->in_width + layer->columns[column];
                for (int k = 0; k < layer->channels; k++) {
                    *y++ = x[place * layer->channels + k];
                }
            }
        }
        x += (int32_t)layer->in_height * layer->in_width * layer->channels;
    }
}
