/* remote.c - batches and inboxes; see remote.h.
 *
 * Batches come from the descriptors' memory and go to a process-wide list of spare ones under a
 * lock: once for 64 cells. Where no batch can be had the receiver is claimed and given the cell
 * directly; where even that cannot be done (no memory and no membarrier) the cell is lost, and is
 * found again when its heap is cleared. */
#include "heap/remote.h"

#include "heap/cache.h"
#include "heap/claim.h"
#include "heap/internal.h"
#include "heap/metadata.h"

#include <string.h>

/* ---- batches -------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct roma__batch *spare;
} batches = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct roma__batch *batch_new(void)
{
    pthread_mutex_lock(&batches.lock);
    struct roma__batch *batch = batches.spare;
    if (batch != NULL)
        batches.spare = batch->next;
    pthread_mutex_unlock(&batches.lock);
    if (batch == NULL)
        batch = roma__metadata_take(sizeof *batch);
    if (batch != NULL)
        batch->count = 0;
    return batch;
}

void roma__batch_free(struct roma__batch *batch)
{
    pthread_mutex_lock(&batches.lock);
    batch->next = batches.spare;
    batches.spare = batch;
    pthread_mutex_unlock(&batches.lock);
}

void roma__remote_fork_hold(void)
{
    pthread_mutex_lock(&batches.lock);
}

void roma__remote_fork_free(void)
{
    pthread_mutex_unlock(&batches.lock);
}

/* ---- inboxes -------------------------------------------------------------------------------- */

/* Returns how many batches are in the inbox now. */
static uint32_t push(struct roma__inbox *inbox, struct roma__batch *batch)
{
    struct roma__batch *head = roma__load_acquire(&inbox->head);
    uint32_t depth;
    do {
        /* The old head may be another's by now: then this number is wrong, and nothing else. */
        depth = head == NULL ? 1 : roma__load(&head->depth) + 1;
        batch->next = head;
        roma__store(&batch->depth, depth);
    } while (!roma__compare_exchange(&inbox->head, &head, batch));
    return depth;
}

struct roma__batch *roma__inbox_take(struct roma__inbox *inbox)
{
    if (roma__load(&inbox->head) == NULL)
        return NULL;
    return roma__exchange(&inbox->head, NULL);
}

/* Empty the inbox of a thread that does not do it itself. We hold our own cache's lock, so the
 * other's may only be tried. */
static void drain_for(struct roma__cache *other)
{
    if (pthread_mutex_trylock(&other->lock) != 0)
        return; /* its thread, or somebody for it, is at it */
    if (roma__load_acquire(&other->serial) != 0 && roma__claim(other)) {
        roma__cache_drain(other);
        roma__remote_flush(other);
    }
    pthread_mutex_unlock(&other->lock);
}

static void post(struct roma__cache *to, struct roma__batch *batch)
{
    if (push(&to->inbox, batch) % ROMA__INBOX_LONG == 0)
        drain_for(to);
}

/* ---- sending -------------------------------------------------------------------------------- */

struct roma__outgoing *roma__outgoing_of(struct roma__cache *from)
{
    return roma__load(&from->handle.closed) != 0 ? &from->errand : &from->outgoing;
}

static void put(struct roma__batch *batch, struct roma__slab *slab, unsigned class_index,
                uint32_t index, uint32_t word)
{
    roma__batch_put(batch, roma__slab_address(slab, index), class_index, word,
                    roma__load(&slab->head.states) != NULL);
}

/* No batch: hand the cell over by one on the stack, with the receiver's cache in our hands. */
static void hand_over(uint64_t serial, struct roma__cache *to, struct roma__slab *slab,
                      unsigned class_index, uint32_t index, uint32_t word)
{
    if (pthread_mutex_trylock(&to->lock) != 0)
        return;
    if (roma__load_acquire(&to->serial) == serial && roma__claim(to)) {
        struct roma__batch one = {.count = 0, .serial = serial};
        put(&one, slab, class_index, index, word);
        roma__cache_receive(to, &one);
        roma__remote_flush(to);
    }
    pthread_mutex_unlock(&to->lock);
}

/* An open batch for the receiver, with room; NULL: no memory. */
static struct roma__batch *open_batch(struct roma__outgoing *outgoing, struct roma__cache *to,
                                      uint64_t serial)
{
    unsigned slot = roma__outgoing_slot(to);
    struct roma__batch **batch = &outgoing->slots[slot].batch;
    struct roma__cache *before = outgoing->slots[slot].to;
    if (*batch != NULL && (before != to || (*batch)->count == ROMA__BATCH_CELLS)) {
        struct roma__batch *full = *batch;
        *batch = NULL;
        post(before, full);
    }
    outgoing->slots[slot].to = to;
    if (*batch == NULL && (*batch = batch_new()) != NULL)
        (*batch)->serial = serial;
    return *batch;
}

int roma__remote_send(struct roma__cache *from, struct roma__slab *slab, uint32_t index,
                      uint32_t word)
{
    struct roma__cache *to = roma__load(&slab->keeper);
    unsigned class_index = roma__load(&slab->head.class_index);
    if (to == NULL || roma__load(&slab->head.heap) != from->heap ||
        class_index >= ROMA__CLASS_COUNT)
        return -1;
    uint64_t serial = from->heap->serial;
    struct roma__batch *batch = open_batch(roma__outgoing_of(from), to, serial);
    if (batch != NULL)
        put(batch, slab, class_index, index, word);
    else
        hand_over(serial, to, slab, class_index, index, word);
    return (int)class_index;
}

static void flush(struct roma__outgoing *outgoing)
{
    for (unsigned i = 0; i < ROMA__OUTGOING_SLOTS; i++) {
        struct roma__batch *batch = outgoing->slots[i].batch;
        outgoing->slots[i].batch = NULL;
        if (batch != NULL && batch->count > 0)
            post(outgoing->slots[i].to, batch);
        else if (batch != NULL)
            roma__batch_free(batch);
    }
}

void roma__remote_flush(struct roma__cache *from)
{
    flush(&from->errand);
    if (roma__load(&from->handle.closed) == 0)
        flush(&from->outgoing);
}

/* Cells `first` to `end` of one batch to the start of another, or of itself. */
static void copy_cells(struct roma__batch *to, const struct roma__batch *from, uint32_t first,
                       uint32_t end)
{
    uint32_t count = end - first;
    memmove(to->cells, from->cells + first, count * sizeof to->cells[0]);
    memmove(to->words, from->words + first, count * sizeof to->words[0]);
    roma__store(&to->count, count);
}

void roma__remote_copy_open(struct roma__cache *from)
{
    for (unsigned i = 0; i < ROMA__OUTGOING_SLOTS; i++) {
        struct roma__batch *batch = from->outgoing.slots[i].batch;
        uint32_t count = batch == NULL ? 0 : roma__load_acquire(&batch->count);
        uint32_t copied = from->outgoing.slots[i].copied;
        struct roma__batch *copy = batch == NULL || count == copied ? NULL : batch_new();
        if (copy == NULL)
            continue;
        copy->serial = batch->serial;
        copy_cells(copy, batch, copied, count);
        from->outgoing.slots[i].copied = count;
        post(from->outgoing.slots[i].to, copy);
    }
}

void roma__remote_settle_open(struct roma__cache *from)
{
    for (unsigned i = 0; i < ROMA__OUTGOING_SLOTS; i++) {
        struct roma__batch *batch = from->outgoing.slots[i].batch;
        if (batch != NULL)
            copy_cells(batch, batch, from->outgoing.slots[i].copied, batch->count);
        from->outgoing.slots[i].copied = 0;
    }
}

static void forget(struct roma__outgoing *outgoing)
{
    for (unsigned i = 0; i < ROMA__OUTGOING_SLOTS; i++) {
        if (outgoing->slots[i].batch != NULL)
            roma__batch_free(outgoing->slots[i].batch);
        outgoing->slots[i].batch = NULL;
    }
}

void roma__remote_forget(struct roma__cache *cache)
{
    forget(&cache->outgoing);
    forget(&cache->errand);
    struct roma__batch *batch = roma__inbox_take(&cache->inbox);
    while (batch != NULL) {
        struct roma__batch *next = batch->next;
        roma__batch_free(batch);
        batch = next;
    }
}
