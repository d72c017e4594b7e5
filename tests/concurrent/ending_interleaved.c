/* ending_interleaved.c - threads that end while heaps are closed: threads.c and heap.c as they
 * are. */
#include "heap_interleaved.h"
#include "scenes_interleaved.h"

/* In the world's memory, for it makes states. */
struct ending_scene {
    struct roma__cache *caches[ENDING_THREADS_MAX][ENDING_HEAPS];
    bool is_told;
};

static struct ending_scene *const now = (struct ending_scene *)(void *)world.scene;
static const ending_scenario *scenario;

static void begin(void *context)
{
    _Static_assert(sizeof(struct ending_scene) <= sizeof world.scene, "the scene has room");
    (void)context;
    world_begin(ROMA__WORDS_OWNED);
    for (unsigned i = 0; i < scenario->threads; i++)
        for (unsigned heap = 0; heap < ENDING_HEAPS; heap++)
            if (scenario->has_cache[i][heap])
                now->caches[i][heap] = world_cache(heap, ROMA__CACHE_ATTACHED);
    if (scenario->live > 0)
        world_slab(now->caches[0][0], scenario->live);
    if (scenario->sends)
        (void)roma__remote_send(now->caches[1][0], &world.slab, 0, world.states[0].word);
}

static void use(roma__heap *heap)
{
    struct roma__cache *cache = roma__cache_if_any(heap);
    if (cache == NULL || cache->heap != heap || cache->state != ROMA__CACHE_ATTACHED)
        interleave_fail("a thread's cache is not its any more");
    roma__cache_lock_own(cache);
    interleave_unlock(&cache->lock, __func__);
}

static void act(void *context, unsigned number)
{
    (void)context;
    world_thread(now->caches[number][0], now->caches[number][1], false);
    for (unsigned i = 0; i < ENDING_ACTS_MAX; i++) {
        ending_step step = scenario->steps[number][i];
        roma__heap *heap = &world.heaps[step.heap];
        switch (step.act) {
        case END_NONE: break;
        case END_LEAVE: roma__caches_leave(); break;
        case END_ATTACH: (void)roma__heap_cache(heap); break;
        case END_USE: use(heap); break;
        case END_TELL: now->is_told = true; break;
        case END_AWAIT: interleave_await(&now->is_told); break;
        case END_CHECK:
            if (roma__heap_check(heap, NULL, NULL) != 0)
                interleave_fail("a heap does not hold while a thread ends");
            break;
        case END_CLEAR: (void)roma__heap_clear(heap); break;
        case END_CLOSE_CACHES:
            roma__caches_close(heap);
            world.is_gone[step.heap] = true;
            break;
        case END_CLOSE: (void)roma__heap_close(heap); break;
        }
    }
}

/* Nobody has business with a cache that is nobody's. */
static void look_for_spare(const void *place, const char *function)
{
    world_look(place, function);
    for (unsigned i = 0; i < WORLD_CACHES; i++)
        if (place == &world.caches[i].lock && world.caches[i].state == ROMA__CACHE_SPARE)
            interleave_fail("a cache is used that is spare");
}

/* Whatever is in the cache, the thread's entry says the same. */
static void make_equal(const void *place)
{
    (void)place;
    for (unsigned i = 0; i < WORLD_HEAPS; i++) {
        struct world_entry *entry = &world.entries[interleave_self()][i];
        if (entry->cache != NULL)
            entry->serial = entry->cache->serial;
    }
}

interleave_mutant ending_without_look(void)
{
    return (interleave_mutant){"announce", INTERLEAVE_MEDDLED, make_equal, 0};
}

static const char *judge(void *context)
{
    (void)context;
    return world_fault();
}

interleave_result ending_run(const ending_scenario *wanted)
{
    scenario = wanted;
    unsigned caches = 1;
    for (unsigned i = 0; i < wanted->threads; i++)
        caches += (unsigned)wanted->has_cache[i][0] + wanted->has_cache[i][1];
    interleave_plan plan = {
        .threads = wanted->threads, .begin = begin, .thread = act, .judge = judge};
    world_fill(&plan, (world_size){ENDING_HEAPS, caches, WORLD_BATCHES, wanted->has_magazines});
    plan.on_access = look_for_spare;
    return interleave_run(&plan);
}
