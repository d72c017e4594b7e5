/* parked.c - see parked.h.
 *
 * The state. What a run is (enum roma__parking) stands in the upper half of the state of its cell,
 * where cells of classes have their tails, next to the word. So one compare-and-swap of 64 bits
 * changes both:
 *
 *   end    word (g, 1), IN_USE  ->  (g + 1, 0), FREE     by who gives up the last reference
 *   take   word (g, 0), FREE    ->  (g, 0), IN_USE       by who gets it; then it begins a life,
 *                                                        (g, 1), by a store: it is his alone
 *   leave  word (g, c), FREE or IN_USE with c > 0  ->  NONE, the word as it was, under the lock of
 *                                                        the extents
 *   put    NONE -> FREE, by a store of the upper half alone, under that lock: its life has ended,
 *          and it is the caller's. Put back: IN_USE -> FREE, in the same way, without the lock
 *
 * Other changes of the word (retain, drop of one of several references, of one that has a place by
 * who looks at its bytes first) are swaps of the lower half, as of any large cell, and make the
 * wide swaps fail that saw it before. So of two releases of one life one ends it, and the other
 * finds a generation that it did not expect, as everywhere (word.h). Between the end of a life and
 * a put back the run is IN_USE with count 0, as it is between take and life: it is one thread's,
 * and `leave` lets it be.
 *
 * The places. A run is in a place if and only if it is not NONE, but for a moment under the locks.
 * Takers read the places without a lock, and what they find is a hint: the slab may have left since
 * and stand for another heap's cell, for descriptors are never unmapped. What decides is the swap,
 * from (g, 0), FREE. A generation is FREE at most once but for put back, which changes nothing that
 * is looked at here; each time that a slab stands anew its words start at a generation that the
 * former one reached (slab.h), and it is FREE only at the end of a life, a generation later. So who
 * has seen (g, 0), FREE, and swaps it, has the very run that he looked at. Past an exact wrap of
 * the generation, within those few instructions, that is not so: heap and length are looked at
 * once more when the run is his, and one that proves to be another's goes back to its place.
 *
 * Order. The swap that ends a life is a release, that of a take an acquire: who takes sees what the
 * former holders wrote, and rested_ns. A FREE that is stored is a release, too, and so is a slab in
 * a place, which the taker acquires.
 *
 * Time. Nobody who ends a life touches next_due_ns, which has its lock. Instead it is never later
 * than a delay from now while any place is taken (expect): a run that is IN_USE at a look is FREE
 * after it at the earliest, and due a delay after that. An end that reads the clock before such a
 * look and swaps after it may be missed by the time in between; it waits so much longer. What a
 * free did for the heap by the way, giving back what is due and emptying the thread's cache when it
 * was away, is done whenever the clock of returns has moved on since the run last ended.
 *
 * Who gets a place. Any own run that the first step gave and that was not migrated, while there is
 * an empty place. Else most are turned away, to the cache, and one in sixteen takes the place of
 * another in turn: a program with more such runs than places gains for four of them and loses
 * little with the rest, and one whose lengths have changed soon has the right ones. A run whose
 * life goes on for a whole delay loses its place.
 *
 * Figures. A run with a place counts as released, once, when it is put. Its takes and releases
 * since are the distance of its word's generation from that moment, so nobody counts them; they are
 * added by who asks, and for good when it leaves. Its bytes count as published all the time; for
 * the peak those that are FREE are taken off again. That costs a look at the places only where the
 * sum is above the peak. */
#include "heap/parked.h"

#include "heap/internal.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/extents_internal.h"

enum { TURNED_AWAY_COUNT = 16 };

/* ---- the state ------------------------------------------------------------------------------- */

static roma__state_bits *bits_of(const struct roma__slab *slab)
{
    return (roma__state_bits *)slab->states;
}

static enum roma__parking parking_in(uint64_t bits)
{
    return (enum roma__parking)(bits >> 32);
}

static uint32_t word_in(uint64_t bits)
{
    return (uint32_t)bits;
}

static uint64_t bits_with(enum roma__parking parking, uint32_t word)
{
    return (uint64_t)parking << 32 | word;
}

static bool is_live(uint64_t bits)
{
    return roma__word_count(word_in(bits)) > 0;
}

enum roma__parking roma__parked_state(const struct roma__slab *slab)
{
    return (enum roma__parking)roma__load_acquire(&slab->states[0].tail);
}

static void set_free(struct roma__slab *slab)
{
    roma__store_release(&slab->states[0].tail, (uint32_t)ROMA__PARK_FREE);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Its length, where it fits by the rule of the cache of large extents; SIZE_MAX: it does not. */
static inline size_t length_if_fits(const struct roma__slab *slab, size_t bytes, size_t align)
{
    size_t cell_bytes = roma__load(&slab->head.cell_bytes);
    size_t page_mask = ((size_t)1 << (roma__load(&slab->page_shift) & 63u)) - 1;
    uintptr_t base = (uintptr_t)roma__load(&slab->head.base);
    bool fits = bytes <= cell_bytes && (base & (align - 1)) == 0 &&
                roma__large_cache_fits(cell_bytes, (bytes + page_mask) & ~page_mask);
    return fits ? cell_bytes : SIZE_MAX;
}

/* The closest, as a hint, and its state when it was looked at. */
static inline struct roma__slab *find(const struct roma__places *places, size_t bytes, size_t align,
                                      uint64_t *best_seen)
{
    struct roma__slab *best = NULL;
    size_t best_length = SIZE_MAX;
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        struct roma__slab *slab = roma__load_acquire(&places->slabs[i]);
        if (slab == NULL)
            continue;
        uint64_t seen = roma__load_acquire(bits_of(slab));
        size_t length = length_if_fits(slab, bytes, align);
        if (parking_in(seen) != ROMA__PARK_FREE || length >= best_length)
            continue;
        best = slab;
        best_length = length;
        *best_seen = seen;
        if (length == bytes)
            break;
    }
    return best;
}

struct roma__slab *roma__parked_take(roma__heap *heap, size_t bytes, size_t align)
{
    for (;;) {
        uint64_t seen;
        struct roma__slab *slab = find(&heap->extents.places, bytes, align, &seen);
        if (slab == NULL)
            return NULL;
        uint64_t taken = bits_with(ROMA__PARK_IN_USE, word_in(seen));
        if (!roma__compare_exchange(bits_of(slab), &seen, taken))
            continue; /* another was quicker */
        if (roma__load(&slab->head.heap) == heap && length_if_fits(slab, bytes, align) != SIZE_MAX)
            return slab;
        set_free(slab);
        return NULL;
    }
}

void roma__parked_note_peak(roma__heap *heap)
{
    roma__heap_publish(heap, 0);
}

void *roma__heap_take_parked(roma__heap *heap, size_t bytes, size_t align)
{
    if (bytes < heap->own_bytes || heap->is_closed || !roma__heap_takes(heap, bytes))
        return NULL;
    struct roma__slab *slab = roma__parked_take(heap, bytes, align);
    if (slab == NULL)
        return NULL;
    roma__slab_start_large(slab, bytes, 0);
    roma__parked_note_peak(heap);
    return roma__load(&slab->head.base);
}

/* ---- ending ---------------------------------------------------------------------------------- */

/* The time now, as far as anybody wants to know. */
static uint64_t now_for(const roma__heap *heap, uint64_t before_ns)
{
    return heap->extents.return_delay_ns == UINT64_MAX ? before_ns : roma__heap_now_ns();
}

/* The clock has moved on. */
static void look_around(roma__heap *heap, uint64_t now_ns)
{
    roma__cache_pass_by(heap);
    if (roma__extents_is_due(&heap->extents, now_ns))
        (void)roma__extents_return(&heap->extents, now_ns);
}

static bool end(roma__heap *heap, struct roma__slab *slab, uint64_t seen)
{
    uint32_t next;
    if (parking_in(seen) != ROMA__PARK_IN_USE || roma__word_count(word_in(seen)) != 1 ||
        __builtin_add_overflow(word_in(seen), (uint32_t)ROMA__WORD_COUNT_MASK, &next))
        return false; /* a generation that wraps leaves its place, and is noted with the slab */
    uint64_t before_ns = roma__load(&slab->rested_ns);
    uint64_t now_ns = now_for(heap, before_ns);
    roma__store(&slab->rested_ns, now_ns);
    if (!roma__compare_exchange(bits_of(slab), &seen, bits_with(ROMA__PARK_FREE, next)))
        return false;
    if (now_ns != before_ns)
        look_around(heap, now_ns);
    return true;
}

bool roma__parked_end(struct roma__slab *slab, uint32_t generation)
{
    uint64_t seen = roma__load_acquire(bits_of(slab));
    roma__heap *heap = roma__load(&slab->head.heap);
    return heap != NULL && roma__word_is(word_in(seen), generation) && end(heap, slab, seen);
}

bool roma__heap_end_parked(const void *block, size_t bytes)
{
    struct roma__slab *slab = roma__map_find(block);
    if (slab == NULL || !roma__slab_is_large(slab) || roma__load(&slab->head.base) != block)
        return false;
    uint64_t seen = roma__load_acquire(bits_of(slab));
    uint64_t tail = roma__load_acquire(&slab->large_tail); /* that of the life seen, or later */
    roma__heap *heap = roma__load(&slab->head.heap);
    if (heap == NULL || heap->is_closed || (tail & ROMA__FLAG_MASK) != 0)
        return false;
    bool is_right = bytes == SIZE_MAX ||
                    (heap->words == ROMA__WORDS_NONE ? bytes <= roma__load(&slab->head.cell_bytes)
                                                     : bytes == tail >> ROMA__FLAG_BITS);
    return is_right && end(heap, slab, seen);
}

void roma__parked_put_back(roma__heap *heap, struct roma__slab *slab)
{
    uint64_t before_ns = roma__load(&slab->rested_ns);
    uint64_t now_ns = now_for(heap, before_ns);
    roma__store(&slab->rested_ns, now_ns);
    set_free(slab);
    if (now_ns != before_ns)
        look_around(heap, now_ns);
}

/* ---- leaving a place, under the lock of the extents ------------------------------------------ */

/* Lives ended since it got its place. */
static uint32_t ends_of(const struct roma__slab *slab, uint64_t bits)
{
    return (roma__word_generation(word_in(bits)) - slab->parked_generation) & ROMA__GENERATION_MASK;
}

static void add_to(struct roma__parked_figures *sum, const struct roma__slab *slab, uint64_t bits,
                   uint64_t bytes)
{
    uint32_t ends = ends_of(slab, bits);
    sum->takes += ends + is_live(bits);
    sum->releases += ends;
    sum->bytes += is_live(bits) ? bytes : 0;
    sum->usable_bytes += is_live(bits) ? roma__load(&slab->head.cell_bytes) : 0;
}

/* It was in that state when it left, with that length. */
static void vacate(roma__heap *heap, unsigned index, uint64_t bits, size_t bytes)
{
    struct roma__parked_figures sum = {0};
    pthread_mutex_lock(&heap->large_lock);
    add_to(&sum, heap->extents.places.slabs[index], bits, bytes);
    heap->large_takes += sum.takes;
    heap->large_releases += sum.releases;
    heap->large_bytes += sum.bytes;
    heap->large_usable_bytes += sum.usable_bytes;
    roma__store(&heap->extents.places.slabs[index], NULL);
    pthread_mutex_unlock(&heap->large_lock);
}

/* A run that was FREE and left is one that its cell has just given up. */
static struct roma__extent_record *retire(roma__heap *heap, struct roma__slab *slab)
{
    struct roma__extent_record *record = slab->extent;
    record->freed_ns = roma__load(&slab->rested_ns);
    roma__large_drop(heap, slab);
    roma__heap_publish(heap, 0 - (uint64_t)roma__load(&slab->head.cell_bytes));
    roma__slab_retire(slab);
    return record;
}

/* Have a run that is FREE, or live, leave. Returns false for one that is on its way from one to the
 * other: that is for moments only. *record: what becomes of it, NULL where it lives on. */
static bool leave(roma__heap *heap, unsigned index, struct roma__extent_record **record)
{
    struct roma__slab *slab = heap->extents.places.slabs[index];
    uint64_t seen = roma__load_acquire(bits_of(slab));
    *record = NULL;
    for (;;) {
        bool is_free = parking_in(seen) == ROMA__PARK_FREE;
        if (!is_free && !is_live(seen))
            return false;
        size_t bytes = roma__slab_bytes(slab, 0);
        uint64_t left = bits_with(ROMA__PARK_NONE, word_in(seen));
        if (!roma__compare_exchange(bits_of(slab), &seen, left))
            continue;
        vacate(heap, index, left, bytes);
        if (is_free)
            *record = retire(heap, slab);
        return true;
    }
}

void roma__parked_leave(struct roma__slab *slab)
{
    if (roma__parked_state(slab) == ROMA__PARK_NONE)
        return;
    roma__heap *heap = roma__load(&slab->head.heap);
    struct roma__extents *extents = &heap->extents;
    struct roma__extent_record *none;
    pthread_mutex_lock(&extents->lock);
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++)
        if (extents->places.slabs[i] == slab)
            (void)leave(heap, i, &none);
    pthread_mutex_unlock(&extents->lock);
}

static roma__heap *heap_of(const struct roma__slab *slab)
{
    return roma__load(&slab->head.heap);
}

struct roma__extent_record *roma__parked_withdraw(struct roma__extents *extents, uint64_t limit_ns,
                                                  size_t most_bytes)
{
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        struct roma__slab *slab = extents->places.slabs[i];
        if (slab == NULL || roma__load(&slab->head.cell_bytes) > most_bytes)
            continue;
        uint64_t seen = roma__load_acquire(bits_of(slab));
        if (parking_in(seen) != ROMA__PARK_FREE || roma__load(&slab->rested_ns) > limit_ns ||
            !roma__compare_exchange(bits_of(slab), &seen,
                                    bits_with(ROMA__PARK_NONE, word_in(seen))))
            continue; /* it has just been in use */
        vacate(heap_of(slab), i, seen, 0);
        return retire(heap_of(slab), slab);
    }
    return NULL;
}

void roma__parked_age(struct roma__extents *extents, uint64_t limit_ns)
{
    struct roma__places *places = &extents->places;
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        struct roma__extent_record *none;
        if (places->slabs[i] == NULL)
            continue;
        uint64_t seen = roma__load_acquire(bits_of(places->slabs[i]));
        if (roma__word_generation(word_in(seen)) != places->seen[i]) {
            places->seen[i] = roma__word_generation(word_in(seen));
            places->seen_ns[i] = roma__extents_now(extents);
        } else if (is_live(seen) && places->seen_ns[i] <= limit_ns) {
            (void)leave(heap_of(places->slabs[i]), i, &none);
        }
    }
}

void roma__parked_expect(struct roma__extents *extents)
{
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        const struct roma__slab *slab = extents->places.slabs[i];
        if (slab != NULL)
            roma__giveback_expect(extents, roma__parked_state(slab) == ROMA__PARK_FREE
                                               ? roma__load(&slab->rested_ns)
                                               : roma__extents_now(extents));
    }
}

bool roma__parked_holds_hugetlb(const struct roma__extents *extents)
{
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        const struct roma__slab *slab = extents->places.slabs[i];
        if (slab != NULL && roma__parked_state(slab) == ROMA__PARK_FREE &&
            roma__extent_is_hugetlb(&slab->extent->extent))
            return true;
    }
    return false;
}

/* ---- getting a place ------------------------------------------------------------------------- */

static unsigned empty_place(const struct roma__places *places)
{
    unsigned i = 0;
    while (i < ROMA__PLACES_COUNT && places->slabs[i] != NULL)
        i++;
    return i;
}

/* A place, of another if it is time for that; ROMA__PLACES_COUNT: none. */
static unsigned find_place(roma__heap *heap)
{
    struct roma__places *places = &heap->extents.places;
    unsigned index = empty_place(places);
    if (index < ROMA__PLACES_COUNT || ++places->turned_away < TURNED_AWAY_COUNT)
        return index;
    places->turned_away = 0;
    struct roma__extent_record *record;
    index = places->turn++ % ROMA__PLACES_COUNT;
    if (!leave(heap, index, &record))
        return ROMA__PLACES_COUNT;
    if (record != NULL)
        roma__extents_keep_locked(&heap->extents, record, record->freed_ns);
    return index;
}

static void occupy(roma__heap *heap, unsigned index, struct roma__slab *slab, uint64_t now_ns)
{
    struct roma__extent_record *record = slab->extent;
    uint32_t generation = roma__word_generation(roma__load(&slab->states[0].word));
    record->extent.zeroed = false;
    roma__store(&slab->page_shift, (uint8_t)roma__log2_floor(record->extent.page_bytes));
    roma__store(&slab->rested_ns, now_ns);
    pthread_mutex_lock(&heap->large_lock);
    heap->large_releases++;
    heap->large_bytes -= roma__slab_bytes(slab, 0);
    heap->large_usable_bytes -= roma__load(&slab->head.cell_bytes);
    slab->parked_generation = generation;
    set_free(slab);
    roma__store_release(&heap->extents.places.slabs[index], slab);
    pthread_mutex_unlock(&heap->large_lock);
    heap->extents.places.seen[index] = generation;
    heap->extents.places.seen_ns[index] = now_ns;
    roma__giveback_expect(&heap->extents, now_ns);
}

bool roma__parked_put(roma__heap *heap, struct roma__slab *slab)
{
    const struct roma__extent_record *record = slab->extent;
    struct roma__extents *extents = &heap->extents;
    if (!record->own || record->step != 0 || record->is_migrated || extents->return_delay_ns == 0)
        return false;
    uint64_t now_ns = roma__heap_now_ns();
    pthread_mutex_lock(&extents->lock);
    unsigned index = find_place(heap);
    if (index < ROMA__PLACES_COUNT)
        occupy(heap, index, slab, now_ns);
    pthread_mutex_unlock(&extents->lock);
    return index < ROMA__PLACES_COUNT;
}

/* ---- figures --------------------------------------------------------------------------------- */

uint64_t roma__parked_bytes(const struct roma__extents *extents)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        const struct roma__slab *slab = roma__load_acquire(&extents->places.slabs[i]);
        if (slab != NULL && roma__parked_state(slab) == ROMA__PARK_FREE)
            bytes += roma__load(&slab->head.cell_bytes);
    }
    return bytes;
}

struct roma__parked_figures roma__parked_figures_of(const roma__heap *heap)
{
    struct roma__parked_figures sum = {0};
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        const struct roma__slab *slab = heap->extents.places.slabs[i];
        if (slab != NULL)
            add_to(&sum, slab, roma__load_acquire(bits_of(slab)), roma__slab_bytes(slab, 0));
    }
    return sum;
}

/* ---- nobody else uses the heap --------------------------------------------------------------- */

void roma__parked_forget(roma__heap *heap)
{
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++) {
        struct roma__slab *slab = heap->extents.places.slabs[i];
        if (slab == NULL)
            continue;
        uint64_t bits = roma__load_acquire(bits_of(slab));
        roma__store(&slab->states[0].tail, (uint32_t)ROMA__PARK_NONE);
        vacate(heap, i, bits, roma__slab_bytes(slab, 0));
        if (!is_live(bits))
            roma__heap_publish(heap, 0 - (uint64_t)roma__load(&slab->head.cell_bytes));
    }
}

static bool is_in_place(const roma__heap *heap, const struct roma__slab *slab)
{
    bool is_there = false;
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++)
        is_there |= heap->extents.places.slabs[i] == slab;
    return is_there;
}

const char *roma__parked_fault(const roma__heap *heap)
{
    unsigned listed = 0, placed = 0;
    for (unsigned i = 0; i < ROMA__PLACES_COUNT; i++)
        placed += heap->extents.places.slabs[i] != NULL;
    for (const struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next) {
        enum roma__parking parking = roma__parked_state(slab);
        const struct roma__extent_record *record = slab->extent;
        if ((parking != ROMA__PARK_NONE) != is_in_place(heap, slab))
            return "not just the large cells with a place are in one";
        if (parking == ROMA__PARK_NONE)
            continue;
        listed++;
        if (!record->own || record->is_cached || record->is_migrated || record->step != 0 ||
            record->extent.zeroed)
            return "a large cell has a place that none is for";
        if ((parking == ROMA__PARK_FREE) == is_live(roma__load_acquire(bits_of(slab))))
            return "a large cell lives and waits for a life, or neither";
    }
    return listed == placed ? NULL : "a place is taken by no large cell of the heap";
}
