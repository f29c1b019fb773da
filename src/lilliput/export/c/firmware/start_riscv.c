/* Bare-metal start-up for QEMU's riscv32 `virt`: what `start.c` is for Arm. */
#include <stdint.h>

extern uint32_t _sbss[], _ebss[];
int main(void);
void stack_repaint(void);

static uint32_t began;

/* A call to the host, which QEMU answers; see "RISC-V Semihosting". */
__attribute__((noinline)) static long semihosted(long operation, const void *argument)
{
    register long a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(
        ".option push\n\t.option norvc\n\t.balign 16\n\t"
        "slli zero, zero, 0x1f\n\tebreak\n\tsrai zero, zero, 7\n\t"
        ".option pop"
        : "+r"(a0)
        : "r"(a1)
        : "memory");
    return a0;
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

static uint32_t instructions(void)
{
    uint32_t count;
    __asm__ volatile("csrr %0, 0xb02" : "=r"(count)); /* minstret */
    return count;
}

void start_counting(void)
{
    began = instructions();
}

uint32_t counted(void)
{
    return instructions() - began;
}

__attribute__((used)) static void begin(void)
{
    for (uint32_t *p = _sbss; p < _ebss;) {
        *p++ = 0;
    }
    stack_repaint();
    host_exit(main());
}

__attribute__((naked, section(".vectors"), used)) void vectors(void)
{
    __asm__("la sp, _estack\n\tj begin");
}
