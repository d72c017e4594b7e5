/* spans_shim.c - see spans_shim.h. */
#include "spans_shim.h"

#include "heap/extents.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t spans_clock_ns;
size_t spans_limit_bytes, spans_charged_bytes;
unsigned spans_evicted_count;

static uint64_t read_clock(void)
{
    return spans_clock_ns;
}

static int charge(void *owner, size_t bytes)
{
    (void)owner;
    if (bytes > spans_limit_bytes - spans_charged_bytes)
        return -ENOMEM;
    spans_charged_bytes += bytes;
    return 0;
}

static void credit(void *owner, size_t bytes)
{
    (void)owner;
    spans_charged_bytes -= bytes;
}

static void evicted(void *owner, struct roma__extent_record *record)
{
    (void)owner;
    (void)record;
    spans_evicted_count++;
}

struct roma__extents *spans_open(roma_provider *provider, roma_pages kinds, uint64_t delay_ns,
                                 size_t growth_bytes)
{
    struct roma__extents *extents = calloc(1, sizeof *extents);
    if (extents == NULL)
        abort();
    pthread_mutex_init(&extents->lock, NULL);
    for (unsigned i = 0; i < roma_pages_count(kinds); i++) {
        extents->ladder.steps[i].provider = provider;
        extents->ladder.steps[i].pages = roma_pages_at(kinds, i);
    }
    extents->ladder.count = roma_pages_count(kinds);
    extents->growth_bytes = growth_bytes;
    extents->return_delay_ns = delay_ns;
    extents->spans.clock = read_clock;
    extents->charge = charge;
    extents->credit = credit;
    extents->evicted = evicted;
    strcpy(extents->label, "test");
    spans_clock_ns = 1000;
    spans_limit_bytes = SIZE_MAX;
    spans_charged_bytes = 0;
    spans_evicted_count = 0;
    return extents;
}

void spans_close(struct roma__extents *extents)
{
    while (extents->shared != NULL)
        roma__extents_release(extents, extents->shared);
    while (extents->owned != NULL)
        roma__extents_release(extents, extents->owned);
    pthread_mutex_destroy(&extents->lock);
    free(extents);
}

int spans_cut(struct roma__extents *extents, uint32_t granules, struct spans_run *run)
{
    roma_error error;
    run->granules = granules;
    return roma__extents_cut(extents, granules, &run->base, &run->record, &run->reused, NULL,
                             &error);
}

void spans_give(struct roma__extents *extents, const struct spans_run *run)
{
    roma__extents_give(extents, run->record, run->base, run->granules);
}

bool spans_lengthen(struct roma__extents *extents, struct spans_run *run, uint32_t wanted)
{
    bool done = roma__extents_lengthen(extents, run->record, run->base, run->granules, wanted);
    run->granules = done ? wanted : run->granules;
    return done;
}

int spans_take_own(struct roma__extents *extents, size_t bytes, size_t align, unsigned threads,
                   struct spans_own *own)
{
    roma_error error;
    int code = roma__extents_take_own(extents, bytes, align, threads, &own->record, &own->grant,
                                      &error);
    if (code < 0)
        return code;
    own->base = own->record->extent.address;
    own->bytes = own->record->extent.bytes;
    own->zeroed = own->record->extent.zeroed;
    own->populated = own->grant.populated;
    return 0;
}

void spans_release_own(struct roma__extents *extents, const struct spans_own *own)
{
    roma__extents_release_own(extents, own->record, spans_clock_ns);
}

bool spans_is_due(const struct roma__extents *extents)
{
    return roma__extents_is_due(extents, spans_clock_ns);
}

size_t spans_return(struct roma__extents *extents)
{
    return roma__extents_return(extents, spans_clock_ns);
}

size_t spans_trim(struct roma__extents *extents, size_t keep_bytes)
{
    return roma__extents_trim(extents, keep_bytes);
}

const char *spans_fault(const struct roma__extents *extents)
{
    return roma__extents_fault(extents);
}

struct spans_figures spans_figures_of(const struct roma__extents *extents)
{
    struct spans_figures figures = {
        .count = atomic_load(&extents->count),
        .bytes = atomic_load(&extents->bytes),
        .dirty_bytes = roma__extents_dirty_bytes(extents),
        .clean_bytes = roma__extents_clean_bytes(extents),
    };
    return figures;
}

void spans_fork(struct roma__extents *extents, const struct spans_run *run,
                const struct spans_own *own)
{
    roma__extents_unmark(extents);
    roma__extents_mark(run->record, run->base, run->granules);
    roma__extents_mark(own->record, own->base, 1);
    roma__extents_settle(extents);
}

/* Any address will do: it is kept, not looked at. */
void spans_bind(const struct spans_own *own)
{
    own->record->slab = (struct roma__slab *)(void *)own->record;
}

bool spans_is_bound(const struct spans_own *own)
{
    return own->record->slab == (struct roma__slab *)(void *)own->record;
}
