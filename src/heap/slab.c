/* slab.c - making, publishing and retiring descriptors; tails and free bits. See slab.h. */
#include "heap/internal.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/metadata.h"

#include <string.h>

static size_t tail_bytes_of(size_t cell_bytes)
{
    return cell_bytes <= ROMA__NARROW_MAX_BYTES ? sizeof(uint16_t) : sizeof(uint32_t);
}

/* Lay a descriptor out in one piece of metadata: header, words, bits, tails. */
static struct roma__slab *make(uint32_t words, uint32_t tails_bytes, uint32_t bits)
{
    size_t header = roma__align_up(sizeof(struct roma__slab), sizeof(uint64_t));
    char *memory = roma__metadata_take(header + bits * sizeof(uint64_t) + words * sizeof(uint32_t) +
                                       tails_bytes);
    if (memory == NULL)
        return NULL;
    struct roma__slab *slab = (struct roma__slab *)(void *)memory;
    slab->words_capacity = words;
    slab->tails_capacity = tails_bytes;
    slab->bits_capacity = bits;
    slab->bits = (uint64_t *)(void *)(memory + header);
    slab->words = (_Atomic(uint32_t) *)(void *)(slab->bits + bits);
    slab->tails = (void *)(memory + header + bits * sizeof(uint64_t) + words * sizeof(uint32_t));
    return slab;
}

size_t roma__slab_record_bytes(const struct roma__slab *slab)
{
    return sizeof *slab + slab->bits_capacity * sizeof(uint64_t) +
           slab->words_capacity * sizeof(uint32_t) + slab->tails_capacity;
}

static uint32_t larger(uint32_t needed, uint32_t before)
{
    return needed <= before ? before : needed > 2 * before ? needed : 2 * before;
}

struct roma__slab *roma__slab_prepare(char *base, uint32_t cells, size_t cell_bytes)
{
    struct roma__map_entry *entry = roma__map_entry_of(base);
    roma_check(entry != NULL);
    uint32_t bits = cells == 1 ? 0 : (cells + 63) / 64;
    uint32_t tails = cells == 1 ? 0 : (uint32_t)(cells * tail_bytes_of(cell_bytes));
    struct roma__slab *slab = atomic_load_explicit(&entry->home, memory_order_acquire);
    if (slab != NULL && slab->words_capacity >= cells && slab->tails_capacity >= tails &&
        slab->bits_capacity >= bits)
        return slab;
    if (slab != NULL) {
        cells = larger(cells, slab->words_capacity);
        tails = larger(tails, slab->tails_capacity);
        bits = larger(bits, slab->bits_capacity);
    }
    slab = make(cells, tails, bits);
    if (slab != NULL)
        roma__slab_settle(slab, base);
    return slab;
}

/* One descriptor that was put aside and not used: no address has it, so no stale thread knows
 * it. */
static _Atomic(struct roma__slab *) spare;

struct roma__slab *roma__slab_aside(void)
{
    struct roma__slab *slab = atomic_exchange_explicit(&spare, NULL, memory_order_acquire);
    return slab != NULL ? slab : make(1, 0, 0);
}

void roma__slab_settle(struct roma__slab *slab, char *base)
{
    atomic_store_explicit(&slab->base, base, memory_order_relaxed);
    atomic_store_explicit(&roma__map_entry_of(base)->home, slab, memory_order_release);
}

void roma__slab_discard(struct roma__slab *slab)
{
    /* Where another thread discards one at the same time, one of the two is lost: 192 bytes. */
    atomic_store_explicit(&spare, slab, memory_order_release);
}

/* ---- generations over the life of a granule
 * --------------------------------------------------- */
/* Words count 22 bits of generation, the page map's floors all of it. A slab's words start together
 * at its floor, so a cell's lives in it are the distance of its word from there, as long as no cell
 * has gone once around; recycling notes when one does (turned). From then on distances say nothing,
 * and the next floor is the latest generation in the sense of serial numbers: less than half a turn
 * ahead of the others. So handles are told from new ones for at least 2^21 generations of their
 * address. */

/* A generation that no handle into these granules has reached. */
static uint64_t floor_of(const char *base, uint32_t granules)
{
    uint64_t floor = 0;
    for (uint32_t i = 0; i < granules; i++) {
        struct roma__map_entry *entry = roma__map_entry_of(base + (size_t)i * ROMA__GRANULE_BYTES);
        uint64_t here = atomic_load_explicit(&entry->floor, memory_order_relaxed);
        floor = here > floor ? here : floor;
    }
    return floor;
}

/* How far `to` is ahead of `from` on the circle. */
static uint32_t ahead(uint64_t from, uint32_t to)
{
    return (to - (uint32_t)from) & ROMA__GENERATION_MASK;
}

/* The floor for the next slab here; no cell may be live. */
static uint64_t next_floor(const struct roma__slab *slab)
{
    uint64_t floor = slab->first_generation;
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    uint32_t most = 0;
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t word = atomic_load_explicit(&slab->words[i], memory_order_acquire);
        roma_check(roma__word_count(word) == 0);
        uint32_t reached = roma__word_generation(word);
        if (!slab->turned)
            most = ahead(floor, reached) > most ? ahead(floor, reached) : most;
        else if (ahead(floor, reached) <= ROMA__GENERATION_MASK / 2)
            floor += ahead(floor, reached);
    }
    return slab->turned ? floor + ROMA__GENERATION_MASK + 1 : floor + most;
}

/* release: who finds the slab finds all of it */
static void put_into_map(struct roma__slab *slab)
{
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    for (uint32_t i = 0; i < slab->granules; i++) {
        struct roma__map_entry *entry = roma__map_entry_of(base + (size_t)i * ROMA__GRANULE_BYTES);
        atomic_store_explicit(&entry->current, slab, memory_order_release);
    }
}

void roma__slab_publish(struct roma__slab *slab, roma__heap *heap, unsigned class_index,
                        uint32_t cells, size_t cell_bytes, uint32_t granules)
{
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    uint64_t floor = floor_of(base, granules);
    for (uint32_t i = 0; i < slab->words_capacity; i++)
        atomic_store_explicit(&slab->words[i], roma__word_make((uint32_t)floor, 0),
                              memory_order_relaxed);
    atomic_store_explicit(&slab->cell_bytes, cell_bytes, memory_order_relaxed);
    atomic_store_explicit(&slab->cells_count, cells, memory_order_relaxed);
    atomic_store_explicit(&slab->class_index, class_index, memory_order_relaxed);
    atomic_store_explicit(&slab->heap, heap, memory_order_relaxed);
    atomic_store_explicit(&slab->owner, heap->owner, memory_order_relaxed);
    slab->granules = granules;
    slab->first_generation = floor;
    slab->turned = false;
    slab->free_count = cells;
    slab->hint = 0;
    slab->next = slab->previous = slab->all_next = slab->all_previous = NULL;
    if (class_index != ROMA__CLASS_LARGE) {
        memset(slab->bits, 0xFF, cells / 64 * sizeof(uint64_t));
        if (cells % 64 != 0)
            slab->bits[cells / 64] = ((uint64_t)1 << cells % 64) - 1;
    }
    put_into_map(slab);
}

void roma__slab_retire(struct roma__slab *slab)
{
    uint64_t floor = next_floor(slab);
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    for (uint32_t i = 0; i < slab->granules; i++) {
        struct roma__map_entry *entry = roma__map_entry_of(base + (size_t)i * ROMA__GRANULE_BYTES);
        atomic_store_explicit(&entry->current, NULL, memory_order_release);
        atomic_store_explicit(&entry->floor, floor, memory_order_relaxed);
    }
    atomic_store_explicit(&slab->heap, NULL, memory_order_relaxed);
    /* release: the next owner of these addresses, who acquires `home`, sees all that we wrote */
    atomic_store_explicit(&roma__map_entry_of(base)->home, slab, memory_order_release);
}

void roma__slab_revive(struct roma__slab *slab, roma__heap *heap, uint32_t word)
{
    atomic_store_explicit(&slab->heap, heap, memory_order_relaxed);
    atomic_store_explicit(&slab->words[0], word, memory_order_release);
    put_into_map(slab);
}

bool roma__slab_index(const struct roma__slab *slab, const void *address, uint32_t *index,
                      size_t *inside)
{
    uintptr_t base = (uintptr_t)atomic_load_explicit(&slab->base, memory_order_relaxed);
    size_t cell_bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    uintptr_t at = (uintptr_t)address;
    if (at < base || cell_bytes == 0)
        return false;
    size_t offset = at - base;
    size_t cell = offset / cell_bytes;
    if (cell >= cells || cell >= slab->words_capacity)
        return false;
    *index = (uint32_t)cell;
    *inside = offset % cell_bytes;
    return true;
}

/* ---- tails ---------------------------------------------------------------------------------- */
/* (unused bytes << 3 | flags) in two widths, and of a large cell (length << 3 | flags): that cell
 * may be resized while others look, and one store of the length is never seen in half. Release,
 * paired with the acquire of readers: who sees a life's flags sees the generation of that life or a
 * later one. */

static bool is_large(const struct roma__slab *slab)
{
    return atomic_load_explicit(&slab->class_index, memory_order_relaxed) == ROMA__CLASS_LARGE;
}

static uint64_t tail_read(const struct roma__slab *slab, uint32_t index, size_t cell_bytes)
{
    if (is_large(slab))
        return atomic_load_explicit(&slab->large_tail, memory_order_acquire);
    size_t width = tail_bytes_of(cell_bytes);
    if ((index + 1) * width > slab->tails_capacity)
        return 0; /* a stale reader's mixture; the word decides */
    if (width == sizeof(uint16_t))
        return atomic_load_explicit((_Atomic(uint16_t) *)slab->tails + index, memory_order_acquire);
    return atomic_load_explicit((_Atomic(uint32_t) *)slab->tails + index, memory_order_acquire);
}

void roma__slab_set_tail(struct roma__slab *slab, uint32_t index, size_t bytes, unsigned flags)
{
    size_t cell_bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    uint64_t tail = (uint64_t)(cell_bytes - bytes) << ROMA__FLAG_BITS | flags;
    if (is_large(slab))
        atomic_store_explicit(&slab->large_tail, (uint64_t)bytes << ROMA__FLAG_BITS | flags,
                              memory_order_release);
    else if (tail_bytes_of(cell_bytes) == sizeof(uint16_t))
        atomic_store_explicit((_Atomic(uint16_t) *)slab->tails + index, (uint16_t)tail,
                              memory_order_release);
    else
        atomic_store_explicit((_Atomic(uint32_t) *)slab->tails + index, (uint32_t)tail,
                              memory_order_release);
}

size_t roma__slab_bytes(const struct roma__slab *slab, uint32_t index)
{
    size_t cell_bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    size_t tail = (size_t)(tail_read(slab, index, cell_bytes) >> ROMA__FLAG_BITS);
    return is_large(slab) ? tail : cell_bytes - tail;
}

unsigned roma__slab_flags(const struct roma__slab *slab, uint32_t index)
{
    size_t cell_bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    return (unsigned)(tail_read(slab, index, cell_bytes) & ROMA__CELL_FLAGS);
}

/* ---- free bits, under the class's lock ------------------------------------------------------ */

uint32_t roma__slab_take_bit(struct roma__slab *slab)
{
    roma_check(slab->free_count > 0);
    while (slab->bits[slab->hint] == 0)
        slab->hint++;
    uint32_t bit = (uint32_t)__builtin_ctzll(slab->bits[slab->hint]);
    slab->bits[slab->hint] &= slab->bits[slab->hint] - 1;
    slab->free_count--;
    return slab->hint * 64 + bit;
}

void roma__slab_give_bit(struct roma__slab *slab, uint32_t index)
{
    roma_check(!roma__slab_bit_is_free(slab, index));
    slab->bits[index / 64] |= (uint64_t)1 << index % 64;
    slab->free_count++;
    if (index / 64 < slab->hint)
        slab->hint = index / 64;
}

bool roma__slab_bit_is_free(const struct roma__slab *slab, uint32_t index)
{
    return (slab->bits[index / 64] >> index % 64 & 1) != 0;
}
