/* Runs the network once on an input of zeros, and prints what a person wants to know. */
#include "model.h"

void host_write(const char *text);
void start_counting(void);
uint32_t counted(void);
void stack_repaint(void);
uint32_t stack_used(void);

/* Marks for a tool that counts from outside. */
__attribute__((noinline, used)) void roi_begin(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((noinline, used)) void roi_end(void) { __asm__ volatile("" ::: "memory"); }

#ifndef ENDS /* a network with more than one of either needs more than this */
static int8_t out[LILLIPUT_OUTPUT_BYTES];
#define ENDS LILLIPUT_INPUT, out
#endif

#ifndef QUIET
static void say(const char *name, uint32_t value)
{
    char digits[12];
    int at = 11;
    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    host_write(name);
    host_write(&digits[at]);
    host_write("\n");
}
#endif

int main(void)
{
    stack_repaint();
#ifndef QUIET
    start_counting();
#endif
    roi_begin();
    lilliput_invoke(ENDS);
    roi_end();
#ifndef QUIET
    const uint32_t instructions = counted(), stack = stack_used();
    uint32_t best = 0;
    for (uint32_t i = 1; i < LILLIPUT_OUTPUT_BYTES; i++) {
        best = out[i] > out[best] ? i : best;
    }
    say("largest output: ", best);
    say("arena, bytes: ", LILLIPUT_ARENA_BYTES);
    say("stack, bytes: ", stack);
    say("instructions: ", instructions);
#endif
    return 0;
}
