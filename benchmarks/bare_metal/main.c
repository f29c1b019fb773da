/* One run of the network between the marks that the counting plug-in looks for. */
#include "model.h"

void roi_begin(void);
void roi_end(void);
void stack_repaint(void);
uint32_t stack_used(void);
void sh_u32(const char *name, uint32_t value);

static int8_t out[LILLIPUT_OUTPUT_BYTES];

int main(void)
{
    stack_repaint();
    roi_begin();
    lilliput_invoke(LILLIPUT_INPUT, out);
    roi_end();
#ifdef STACK
    sh_u32("stack ", stack_used());
#endif
    return 0;
}
