/* metadata.h - memory for descriptors that are kept for ever.
 *
 * Descriptors must stay readable after the slab that they described is gone: a stale handle may be
 * looked at by any thread at any time. So their memory is taken from the kernel in chunks, handed
 * out from the front, and never given back or used for anything else. */
#ifndef ROMA_HEAP_METADATA_H
#define ROMA_HEAP_METADATA_H

#include <stddef.h>

/* Zeroed memory, aligned to a cache line, kept for ever; NULL when the kernel has none (errno). */
void *roma__metadata_take(size_t bytes);

/* Bytes taken from the kernel so far. */
size_t roma__metadata_bytes(void);

void roma__metadata_fork_hold(void);
void roma__metadata_fork_free(void);

#endif
