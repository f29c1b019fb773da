/* Bare-metal start-up for QEMU's Cortex-M boards: microbit, mps2-an386, mps2-an500, mps3-an547. */
#include <stdint.h>

extern uint32_t _sidata[], _sdata[], _edata[], _sbss[], _ebss[], _estack[];
int main(void);
void stack_repaint(void);

#define CPACR (*(volatile uint32_t *)0xE000ED88u)
#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)
#define MOST_TICKS 0xFFFFFFu

static volatile uint32_t wraps; /* of the timer, which has 24 bits */

/* A call to the host, which QEMU answers; see Arm's "Semihosting for AArch32 and AArch64". */
static long semihosted(long operation, const void *argument)
{
    register long r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void host_write(const char *text)
{
    semihosted(0x04, text);
}

void host_exit(int code)
{
    const uint32_t block[2] = {0x20026u, (uint32_t)code};
    semihosted(0x20, block);
    for (;;) {
    }
}

/* Instructions since the timer was started, where QEMU runs one a nanosecond (-icount shift=0), to
   the next tick of a clock of MEGAHERTZ. */
void start_counting(void)
{
    SYST_RVR = MOST_TICKS;
    SYST_CVR = 0;
    wraps = 0;
    SYST_CSR = 7; /* the processor's clock, an interrupt at each wrap */
}

uint32_t counted(void)
{
    const uint64_t ticks = (uint64_t)wraps * (MOST_TICKS + 1u) + (MOST_TICKS - SYST_CVR);
    SYST_CSR = 0;
    return (uint32_t)(ticks * 1000 / MEGAHERTZ);
}

void reset_handler(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xFu << 20; /* floating point and vectors on */
    __asm__ volatile("dsb\n\tisb");
#endif
    for (uint32_t *from = _sidata, *to = _sdata; to < _edata;) {
        *to++ = *from++;
    }
    for (uint32_t *p = _sbss; p < _ebss;) {
        *p++ = 0;
    }
    stack_repaint();
    host_exit(main());
}

static void wrapped(void)
{
    wraps++;
}

static void fault(void)
{
    host_write("fault\n");
    host_exit(99);
}

__attribute__((section(".vectors"), used)) void *const vectors[16] = {
    _estack, (void *)reset_handler, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
    (void *)fault, 0, 0, 0, 0, (void *)fault, (void *)fault, 0, (void *)fault, (void *)wrapped,
};
