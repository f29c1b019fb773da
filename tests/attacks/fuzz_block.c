/* Decodes blocks that were damaged at random, each in memory of its own exact size, so that
 * sanitizers see what is read or written beside it: fuzz_block CORPUS ROUNDS SEED. The corpus is
 * blocks, each preceded by its form, size, count and columns in 4 bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mixing.h"

static uint64_t state;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 32) % limit);
}

static size_t damaged(uint8_t *bytes, size_t size)
{
    uint32_t times = 1 + below(4);
    for (uint32_t i = 0; i < times && size; i++) {
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

int main(int count_of, char **arguments)
{
    uint8_t *corpus = malloc(1 << 22);
    FILE *file = count_of == 4 ? fopen(arguments[1], "rb") : NULL;
    if (!file || !corpus) {
        return 2;
    }
    size_t whole = fread(corpus, 1, 1 << 22, file);
    long rounds = strtol(arguments[2], NULL, 10), results[4] = {0, 0, 0, 0};
    state = strtoull(arguments[3], NULL, 10) * 2 + 1;
    fclose(file);
    lilliput_memory *memory = malloc(lilliput_memory_bytes());
    lilliput_mixing_memory *mixing = malloc(lilliput_mixing_bytes());
    size_t at = 0;
    for (long round = 0; memory && mixing && round < rounds; round++) {
        uint32_t facts[4];
        at = at + 16 > whole ? 0 : at;
        memcpy(facts, corpus + at, 16);
        size_t size = facts[1], count = facts[2], columns = facts[3];
        uint8_t *bytes = malloc(size ? size : 1);
        memcpy(bytes, corpus + at + 16, size);
        at += 16 + size;
        size_t left = damaged(bytes, size);
        uint8_t *exact = malloc(left ? left : 1);
        memcpy(exact, bytes, left);
        if (!below(8)) {
            count = 1 + below(3000);
            columns = below(70);
        }
        uint32_t *values = malloc(count * sizeof *values);
        results[facts[0] == 1
                    ? lilliput_decode_block(exact, left, values, count, columns, memory)
                    : lilliput_decode_mixed(exact, left, values, count, columns, mixing)]++;
        free(bytes);
        free(exact);
        free(values);
    }
    free(memory);
    free(mixing);
    free(corpus);
    printf("%ld %ld %ld %ld\n", results[0], results[1], results[2], results[3]);
    return 0;
}
