/* cache.c - filling and emptying magazines; see cache.h. */
#include "heap/cache.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/claim.h"
#include "heap/internal.h"
#include "sys/records.h"

#include <errno.h>
#include <string.h>

enum { MOST_CELLS = 1024, LEAST_CELLS = 2, FIRST_LIMIT = 16 };
enum { MAGAZINE_BYTES = 256 << 10, MAGAZINE_BOUNDED_BYTES = 32 << 10 };

/* ---- magazines that are always empty and full ------------------------------------------------ */

/* One NULL under the top, and no room above. */
static void *no_items[1];
#define NEITHER                                                                                    \
    {                                                                                              \
        &no_items[1], &no_items[1], 0, 0                                                           \
    }
#define NEITHER_4 NEITHER, NEITHER, NEITHER, NEITHER
#define NEITHER_ALL                                                                                \
    NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4,        \
        NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4, NEITHER_4

roma_cache roma__cache_closed = {.magazines = {NEITHER_ALL}};
_Static_assert(ROMA__CLASS_COUNT == 4 * 13, "each class has a magazine");

/* ---- making ---------------------------------------------------------------------------------- */

uint32_t roma__magazine_most(const roma__heap *heap, unsigned class_index)
{
    uint32_t bytes = heap->bounded ? MAGAZINE_BOUNDED_BYTES : MAGAZINE_BYTES;
    uint32_t cells = bytes / roma__class_bytes(class_index);
    return cells < LEAST_CELLS ? LEAST_CELLS : cells > MOST_CELLS ? MOST_CELLS : cells;
}

void roma__cache_make(struct roma__cache *cache)
{
    pthread_mutex_init(&cache->lock, NULL);
    cache->handle = roma__cache_closed;
}

static size_t storage_bytes(const roma__heap *heap)
{
    size_t entries = heap->words == ROMA__WORDS_NONE ? ROMA__MAGAZINE_STRIDE
                                                     : 2 * (size_t)ROMA__MAGAZINE_STRIDE;
    return entries * sizeof(void *);
}

/* Lay the magazines out in the storage, each with a NULL at its bottom. */
static void lay_out(struct roma__cache *cache)
{
    void **next = cache->storage;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        uint32_t most = roma__magazine_most(cache->heap, i);
        struct roma__magazine *magazine = &cache->handle.magazines[i];
        roma__store(&cache->bottoms[i], next + 1);
        roma__store(&magazine->top, next + 1);
        magazine->limit = magazine->top + roma__min(most, FIRST_LIMIT);
        next += most + 1;
    }
    roma_check(next <= cache->storage + ROMA__MAGAZINE_STRIDE);
}

const void *roma__cache_key_of(const struct roma__cache *cache)
{
    switch (cache->heap->words) {
    case ROMA__WORDS_NONE: return cache->heap;
    case ROMA__WORDS_OWNED: return cache;
    default: return NULL;
    }
}

uint64_t roma__magazine_count(const struct roma__cache *cache, unsigned class_index)
{
    if (roma__load(&cache->storage) == NULL)
        return 0;
    void **top = roma__load(&cache->handle.magazines[class_index].top);
    bool is_claimed = roma__load(&cache->handle.closed) != 0;
    void **bottom = roma__load(is_claimed ? &cache->seen[class_index]
                                          : &cache->bottoms[class_index]);
    return top > bottom ? (uint64_t)(top - bottom) : 0;
}

int roma__cache_reopen(struct roma__cache *cache)
{
    if (cache->is_closed)
        return 0;
    void **storage = roma__record_new(storage_bytes(cache->heap));
    if (storage == NULL)
        return -ENOMEM;
    cache->storage = storage;
    lay_out(cache);
    return 0;
}

int roma__cache_open(struct roma__cache *cache, roma__heap *heap, enum roma__cache_state state)
{
    cache->heap = heap;
    cache->state = state;
    cache->is_closed = heap->is_closed || state == ROMA__CACHE_COMMON;
    cache->has_lost_slabs = false;
    memset(cache->published_bytes, 0, sizeof cache->published_bytes);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        roma__store(&cache->bottoms[i], &no_items[1]);
    cache->visited_ns = roma__heap_now_ns();
    memset(cache->sent_cells, 0, sizeof cache->sent_cells);
    cache->sent_bytes = cache->received_bytes = 0;
    roma__remote_forget(cache); /* what late senders left in the inbox of its former life */
    memset(&cache->outgoing, 0, sizeof cache->outgoing);
    memset(&cache->errand, 0, sizeof cache->errand);
    cache->handle = roma__cache_closed;
    cache->handle.words = heap->words;
    cache->handle.key = heap->words == ROMA__WORDS_NONE ? (const void *)heap : cache;
    cache->handle.heap = heap;
    cache->handle.map = roma__map_public();
    int code = roma__cache_reopen(cache);
    /* Last, and release: who knows the cache from its former life compares, without a lock of ours,
     * and finds it the heap's only when it is whole. */
    if (code == 0)
        roma__store_release(&cache->serial, heap->serial);
    return code;
}

void roma__cache_shut(struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        roma__store(&cache->handle.magazines[i].top, &no_items[1]);
        roma__store(&cache->bottoms[i], &no_items[1]);
        cache->handle.magazines[i].limit = &no_items[1];
    }
    if (cache->storage != NULL)
        roma__record_free(cache->storage, storage_bytes(cache->heap));
    cache->storage = NULL;
}

/* ---- figures --------------------------------------------------------------------------------- */

static uint64_t live_bytes(const struct roma__cache *cache, unsigned class_index)
{
    return (roma__load(&cache->handle.magazines[class_index].moved) -
            roma__load(&cache->sent_cells[class_index]) -
            roma__magazine_count(cache, class_index)) *
           roma__class_bytes(class_index);
}

void roma__cache_publish(struct roma__cache *cache, unsigned class_index)
{
    uint64_t now = live_bytes(cache, class_index);
    roma__heap_publish(cache->heap, now - cache->published_bytes[class_index]);
    cache->published_bytes[class_index] = now;
}

void roma__cache_late_misuse(struct roma__cache *cache, unsigned class_index, void *address)
{
    (void)roma__add(&cache->heap->late_given[class_index], 1);
    roma__heap_late_misuse(cache->heap, address);
}

/* ---- cells that come in ---------------------------------------------------------------------- */

/* Put a free cell on the magazine if there is room, and it is not claimed. */
static bool stack(struct roma__cache *cache, unsigned class_index, void *address,
                  struct roma__state *state)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    if (roma__load(&cache->handle.closed) != 0 || magazine->top == magazine->limit)
        return false;
    if (cache->heap->words != ROMA__WORDS_NONE)
        magazine->top[ROMA__MAGAZINE_STRIDE] = state;
    *magazine->top = address;
    roma__store(&magazine->top, magazine->top + 1);
    return true;
}

void roma__cache_give_home(struct roma__cache *cache, struct roma__slab *slab, uint32_t index)
{
    if (roma__load(&slab->keeper) == cache)
        roma__bin_give(cache, slab, index);
    else if (roma__remote_send(cache, slab, index, 0) < 0)
        roma__heap_late_misuse(cache->heap, roma__slab_address(slab, index));
}

/* The slab and index of a cell that is in a magazine or batch of this heap. NULL, and a report,
 * where no cell of that class starts there: somebody freed what was none. */
static inline struct roma__slab *look_up(struct roma__cache *cache, unsigned class_index,
                                         void *address, uint32_t *index)
{
    struct roma__slab_head *slab = roma__slab_at(roma__map_public(), address);
    if (slab != NULL && roma__load(&slab->heap) == cache->heap &&
        roma__load(&slab->class_index) == class_index) {
        uint64_t at = roma__slab_index_at(slab, address);
        *index = (uint32_t)at;
        if (roma__slab_has_index(slab, at))
            return (struct roma__slab *)slab;
    }
    roma__cache_late_misuse(cache, class_index, address);
    return NULL;
}

/* Give `count` cells of a magazine home: a bit of a slab of our own, a store into an open batch for
 * another cache, or else the long way. */
static void give_home_all(struct roma__cache *cache, unsigned class_index, void **cells,
                          size_t count)
{
    struct roma__outgoing *outgoing = roma__outgoing_of(cache);
    bool has_words = cache->heap->words != ROMA__WORDS_NONE;
    size_t moved = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t index;
        struct roma__slab *slab = look_up(cache, class_index, cells[i], &index);
        if (slab == NULL)
            continue;
        moved++;
        struct roma__cache *keeper = roma__load(&slab->keeper);
        if (keeper == cache)
            roma__bin_give(cache, slab, index);
        else if (!roma__outgoing_put(outgoing, keeper, cells[i], class_index, 0, has_words))
            roma__cache_give_home(cache, slab, index);
    }
    roma__figure_add(&cache->handle.magazines[class_index].moved, 0 - (uint64_t)moved);
}

void roma__cache_take_away(struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        void **bottom = cache->bottoms[i];
        give_home_all(cache, i, bottom, (size_t)(cache->seen[i] - bottom));
    }
}

/* Give the oldest `count` cells of a magazine home. */
static void flush_oldest(struct roma__cache *cache, unsigned class_index, size_t count)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    void **bottom = cache->bottoms[class_index];
    bool has_words = cache->heap->words != ROMA__WORDS_NONE;
    give_home_all(cache, class_index, bottom, count);
    size_t left = (size_t)(magazine->top - bottom) - count;
    memmove(bottom, bottom + count, left * sizeof *bottom);
    if (has_words)
        memmove(bottom + ROMA__MAGAZINE_STRIDE, bottom + count + ROMA__MAGAZINE_STRIDE,
                left * sizeof *bottom);
    roma__store(&magazine->top, bottom + left);
}

/* Let the magazine hold more from now on. Returns whether it may. */
static bool widen(struct roma__cache *cache, unsigned class_index)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    size_t most = roma__magazine_most(cache->heap, class_index);
    void **bottom = cache->bottoms[class_index];
    size_t limit = (size_t)(magazine->limit - bottom);
    magazine->limit = bottom + roma__min(2 * limit, most);
    return limit < most;
}

static void make_room(struct roma__cache *cache, unsigned class_index)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    if (!widen(cache, class_index)) {
        size_t cells = (size_t)(magazine->top - cache->bottoms[class_index]);
        flush_oldest(cache, class_index, (cells + 1) / 2);
    }
    roma__cache_publish(cache, class_index);
    roma__cache_tick(cache);
}

/* May cells of this slab stand in this cache's magazines? Where words are OWNED, only the owner's:
 * a block belongs to the thread that it came from, whose last release is applied at once. */
static bool may_hand_out(const struct roma__cache *cache, const struct roma__slab *slab)
{
    return cache->heap->words != ROMA__WORDS_OWNED || roma__load(&slab->keeper) == cache;
}

void roma__cache_push(struct roma__cache *cache, struct roma__slab *slab, uint32_t index)
{
    unsigned class_index = roma__load(&slab->head.class_index);
    void *address = roma__slab_address(slab, index);
    bool is_ours = may_hand_out(cache, slab);
    if (is_ours && cache->storage != NULL &&
        cache->handle.magazines[class_index].top == cache->handle.magazines[class_index].limit)
        make_room(cache, class_index);
    if (is_ours && stack(cache, class_index, address, roma__slab_state(slab, index)))
        return;
    roma__figure_add(&cache->handle.magazines[class_index].moved, UINT64_MAX);
    roma__cache_give_home(cache, slab, index);
}

/* ---- the inbox ------------------------------------------------------------------------------- */

/* The release that another thread sent: end the life that it saw. Returns whether that was so. */
static bool end_life(struct roma__slab *slab, struct roma__state *state, uint32_t word)
{
    uint32_t now = roma__load_acquire(&state->word);
    if (now != word || roma__word_count(now) != 1)
        return false;
    uint32_t next = roma__word_make(roma__word_generation(now) + 1, 0);
    if (roma__word_generation(next) == 0)
        roma__store(&slab->turned, true);
    roma__store_release(&state->word, next);
    return true;
}

static void receive_one(struct roma__cache *cache, const struct roma__batch *batch, uint32_t i)
{
    void *address = roma__batch_address(batch, i);
    unsigned class_index = roma__batch_class(batch, i);
    uint32_t index;
    struct roma__slab *slab = look_up(cache, class_index, address, &index);
    if (slab == NULL) {
        roma__figure_add(&cache->handle.magazines[class_index].moved, 1); /* as below */
        return;
    }
    struct roma__state *state = roma__slab_state(slab, index);
    uint32_t word = state == NULL ? 0 : batch->words[i]; /* not 0: it lives, the sender believes */
    if (cache->has_lost_slabs && roma__load(&slab->keeper) != cache) {
        if (roma__remote_send(cache, slab, index, word) < 0)
            roma__heap_take_back(cache->heap, class_index, address);
        return;
    }
    if (word != 0) /* where that life is over, this is the next best guess */
        roma__figure_add(&cache->received_bytes, roma__load(&state->tail) >> ROMA__FLAG_BITS);
    if (word != 0 && !end_life(slab, state, word)) {
        roma__figure_add(&cache->handle.magazines[class_index].moved,
                         1); /* it had been counted out */
        roma__cache_late_misuse(cache, class_index, address);
    } else if (stack(cache, class_index, address, state)) {
        roma__figure_add(&cache->handle.magazines[class_index].moved, 1);
    } else {
        roma__cache_give_home(cache, slab, index);
    }
}

/* The same where it is as it should be: the life is the one that the sender saw, if it was one, and
 * there is room. Returns whether it was; else nothing is changed. */
static bool receive_fast(struct roma__cache *cache, const struct roma__batch *batch, uint32_t i,
                         uint64_t *received_bytes)
{
    struct roma__magazine *magazine = &cache->handle.magazines[roma__batch_class(batch, i)];
    void *cell = roma__batch_address(batch, i), **top = magazine->top;
    if (top == magazine->limit)
        return false;
    if (cache->heap->words != ROMA__WORDS_NONE) {
        /* A cell that was freed twice may have seen its slab go. */
        const struct roma__slab_head *slab = roma__slab_at(roma__map_public(), cell);
        uint64_t index = slab == NULL ? 0 : roma__slab_index_at(slab, cell);
        if (slab == NULL || roma__load(&slab->heap) != cache->heap ||
            !roma__slab_has_index(slab, index) ||
            roma__slab_is_large((const struct roma__slab *)slab))
            return false;
        struct roma__state *state = &roma__load(&slab->states)[index];
        uint32_t word = batch->words[i], next;
        if (word != 0) {
            if (roma__load_acquire(&state->word) != word ||
                __builtin_add_overflow(word, (uint32_t)ROMA__WORD_COUNT_MASK, &next))
                return false;
            *received_bytes += roma__load(&state->tail) >> ROMA__FLAG_BITS;
            roma__store_release(&state->word, next);
        }
        top[ROMA__MAGAZINE_STRIDE] = state;
    }
    *top = cell;
    roma__store(&magazine->top, top + 1);
    roma__figure_add(&magazine->moved, 1);
    return true;
}

/* Cells that are of another heap than the cache is now. Their first release has been applied; this
 * one is told to their heap, where that is still to be found. */
static void refuse_batch(const struct roma__batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        void *cell = roma__batch_address(batch, i);
        const struct roma__slab_head *slab = roma__slab_at(roma__map_public(), cell);
        roma__heap *heap = slab == NULL ? NULL : roma__load(&slab->heap);
        if (heap != NULL && heap->serial == batch->serial)
            roma__heap_take_back(heap, roma__batch_class(batch, i), cell);
    }
}

void roma__cache_receive(struct roma__cache *cache, const struct roma__batch *batch)
{
    if (batch->serial != cache->heap->serial) {
        refuse_batch(batch);
        return;
    }
    bool is_plain = !cache->has_lost_slabs && roma__load(&cache->handle.closed) == 0;
    uint64_t received_bytes = 0;
    for (uint32_t i = 0; i < batch->count; i++)
        if (!is_plain || !receive_fast(cache, batch, i, &received_bytes))
            receive_one(cache, batch, i);
    roma__figure_add(&cache->received_bytes, received_bytes);
}

void roma__cache_drain(struct roma__cache *cache)
{
    struct roma__batch *batch = roma__inbox_take(&cache->inbox);
    while (batch != NULL) {
        struct roma__batch *next = batch->next;
        roma__cache_receive(cache, batch);
        roma__batch_free(batch);
        batch = next;
    }
}

/* ---- cells that go out ----------------------------------------------------------------------- */

static void swap(void **a, void **b)
{
    void *kept = *a;
    *a = *b;
    *b = kept;
}

/* Cells from the bin to the magazine, which is empty, in such an order that the lowest is taken
 * first. */
static void refill(struct roma__cache *cache, unsigned class_index)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    void **bottom = magazine->top;
    bool has_words = cache->heap->words != ROMA__WORDS_NONE;
    void **states = has_words ? bottom + ROMA__MAGAZINE_STRIDE : NULL;
    uint32_t room = (uint32_t)(magazine->limit - bottom);
    uint32_t count = roma__bin_take(cache, class_index, bottom, states, (room + 1) / 2);
    for (uint32_t i = 0; i < count / 2; i++) {
        swap(&bottom[i], &bottom[count - 1 - i]);
        if (has_words)
            swap(&states[i], &states[count - 1 - i]);
    }
    roma__store(&magazine->top, bottom + count);
    roma__figure_add(&magazine->moved, count);
}

static bool unstack(struct roma__cache *cache, unsigned class_index, void **address)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    *address = magazine->top[-1];
    if (*address == NULL)
        return false;
    roma__store(&magazine->top, magazine->top - 1);
    return true;
}

/* Without a magazine: straight from the bin. */
static bool take_one(struct roma__cache *cache, unsigned class_index, void **address)
{
    uint32_t count = roma__bin_take(cache, class_index, address, NULL, 1);
    roma__figure_add(&cache->handle.magazines[class_index].moved, count);
    return count == 1;
}

static bool find_cell(struct roma__cache *cache, unsigned class_index, void **address)
{
    if (cache->storage == NULL)
        return take_one(cache, class_index, address);
    if (unstack(cache, class_index, address))
        return true;
    refill(cache, class_index);
    return unstack(cache, class_index, address);
}

/* A free cell of a class. Returns 0 or -errno. */
static int obtain(struct roma__cache *cache, unsigned class_index, void **address, bool *reused,
                  roma_grant *grant, roma_error *error)
{
    if (cache->storage != NULL && unstack(cache, class_index, address))
        return 0;
    roma__cache_drain(cache);
    roma__remote_flush(cache);
    if (cache->storage != NULL)
        (void)widen(cache, class_index);
    roma__cache_publish(cache, class_index);
    roma__cache_tick(cache);
    if (find_cell(cache, class_index, address))
        return 0;
    int code = roma__bin_grow(cache, class_index, reused, grant, error);
    if (code == 0) {
        bool is_found = find_cell(cache, class_index, address);
        roma_check(is_found);
    }
    return code;
}

int roma__cache_pop(struct roma__cache *cache, unsigned class_index, void **address,
                    struct roma__slab **slab, uint32_t *index, bool *reused, roma_grant *grant,
                    roma_error *error)
{
    *reused = true;
    for (;;) {
        int code = obtain(cache, class_index, address, reused, grant, error);
        if (code < 0)
            return code;
        *slab = look_up(cache, class_index, *address, index);
        if (*slab != NULL)
            return 0; /* else it was freed twice, and its slab went back: told, and left out */
    }
}

static void flush_magazines(struct roma__cache *cache)
{
    if (cache->storage == NULL || roma__load(&cache->handle.closed) != 0)
        return; /* there are none, or the claim has emptied them */
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        flush_oldest(cache, i, roma__magazine_count(cache, i));
}

void roma__cache_flush(struct roma__cache *cache)
{
    flush_magazines(cache);
    roma__cache_drain(cache); /* into the magazines, which are empty: they may hold some again */
    flush_magazines(cache);
    roma__remote_flush(cache);
    (void)roma__bins_trim(cache);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        roma__cache_publish(cache, i);
}

void roma__cache_discard(struct roma__cache *cache)
{
    roma__claim_settle(cache);
    if (cache->storage != NULL)
        for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
            roma__figure_add(&cache->handle.magazines[i].moved, 0 - roma__magazine_count(cache, i));
            roma__store(&cache->handle.magazines[i].top, cache->bottoms[i]);
        }
    roma__remote_forget(cache);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        cache->published_bytes[i] = live_bytes(cache, i); /* the heap forgets what it was told */
}

void roma__cache_tick(struct roma__cache *cache)
{
    roma__heap *heap = cache->heap;
    uint64_t delay_ns = heap->extents.return_delay_ns;
    if (delay_ns == UINT64_MAX)
        return;
    uint64_t now_ns = roma__heap_now_ns();
    bool was_idle = delay_ns > 0 && roma__heap_visit(heap, now_ns) >= delay_ns;
    uint64_t away_ns = now_ns - cache->visited_ns;
    cache->visited_ns = now_ns;
    if (delay_ns > 0 && away_ns >= delay_ns)
        roma__cache_flush(cache); /* these cells have served nobody for long enough */
    if (was_idle) {
        roma__caches_flush_idle(cache, now_ns);
        (void)roma__extents_return(&heap->extents, UINT64_MAX);
    } else if (roma__extents_is_due(&heap->extents, now_ns)) {
        (void)roma__extents_return(&heap->extents, now_ns);
    }
}

void roma__cache_pass_by(roma__heap *heap)
{
    struct roma__cache *cache = roma__cache_if_any(heap);
    uint64_t delay_ns = heap->extents.return_delay_ns;
    if (cache == NULL || delay_ns == UINT64_MAX ||
        roma__heap_now_ns() - cache->visited_ns < delay_ns)
        return;
    roma__cache_lock_own(cache);
    roma__cache_tick(cache);
    pthread_mutex_unlock(&cache->lock);
}
