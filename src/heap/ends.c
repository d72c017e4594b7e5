/* ends.c - ends of lives that are not inline, and need no lock either.
 *
 * The inline paths end a life by a store: of a cell whose slab is this thread's, in a heap without
 * words of any cell. Two more ends are nearly as short, but a call away, since they are rarer:
 *
 *   OWNED, another thread's slab   into the open batch for its owner (remote.h), who ends the life
 *   EXACT                          one compare-and-swap: who ends the life has the cell, and keeps
 *                                  it in its own magazine
 *
 * What neither serves (more references, flags, no room, a generation that wraps) changes nothing
 * here, and is cell.c's. */
#include "heap/internal.h"

struct life {
    struct roma__state *state;
    uint32_t word, tail;
};

/* The last reference of a life without flags, of the length that `tail` says? */
static bool is_last(const struct roma__slab_head *slab, uint64_t index, uint32_t tail,
                    struct life *life)
{
    struct roma__state *states = roma__load(&slab->states);
    if (states == NULL)
        return false;
    life->state = &states[index];
    uint64_t bits = roma__load_acquire((roma__state_bits *)life->state);
    life->word = (uint32_t)bits;
    life->tail = (uint32_t)(bits >> 32);
    return roma__word_count(life->word) == 1 && (life->tail & ROMA__FLAG_MASK) == 0 &&
           (tail == ROMA__TAIL_ANY || tail == life->tail);
}

static bool send(struct roma__cache *cache, const struct roma__slab_head *slab,
                 unsigned class_index, void *block, const struct life *life)
{
    struct roma__cache *owner = (struct roma__cache *)roma__load(&slab->key);
    if (owner == NULL || owner == cache ||
        !roma__outgoing_put(&cache->outgoing, owner, block, class_index, life->word, true))
        return false;
    roma__cache_count_sent(cache, class_index, life->tail);
    return true;
}

static bool swap_and_keep(struct roma__cache *cache, unsigned class_index, void *block,
                          const struct life *life)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    void **top = magazine->top;
    uint32_t seen = life->word, next;
    if (top == magazine->limit ||
        __builtin_add_overflow(seen, (uint32_t)ROMA__WORD_COUNT_MASK, &next) ||
        !roma__compare_exchange(&life->state->word, &seen, next))
        return false;
    *top = block;
    top[ROMA__MAGAZINE_STRIDE] = life->state;
    roma__figure_add(&magazine->given, 1);
    if (!roma__cache_commit(&cache->handle, class_index, top + 1))
        (void)roma__cache_settle(&cache->handle, class_index, top + 1);
    return true;
}

bool roma__cache_end(roma_cache *handle, const struct roma__slab_head *slab, uint64_t index,
                     void *block, uint32_t tail)
{
    struct roma__cache *cache = (struct roma__cache *)handle;
    unsigned class_index = roma__load(&slab->class_index);
    struct life life;
    if (class_index >= ROMA__CLASS_COUNT || cache->storage == NULL ||
        !is_last(slab, index, tail, &life))
        return false;
    return handle->words == ROMA__WORDS_OWNED ? send(cache, slab, class_index, block, &life)
                                              : swap_and_keep(cache, class_index, block, &life);
}
