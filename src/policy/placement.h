/* placement.h - do a placement, its nodes and its weights go together? Asked of requests and of
 * rules, which have the same members. */
#ifndef ROMA_POLICY_PLACEMENT_H
#define ROMA_POLICY_PLACEMENT_H

#include <roma/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/* By placement:
 *
 *   ANYWHERE LOCAL BANDWIDTH LATENCY CAPACITY   no node is named
 *   NODES                                       any number; strict: at least one
 *   PREFERRED                                   one
 *   PREFERRED_MANY                              at least one
 *   INTERLEAVE                                  any number
 *   WEIGHTED                                    up to ROMA_WEIGHTS_MAX
 *   NEAREST                                     at most one
 *
 * Weights other than 0 stand only under WEIGHTED, and only for nodes that are named: there are
 * ROMA_WEIGHTS_MAX of them, those past the count of nodes are 0.
 *
 * prefix  of the subject: "request." or "rule."
 * Returns 0, or -EINVAL with *error (may be NULL) naming the member. */
int roma__placement_check(roma_placement placement, const roma_nodes *nodes,
                          const uint8_t *weights, bool strict, roma_error *error,
                          const char *prefix);

/* Is some weight other than 0? */
bool roma__weights_are_given(const uint8_t *weights);

#ifdef __cplusplus
}
#endif
#endif
