/* notes.c - a table from addresses to notes; see notes.h.
 *
 * Chained buckets, one lock. What is hashed is the KiB that an address is in: all notes of a KiB
 * share a bucket (at most 64, one for each smallest cell), and a range of addresses is forgotten by
 * looking at its KiBs alone. Notes never move, so a label can be given out by address; they come
 * from chunks that are kept until the manager goes. */
#include "manager/notes.h"

#include "heap/classes.h"
#include "heap/word.h"
#include "sys/records.h"

#include <string.h>

enum { REGION_SHIFT = 10, FIRST_CAPACITY = 512, CHUNK_BYTES = 1 << 18 };

struct roma__notes_chunk {
    struct roma__notes_chunk *next;
    roma__note notes[];
};

enum { CHUNK_NOTES = (CHUNK_BYTES - sizeof(struct roma__notes_chunk)) / sizeof(roma__note) };

static size_t bucket_of(const void *address, size_t capacity)
{
    uint64_t region = (uint64_t)(uintptr_t)address >> REGION_SHIFT;
    return (size_t)(region * 0x9E3779B97F4A7C15u >> 24) & (capacity - 1); /* Fibonacci hashing */
}

void roma__notes_open(roma__notes *notes)
{
    memset(notes, 0, sizeof *notes);
    pthread_mutex_init(&notes->lock, NULL);
}

void roma__notes_close(roma__notes *notes)
{
    while (notes->chunks != NULL) {
        struct roma__notes_chunk *next = notes->chunks->next;
        roma__record_free(notes->chunks, CHUNK_BYTES);
        notes->chunks = next;
    }
    roma__record_free(notes->buckets, notes->capacity * sizeof *notes->buckets);
    pthread_mutex_destroy(&notes->lock);
}

size_t roma__notes_bytes(roma__notes *notes)
{
    pthread_mutex_lock(&notes->lock);
    size_t bytes = notes->capacity * sizeof *notes->buckets + notes->chunks_count * CHUNK_BYTES;
    pthread_mutex_unlock(&notes->lock);
    return bytes;
}

/* ---- under the lock -------------------------------------------------------------------------- */

static roma__note **link_to(roma__notes *notes, const void *address)
{
    static roma__note *none;
    if (notes->capacity == 0)
        return &none;
    roma__note **link = &notes->buckets[bucket_of(address, notes->capacity)];
    while (*link != NULL && (*link)->address != address)
        link = &(*link)->next;
    return link;
}

static void push_spare(roma__notes *notes, roma__note *note)
{
    note->address = NULL;
    note->next = notes->spare;
    notes->spare = note;
}

static void remove_at(roma__notes *notes, roma__note **link)
{
    roma__note *note = *link;
    *link = note->next;
    notes->count--;
    push_spare(notes, note);
}

/* Twice the buckets. Without memory the chains grow longer, once there are buckets at all. */
static bool grow(roma__notes *notes)
{
    size_t capacity = notes->capacity == 0 ? FIRST_CAPACITY : 2 * notes->capacity;
    roma__note **buckets = roma__record_new(capacity * sizeof *buckets);
    if (buckets == NULL)
        return notes->capacity > 0;
    for (size_t i = 0; i < notes->capacity; i++) {
        for (roma__note *note = notes->buckets[i], *next; note != NULL; note = next) {
            next = note->next;
            roma__note **head = &buckets[bucket_of(note->address, capacity)];
            note->next = *head;
            *head = note;
        }
    }
    roma__record_free(notes->buckets, notes->capacity * sizeof *buckets);
    notes->buckets = buckets;
    notes->capacity = capacity;
    return true;
}

static bool add_chunk(roma__notes *notes)
{
    struct roma__notes_chunk *chunk = roma__record_new(CHUNK_BYTES);
    if (chunk == NULL)
        return false;
    chunk->next = notes->chunks;
    notes->chunks = chunk;
    notes->chunks_count++;
    for (size_t i = CHUNK_NOTES; i > 0; i--)
        push_spare(notes, &chunk->notes[i - 1]);
    return true;
}

static void insert(roma__notes *notes, roma__note *note)
{
    roma__note **head = &notes->buckets[bucket_of(note->address, notes->capacity)];
    note->next = *head;
    *head = note;
    notes->count++;
}

static void filter_bucket(roma__notes *notes, size_t bucket,
                          bool (*keep)(void *context, const roma__note *note), void *context)
{
    roma__note **link = &notes->buckets[bucket];
    while (*link != NULL) {
        if (keep(context, *link))
            link = &(*link)->next;
        else
            remove_at(notes, link);
    }
}

struct range {
    uintptr_t start, bytes;
};

static bool is_live_or_outside(void *context, const roma__note *note)
{
    const struct range *range = context;
    return note->is_live || (uintptr_t)note->address - range->start >= range->bytes;
}

static void forget_range(roma__notes *notes, const void *address, size_t bytes)
{
    struct range range = {(uintptr_t)address, bytes};
    uintptr_t first = range.start >> REGION_SHIFT;
    uintptr_t last = (range.start + bytes - 1) >> REGION_SHIFT;
    if (notes->count == 0 || bytes == 0)
        return;
    if (last - first >= notes->capacity) {
        for (size_t i = 0; i < notes->capacity; i++)
            filter_bucket(notes, i, is_live_or_outside, &range);
        return;
    }
    for (uintptr_t region = first; region <= last; region++) {
        const void *in_region = (const void *)(region << REGION_SHIFT);
        filter_bucket(notes, bucket_of(in_region, notes->capacity), is_live_or_outside, &range);
    }
}

/* ---- the calls ------------------------------------------------------------------------------- */

static bool drop_all(void *context, const roma__note *note)
{
    (void)context;
    (void)note;
    return false;
}

void roma__notes_clear(roma__notes *notes)
{
    roma__notes_filter(notes, drop_all, NULL);
}

roma__note *roma__note_new(roma__notes *notes)
{
    pthread_mutex_lock(&notes->lock);
    roma__note *note = NULL;
    bool has_room = notes->count < 2 * notes->capacity || grow(notes);
    if (has_room && (notes->spare != NULL || add_chunk(notes))) {
        note = notes->spare;
        notes->spare = note->next;
    }
    pthread_mutex_unlock(&notes->lock);
    if (note != NULL)
        memset(note, 0, sizeof *note);
    return note;
}

void roma__note_free(roma__notes *notes, roma__note *note)
{
    pthread_mutex_lock(&notes->lock);
    push_spare(notes, note);
    pthread_mutex_unlock(&notes->lock);
}

void roma__note_put(roma__notes *notes, roma__note *note, const roma__cell *cell,
                    roma__note *former)
{
    note->address = cell->address;
    note->is_live = true;
    former->address = NULL;
    pthread_mutex_lock(&notes->lock);
    roma__note **link = link_to(notes, cell->address);
    if (*link != NULL) {
        *former = **link;
        remove_at(notes, link);
    }
    if (cell->usable > ROMA__CLASS_MAX_BYTES)
        forget_range(notes, cell->address, cell->usable);
    insert(notes, note);
    pthread_mutex_unlock(&notes->lock);
}

void roma__note_end(roma__notes *notes, const roma__cell *cell, const roma__site *site,
                    size_t filled_bytes)
{
    pthread_mutex_lock(&notes->lock);
    roma__note *note = *link_to(notes, cell->address);
    if (note != NULL) {
        note->is_live = false;
        note->released = *site;
        note->slab = cell->slab;
        note->usable = cell->usable;
        note->filled_bytes = filled_bytes;
        /* The drop has moved it on; the next life starts with it. */
        note->generation = roma__word_generation(roma__word_make(cell->generation + 1, 0));
    }
    pthread_mutex_unlock(&notes->lock);
}

void roma__note_forget(roma__notes *notes, const void *address)
{
    pthread_mutex_lock(&notes->lock);
    roma__note **link = link_to(notes, address);
    if (*link != NULL)
        remove_at(notes, link);
    pthread_mutex_unlock(&notes->lock);
}

void roma__note_move(roma__notes *notes, const void *from, void *to)
{
    pthread_mutex_lock(&notes->lock);
    roma__note **stale = link_to(notes, to);
    if (*stale != NULL)
        remove_at(notes, stale);
    roma__note **link = link_to(notes, from);
    roma__note *note = *link;
    if (note != NULL) {
        *link = note->next;
        notes->count--;
        note->address = to;
        insert(notes, note);
    }
    pthread_mutex_unlock(&notes->lock);
}

void roma__note_retained(roma__notes *notes, const void *address, const roma__site *site)
{
    pthread_mutex_lock(&notes->lock);
    roma__note *note = *link_to(notes, address);
    if (note != NULL)
        note->retained = *site;
    pthread_mutex_unlock(&notes->lock);
}

void roma__note_released(roma__notes *notes, const void *address, const roma__site *site)
{
    pthread_mutex_lock(&notes->lock);
    roma__note *note = *link_to(notes, address);
    if (note != NULL)
        note->released = *site;
    pthread_mutex_unlock(&notes->lock);
}

bool roma__note_read(roma__notes *notes, const void *address, roma__note *copy)
{
    pthread_mutex_lock(&notes->lock);
    const roma__note *note = *link_to(notes, address);
    if (note != NULL)
        *copy = *note;
    pthread_mutex_unlock(&notes->lock);
    return note != NULL;
}

const char *roma__note_label(roma__notes *notes, const void *address)
{
    pthread_mutex_lock(&notes->lock);
    const roma__note *note = *link_to(notes, address);
    pthread_mutex_unlock(&notes->lock);
    return note == NULL ? "" : note->label;
}

void roma__notes_forget_range(roma__notes *notes, const void *address, size_t bytes)
{
    pthread_mutex_lock(&notes->lock);
    forget_range(notes, address, bytes);
    pthread_mutex_unlock(&notes->lock);
}

void roma__notes_filter(roma__notes *notes, bool (*keep)(void *context, const roma__note *note),
                        void *context)
{
    pthread_mutex_lock(&notes->lock);
    for (size_t i = 0; i < notes->capacity; i++)
        filter_bucket(notes, i, keep, context);
    pthread_mutex_unlock(&notes->lock);
}

void roma__notes_fork_hold(roma__notes *notes)
{
    pthread_mutex_lock(&notes->lock);
}

void roma__notes_fork_free(roma__notes *notes)
{
    pthread_mutex_unlock(&notes->lock);
}
