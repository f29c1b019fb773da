/* Alphabets of tokens, and tables of their frequencies. */
#ifndef LILLIPUT_TABLES_H
#define LILLIPUT_TABLES_H

#include "reader.h"

typedef struct {
    uint32_t direct, steps, classes;
} lilliput_alphabet;

/* The smallest folded number of a class. */
static inline uint64_t lilliput_low(const lilliput_alphabet *of, uint32_t class_)
{
    uint64_t first = 1u << of->steps;
    uint64_t lead = first + (class_ & (first - 1));
    return of->direct - first + (lead << (class_ >> of->steps));
}

/* Reads a table's description, and fills its slots. */
void lilliput_read_table(reader *in, lilliput_table *table, const lilliput_alphabet *of);

#endif
