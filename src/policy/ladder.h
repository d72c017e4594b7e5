/* ladder.h - request -> ladder, a pure function; and the walk down it.
 *
 * A step's identity is (provider, nodes and how pages are laid on them, page kind). This is the
 * only place that orders fallbacks: providers try what one step says, once. */
#ifndef ROMA_POLICY_LADDER_H
#define ROMA_POLICY_LADDER_H

#include <roma/provider.h>
#include <roma/request.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__ladder_step {
    roma_provider *provider;
    roma_nodes nodes;     /* empty: the kernel's choice  */
    roma_spread spread;   /* NONE where nodes is empty   */
    roma_page_kind pages; /* with its size               */
    bool strict;          /* placement and kind are to be proved */
} roma__ladder_step;

typedef struct roma__ladder {
    unsigned count;
    uint8_t weights[ROMA_WEIGHTS_MAX]; /* of the steps that spread by weight */
    roma__ladder_step steps[ROMA_STEPS_MAX];
} roma__ladder;

/* What the machine has, as far as the order of steps depends on it. */
typedef struct roma__ladder_machine {
    roma_page_kind base;    /* with its size                                      */
    roma_page_kind thp;     /* largest transparent huge page; 0: none             */
    roma_page_kind hugetlb; /* default hugetlb page; 0: none                      */
    roma_pages pools;       /* hugetlb kinds that there are pools for, large first */
} roma__ladder_machine;

enum { ROMA__GROUPS_MAX = 16 };

typedef struct roma__ladder_wish {
    roma_pages pages; /* 0: the default, transparent huge then base                */
    /* Sets of nodes in the order in which they are to be tried, none of them empty; no set: the
     * kernel's choice. Where there are more than a ladder has steps for, the last one takes in
     * the rest. */
    unsigned groups_count;
    roma_nodes groups[ROMA__GROUPS_MAX];
    roma_spread spread; /* how pages are laid on the nodes of a set                */
    uint8_t weights[ROMA_WEIGHTS_MAX];
    bool strict;
    roma_provider *const *providers;
    size_t providers_count;
    /* When all that failed: as without any wish, not strict, by these; none: no such steps. */
    roma_provider *const *plain_providers;
    size_t plain_providers_count;
} roma__ladder_wish;

/* Build the ladder:
 *
 *   kinds  the wish's in order, or by default transparent huge then base. Not strict: after the
 *          smallest hugetlb kind named, the machine's smaller page pools, then transparent huge
 *          where it is not larger than what was named, then base.
 *   nodes  the wish's sets in order; not strict: then all kinds again without a wish for nodes.
 *   last   the default kinds on any node, not strict, by the providers named for that; those that
 *          are among the steps already are not there twice.
 *   order  nodes before kinds before providers: memory of the right kind on the right node first,
 *          then weaker pages on the right node, then other nodes.
 *
 * A kind that the machine lacks keeps its step, so that the grant can say so.
 * Pure: same arguments, same ladder. Returns 0, or -EINVAL (no provider; a kind of no class; more
 * steps than a ladder holds) with *error filled. */
int roma__ladder_build(const roma__ladder_wish *wish, const roma__ladder_machine *machine,
                       roma__ladder *ladder, roma_error *error);

/* The facts of this machine. Cheap after first use. */
roma__ladder_machine roma__ladder_machine_now(void);

/* Do two ladders have the same steps in the same order? */
bool roma__ladder_equal(const roma__ladder *a, const roma__ladder *b);

/* Try the steps in order from `first` on, each once; the first extent wins.
 *
 * first   0; or behind a step whose extent the caller would not have: the grant goes on then
 * ask     bytes, align, label, inherit, populate_threads; what a step says replaces the rest
 * extent  receives the extent; taken: the index of the step that gave it
 * grant   may be NULL; steps and how each went
 * Returns 0, or the code of the last step, with *error (never NULL) its error. */
int roma__ladder_walk(const roma__ladder *ladder, unsigned first, const roma_extent_request *ask,
                      roma_extent *extent, unsigned *taken, roma_grant *grant, roma_error *error);

/* Ask every step's provider whether it would work now; nothing is done. grant->code is 0 when some
 * step would. */
void roma__ladder_explain(const roma__ladder *ladder, const roma_extent_request *ask,
                          roma_grant *grant);

/* Fill one step of a grant from a step of a ladder. */
void roma__ladder_step_note(const roma__ladder *ladder, unsigned index, const roma_error *error,
                            roma_step *note);

#ifdef __cplusplus
}
#endif
#endif
