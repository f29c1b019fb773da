/* The stack is painted, so that what was used can be seen. */
#include <stdint.h>

#define PAINT 0xA5A5A5A5u
#define MARGIN 16 /* words below what this function itself may use */

extern uint32_t _stack_lo[], _estack[];

void stack_repaint(void)
{
    uint32_t *const top = (uint32_t *)__builtin_frame_address(0) - MARGIN;
    for (uint32_t *p = _stack_lo; p < top; p++) {
        *p = PAINT;
    }
}

uint32_t stack_used(void)
{
    const uint32_t *p = _stack_lo;
    while (*p == PAINT) {
        p++;
    }
    return (uint32_t)((const char *)_estack - (const char *)p);
}
