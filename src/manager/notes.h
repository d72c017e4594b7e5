/* notes.h - what a manager remembers about single blocks, outside of them: label and call sites,
 * and the pattern that a freed one was filled with.
 *
 * Most blocks have no note: only those with a label, and all blocks of a manager that keeps call
 * sites or patterns. The heap carries one bit a cell for it (ROMA__CELL_NOTED).
 *
 * A note may outlive its block: until its address is taken again or given back it says who freed
 * it, which is what the report of a double free wants to tell. */
#ifndef ROMA_MANAGER_NOTES_H
#define ROMA_MANAGER_NOTES_H

#include "heap/heap.h"
#include "manager/sites.h"

#include <pthread.h>

enum { ROMA__LABEL_BYTES = 64 };

typedef struct roma__note {
    struct roma__note *next; /* in its bucket, or among the spare ones */
    void *address;
    char label[ROMA__LABEL_BYTES];
    roma__site allocated, retained, released;
    bool is_live;
    /* of a freed block: which cell in which life it was, and how much of it is filled */
    struct roma__slab *slab;
    size_t usable, filled_bytes;
    uint32_t generation;
} roma__note;

typedef struct roma__notes {
    pthread_mutex_t lock; /* below the heap's locks: no call on a heap while it is held */
    roma__note **buckets;
    size_t capacity, count; /* buckets, a power of two; notes in them */
    roma__note *spare;
    struct roma__notes_chunk *chunks;
    size_t chunks_count;
} roma__notes;

void roma__notes_open(roma__notes *notes);
void roma__notes_close(roma__notes *notes);
/* Forget all. */
void roma__notes_clear(roma__notes *notes);
/* Bytes of records that it holds. */
size_t roma__notes_bytes(roma__notes *notes);

/* An empty note that is not in the table yet; NULL: no memory. */
roma__note *roma__note_new(roma__notes *notes);
/* Give back one that was not put. */
void roma__note_free(roma__notes *notes, roma__note *note);

/* Put the note of a block just begun. *former receives a copy of what was noted about the block
 * freed at that address before; its address is NULL when there was none. Notes of freed blocks
 * within a cell that is larger than any class's are forgotten: it was cut from where they stood. */
void roma__note_put(roma__notes *notes, roma__note *note, const roma__cell *cell,
                    roma__note *former);

/* The block has ended: keep its note, with where it was released, how much of the cell is filled
 * and which life of which cell it was; or forget it. */
void roma__note_end(roma__notes *notes, const roma__cell *cell, const roma__site *site,
                    size_t filled_bytes);
void roma__note_forget(roma__notes *notes, const void *address);

/* The block has another address now. */
void roma__note_move(roma__notes *notes, const void *from, void *to);

void roma__note_retained(roma__notes *notes, const void *address, const roma__site *site);
void roma__note_released(roma__notes *notes, const void *address, const roma__site *site);

/* Copy the note of an address, live or not. Returns whether there is one. */
bool roma__note_read(roma__notes *notes, const void *address, roma__note *copy);

/* The label of a live block, "" when it has none; stays where it is while the block lives. */
const char *roma__note_label(roma__notes *notes, const void *address);

/* Forget the freed blocks in a range of addresses. */
void roma__notes_forget_range(roma__notes *notes, const void *address, size_t bytes);

/* Visit all notes, under the lock; those for which `keep` returns false are forgotten. */
void roma__notes_filter(roma__notes *notes, bool (*keep)(void *context, const roma__note *note),
                        void *context);

void roma__notes_fork_hold(roma__notes *notes);
void roma__notes_fork_free(roma__notes *notes);

#endif
