/* spans_shim.h - a heap's extents for C++, which does not take C11 atomics: over a provider and a
 * clock that do as they are told. */
#ifndef ROMA_TESTS_SPANS_SHIM_H
#define ROMA_TESTS_SPANS_SHIM_H

#include <roma/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

struct roma__extents;
struct roma__extent_record;

/* Time, and what the limit allows. For all of them at once: tests use one at a time. */
extern uint64_t spans_clock_ns;
extern size_t spans_limit_bytes, spans_charged_bytes;
extern unsigned spans_evicted_count;

/* kinds: of the ladder's steps, by the same provider. */
struct roma__extents *spans_open(roma_provider *provider, roma_pages kinds, uint64_t delay_ns,
                                 size_t growth_bytes);
void spans_close(struct roma__extents *extents);

struct spans_run {
    char *base;
    struct roma__extent_record *record;
    uint32_t granules;
    bool reused;
};

int spans_cut(struct roma__extents *extents, uint32_t granules, struct spans_run *run);
void spans_give(struct roma__extents *extents, const struct spans_run *run);
bool spans_lengthen(struct roma__extents *extents, struct spans_run *run, uint32_t wanted);

struct spans_own {
    char *base;
    struct roma__extent_record *record;
    size_t bytes;
    roma_grant grant;
    bool zeroed, populated;
};

int spans_take_own(struct roma__extents *extents, size_t bytes, size_t align, unsigned threads,
                   struct spans_own *own);
void spans_release_own(struct roma__extents *extents, const struct spans_own *own);

bool spans_is_due(const struct roma__extents *extents);
size_t spans_return(struct roma__extents *extents);
size_t spans_trim(struct roma__extents *extents, size_t keep_bytes);
const char *spans_fault(const struct roma__extents *extents);

struct spans_figures {
    uint64_t count, bytes, dirty_bytes, clean_bytes;
};
struct spans_figures spans_figures_of(const struct roma__extents *extents);

/* As a child does after fork: only these are in use. */
void spans_fork(struct roma__extents *extents, const struct spans_run *run,
                const struct spans_own *own);

/* Pretend that a slab stays bound to a cached extent; is it still? */
void spans_bind(const struct spans_own *own);
bool spans_is_bound(const struct spans_own *own);

#ifdef __cplusplus
}
#endif
#endif
