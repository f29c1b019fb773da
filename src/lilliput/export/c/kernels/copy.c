/* Runs of bytes from one regular grid to another. */
struct copy {
    int32_t read_offset, write_offset, run;
    int32_t size_0, size_1, size_2, size_3;
    int32_t read_0, read_1, read_2, read_3;
    int32_t write_0, write_1, write_2, write_3;
};

static void copy(const struct copy *layer, const int8_t *x, int8_t *y)
{
    x += layer->read_offset;
    y += layer->write_offset;
    for (int32_t i = 0; i < layer->size_0; i++) {
        for (int32_t j = 0; j < layer->size_1; j++) {
            for (int32_t k = 0; k < layer->size_2; k++) {
                const int8_t *from = x + i * layer->read_0 + j * layer->read_1 + k * layer->read_2;
                int8_t *to = y + i * layer->write_0 + j * layer->write_1 + k * layer->write_2;
                for (int32_t l = 0; l < layer->size_3; l++) {
                    for (int32_t m = 0; m < layer->run; m++) {
                        to[l * layer->write_3 + m] = from[l * layer->read_3 + m];
                    }
                }
            }
        }
    }
}
