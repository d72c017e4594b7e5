/* inbox_interleaved.c - remote.c: batches pushed onto an inbox, taken, and used again. */
#include "heap_interleaved.h"
#include "scenes_interleaved.h"

/* In the world's memory, for it makes states. */
struct inbox_scene {
    struct roma__cache *receiver, *senders[INTERLEAVE_THREADS_MAX - 1];
    unsigned arrived[INTERLEAVE_THREADS_MAX - 1][WORLD_CELLS];
    unsigned senders_count, sends_count, takes_count;
};

static struct inbox_scene *const now = (struct inbox_scene *)(void *)world.scene;

static void begin(void *context)
{
    _Static_assert(sizeof(struct inbox_scene) <= sizeof world.scene, "the scene has room");
    const struct inbox_scene *wanted = context;
    world_begin(ROMA__WORDS_OWNED);
    *now = *wanted;
    now->receiver = world_cache(0, ROMA__CACHE_ATTACHED);
    for (unsigned i = 0; i < now->senders_count; i++)
        now->senders[i] = world_cache(0, ROMA__CACHE_ATTACHED);
    world_slab(now->receiver, WORLD_CELLS);
}

/* The word of a cell here is (sender, number). */
static void receive(void)
{
    for (struct roma__batch *batch = roma__inbox_take(&now->receiver->inbox), *next; batch != NULL;
         batch = next) {
        next = batch->next;
        for (uint32_t i = 0; i < batch->count; i++)
            now->arrived[batch->words[i] / WORLD_CELLS][batch->words[i] % WORLD_CELLS]++;
        roma__batch_free(batch);
    }
}

static void act(void *context, unsigned number)
{
    (void)context;
    if (number == now->senders_count) {
        for (unsigned i = 0; i < now->takes_count; i++)
            receive();
        return;
    }
    for (unsigned i = 0; i < now->sends_count; i++) {
        (void)roma__remote_send(now->senders[number], &world.slab, i, number * WORLD_CELLS + i);
        roma__remote_flush(now->senders[number]);
    }
}

static const char *judge(void *context)
{
    (void)context;
    receive();
    for (unsigned sender = 0; sender < now->senders_count; sender++)
        for (unsigned i = 0; i < now->sends_count; i++)
            if (now->arrived[sender][i] != 1)
                return now->arrived[sender][i] == 0 ? "a cell is lost" : "a cell arrives twice";
    return world_fault();
}

interleave_result inbox_run(unsigned senders, unsigned sends, unsigned takes)
{
    struct inbox_scene wanted = {
        .senders_count = senders, .sends_count = sends, .takes_count = takes};
    interleave_plan plan = {
        .threads = senders + 1, .context = &wanted, .begin = begin, .thread = act, .judge = judge};
    world_fill(&plan, (world_size){1, senders + 1, senders * sends, false});
    return interleave_run(&plan);
}
