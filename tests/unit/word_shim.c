/* word_shim.c - see word_shim.h. */
#include "word_shim.h"

#include "heap/word.h"

static uint32_t word;

void word_set(uint32_t generation, uint32_t count)
{
    roma__store(&word, roma__word_make(generation, count));
}

uint32_t word_generation(void)
{
    return roma__word_generation(roma__load(&word));
}

int word_references(void)
{
    return roma__word_references(&word);
}

int word_retain(uint32_t generation_or_any)
{
    return roma__word_retain(&word, generation_or_any);
}

int word_drop(uint32_t generation_or_any)
{
    return roma__word_drop(&word, generation_or_any);
}

int word_end_sole(void)
{
    uint32_t had;
    return roma__word_end_sole(&word, &had);
}

void word_next_generation(void)
{
    roma__word_next_generation(&word);
}

bool word_kill(void)
{
    return roma__word_kill(&word);
}
