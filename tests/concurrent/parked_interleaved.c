/* parked_interleaved.c - parked.c compiled once more, with every atomic access and lock a point
 * where another thread may go on (interleave.h).
 *
 * What is judged: no generation of a run is begun twice or ended twice, no run is taken after it
 * was taken away, what is taken away is free, and the figures are those of what was done. */
#include "interleave_points.h" /* first: the headers' inline functions make points, too */

#include "parked_interleaved.h"

#define roma__heap_end_parked interleaved_heap_end_parked
#define roma__heap_take_parked interleaved_heap_take_parked
#define roma__parked_age interleaved_parked_age
#define roma__parked_bytes interleaved_parked_bytes
#define roma__parked_end interleaved_parked_end
#define roma__parked_expect interleaved_parked_expect
#define roma__parked_fault interleaved_parked_fault
#define roma__parked_figures_of interleaved_parked_figures_of
#define roma__parked_forget interleaved_parked_forget
#define roma__parked_holds_hugetlb interleaved_parked_holds_hugetlb
#define roma__parked_leave interleaved_parked_leave
#define roma__parked_note_peak interleaved_parked_note_peak
#define roma__parked_put interleaved_parked_put
#define roma__parked_put_back interleaved_parked_put_back
#define roma__parked_state interleaved_parked_state
#define roma__parked_take interleaved_parked_take
#define roma__parked_withdraw interleaved_parked_withdraw
/* what the scene has instead */
#define roma__cache_pass_by parked_cache_pass_by
#define roma__extents_keep_locked parked_extents_keep
#define roma__extents_return parked_extents_return
#define roma__giveback_expect parked_giveback_expect
#define roma__heap_now_ns parked_now_ns
#define roma__heap_publish parked_publish
#define roma__large_drop parked_large_drop
#define roma__slab_retire parked_slab_retire

#include "heap/parked.c"

#include <string.h>

enum { RUNS_COUNT = 2, GENERATIONS_COUNT = 16, FIRST_GENERATION = 4, RUN_BYTES = 1 << 26 };

static roma__heap heap;

static struct {
    struct roma__slab slabs[RUNS_COUNT];
    struct roma__state states[RUNS_COUNT];
    struct roma__extent_record records[RUNS_COUNT];
    unsigned begun[RUNS_COUNT][GENERATIONS_COUNT], ended[RUNS_COUNT][GENERATIONS_COUNT];
    unsigned takes, releases;
    bool is_gone[RUNS_COUNT];
} now;

static const parked_scenario *scenario;

/* ---- what the source gets instead ------------------------------------------------------------ */

void parked_cache_pass_by(roma__heap *passed)
{
    (void)passed;
}

size_t parked_extents_return(struct roma__extents *extents, uint64_t now_ns)
{
    (void)extents, (void)now_ns;
    return 0;
}

void parked_extents_keep(struct roma__extents *extents, struct roma__extent_record *record,
                         uint64_t now_ns)
{
    (void)extents, (void)record, (void)now_ns;
}

void parked_giveback_expect(struct roma__extents *extents, uint64_t freed_ns)
{
    (void)extents, (void)freed_ns;
}

uint64_t parked_now_ns(void)
{
    return 0;
}

void parked_publish(roma__heap *of, uint64_t more)
{
    (void)of, (void)more;
}

void parked_large_drop(roma__heap *of, struct roma__slab *slab)
{
    (void)of, (void)slab;
}

void parked_slab_retire(struct roma__slab *slab)
{
    size_t run = (size_t)(slab - now.slabs);
    if (now.is_gone[run])
        interleave_fail("a run is taken away twice");
    if (roma__word_count(slab->states[0].word) != 0)
        interleave_fail("a run that lives is taken away");
    now.is_gone[run] = true;
}

/* ---- what threads do ------------------------------------------------------------------------- */

static uint32_t generation_of(const struct roma__slab *slab)
{
    return roma__word_generation(*(volatile uint32_t *)&slab->states[0].word);
}

static void note_end(const struct roma__slab *slab, uint32_t generation)
{
    now.releases++;
    if (now.ended[slab - now.slabs][generation]++ > 0)
        interleave_fail("a life ends twice");
}

static struct roma__slab *take(void)
{
    struct roma__slab *slab = roma__parked_take(&heap, RUN_BYTES, 16);
    if (slab != NULL && now.is_gone[slab - now.slabs])
        interleave_fail("a run is taken that is gone");
    return slab;
}

static struct roma__slab *take_and_begin(void)
{
    struct roma__slab *slab = take();
    if (slab == NULL)
        return NULL;
    if (now.begun[slab - now.slabs][generation_of(slab)]++ > 0)
        interleave_fail("a run is given to two");
    now.takes++;
    roma__slab_start_large(slab, RUN_BYTES, 0);
    return slab;
}

/* As cell.c does: by one step where that can be, or the word first and the rest after. */
static void end_life(struct roma__slab *slab, uint32_t generation)
{
    if (roma__parked_end(slab, generation)) {
        note_end(slab, generation);
        return;
    }
    uint32_t seen = roma__word_make(generation, 1);
    if (!roma__compare_exchange(&slab->states[0].word, &seen, roma__word_make(generation + 1, 0)))
        return;
    note_end(slab, generation);
    if (roma__parked_state(slab) != ROMA__PARK_NONE) {
        roma__parked_put_back(&heap, slab);
        return;
    }
    heap.large_releases++; /* large.c, under its lock */
    heap.large_bytes -= RUN_BYTES;
    heap.large_usable_bytes -= RUN_BYTES;
    parked_slab_retire(slab);
}

static void cycle(void)
{
    struct roma__slab *slab = take_and_begin();
    if (slab != NULL)
        end_life(slab, generation_of(slab));
}

static void give_back(void)
{
    struct roma__slab *slab = take();
    if (slab != NULL)
        roma__parked_put_back(&heap, slab);
}

static void withdraw(void)
{
    pthread_mutex_lock(&heap.extents.lock);
    (void)roma__parked_withdraw(&heap.extents, UINT64_MAX, SIZE_MAX);
    pthread_mutex_unlock(&heap.extents.lock);
}

static void evict(void)
{
    struct roma__extent_record *record;
    pthread_mutex_lock(&heap.extents.lock);
    if (heap.extents.places.slabs[0] != NULL)
        (void)leave(&heap, 0, &record);
    pthread_mutex_unlock(&heap.extents.lock);
}

static void perform(parked_act what)
{
    switch (what) {
    case PARKED_END: end_life(&now.slabs[0], FIRST_GENERATION); break;
    case PARKED_TAKE: (void)take_and_begin(); break;
    case PARKED_CYCLE: cycle(); break;
    case PARKED_RETURN: give_back(); break;
    case PARKED_PUT: (void)roma__parked_put(&heap, &now.slabs[1]); break;
    case PARKED_WITHDRAW: withdraw(); break;
    case PARKED_LEAVE: roma__parked_leave(&now.slabs[0]); break;
    case PARKED_EVICT: evict(); break;
    default: break;
    }
}

static void act(void *context, unsigned number)
{
    (void)context;
    for (unsigned i = 0; i < PARKED_ACTS_MAX; i++)
        perform(scenario->acts[number][i]);
}

/* ---- a run ----------------------------------------------------------------------------------- */

static uint64_t read_clock(void)
{
    return 0;
}

static void begin(void *context)
{
    (void)context;
    memset(&now, 0, sizeof now);
    memset(&heap, 0, sizeof heap);
    heap.extents.return_delay_ns = 1;
    heap.extents.spans.clock = read_clock;
    for (unsigned i = 0; i < RUNS_COUNT; i++) {
        struct roma__slab *slab = &now.slabs[i];
        slab->head.base = (char *)((uintptr_t)(i + 1) << 40);
        slab->head.cell_bytes = RUN_BYTES;
        slab->head.heap = &heap;
        slab->head.class_index = ROMA__CLASS_LARGE;
        slab->states = &now.states[i];
        slab->head.states = slab->states;
        slab->page_shift = 12;
        slab->large_tail = (uint64_t)RUN_BYTES << ROMA__FLAG_BITS;
        slab->extent = &now.records[i];
        now.records[i].own = true;
        now.records[i].extent.bytes = RUN_BYTES;
        now.records[i].extent.page_bytes = 4096;
    }
    /* The first was taken, released into its place, and taken again; the second was taken. */
    now.states[0].word = roma__word_make(FIRST_GENERATION, 1);
    now.states[0].tail = ROMA__PARK_IN_USE;
    now.slabs[0].parked_generation = FIRST_GENERATION;
    now.begun[0][FIRST_GENERATION] = 1;
    heap.extents.places.slabs[0] = &now.slabs[0];
    heap.extents.places.turned_away = TURNED_AWAY_COUNT;
    now.states[1].word = roma__word_make(FIRST_GENERATION, 0);
    heap.large_takes = 2;
    heap.large_releases = 1;
    heap.large_bytes = heap.large_usable_bytes = RUN_BYTES;
    now.takes = 3;
    now.releases = 1;
}

static bool is_put(void)
{
    for (unsigned i = 0; i < scenario->threads; i++)
        for (unsigned j = 0; j < PARKED_ACTS_MAX; j++)
            if (scenario->acts[i][j] == PARKED_PUT)
                return true;
    return false;
}

static const char *judge(void *context)
{
    (void)context;
    struct roma__parked_figures sum = roma__parked_figures_of(&heap);
    uint64_t releases = now.releases + (is_put() ? 1 : 0);
    uint64_t live = now.takes - releases;
    if (heap.large_takes + sum.takes != now.takes)
        return "not as many takes are counted as there were";
    if (heap.large_releases + sum.releases != releases)
        return "not as many releases are counted as there were";
    if (heap.large_bytes + sum.bytes != live * RUN_BYTES ||
        heap.large_usable_bytes + sum.usable_bytes != live * RUN_BYTES)
        return "not the bytes that live are counted";
    for (unsigned i = 0; i < RUNS_COUNT; i++) {
        bool is_there = is_in_place(&heap, &now.slabs[i]);
        enum roma__parking parking = roma__parked_state(&now.slabs[i]);
        if (is_there != (parking != ROMA__PARK_NONE))
            return "a run is lost, or in a place that it has not";
        if (is_there && (parking == ROMA__PARK_FREE) == (roma__word_count(now.states[i].word) > 0))
            return "a run with a place lives and is free, or neither";
        if (now.is_gone[i] && is_there)
            return "a run that is gone has a place";
    }
    return NULL;
}

interleave_result parked_run(const parked_scenario *wanted)
{
    scenario = wanted;
    const interleave_memory memory[] = {
        {&now, sizeof now},
        {&heap.extents.places, sizeof heap.extents.places},
        {&heap.large_takes, sizeof heap.large_takes},
        {&heap.large_releases, sizeof heap.large_releases},
        {&heap.large_bytes, sizeof heap.large_bytes},
        {&heap.large_usable_bytes, sizeof heap.large_usable_bytes},
    };
    const interleave_plan plan = {
        .threads = wanted->threads,
        .begin = begin,
        .thread = act,
        .judge = judge,
        .memory = memory,
        .memory_count = sizeof memory / sizeof memory[0],
    };
    return interleave_run(&plan);
}
