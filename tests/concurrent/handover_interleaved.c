/* handover_interleaved.c - slabs that change over from a thread that has ended to another, and
 * releases that are late: cell.c, remote.c, cache.c, bins.c, threads.c as they are. */
#include "heap_interleaved.h"
#include "scenes_interleaved.h"

#include <errno.h>

/* In the world's memory, for it makes states. */
struct handover_scene {
    struct roma__cache *caches[HANDOVER_THREADS_MAX];
    roma__cell cells[WORLD_CELLS]; /* as they were at the start */
    unsigned freed[WORLD_CELLS];   /* releases that said that they were the last */
    bool is_taken[WORLD_CELLS];
    uint32_t taken[WORLD_CELLS]; /* the word of the life that began, in a heap with words */
};

static struct handover_scene *const now = (struct handover_scene *)(void *)world.scene;
static const handover_scenario *scenario;

static void begin(void *context)
{
    _Static_assert(sizeof(struct handover_scene) <= sizeof world.scene, "the scene has room");
    (void)context;
    world_begin(scenario->words);
    struct roma__cache *keeper = &world.heaps[0].common;
    for (unsigned i = 0; i < scenario->threads && !scenario->are_ending; i++) {
        if (scenario->steps[i][0].act != ACT_ADOPT)
            now->caches[i] = world_cache(0, ROMA__CACHE_ATTACHED);
        if (i == 0 && scenario->keeper == HANDOVER_ORPHAN) /* between others in the heap's list */
            keeper = world_cache(0, ROMA__CACHE_ORPHAN);
    }
    if (scenario->keeper < scenario->threads)
        keeper = now->caches[scenario->keeper];
    world_slab(keeper, scenario->live);
    for (unsigned i = 0; i < WORLD_CELLS; i++)
        roma__cell_fill(&world.slab, i, &now->cells[i]);
}

static void release(unsigned index)
{
    roma__cell cell = now->cells[index];
    int left = roma__cell_release(&cell, cell.generation);
    if (left == 0)
        now->freed[index]++;
    else if (left != -ESTALE)
        interleave_fail("a release says neither that it was the last nor that it was stale");
}

static void release_fast(struct roma__cache *cache, unsigned index)
{
    if (world_end_fast(cache, index))
        now->freed[index]++;
    else
        release(index);
}

static void take(void)
{
    static const roma__take one = {.bytes = WORLD_BYTES, .align = 16};
    roma__cell cell;
    roma_error error;
    if (roma__heap_take(&world.heaps[0], &one, &cell, NULL, &error) < 0)
        return;
    if (now->is_taken[cell.index])
        interleave_fail("a cell is taken twice");
    now->is_taken[cell.index] = true;
    now->taken[cell.index] = world.states[cell.index].word;
}

static void adopt(void)
{
    (void)roma__heap_cache(&world.heaps[0]);
    now->caches[interleave_self()] = roma__cache_if_any(&world.heaps[0]);
}

static void do_step(struct roma__cache *cache, handover_step step)
{
    switch (step.act) {
    case ACT_RELEASE: release(step.cell); return;
    case ACT_RELEASE_FAST: release_fast(cache, step.cell); return;
    case ACT_TAKE: take(); return;
    case ACT_TRIM: roma__caches_flush(&world.heaps[0]); return;
    case ACT_LEAVE: roma__caches_leave(); return;
    case ACT_ADOPT: adopt(); return;
    default: break;
    }
    roma__cache_lock_own(cache);
    if (step.act == ACT_SERVE)
        (void)roma__orphans_serve(cache, roma__class_of(WORLD_BYTES));
    else if (step.act == ACT_DRAIN)
        roma__cache_drain(cache);
    else
        roma__remote_flush(cache);
    interleave_unlock(&cache->lock, __func__);
}

static void act(void *context, unsigned number)
{
    (void)context;
    world_thread(now->caches[number], NULL, scenario->are_ending);
    for (unsigned i = 0; i < HANDOVER_ACTS_MAX; i++)
        if (scenario->steps[number][i].act != ACT_NONE)
            do_step(now->caches[number], scenario->steps[number][i]);
}

/* The plain stores of words: a life ends after its last word, and begins after its end. */
static void look_at_store(const void *place, unsigned long value, const char *function)
{
    (void)function;
    for (unsigned i = 0; i < WORLD_CELLS; i++) {
        if (place != &world.states[i].word)
            continue;
        uint32_t before = world.states[i].word, after = (uint32_t)value;
        uint32_t ended = roma__word_make(roma__word_generation(before) + 1, 0);
        if (roma__word_count(after) == 0 && (roma__word_count(before) != 1 || after != ended))
            interleave_fail("a life is ended by a store that did not see its last word");
        if (roma__word_count(after) != 0 && after != before + 1)
            interleave_fail("a life begins in a cell that is not free");
    }
}

static unsigned releases_of(unsigned index)
{
    unsigned tried = 0;
    for (unsigned i = 0; i < scenario->threads; i++)
        for (unsigned j = 0; j < HANDOVER_ACTS_MAX; j++)
            tried += scenario->steps[i][j].cell == index &&
                     (scenario->steps[i][j].act == ACT_RELEASE ||
                      scenario->steps[i][j].act == ACT_RELEASE_FAST);
    return tried;
}

static const char *judge_cell(unsigned index)
{
    bool ends = releases_of(index) > 0;
    if (now->freed[index] - world.told[index] != ends)
        return ends ? "of the releases of a life not exactly one ended it"
                    : "a release was told of that was none";
    bool lives = now->is_taken[index] || (!ends && index < scenario->live);
    if (roma__slab_bit_is_free(&world.slab, index) == lives)
        return lives ? "a cell is free that is held" : "a cell is lost that nobody holds";
    if (scenario->words == ROMA__WORDS_NONE)
        return NULL;
    uint32_t word = roma__word_make(now->cells[index].generation + ends, lives);
    if (now->is_taken[index] && now->taken[index] != word)
        return "a life has begun in a generation that was not its";
    return world.states[index].word == word ? NULL : "a life is ended that was not released";
}

static const char *judge(void *context)
{
    (void)context;
    const char *fault = world_fault();
    for (unsigned i = 0; i < WORLD_CELLS && fault == NULL; i++)
        fault = judge_cell(i);
    return fault;
}

/* ---- mutants --------------------------------------------------------------------------------- */

static void make_equal(const void *place)
{
    for (unsigned i = 0; i < WORLD_CELLS; i++)
        if (place == &world.states[i].word)
            world.states[i].word = roma__word_make(now->cells[i].generation, 1);
}

interleave_mutant handover_without_comparing(const char *function)
{
    return (interleave_mutant){function, INTERLEAVE_MEDDLED, make_equal, 0};
}

static void forget_note(const void *place)
{
    (void)place;
    for (unsigned i = 0; i < WORLD_CACHES; i++)
        world.caches[i].has_lost_slabs = false;
}

interleave_mutant handover_without_note(void)
{
    return (interleave_mutant){"serve_from", INTERLEAVE_MEDDLED, forget_note, 0};
}

/* ---- the scene ------------------------------------------------------------------------------- */

interleave_result handover_run(const handover_scenario *wanted)
{
    scenario = wanted;
    interleave_plan plan = {.threads = wanted->threads,
                            .begin = begin,
                            .thread = act,
                            .judge = judge,
                            .on_store = look_at_store};
    world_fill(&plan, (world_size){1, wanted->threads + 1, WORLD_BATCHES, wanted->has_magazines});
    return interleave_run(&plan);
}
