/* word_shim.h - word.h and slab internals for C++, which does not take C11 atomics. */
#ifndef ROMA_TESTS_WORD_SHIM_H
#define ROMA_TESTS_WORD_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One word, outside any heap. */
void word_set(uint32_t generation, uint32_t count);
uint32_t word_generation(void);
int word_references(void);
int word_retain(uint32_t generation_or_any);
int word_drop(uint32_t generation_or_any);
int word_end_sole(void);
void word_next_generation(void);
bool word_kill(void);

#ifdef __cplusplus
}
#endif
#endif
