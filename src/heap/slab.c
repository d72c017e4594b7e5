/* slab.c - making, publishing and retiring descriptors; tails and free bits. See slab.h. */
#include "heap/cache.h"
#include "heap/internal.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/metadata.h"
#include "heap/parked.h"

#include <string.h>

/* Lay a descriptor out in one piece of metadata: header, states, bits. */
static struct roma__slab *make(uint32_t states, uint32_t bits)
{
    size_t header = roma__align_up(sizeof(struct roma__slab), 64);
    char *memory = roma__metadata_take(header + states * sizeof(struct roma__state) +
                                       bits * sizeof(uint64_t));
    if (memory == NULL)
        return NULL;
    struct roma__slab *slab = (struct roma__slab *)(void *)memory;
    slab->states_capacity = states;
    slab->bits_capacity = bits;
    slab->states = states == 0 ? NULL : (struct roma__state *)(void *)(memory + header);
    slab->bits = bits == 0
                     ? NULL
                     : (uint64_t *)(void *)(memory + header + states * sizeof(struct roma__state));
    return slab;
}

size_t roma__slab_record_bytes(const struct roma__slab *slab)
{
    return sizeof *slab + slab->bits_capacity * sizeof(uint64_t) +
           slab->states_capacity * sizeof(struct roma__state);
}

static uint32_t larger(uint32_t needed, uint32_t before)
{
    return needed <= before ? before : needed > 2 * before ? needed : 2 * before;
}

struct roma__slab *roma__slab_prepare(char *base, uint32_t cells, bool with_states)
{
    struct roma__map_past *past = roma__map_past_of(base);
    roma_check(past != NULL);
    uint32_t bits = cells == 1 ? 0 : (cells + 63) / 64;
    uint32_t states = with_states ? cells : 0;
    struct roma__slab *slab = roma__load_acquire(&past->home);
    if (slab != NULL && slab->states_capacity >= states && slab->bits_capacity >= bits)
        return slab;
    if (slab != NULL) {
        states = larger(states, slab->states_capacity);
        bits = larger(bits, slab->bits_capacity);
    }
    slab = make(states, bits);
    if (slab != NULL)
        roma__slab_settle(slab, base);
    return slab;
}

/* One descriptor that was put aside and not used: no address has it, so no stale thread knows
 * it. */
static struct roma__slab *spare;

struct roma__slab *roma__slab_aside(void)
{
    struct roma__slab *slab = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQUIRE);
    return slab != NULL ? slab : make(1, 0);
}

void roma__slab_settle(struct roma__slab *slab, char *base)
{
    roma__store(&slab->head.base, base);
    roma__store_release(&roma__map_past_of(base)->home, slab);
}

void roma__slab_discard(struct roma__slab *slab)
{
    /* Where another thread discards one at the same time, one of the two is lost: 256 bytes. */
    roma__store_release(&spare, slab);
}

/* ---- generations over the life of a granule
 * --------------------------------------------------- */
/* Words count 22 bits of generation, the page map's floors all of it. A slab's words start together
 * at its floor, so a cell's lives in it are the distance of its word from there, as long as no cell
 * has gone once around. Whoever ends a life notes when the generation wraps to 0 (turned), which
 * comes first. From then on distances say nothing, and the next floor is the latest generation in
 * the sense of serial numbers: less than half a turn ahead of the others. So handles are told from
 * new ones for at least 2^20 generations of their address. */

/* How far `to` is ahead of `from` on the circle. */
static uint32_t ahead(uint64_t from, uint32_t to)
{
    return (to - (uint32_t)from) & ROMA__GENERATION_MASK;
}

static uint64_t floor_at(const char *base, uint32_t granule)
{
    const struct roma__map_past *past = roma__map_past_of(base +
                                                          (size_t)granule * ROMA__GRANULE_BYTES);
    return past == NULL ? 0 : roma__load(&past->floor);
}

/* A generation that no handle into these granules has reached: the greatest of their floors, and
 * then past each of the others on the circle, since a word has the low bits alone. Where one floor
 * has gone around, its low bits may be below those of a neighbour that has not. 0: no slab has
 * stood there, so no handle is. */
static uint64_t floor_of(const char *base, uint32_t granules)
{
    uint64_t floor = 0;
    for (uint32_t i = 0; i < granules; i++)
        floor = floor_at(base, i) > floor ? floor_at(base, i) : floor;
    for (uint32_t i = 0; i < granules; i++) {
        uint64_t here = floor_at(base, i);
        uint32_t distance = ahead(floor, (uint32_t)here);
        if (here > 0 && distance <= ROMA__GENERATION_MASK / 2)
            floor += distance;
    }
    return floor;
}

/* The floor for the next slab here; no cell may be live. */
static uint64_t next_floor(const struct roma__slab *slab)
{
    uint64_t floor = slab->first_generation;
    const struct roma__state *states = roma__load(&slab->head.states);
    uint32_t cells = states == NULL ? 0 : roma__load(&slab->head.cells_count);
    uint32_t most = 0;
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t word = roma__load_acquire(&states[i].word);
        roma_check(roma__word_count(word) == 0);
        uint32_t reached = roma__word_generation(word);
        if (!slab->turned)
            most = ahead(floor, reached) > most ? ahead(floor, reached) : most;
        else if (ahead(floor, reached) <= ROMA__GENERATION_MASK / 2)
            floor += ahead(floor, reached);
    }
    if (states == NULL) /* nothing was counted; but cells have stood here */
        return floor > 0 ? floor : 1;
    return slab->turned ? floor + ROMA__GENERATION_MASK + 1 : floor + most;
}

static void put_into_map(struct roma__slab *slab)
{
    char *base = roma__load(&slab->head.base);
    for (uint32_t i = 0; i < slab->granules; i++)
        roma__map_set(base + (size_t)i * ROMA__GRANULE_BYTES, slab);
}

/* What slabs of classes and large ones have in common. */
static void begin(struct roma__slab *slab, roma__heap *heap, struct roma__state *states,
                  uint32_t cells, size_t cell_bytes, uint32_t granules)
{
    uint64_t floor = floor_of(roma__load(&slab->head.base), granules);
    uint32_t fresh = cells == 1 ? 1 : slab->states_capacity; /* of what a stale reader may find */
    for (uint32_t i = 0; i < fresh; i++)
        roma__store(&slab->states[i].word, roma__word_make((uint32_t)floor, 0));
    roma__store(&slab->head.states, states);
    roma__store(&slab->head.cell_bytes, cell_bytes);
    roma__store(&slab->head.cells_count, cells);
    roma__store(&slab->head.heap, heap);
    roma__store(&slab->user, heap->owner);
    slab->granules = granules;
    slab->first_generation = floor;
    slab->turned = false;
    slab->free_count = cells;
    slab->hint = 0;
    slab->next = slab->previous = slab->all_next = slab->all_previous = NULL;
}

/* Modulo 2^64: Newton's iteration doubles the bits that are right, from 5 on. */
static uint64_t inverse_of_odd(uint64_t odd)
{
    uint64_t inverse = odd * 3 ^ 2;
    for (int i = 0; i < 4; i++)
        inverse *= 2 - odd * inverse;
    return inverse;
}

void roma__slab_publish(struct roma__slab *slab, struct roma__cache *keeper, unsigned class_index,
                        uint32_t cells, uint32_t granules)
{
    roma__heap *heap = keeper->heap;
    uint32_t cell_bytes = roma__class_bytes(class_index);
    begin(slab, heap, heap->words == ROMA__WORDS_NONE ? NULL : slab->states, cells, cell_bytes,
          granules);
    unsigned shift = (unsigned)__builtin_ctz(cell_bytes);
    roma__store(&slab->head.shift, (uint16_t)shift);
    roma__store(&slab->head.inverse, inverse_of_odd(cell_bytes >> shift));
    roma__store(&slab->head.key, roma__cache_key_of(keeper));
    roma__store(&slab->head.class_index, (uint16_t)class_index);
    roma__store(&slab->keeper, keeper);
    for (uint32_t i = 0; i < cells / 64; i++)
        roma__store(&slab->bits[i], UINT64_MAX);
    if (cells % 64 != 0)
        roma__store(&slab->bits[cells / 64], ((uint64_t)1 << cells % 64) - 1);
    put_into_map(slab);
}

void roma__slab_publish_large(struct roma__slab *slab, roma__heap *heap, size_t cell_bytes)
{
    begin(slab, heap, slab->states, 1, cell_bytes, 1);
    roma__store(&slab->head.inverse, 1); /* the index is the offset: 0 at the start alone */
    roma__store(&slab->head.shift, 0);
    roma__store(&slab->head.key, NULL);
    roma__store(&slab->head.class_index, ROMA__CLASS_LARGE);
    roma__store(&slab->keeper, NULL);
    roma__store(&slab->states[0].tail, (uint32_t)ROMA__PARK_NONE);
    put_into_map(slab);
}

void roma__slab_retire(struct roma__slab *slab)
{
    uint64_t floor = next_floor(slab);
    char *base = roma__load(&slab->head.base);
    for (uint32_t i = 0; i < slab->granules; i++) {
        char *granule = base + (size_t)i * ROMA__GRANULE_BYTES;
        roma__map_set(granule, NULL);
        roma__store(&roma__map_past_of(granule)->floor, floor);
    }
    roma__store(&slab->head.heap, NULL);
    roma__store(&slab->head.key, NULL);
    /* release: the next owner of these addresses, who acquires `home`, sees all that we wrote */
    roma__store_release(&roma__map_past_of(base)->home, slab);
}

void roma__slab_revive(struct roma__slab *slab, roma__heap *heap, uint32_t word)
{
    roma__store(&slab->head.heap, heap);
    roma__store_release(&slab->states[0].word, word);
    put_into_map(slab);
}

bool roma__slab_index(const struct roma__slab *slab, const void *address, uint32_t *index,
                      size_t *inside)
{
    uintptr_t base = (uintptr_t)roma__load(&slab->head.base);
    size_t cell_bytes = roma__load(&slab->head.cell_bytes);
    uint32_t cells = roma__load(&slab->head.cells_count);
    bool has_states = roma__load(&slab->head.states) != NULL;
    uintptr_t at = (uintptr_t)address;
    if (at < base || cell_bytes == 0)
        return false;
    size_t offset = at - base;
    size_t cell = offset / cell_bytes;
    if (cell >= cells || (has_states && cell >= slab->states_capacity) ||
        (!has_states && cell >= (size_t)slab->bits_capacity * 64))
        return false;
    *index = (uint32_t)cell;
    *inside = offset % cell_bytes;
    return true;
}

/* ---- tails ---------------------------------------------------------------------------------- */
/* (length << 3 | flags): in the state, 32 bits of it; of a large cell 64 in the descriptor. That
 * cell may be resized while others look, and one store of the length is never seen in half.
 * Release, paired with the acquire of readers: who sees a life's flags sees the generation of that
 * life or a later one. */

static uint64_t tail_read(const struct roma__slab *slab, uint32_t index)
{
    if (roma__slab_is_large(slab))
        return roma__load_acquire(&slab->large_tail);
    const struct roma__state *states = roma__load(&slab->head.states);
    return states == NULL ? roma__load(&slab->head.cell_bytes) << ROMA__FLAG_BITS
                          : roma__load_acquire(&states[index].tail);
}

void roma__slab_set_tail(struct roma__slab *slab, uint32_t index, size_t bytes, unsigned flags)
{
    struct roma__state *states = roma__load(&slab->head.states);
    if (roma__slab_is_large(slab))
        roma__store_release(&slab->large_tail, (uint64_t)bytes << ROMA__FLAG_BITS | flags);
    else if (states != NULL)
        roma__store_release(&states[index].tail, (uint32_t)(bytes << ROMA__FLAG_BITS) | flags);
}

size_t roma__slab_bytes(const struct roma__slab *slab, uint32_t index)
{
    return (size_t)(tail_read(slab, index) >> ROMA__FLAG_BITS);
}

unsigned roma__slab_flags(const struct roma__slab *slab, uint32_t index)
{
    return (unsigned)(tail_read(slab, index) & ROMA__FLAG_MASK);
}

/* ---- free bits ------------------------------------------------------------------------------- */

uint32_t roma__slab_take_cells(struct roma__slab *slab, void **addresses, void **states,
                               uint32_t count)
{
    uint32_t wanted = count < slab->free_count ? count : slab->free_count, taken = 0;
    while (taken < wanted) {
        uint64_t bits = slab->bits[slab->hint];
        for (; bits != 0 && taken < wanted; bits &= bits - 1) {
            uint32_t index = slab->hint * 64 + (uint32_t)__builtin_ctzll(bits);
            addresses[taken] = roma__slab_address(slab, index);
            if (states != NULL)
                states[taken] = roma__slab_state(slab, index);
            taken++;
        }
        roma__store(&slab->bits[slab->hint], bits);
        slab->hint += bits == 0;
    }
    slab->free_count -= taken;
    return taken;
}

bool roma__slab_give_bit(struct roma__slab *slab, uint32_t index)
{
    uint64_t bits = slab->bits[index / 64];
    uint64_t bit = (uint64_t)1 << index % 64;
    if ((bits & bit) != 0)
        return false;
    roma__store(&slab->bits[index / 64], bits | bit);
    slab->free_count++;
    if (index / 64 < slab->hint)
        slab->hint = index / 64;
    return true;
}
