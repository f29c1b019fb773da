/* A Hann window, an FFT of 256 points, triangular bands on the mel scale, and their logarithms. */
#include "log_mel.h"
#include "tables.h"

static int32_t real[LOG_MEL_FRAME], imaginary[LOG_MEL_FRAME];

static uint32_t reversed(uint32_t bits)
{
    uint32_t found = 0;
    for (uint32_t k = 0; k < 8; k++) {
        found |= (bits >> k & 1) << (7 - k);
    }
    return found;
}

/* The window leaves 22 bits and a sign, and the sums of the FFT are no larger than 2^30. */
static void load(const int16_t *samples)
{
    for (uint32_t k = 0; k < LOG_MEL_FRAME; k++) {
        const uint32_t place = reversed(k), mirrored = k < 128 ? k : 255 - k;
        real[place] = samples[k] * window[mirrored] / 256;
        imaginary[place] = 0;
    }
}

static void transform(void)
{
    for (uint32_t half = 1; half < LOG_MEL_FRAME; half *= 2) {
        for (uint32_t k = 0; k < half; k++) {
            const uint32_t turn = k * (128 / half);
            const int64_t c = cosines[turn], s = sines[turn];
            for (uint32_t a = k; a < LOG_MEL_FRAME; a += 2 * half) {
                const uint32_t b = a + half;
                const int32_t x = (int32_t)((c * real[b] + s * imaginary[b]) >> 15);
                const int32_t y = (int32_t)((c * imaginary[b] - s * real[b]) >> 15);
                real[b] = real[a] - x;
                imaginary[b] = imaginary[a] - y;
                real[a] += x;
                imaginary[a] += y;
            }
        }
    }
}

/* 5 log2(x), to the nearest; between powers of two the logarithm is taken to be a line. */
static int32_t five_logs(uint64_t x)
{
    int32_t power = 31;
    while (x >> 32) {
        x >>= 1;
        power++;
    }
    while (x < (uint32_t)1 << 31) {
        x <<= 1;
        power--;
    }
    return (power * 256 * 5 + (int32_t)((x >> 23 & 255) * 5) + 128) >> 8;
}

void log_mel(const int16_t samples[LOG_MEL_FRAME], int8_t bands[LOG_MEL_BANDS])
{
    uint64_t energies[LOG_MEL_BANDS + 2] = {0}; /* with one below all bands and one above */
    load(samples);
    transform();
    for (uint32_t k = 1; k < 128; k++) {
        const int64_t x = real[k], y = imaginary[k];
        const uint64_t energy = (uint64_t)(x * x + y * y) >> 14;
        energies[below[k]] += energy * (256u - rising[k]);
        energies[below[k] + 1] += energy * rising[k];
    }
    for (uint32_t k = 0; k < LOG_MEL_BANDS; k++) {
        const int32_t value = five_logs((energies[k + 1] >> 8) + 1) - 128;
        bands[k] = (int8_t)(value > 127 ? 127 : value);
    }
}
