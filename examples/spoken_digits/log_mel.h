/* Log-mel energies of speech at 8 kHz in integers: the same on every processor. */
#ifndef LOG_MEL_H
#define LOG_MEL_H

#include <stdint.h>

#define LOG_MEL_FRAME 256 /* samples of a frame, 32 ms */
#define LOG_MEL_HOP 160   /* samples from frame to frame, 20 ms */
#define LOG_MEL_BANDS 20

/* For each band round(5 log2(energy)) - 128, cut to int8: steps of 0.6 dB. */
void log_mel(const int16_t samples[LOG_MEL_FRAME], int8_t bands[LOG_MEL_BANDS]);

#endif
