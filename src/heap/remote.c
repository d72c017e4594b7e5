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
    do {
        batch->next = head;
        /* The old head may be another's by now: then this number is wrong, and nothing else. */
        batch->depth = head == NULL ? 1 : roma__load(&head->depth) + 1;
    } while (!roma__compare_exchange(&inbox->head, &head, batch));
    return batch->depth;
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
    if (roma__claim(other)) {
        roma__cache_drain(other);
        roma__claim_end(other);
    }
    pthread_mutex_unlock(&other->lock);
}

static void post(struct roma__cache *to, struct roma__batch *batch)
{
    if (push(&to->inbox, batch) % ROMA__INBOX_LONG == 0)
        drain_for(to);
}

/* ---- sending -------------------------------------------------------------------------------- */

static unsigned slot_of(const struct roma__cache *to)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)to >> 6) * 0x9E3779B97F4A7C15u; /* Fibonacci hashing */
    return (unsigned)(mixed >> 60);
}

static void put(struct roma__batch *batch, struct roma__slab *slab, uint32_t index, uint32_t word)
{
    uint32_t i = batch->count;
    uint64_t class_index = roma__load(&slab->head.class_index);
    batch->cells[i] = (uint64_t)(uintptr_t)roma__slab_address(slab, index) | class_index << 56;
    batch->states[i] = roma__slab_state(slab, index);
    batch->words[i] = word;
    roma__store(&batch->count, i + 1);
}

bool roma__remote_send_fast(struct roma__cache *from, struct roma__slab *slab, uint32_t index,
                            uint32_t word)
{
    struct roma__cache *to = roma__load(&slab->keeper);
    unsigned slot = slot_of(to);
    bool is_sent = false;
    if (roma__cache_enter(&from->handle) == from->magazines) {
        struct roma__batch *batch = from->outgoing.slots[slot].batch;
        is_sent = from->outgoing.slots[slot].to == to && batch != NULL &&
                  batch->count < ROMA__BATCH_CELLS;
        if (is_sent)
            put(batch, slab, index, word);
    }
    roma__cache_leave(&from->handle);
    return is_sent;
}

/* No batch: hand the cell over by one on the stack, with the receiver's cache in our hands. */
static void hand_over(struct roma__cache *to, struct roma__slab *slab, uint32_t index,
                      uint32_t word)
{
    if (pthread_mutex_trylock(&to->lock) != 0)
        return;
    if (roma__claim(to)) {
        struct roma__batch one = {.count = 0};
        put(&one, slab, index, word);
        roma__cache_receive(to, &one);
        roma__claim_end(to);
    }
    pthread_mutex_unlock(&to->lock);
}

void roma__remote_send(struct roma__cache *from, struct roma__slab *slab, uint32_t index,
                       uint32_t word)
{
    struct roma__cache *to = roma__load(&slab->keeper);
    unsigned slot = slot_of(to);
    struct roma__batch **batch = &from->outgoing.slots[slot].batch;
    struct roma__cache *before = from->outgoing.slots[slot].to;
    if (*batch != NULL && (before != to || (*batch)->count == ROMA__BATCH_CELLS)) {
        struct roma__batch *full = *batch;
        *batch = NULL;
        post(before, full);
    }
    from->outgoing.slots[slot].to = to;
    if (*batch == NULL)
        *batch = batch_new();
    if (*batch != NULL)
        put(*batch, slab, index, word);
    else
        hand_over(to, slab, index, word);
}

void roma__remote_flush(struct roma__cache *from)
{
    for (unsigned i = 0; i < ROMA__OUTGOING_SLOTS; i++) {
        struct roma__batch *batch = from->outgoing.slots[i].batch;
        from->outgoing.slots[i].batch = NULL;
        if (batch != NULL && batch->count > 0)
            post(from->outgoing.slots[i].to, batch);
        else if (batch != NULL)
            roma__batch_free(batch);
    }
}

void roma__remote_forget(struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__OUTGOING_SLOTS; i++) {
        if (cache->outgoing.slots[i].batch != NULL)
            roma__batch_free(cache->outgoing.slots[i].batch);
        cache->outgoing.slots[i].batch = NULL;
    }
    struct roma__batch *batch = roma__inbox_take(&cache->inbox);
    while (batch != NULL) {
        struct roma__batch *next = batch->next;
        roma__batch_free(batch);
        batch = next;
    }
}
