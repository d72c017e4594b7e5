/* stats.c - a manager's figures as a walk. */
#include "manager/manager.h"

#include "manager/json.h"

#include <errno.h>

struct walk {
    roma_visit visit;
    void *context;
    int code; /* of the visitor, once it is not 0; then nothing more is visited */
};

static void give(struct walk *walk, const char *key, roma_value_type type, uint64_t number,
                 const char *text)
{
    roma_value value = {type, number, text};
    if (walk->code == 0)
        walk->code = walk->visit(walk->context, key, &value);
}

static void give_count(struct walk *walk, const char *key, uint64_t count)
{
    give(walk, key, ROMA_VALUE_COUNT, count, NULL);
}

static void give_bytes(struct walk *walk, const char *key, uint64_t bytes)
{
    give(walk, key, ROMA_VALUE_BYTES, bytes, NULL);
}

static uint64_t load(_Atomic(uint64_t) *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

/* The store's own figures between a name and those that the manager keeps. */
static int stats_of_store(struct walk *walk, roma_manager *manager)
{
    give(walk, "name", ROMA_VALUE_TEXT, 0, manager->name);
    if (walk->code == 0)
        walk->code = roma_store_stats(manager->store, walk->visit, walk->context);
    give_count(walk, "failures.count", load(&manager->failures));
    give_count(walk, "misuse.count", load(&manager->misuses));
    return walk->code;
}

int roma_manager_stats(roma_manager *manager, roma_visit visit, void *context)
{
    if (manager == NULL || visit == NULL)
        return -EINVAL;
    struct walk walk = {visit, context, 0};
    if (manager->store != NULL)
        return stats_of_store(&walk, manager);
    roma__figures figures = roma__figures_of(manager);
    figures.metadata_bytes += sizeof *manager + roma__notes_bytes(&manager->notes);
    give(&walk, "name", ROMA_VALUE_TEXT, 0, manager->name);
    give_count(&walk, "blocks.live", figures.live);
    give_bytes(&walk, "blocks.bytes", figures.bytes);
    give_bytes(&walk, "blocks.usable_bytes", figures.usable_bytes);
    give_bytes(&walk, "blocks.peak_bytes", figures.peak_bytes);
    give_count(&walk, "allocations.count", figures.allocations);
    give_count(&walk, "releases.count", figures.releases);
    give_count(&walk, "failures.count", load(&manager->failures));
    give_count(&walk, "extents.live", figures.extents);
    give_bytes(&walk, "extents.bytes", load(&manager->held_bytes));
    give_bytes(&walk, "extents.peak_bytes", load(&manager->held_peak_bytes));
    give_bytes(&walk, "free.bytes", figures.free_bytes);
    give_bytes(&walk, "returned.bytes", figures.returned_bytes);
    give_bytes(&walk, "metadata.bytes", figures.metadata_bytes);
    give_bytes(&walk, "limit.bytes", manager->limit_bytes);
    give_count(&walk, "misuse.count", load(&manager->misuses));
    return walk.code;
}

int roma_manager_json(roma_manager *manager, int fd)
{
    if (manager == NULL)
        return -EINVAL;
    roma__json json;
    roma__json_open(&json, fd);
    (void)roma_manager_stats(manager, roma__json_visit, &json);
    return roma__json_close(&json);
}
