/* Feeds decoders with bytes that libFuzzer makes up, or, without it, with files that are damaged at
 * random: fuzz ROUNDS SEED FILE... Of an input the first byte says which decoder, the next four how
 * many integers there are and how many to a row, and the rest is the block. It stands in memory of
 * its own exact size, so that sanitizers see what is read or written beside it. Another decoder is
 * another line of the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mixing.h"

enum { FACTS = 5, MOST_COUNT = 1 << 12, MOST_BYTES = 1 << 16 };

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
    int (*run)(const uint8_t *bytes, size_t size, uint32_t *values, size_t count, size_t columns,
               void *memory);
    size_t (*memory_bytes)(void);
} decoders[] = {
    {range_ans, lilliput_memory_bytes},
    {mixing, lilliput_mixing_bytes},
};

enum { DECODERS = sizeof decoders / sizeof *decoders };

static void *made(size_t size)
{
    void *found = malloc(size ? size : 1);
    return found ? found : (abort(), NULL);
}

/* What the decoder gives. */
static int decoded(const uint8_t *data, size_t size)
{
    static void *memory[DECODERS];
    size_t which = data[0] % DECODERS, left = size - FACTS;
    size_t count = (size_t)(data[1] | data[2] << 8) % MOST_COUNT;
    size_t columns = (size_t)(data[3] | data[4] << 8);
    if (!memory[which]) {
        memory[which] = made(decoders[which].memory_bytes());
    }
    uint8_t *bytes = made(left);
    uint32_t *values = made(count * sizeof *values);
    memcpy(bytes, data + FACTS, left);
    int error = decoders[which].run(left ? bytes : bytes + 1, left, values, count, columns,
                                    memory[which]);
    if (error < LILLIPUT_DECODED || error > LILLIPUT_UNFINISHED) {
        abort();
    }
    free(bytes);
    free(values);
    return error;
}

#ifdef WITH_LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= FACTS) {
        decoded(data, size);
    }
    return 0;
}

#else

static uint64_t state;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

/* Gives the size that is left. */
static size_t damaged(uint8_t *bytes, size_t size)
{
    for (uint32_t times = 1 + below(4); times && size; times--) {
        size_t near = below(2) ? size : (size < 40 ? size : 40); /* fields are in front */
        size_t at = below((uint32_t)near);
        switch (below(5)) {
        case 0:
            bytes[at] ^= (uint8_t)(1u << below(8));
            break;
        case 1:
            bytes[at] = (uint8_t)below(256);
            break;
        case 2:
            bytes[at] = below(2) ? 0xff : 0x7f;
            break;
        case 3:
            size = at;
            break;
        default:
            memmove(bytes + at, bytes + at + 1, size - at - 1);
            size--;
        }
    }
    return size;
}

int main(int count, char **arguments)
{
    static uint8_t data[MOST_BYTES];
    long rounds = count > 3 ? strtol(arguments[1], NULL, 10) : 0, results[4] = {0, 0, 0, 0};
    state = count > 3 ? strtoull(arguments[2], NULL, 10) * 2 + 1 : 1;
    for (long round = 0; round < rounds; round++) {
        FILE *file = fopen(arguments[3 + round % (count - 3)], "rb");
        size_t size = file ? fread(data, 1, MOST_BYTES, file) : 0;
        if (size < FACTS || fclose(file)) {
            return 2;
        }
        if (!below(8)) {
            data[1 + below(FACTS - 1)] = (uint8_t)below(256);
        }
        results[decoded(data, FACTS + damaged(data + FACTS, size - FACTS))]++;
    }
    printf("%ld %ld %ld %ld\n", results[0], results[1], results[2], results[3]);
    return 0;
}

#endif
