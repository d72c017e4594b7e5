/* extents.h - a heap's extents and the runs of granules cut from them.
 *
 * A record is either *shared*, cut into runs of granules by a bitmap (first fit: the lowest free
 * run that is long enough, so that the ends of extents empty), or *own*: one large cell has all of
 * it.
 * One lock for all of it; the calls take it themselves, except where said. */
#ifndef ROMA_HEAP_EXTENTS_H
#define ROMA_HEAP_EXTENTS_H

#include "heap/heap.h"

#include <pthread.h>
#include <stdatomic.h>

struct roma__extent_record {
    roma_extent extent;
    unsigned step;        /* of the ladder that gave it                     */
    size_t charged_bytes; /* what the owner was charged for it and gets back */
    bool own;
    bool marked; /* an own extent that has its cell: only kept up to date after fork */
    uint32_t granules, free_granules;
    uint32_t bits_capacity; /* 64-bit words                */
    uint64_t *bits;         /* a bit for each free granule */
    struct roma__extent_record *next, *previous;
};

/* The part of a heap that deals with extents. */
struct roma__extents {
    pthread_mutex_t lock;
    roma__ladder ladder;
    size_t growth_bytes;
    bool inherit;
    char label[64];
    void *owner;
    int (*charge)(void *owner, size_t bytes);
    void (*credit)(void *owner, size_t bytes);
    void (*released)(void *owner, void *address, size_t bytes);
    struct roma__extent_record *shared, *owned;
    uint32_t empty_count; /* shared extents without a run */
    _Atomic(uint64_t) count, bytes, record_bytes;
};

/* A run of granules in a shared extent, with a new extent where none has room.
 * reused: whether no step had to be tried. Returns 0 or -errno with *error; grant (may be NULL) has
 * the steps tried. */
int roma__extents_cut(struct roma__extents *extents, uint32_t granules, char **base,
                      struct roma__extent_record **record, bool *reused, roma_grant *grant,
                      roma_error *error);

/* Give a run back; an extent that is empty then goes back to its provider, but for one. */
void roma__extents_give(struct roma__extents *extents, struct roma__extent_record *record,
                        char *base, uint32_t granules);

/* The same, but the extent stays, also when it is empty: for trim, which decides itself. */
void roma__extents_put(struct roma__extents *extents, struct roma__extent_record *record,
                       char *base, uint32_t granules);

/* Lengthen a run at its end, if the granules there are free. */
bool roma__extents_lengthen(struct roma__extents *extents, struct roma__extent_record *record,
                            char *base, uint32_t granules, uint32_t wanted);

/* An extent of its own. */
int roma__extents_take_own(struct roma__extents *extents, size_t bytes, size_t align,
                           unsigned populate_threads, struct roma__extent_record **record,
                           roma_grant *grant, roma_error *error);

/* Give any extent back to its provider, and its record. */
void roma__extents_release(struct roma__extents *extents, struct roma__extent_record *record);

/* Change the length of an own extent. Returns 0 or -errno; on failure it is as it was. Takes no
 * lock:
 * the extent is the caller's alone. */
int roma__extents_resize(struct roma__extents *extents, struct roma__extent_record *record,
                         size_t bytes, bool may_move);

/* Give empty shared extents back while more than keep_bytes are held. Returns bytes. */
size_t roma__extents_trim(struct roma__extents *extents, size_t keep_bytes);

/* What a record's provider granted, as a grant of a reused extent. */
void roma__extents_grant(const struct roma__extents *extents,
                         const struct roma__extent_record *record, roma_grant *grant);

static inline roma_provider *roma__extents_provider(const struct roma__extents *extents,
                                                    const struct roma__extent_record *record)
{
    return extents->ladder.steps[record->step].provider;
}

/* In a child after fork, one thread: forget which granules are in use and which own extents are;
 * mark those that are; then give back what is not inherited or not in use any more. */
void roma__extents_unmark(struct roma__extents *extents);
void roma__extents_mark(struct roma__extent_record *record, const char *base, uint32_t granules);
void roma__extents_settle(struct roma__extents *extents);

void roma__extents_fork_hold(void);
void roma__extents_fork_free(void);

#endif
