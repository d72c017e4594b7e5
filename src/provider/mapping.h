/* mapping.h - the mapping core: extents of anonymous memory of one page kind, on given nodes.
 *
 * The anonymous provider is this and statistics; a provider of node arenas composes it too.
 * Requests and ranges are whole, as the dispatch passes them on; *error is never NULL. */
#ifndef ROMA_PROVIDER_MAPPING_H
#define ROMA_PROVIDER_MAPPING_H

#include <roma/provider.h>

#include "provider/space.h"

/* A request with its kind resolved and its sizes rounded. */
typedef struct roma__mapping_plan {
    roma__space_kind kind;
    size_t bytes;
    roma_nodes nodes;
    roma_spread spread;      /* how pages are laid on the nodes                     */
    const uint8_t *weights;  /* of the nodes, from the lowest up; NULL: not WEIGHTED */
    unsigned turns_before;   /* of the weights, that others have taken               */
    bool prove_nodes; /* look where the pages are, and fail if elsewhere  */
    bool prove_kind;  /* look whether they are huge pages, and fail if not */
    bool strict, inherit;
    unsigned threads; /* > 0: populate, on so many                         */
} roma__mapping_plan;

int roma__mapping_probe(const roma_extent_request *request, roma_error *error);
int roma__mapping_obtain(const roma_extent_request *request, roma_extent *extent,
                         roma_error *error);
/* Unmap an extent; in a child, one that was not inherited is only forgotten. */
int roma__mapping_return(const roma_extent *extent, roma_error *error);

/* In a child the range of an extent that was not inherited is a hole, and may be anybody's. */
bool roma__mapping_is_gone(const roma_extent *extent);
int roma__mapping_resize(roma_extent *extent, size_t bytes, bool may_move, roma_error *error);
int roma__mapping_populate(const roma_range *range, const roma_populate_options *options,
                           roma_error *error);
int roma__mapping_advise(const roma_range *range, roma_advice advice, roma_error *error);
int roma__mapping_query(const roma_range *range, roma_report *report, roma_error *error);
int roma__mapping_migrate(const roma_range *range, const roma_nodes *nodes,
                          roma_migration *migration, roma_error *error);

/* ---- between the core's own files ----------------------------------------------------------- */

/* Complete a plan whose kind, nodes, strict, inherit and threads are set: what is to be proved, and
 * on how many threads. Returns 0, or -EOPNOTSUPP where a proof is not possible. */
int roma__mapping_complete(roma__mapping_plan *plan, roma_error *error);

/* Would `bytes` more be had now? */
int roma__mapping_ready(const roma__mapping_plan *plan, size_t bytes, roma_error *error);

/* Give fresh pages their policy, advice and name, then populate and prove as planned. On failure
 * they are still mapped, the caller's to unmap. `label` NULL: no name. */
int roma__mapping_furnish(const roma__mapping_plan *plan, char *address, size_t bytes,
                          const char *label, roma_error *error);

/* ---- spread.c ------------------------------------------------------------------------------- */

/* The same where they are to lie by weight. */
int roma__mapping_furnish_weighted(const roma__mapping_plan *plan, char *address, size_t bytes,
                                   roma_error *error);

/* Where it is by weight: decide whose turn is the first of the plan, and take its turns. */
void roma__mapping_take_turns(roma__mapping_plan *plan, bool only_look);

/* The most bytes of an extent that one of its nodes gets: where pages are spread. */
size_t roma__mapping_share(const roma__mapping_plan *plan, unsigned node, size_t bytes);

/* ---- fill.c --------------------------------------------------------------------------------- */

/* furnish's second half. */
int roma__mapping_fill(const roma__mapping_plan *plan, char *address, size_t bytes,
                       roma_error *error);

/* Populate; what failed is explained: which pool or limit was exhausted. */
int roma__mapping_populate_part(const roma__mapping_plan *plan, char *address, size_t bytes,
                                const roma_executor *executor, roma_error *error);

/* What an extent's tag remembers of its request. */
typedef struct roma__mapping_memory {
    size_t align;
    bool strict;
    unsigned generation; /* of fork */
} roma__mapping_memory;

void *roma__mapping_tag(const roma__mapping_memory *memory);
roma__mapping_memory roma__mapping_memory_of(const roma_extent *extent);

/* The plan after which new pages of an extent are to be made like its old ones; without weights. */
roma__mapping_plan roma__mapping_plan_of(const roma_extent *extent);

#endif
