/* Runs the network once on an input of zeros, and prints what a person wants to know. */
#include "model.h"

void roi_begin(void);
void roi_end(void);
void sh_puts(const char *text);
void sh_u32(const char *name, uint32_t value);
void stack_repaint(void);
uint32_t stack_used(void);

static int8_t out[LILLIPUT_OUTPUT_BYTES];

int main(void)
{
    stack_repaint();
    roi_begin(); /* between these marks instructions can be counted */
    lilliput_invoke(LILLIPUT_INPUT, out);
    roi_end();
#ifndef QUIET
    const uint32_t stack = stack_used();
    int best = 0;
    for (int i = 1; i < LILLIPUT_OUTPUT_BYTES; i++) {
        best = out[i] > out[best] ? i : best;
    }
    sh_u32("largest output: ", (uint32_t)best);
    sh_u32("arena, bytes:   ", LILLIPUT_ARENA_BYTES);
    sh_u32("stack, bytes:   ", stack);
#endif
    return 0;
}
