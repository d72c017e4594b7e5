/* subject_roma.c - roma's store. Blocks go to another process by a slot, which owns a reference:
 * one step each against a crash. A parcel is one block that has a slot for each of its own. */
#include "perf/support/measure.h"
#include "subject.h"

#include <roma.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

roma_store *subject_store;

const char *subject_version(void)
{
    static char text[64];
    (void)snprintf(text, sizeof text, "roma %s", roma_version());
    return text;
}

static void check(int code, const roma_error *error)
{
    if (code >= 0)
        return;
    (void)roma_error_print(stderr, error);
    exit(1);
}

void subject_create(const char *path, uint64_t max_bytes)
{
    roma_error error;
    roma_store_options options = roma_store_options_default();
    options.max_bytes = max_bytes;
    options.unsynced = true;
    check(roma_store_create(path, &options, &subject_store, &error), &error);
}

void subject_open(const char *path)
{
    roma_error error;
    roma_store_options options = roma_store_options_default();
    options.unsynced = true;
    check(roma_store_open(path, &options, &subject_store, &error), &error);
}

void subject_close(void)
{
    int code = roma_store_close(subject_store);
    if (code < 0)
        die("roma_store_close", code);
    subject_store = NULL;
}

int subject_is_shared(void)
{
    return 1;
}

uint64_t *subject_ring_make(size_t slots)
{
    roma_store_request request = roma_store_request_of(slots * sizeof(roma_ref));
    request.refs_count = (uint32_t)slots;
    uint64_t *ring = roma_store_alloc_into(subject_store, roma_store_root(subject_store, 0),
                                           &request);
    if (ring == NULL)
        die("the ring", errno);
    return ring;
}

uint64_t *subject_ring_find(void)
{
    uint64_t *ring = roma_store_load(subject_store, roma_store_root(subject_store, 0));
    if (ring == NULL)
        die("the ring", errno);
    return ring;
}

void subject_send(uint64_t *slot)
{
    roma_store_request request = roma_store_request_of(BLOCK_BYTES);
    if (roma_store_alloc_into(subject_store, slot, &request) == NULL)
        die("roma_store_alloc_into", errno);
}

void *subject_take(uint64_t *slot)
{
    void *block = roma_store_take(subject_store, slot);
    if (block == NULL)
        die("roma_store_take", errno);
    return block;
}

int subject_has_parcels(void)
{
    return 1;
}

void subject_send_parcel(uint64_t *slot)
{
    roma_store_request request = roma_store_request_of(BATCH_COUNT * sizeof(roma_ref));
    request.refs_count = BATCH_COUNT;
    roma_ref *batch = roma_store_alloc_with(subject_store, &request);
    if (batch == NULL)
        die("roma_store_alloc_with", errno);
    for (unsigned i = 0; i < BATCH_COUNT; i++)
        subject_send(&batch[i]);
    if (roma_store_link(subject_store, slot, batch) < 0 ||
        roma_store_release(subject_store, batch) < 0)
        die("roma_store_link", EIO);
}

void subject_free_parcel(uint64_t *slot)
{
    if (roma_store_release_from(subject_store, slot) != 1)
        die("roma_store_release_from", EIO);
}
