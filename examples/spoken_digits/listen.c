/* Hears one second after another from a file on the host, and says which digit each was. On a board,
   `hear` waits for the microphone instead; nothing else changes. */
#include "codes.h" /* what the network's input calls each value of the front-end */
#include "log_mel.h"
#include "model.h"

void host_write(const char *text);
void start_counting(void);
uint32_t counted(void);
uint32_t stack_used(void);

#define SECOND 8000
#define FRAMES ((SECOND - LOG_MEL_FRAME) / LOG_MEL_HOP + 1)

static int16_t samples[LOG_MEL_FRAME];
static int8_t scores[LILLIPUT_OUTPUT_BYTES];

/* Semihosting: SYS_OPEN (1) and SYS_READ (6), which gives the bytes that are missing. */
static long asked(long operation, const void *argument)
{
    register long r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t opened(void)
{
    static const char name[] = "seconds.bin";
    const uint32_t block[3] = {(uint32_t)name, 1, sizeof name - 1}; /* "rb" */
    return (uint32_t)asked(1, block);
}

static int hear(uint32_t microphone, int16_t *to, uint32_t count)
{
    const uint32_t block[3] = {microphone, (uint32_t)to, 2 * count};
    return asked(6, block) == 0;
}

/* Frames overlap: what both have in common moves to the front. */
static int features(uint32_t microphone, int8_t *to)
{
    if (!hear(microphone, samples, LOG_MEL_FRAME)) {
        return 0;
    }
    for (int frame = 0;; frame++, to += LOG_MEL_BANDS) {
        log_mel(samples, to);
        for (int k = 0; k < LOG_MEL_BANDS; k++) {
            to[k] = codes[to[k] + 128];
        }
        if (frame == FRAMES - 1) {
            break;
        }
        for (int k = 0; k < LOG_MEL_FRAME - LOG_MEL_HOP; k++) {
            samples[k] = samples[k + LOG_MEL_HOP];
        }
        hear(microphone, samples + LOG_MEL_FRAME - LOG_MEL_HOP, LOG_MEL_HOP);
    }
    return hear(microphone, samples, SECOND - LOG_MEL_FRAME - (FRAMES - 1) * LOG_MEL_HOP);
}

static void say(uint32_t value)
{
    char digits[12];
    int at = 10;
    digits[10] = '\n';
    digits[11] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    host_write(&digits[at]);
}

/* A line for each second; then the stack and the instructions of one second, front-end included. */
int main(void)
{
    const uint32_t microphone = opened();
    uint32_t instructions = 0;
    for (;;) {
        start_counting();
        if (!features(microphone, LILLIPUT_INPUT)) {
            break;
        }
        lilliput_invoke(LILLIPUT_INPUT, scores);
        uint32_t best = 0;
        for (uint32_t k = 1; k < LILLIPUT_OUTPUT_BYTES; k++) {
            best = scores[k] > scores[best] ? k : best;
        }
        instructions = counted();
        say(best);
    }
    host_write("stack, bytes: ");
    say(stack_used());
    host_write("instructions: ");
    say(instructions);
    return 0;
}
