/* subject.h - the store under test, one of three behind the same calls:
 *
 *   STORE_ROMA   a store of roma's, inline: what a program would write
 *   STORE_BOOST  Boost.Interprocess, managed_mapped_file (subject_boost.cpp)
 *   STORE_PMDK   PMDK, libpmemobj (subject_pmdk.c)
 *
 * What they promise is not the same, and perf/store/run says so beside the figures. The two peers
 * are called through a function more than roma is: a nanosecond or two of what they take. */
#ifndef STORE_SUBJECT_H
#define STORE_SUBJECT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BLOCK_BYTES = 64, BATCH_COUNT = 64 };

/* ---- what all of them have ------------------------------------------------------------------- */

const char *subject_version(void);

/* Make a store that can hold so much, or open it; a failure ends the program with the reason. */
void subject_create(const char *path, uint64_t max_bytes);
void subject_open(const char *path);
void subject_close(void);

/* ---- handing blocks to another process ------------------------------------------------------- */

/* Several processes at once? If not, the rest here is never called. */
int subject_is_shared(void);

/* A ring of slots in the store, made by the first process and found by the others. */
uint64_t *subject_ring_make(size_t slots);
uint64_t *subject_ring_find(void);

/* Put a new block into a slot; and take one out, which is then to be freed. */
void subject_send(uint64_t *slot);
void *subject_take(uint64_t *slot);

/* The same with one slot for BATCH_COUNT new blocks, which are freed together; 0: it has nothing of
 * that kind. */
int subject_has_parcels(void);
void subject_send_parcel(uint64_t *slot);
void subject_free_parcel(uint64_t *slot);

/* ---- blocks ---------------------------------------------------------------------------------- */

#ifdef STORE_ROMA

#include <roma/store.h>

extern roma_store *subject_store;

static inline void *subject_alloc(void)
{
    return roma_store_alloc(subject_store, BLOCK_BYTES);
}

static inline void subject_free(void *block)
{
    (void)roma_store_release(subject_store, block);
}

static inline void subject_alloc_batch(void **blocks)
{
    (void)roma_store_alloc_batch(subject_store, BLOCK_BYTES, blocks, BATCH_COUNT);
}

static inline void subject_free_batch(void **blocks)
{
    (void)roma_store_release_batch(subject_store, blocks, BATCH_COUNT);
}

#else

void *subject_alloc(void);
void subject_free(void *block);
void subject_alloc_batch(void **blocks);
void subject_free_batch(void **blocks);

#endif

#ifdef __cplusplus
}
#endif
#endif
