/* A 3 x 3 convolution of each channel by itself, channel after channel, so that its outputs may lie
   where its inputs were. Lines are rows of the map or its columns, whichever are longer. */
struct depthwise_conv_3x3 {
    const int8_t *weights; /* [channel][line of taps][tap] */
    const int32_t *twice_bias;
    const int32_t *multiplier;
    const uint8_t *bits;
    int32_t in_line, in_step, out_line, out_step; /* bytes from line to line, from place to place */
    int16_t batch, channels, in_lines, in_length, out_lines, out_length;
    int16_t pitch; /* words of a line with what is put around it */
    int16_t stride, line_stride, lines_before, before, in_zero, out_zero, low, high;
};

#if defined(__ARM_FEATURE_MVE)
static void depthwise_conv_3x3(
    const struct depthwise_conv_3x3 *layer, const int8_t *x, int8_t *y, int32_t *scratch)
{
    const int32_t channels = layer->channels;
    const int8_t zero = (int8_t)layer->in_zero;
    int8_t *words = (int8_t *)scratch, *first = words + 4 * layer->before;
    for (int32_t k = 0; k < 16 * layer->pitch; k++) {
        words[k] = zero;
    }
    for (int32_t run = 0; run < layer->batch * channels; run++) {
        const int32_t n = run / channels, c = run % channels;
        const int8_t *map = x + n * layer->in_lines * layer->in_length * channels + c;
        int8_t *out = y + n * layer->out_lines * layer->out_length * channels + c;
        const struct line_3x3 of = {
            .bias = layer->twice_bias[c] / 2,
            .multiplier = layer->multiplier[c],
            .bits = layer->bits[c],
            .zero = layer->out_zero,
            .step = layer->out_step,
        };
        const uint32x4_t taps = taps_of(layer->weights + 9 * c);
        int32_t line = -layer->lines_before, top = line;
        for (int32_t i = 0; i < layer->out_lines; i++, top += layer->line_stride) {
            for (; line < top + 3; line++) {
                const int is_inside = line >= 0 && line < layer->in_lines;
                const int8_t *from = is_inside ? map + line * layer->in_line : &zero;
                line_in(first + (line & 3), from, is_inside ? layer->in_step : 0, layer->in_length);
            }
            if (layer->stride == 1) {
                line_3x3(&of, words, turned(taps, top & 3), out, layer->out_length);
            } else {
                line_3x3_by_two(&of, words, turned(taps, top & 3), out, layer->out_length);
            }
            out += layer->out_line;
        }
    }
    narrowed(y, layer->batch * layer->out_lines * layer->out_length * channels, layer->low, layer->high);
}
#else
/* One channel of a line, with the zero point on both sides. */
static void line_of(const struct depthwise_conv_3x3 *layer, const int8_t *from, uint32_t *to)
{
    const int32_t zero = layer->in_zero, step = layer->in_step;
    int32_t count = layer->in_length;
    if (layer->before) {
        *to++ = two_halfwords(zero, *from);
        from += step;
        count--;
    }
    for (; count >= 4; count -= 4, from += 4 * step, to += 2) {
        to[0] = two_halfwords(from[0], from[step]);
        to[1] = two_halfwords(from[2 * step], from[3 * step]);
    }
    for (; count >= 2; count -= 2, from += 2 * step) {
        *to++ = two_halfwords(from[0], from[step]);
    }
    *to = two_halfwords(count ? *from : zero, zero);
}

static void depthwise_conv_3x3(
    const struct depthwise_conv_3x3 *layer, const int8_t *x, int8_t *y, int32_t *scratch)
{
    const int32_t channels = layer->channels;
    const int32_t padded = (layer->out_length + 1) / 2 * 2, pitch = layer->pitch;
    uint32_t *edge = (uint32_t *)scratch, *ring = edge + pitch;
    int32_t *sums = (int32_t *)(ring + 3 * pitch);
    for (int32_t k = 0; k < pitch; k++) {
        edge[k] = two_halfwords(layer->in_zero, layer->in_zero);
    }
    for (int32_t run = 0; run < layer->batch * channels; run++) {
        const int32_t n = run / channels, c = run % channels;
        const int8_t *map = x + n * layer->in_lines * layer->in_length * channels + c;
        int8_t *out = y + n * layer->out_lines * layer->out_length * channels + c;
        const int8_t *w = layer->weights + 9 * c;
        uint32_t weights[6];
        for (int32_t k = 0; k < 3; k++, w += 3) {
            weights[2 * k] = two_halfwords(w[0], w[1]);
            weights[2 * k + 1] = two_halfwords(w[1], w[2]);
        }
        const struct scaling scaling = {
            .twice_bias = layer->twice_bias[c],
            .multiplier = layer->multiplier[c],
            .bits = layer->bits[c],
            .zero = 2 * layer->out_zero + 1,
            .step = layer->out_step,
        };
        const uint32_t *lines[3] = {edge, edge, edge};
        uint32_t *slot = ring;
        int32_t line = -layer->lines_before;
        for (int32_t i = 0; i < layer->out_lines; i++, out += layer->out_line) {
            for (const int32_t until = i * layer->line_stride - layer->lines_before + 3; line < until; line++) {
                lines[0] = lines[1];
                lines[1] = lines[2];
                lines[2] = edge;
                if (line >= 0 && line < layer->in_lines) {
                    line_of(layer, map + line * layer->in_line, slot);
                    lines[2] = slot;
                    slot = slot == ring + 2 * pitch ? ring : slot + pitch;
                }
            }
            if (layer->stride == 1) {
                taps_3x3(lines, weights, sums, sums + padded);
            } else {
                taps_3x3_by_two(lines, weights, sums, sums + padded);
            }
            rescaled_along(&scaling, sums, layer->out_length, out);
        }
    }
    narrowed(y, layer->batch * layer->out_lines * layer->out_length * channels, layer->low, layer->high);
}
#endif
