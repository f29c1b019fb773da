/* What libFuzzer calls with bytes of its own making: the first says which decoder, the next four how
 * many integers there are and how many to a row, and the rest is the block. Another decoder is
 * another line of the table. */
#include <stdlib.h>
#include <string.h>

#include "mixing.h"

enum { FACTS = 5, MOST_COUNT = 1 << 12 };

typedef int (*decode)(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                      size_t columns, void *memory);

static int range_ans(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                     size_t columns, void *memory)
{
    return lilliput_decode_block(bytes, size, values, count, columns, memory);
}

static int mixing(const uint8_t *bytes, size_t size, uint32_t *values, size_t count,
                  size_t columns, void *memory)
{
    return lilliput_decode_mixed(bytes, size, values, count, columns, memory);
}

static const struct {
    decode run;
    size_t (*memory_bytes)(void);
} decoders[] = {
    {range_ans, lilliput_memory_bytes},
    {mixing, lilliput_mixing_bytes},
};

enum { DECODERS = sizeof decoders / sizeof *decoders };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void *memory[DECODERS];
    if (size < FACTS) {
        return 0;
    }
    size_t which = data[0] % DECODERS;
    size_t count = (size_t)(data[1] | data[2] << 8) % MOST_COUNT;
    size_t columns = (size_t)(data[3] | data[4] << 8);
    if (!memory[which]) {
        memory[which] = malloc(decoders[which].memory_bytes());
    }
    /* memory of their own exact sizes, so that what is beside them is seen */
    size_t left = size - FACTS;
    uint8_t *bytes = malloc(left ? left : 1);
    uint32_t *values = malloc(count ? count * sizeof *values : 1);
    if (!memory[which] || !bytes || !values) {
        abort();
    }
    memcpy(bytes, data + FACTS, left);
    int error = decoders[which].run(left ? bytes : bytes + 1, left, values, count, columns,
                                    memory[which]);
    if (error < LILLIPUT_DECODED || error > LILLIPUT_UNFINISHED) {
        abort();
    }
    free(bytes);
    free(values);
    return 0;
}
