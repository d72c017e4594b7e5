/* remote.h - cells on their way from the thread that freed them to the cache whose slab they are
 * of.
 *
 * A batch is 64 cells for one receiver. The sender gathers: it has a few open batches, one a
 * receiver, found by hashing. One that is full, and on the sender's slow paths every one, is pushed
 * onto the receiver's inbox: one compare-and-swap for up to 64 cells. The receiver takes the whole
 * inbox by one exchange, on its own slow path. Cells need no list through their memory, and
 * sender and receiver never wait for each other.
 *
 * Orders. What the sender wrote into the batch and, before that, into the cell comes before the
 * push (release); the receiver's exchange acquires. Pushing reads the old head only to write it
 * into the new batch: it does not matter whether that batch is still the one that it was (no ABA),
 * for whatever it is when the swap succeeds is the head, and the receiver takes all or nothing.
 *
 * What is in a batch. The address and class, and where words are OWNED the word that the sender
 * saw: the life that it ended. The receiver ends that life, or finds that it ended before: then
 * there were two last releases, and the second is reported. No more than that, because a batch is
 * what travels between two processors' caches, and that is most of what a release by another thread
 * costs: 8 bytes a cell, and 4 for the word.
 *
 * A receiver that is another's. Caches are used again. A cell whose release was sent twice may have
 * seen its heap or its owner go in between, and the second batch then comes to a cache of another
 * heap: the serial of the heap tells, and its cells are left where they are.
 *
 * An owner that does not look. A thread that sleeps, or only computes, leaves its inbox alone. What
 * is in there cannot grow beyond what the thread once allocated. A sender that finds more than 32
 * batches there claims the receiver's cache (claim.h) and empties the inbox for it. */
#ifndef ROMA_HEAP_REMOTE_H
#define ROMA_HEAP_REMOTE_H

#include <roma/cache.h>

struct roma__cache;
struct roma__slab;

enum { ROMA__BATCH_CELLS = 64, ROMA__OUTGOING_SLOTS = 16, ROMA__INBOX_LONG = 32 };

struct roma__batch {
    struct roma__batch *next; /* older, in an inbox or among the spare ones   */
    uint32_t count, depth;    /* depth: batches in the inbox with this one    */
    uint64_t serial;          /* of the heap that the cells are of            */
    uint64_t cells[ROMA__BATCH_CELLS]; /* address | class << 56                */
    uint32_t words[ROMA__BATCH_CELLS]; /* 0: a free cell; unset without words  */
};

/* Open batches: a table indexed by a hash of the receiver. */
struct roma__outgoing {
    struct {
        struct roma__cache *to;
        struct roma__batch *batch;
        uint32_t copied; /* cells that a claimer has sent on, of a closed cache */
    } slots[ROMA__OUTGOING_SLOTS];
};

struct roma__inbox {
    struct roma__batch *head; /* newest; NULL: empty */
};

/* ---- a cell into a batch --------------------------------------------------------------------- */

static inline unsigned roma__outgoing_slot(const struct roma__cache *to)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)to >> 6) * 0x9E3779B97F4A7C15u; /* Fibonacci hashing */
    return (unsigned)(mixed >> 60);
}

static inline void roma__batch_put(struct roma__batch *batch, void *cell, unsigned class_index,
                                   uint32_t word, bool has_words)
{
    uint32_t i = batch->count;
    batch->cells[i] = (uint64_t)(uintptr_t)cell | (uint64_t)class_index << 56;
    if (has_words)
        batch->words[i] = word;
    /* What a claimer sees of an open batch it may copy: see claim.h, whose c this pairs with. The
     * owner need not look whether it was claimed: the cell is in its batch all the same. */
    __atomic_store_n(&batch->count, i + 1, __ATOMIC_RELEASE);
}

/* The same where the receiver's batch is open and has room. Returns whether. */
static inline bool roma__outgoing_put(struct roma__outgoing *outgoing, struct roma__cache *to,
                                      void *cell, unsigned class_index, uint32_t word,
                                      bool has_words)
{
    unsigned slot = roma__outgoing_slot(to);
    struct roma__batch *batch = outgoing->slots[slot].batch;
    if (outgoing->slots[slot].to != to || batch == NULL || batch->count == ROMA__BATCH_CELLS)
        return false;
    roma__batch_put(batch, cell, class_index, word, has_words);
    return true;
}

/* ---- the sender, under its cache's lock ------------------------------------------------------ */

/* Send a cell to the cache that keeps its slab: with the word of the life that it is the last
 * reference of, where words are OWNED; of a free cell 0. Returns its class; -1: the slab went after
 * the caller had looked, or something else stands there now, so that the cell was freed before: the
 * caller has to tell of it, and nothing was sent. */
int roma__remote_send(struct roma__cache *from, struct roma__slab *slab, uint32_t index,
                      uint32_t word);

/* The open batches for whoever holds the lock: who has claimed the cache leaves its thread's
 * alone. */
struct roma__outgoing *roma__outgoing_of(struct roma__cache *from);

/* Push all open batches; of a cache that is claimed, those of the errand. */
void roma__remote_flush(struct roma__cache *from);

/* A claimer sends copies of the open batches of the cache's thread, as far as it sees them; and
 * that thread takes off, later, what was sent. */
void roma__remote_copy_open(struct roma__cache *from);
void roma__remote_settle_open(struct roma__cache *from);

/* Forget what is on its way, in and out: the heap is cleared, nobody else uses it. */
void roma__remote_forget(struct roma__cache *cache);

/* ---- the receiver, under its cache's lock ---------------------------------------------------- */

/* All batches, newest first; each goes back by roma__batch_free(). */
struct roma__batch *roma__inbox_take(struct roma__inbox *inbox);

static inline void *roma__batch_address(const struct roma__batch *batch, uint32_t i)
{
    return (void *)(uintptr_t)(batch->cells[i] & (((uint64_t)1 << 56) - 1));
}

static inline unsigned roma__batch_class(const struct roma__batch *batch, uint32_t i)
{
    return (unsigned)(batch->cells[i] >> 56);
}

void roma__batch_free(struct roma__batch *batch);

void roma__remote_fork_hold(void);
void roma__remote_fork_free(void);

#endif
