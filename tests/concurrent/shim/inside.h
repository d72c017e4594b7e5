/* inside.h - the malloc shim under names of its own (renamed.h), and what a test sees of its
 * inside. */
#ifndef ROMA_TESTS_SHIM_INSIDE_H
#define ROMA_TESTS_SHIM_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void *shim_malloc(size_t bytes);
void *shim_calloc(size_t count, size_t bytes);
void *shim_realloc(void *block, size_t bytes);
void *shim_aligned_alloc(size_t align, size_t bytes);
int shim_posix_memalign(void **block, size_t align, size_t bytes);
void *shim_memalign(size_t align, size_t bytes);
void shim_free(void *block);
void shim_free_sized(void *block, size_t bytes);
size_t shim_malloc_usable_size(void *block);
int shim_malloc_trim(size_t keep_bytes);

/* Bytes held of the kernel, as mallinfo() and mallinfo2() say. */
size_t inside_mallinfo_held(void);

/* Of all heaps; exact while no other thread calls the shim. */
struct inside_figures {
    uint64_t takes, releases, blocks_live, bytes_live;
};
struct inside_figures inside_figures_now(void);

/* Write the report, if ROMA_REPORT says where. */
void inside_report(void);

/* How many invariants of all heaps are broken, each told on stderr. No other thread is inside. */
uint64_t inside_faults(void);

unsigned inside_heaps_count(void);

/* What is set. */
bool inside_has_background(void);
bool inside_has_limit(void);

#ifdef __cplusplus
}
#endif
#endif
