/* wish.h - request and policy -> wish -> ladder.
 *
 *   wish.c     what a request, a rule and defaults together wish, and where the caller runs
 *   placing.c  the placement of a wish becomes sets of nodes
 *
 * A wish is all that decides on a ladder, in a form that can be compared; so it names the heap that
 * serves it, and a ladder is built only when a new wish turns up. */
#ifndef ROMA_POLICY_WISH_H
#define ROMA_POLICY_WISH_H

#include "policy/ladder.h"

#include <roma/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What decides on the ladder, and so on the heap, that a request goes to. Compared as bytes: it has
 * no padding. */
typedef struct roma__wish {
    roma_placement placement;
    int origin;         /* the node that LOCAL means, that orders begin from, or that CAPACITY found
                           roomiest; -1: none, or not known                                     */
    roma_nodes nodes;
    uint8_t weights[ROMA_WEIGHTS_MAX];
    roma_pages pages;
    size_t apart_below; /* > 0: of plain requests shorter than this, and of no other: see
                           manager/plain.c                                                      */
    size_t populate_threads; /* > 0: of plain requests, each block's pages are to be present    */
    uint8_t providers[ROMA_RULE_PROVIDERS_MAX]; /* places in the list of those known, counted from
                                                   1; the first 0: the usual ones               */
    bool strict, inherit;
    bool plain_at_last; /* when all steps fail: see ladder.h                                    */
    bool none;          /* 0: there is no padding                                               */
} roma__wish;

/* What becomes of a request. */
typedef struct roma__routing {
    roma__wish wish;
    unsigned populate_threads;
    int rule; /* of the policy; -1: none */
} roma__routing;

/* Whose requests they are. */
typedef struct roma__wisher {
    const roma_request *defaults;     /* placement, nodes, weights, pages, strict, inherit,
                                         populate_threads where nobody says; NULL: nothing  */
    roma_provider *const *providers;  /* those known by name                                */
    size_t providers_known;
    size_t providers_count;           /* of them the first are the usual ones               */
} roma__wisher;

/* Have the providers that a policy (NULL: none) names be known: those that are not yet are added to
 * the list of ROMA_STEPS_MAX by `named` (NULL: no such). Returns 0 or -EINVAL with *error naming
 * the one; those before it are known then. */
int roma__wish_know_providers(const roma_policy *policy, roma_provider **providers, size_t *known,
                              roma_provider *(*named)(const char *name), roma_error *error);

/* What a request wishes: itself, else the rule of the policy (NULL: none) that matches, else the
 * defaults. Providers that the rule names are known. The caller's node is looked up where it
 * counts. Returns 0 or -errno with *error filled. */
int roma__wish_of(const roma__wisher *wisher, const roma_policy *policy,
                  const roma_request *request, roma__routing *routing, roma_error *error);

/* Does a wish depend on where the caller runs, or on what is free at the moment? */
bool roma__wish_follows(const roma__wish *wish);

/* Then: find the origin now. Returns 0 or -errno with *error filled. */
int roma__wish_find_origin(roma__wish *wish, roma_error *error);

/* The part of a ladder's wish that says where: pure but for the topology. Returns 0 or -EINVAL with
 * *error filled. */
int roma__wish_place(const roma__wish *wish, roma__ladder_wish *asked, roma_error *error);

/* The ladder of a wish. Returns 0 or -EINVAL with *error filled. */
int roma__wish_ladder(const roma__wisher *wisher, const roma__wish *wish, roma__ladder *ladder,
                      roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
