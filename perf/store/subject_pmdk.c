/* subject_pmdk.c - PMDK's libpmemobj: a heap in a file, for one process at a time. A batch is its
 * own way to do many at once: reservations that are published together. */
#include "perf/support/measure.h"
#include "subject.h"

#include <libpmemobj.h>

#include <errno.h>
#include <stdio.h>

static PMEMobjpool *pool;

const char *subject_version(void)
{
    static char text[64];
    (void)snprintf(text, sizeof text, "libpmemobj %d.%d", PMEMOBJ_MAJOR_VERSION,
                   PMEMOBJ_MINOR_VERSION);
    return text;
}

void subject_create(const char *path, uint64_t max_bytes)
{
    pool = pmemobj_create(path, "bench", max_bytes, 0600);
    if (pool == NULL)
        die(pmemobj_errormsg(), errno);
}

void subject_open(const char *path)
{
    pool = pmemobj_open(path, "bench");
    if (pool == NULL)
        die(pmemobj_errormsg(), errno);
}

void subject_close(void)
{
    pmemobj_close(pool);
}

int subject_is_shared(void)
{
    return 0;
}

void *subject_alloc(void)
{
    PMEMoid oid;
    if (pmemobj_alloc(pool, &oid, BLOCK_BYTES, 0, NULL, NULL) != 0)
        die("pmemobj_alloc", errno);
    return pmemobj_direct(oid);
}

void subject_free(void *block)
{
    PMEMoid oid = pmemobj_oid(block);
    pmemobj_free(&oid);
}

void subject_alloc_batch(void **blocks)
{
    struct pobj_action actions[BATCH_COUNT];
    for (unsigned i = 0; i < BATCH_COUNT; i++)
        blocks[i] = pmemobj_direct(pmemobj_reserve(pool, &actions[i], BLOCK_BYTES, 0));
    if (pmemobj_publish(pool, actions, BATCH_COUNT) != 0)
        die("pmemobj_publish", errno);
}

void subject_free_batch(void **blocks)
{
    struct pobj_action actions[BATCH_COUNT];
    for (unsigned i = 0; i < BATCH_COUNT; i++)
        pmemobj_defer_free(pool, pmemobj_oid(blocks[i]), &actions[i]);
    if (pmemobj_publish(pool, actions, BATCH_COUNT) != 0)
        die("pmemobj_publish", errno);
}

/* One process only: never called. */

uint64_t *subject_ring_make(size_t slots)
{
    (void)slots;
    return NULL;
}

uint64_t *subject_ring_find(void)
{
    return NULL;
}

void subject_send(uint64_t *slot)
{
    (void)slot;
}

void *subject_take(uint64_t *slot)
{
    (void)slot;
    return NULL;
}

int subject_has_parcels(void)
{
    return 0;
}

void subject_send_parcel(uint64_t *slot)
{
    (void)slot;
}

void subject_free_parcel(uint64_t *slot)
{
    (void)slot;
}
