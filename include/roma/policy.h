/* roma/policy.h - rules that route requests: which placement, page kinds and providers a request
 * gets that does not say so itself.
 *
 * A policy is a value: an ordered list of rules, a limit, and what to do when all steps fail. The
 * first rule whose conditions all hold decides. What a request says itself goes before the rule:
 * its placement (with nodes and weights) and its page kinds, each as a whole; strict is what either
 * says. What neither says comes from the manager's default request. Rules build the ladder and
 * nothing else does: docs/policy.md has the grammar of the text form, and examples.
 *
 *     # large scans where the bandwidth is, everything else near its thread
 *     size >= 64M access sequential -> bandwidth, pages 2M thp base
 *     label "index*"                -> local, pages 1G 2M, strict
 *     any                           -> local
 *     limit 8G threshold 6G
 *
 * Unless a declaration says otherwise: Threads: any, but one policy is changed by one thread at a
 * time. Signals: no. Cost: no system call. Since: 0.1. */
#ifndef ROMA_POLICY_H
#define ROMA_POLICY_H

#include <roma/request.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma_manager roma_manager;

enum { ROMA_RULES_MAX = 64, ROMA_RULE_PROVIDERS_MAX = 4, ROMA_LABEL_PATTERN_BYTES = 64 };

/** Yes, no, or either way. */
typedef enum roma_tristate { ROMA_EITHER = 0, ROMA_YES, ROMA_NO } roma_tristate;

/** What a request must be for a rule to decide on it; what is zero is no condition. */
typedef struct roma_conditions {
    size_t least_bytes;                    /**< its length (0 counts as 1) is at least this       */
    size_t most_bytes;                     /**< and at most this; 0: no upper end                 */
    char label[ROMA_LABEL_PATTERN_BYTES];  /**< pattern of its label: `*` is any text, `?` any one
                                                byte; "": any label, or none                      */
    roma_lifetime lifetime;
    roma_access access;
    roma_tristate shared, persistent;
} roma_conditions;

/** A rule. Make one with roma_rule_default(). */
typedef struct roma_rule {
    size_t size; /**< of this struct */
    roma_conditions when;
    roma_placement placement;
    roma_nodes nodes;
    uint8_t weights[ROMA_WEIGHTS_MAX]; /**< as in a request                                       */
    roma_pages pages;                  /**< in order; 0: not said                                 */
    /** In order, by the names of the manager's; the first one "": all of the manager's. */
    char providers[ROMA_RULE_PROVIDERS_MAX][ROMA_PROVIDER_NAME_BYTES];
    bool strict;
    unsigned populate_threads;         /**< as in a request; 0: not said                          */
} roma_rule;

static inline roma_rule roma_rule_default(void)
{
    roma_rule rule;
    memset(&rule, 0, sizeof rule);
    rule.size = sizeof rule;
    return rule;
}

/** What happens to a request when every step of its ladder failed. */
typedef enum roma_otherwise {
    ROMA_OTHERWISE_FAIL = 0, /**< it fails, and the grant says why                                */
    ROMA_OTHERWISE_PLAIN,    /**< it is tried once more as if no rule had matched and it had not
                                  been strict: any node, transparent huge then base pages         */
    ROMA_OTHERWISE_ABORT     /**< the last error is printed and the program aborts                */
} roma_otherwise;

typedef struct roma_policy roma_policy;

/** Make a policy without rules.  Returns 0, -EINVAL (NULL), -ENOMEM. */
ROMA_API int roma_policy_create(roma_policy **policy);

/** NULL is fine. Managers have copies of their own. */
ROMA_API void roma_policy_destroy(roma_policy *policy);

/** Add a rule behind those that are there.
 *
 *  error  may be NULL; `subject` names the member that is wrong
 *  Returns 0, -EINVAL (a placement, nodes or weights that do not go together; most_bytes below
 *  least_bytes; a pattern that does not end or has control bytes or quotes; page kinds or providers
 *  twice; a rule behind one without conditions, which nothing would meet), -E2BIG (a newer struct),
 *  -ENOSPC (ROMA_RULES_MAX are there). */
ROMA_API int roma_policy_add_rule(roma_policy *policy, const roma_rule *rule, roma_error *error);

/** How many rules it has, and a copy of each.  roma_policy_rule() returns 0 or -EINVAL. */
ROMA_API unsigned roma_policy_rules_count(const roma_policy *policy);
ROMA_API int roma_policy_rule(const roma_policy *policy, unsigned index, roma_rule *rule);

/** The most memory to hold, and from where on the manager's on_threshold is called; 0: as the
 *  manager's options say.  Returns 0 or -EINVAL (a threshold above the limit). */
ROMA_API int roma_policy_set_limit(roma_policy *policy, size_t limit_bytes, size_t threshold_bytes);
ROMA_API size_t roma_policy_limit(const roma_policy *policy);
ROMA_API size_t roma_policy_threshold(const roma_policy *policy);

/** Returns 0 or -EINVAL. */
ROMA_API int roma_policy_set_otherwise(roma_policy *policy, roma_otherwise otherwise);
ROMA_API roma_otherwise roma_policy_otherwise(const roma_policy *policy);

/** The word that the text form has for a value, as "preferred-many"; NULL where it has none: for
 *  UNKNOWN, and beyond the last.  Threads: any.  Signals: yes.  Cost: none.  Since: 0.1 */
ROMA_API const char *roma_placement_word(roma_placement placement);
ROMA_API const char *roma_lifetime_word(roma_lifetime lifetime);
ROMA_API const char *roma_access_word(roma_access access);

/** Read a policy from text, as docs/policy.md describes it.
 *
 *  text    terminated
 *  policy  receives it; the caller's to destroy
 *  error   may be NULL. On -EINVAL its `why` is ROMA_WHY_POLICY_TEXT, `need` the line and `have`
 *          the column, both from 1, in bytes, and `subject` what was expected there
 *  Returns 0, -EINVAL, -ENOSPC (too many rules), -ENOMEM; *policy is then NULL. */
ROMA_API int roma_policy_parse(const char *text, roma_policy **policy, roma_error *error);

/** The same from a file of at most 64 KiB.  Also returns -errno of reading, -EFBIG.
 *  Cost: reads the file. */
ROMA_API int roma_policy_read(const char *path, roma_policy **policy, roma_error *error);

/** One or the other, as a setting gives it: the text, or `@` and the path of a file.
 *
 *  given  no policy begins with `@`
 *  Returns as roma_policy_parse() and roma_policy_read().  Cost: with `@` reads the file. */
ROMA_API int roma_policy_from(const char *given, roma_policy **policy, roma_error *error);

/** Write it in the text form; what is written reads back as an equal policy.
 *
 *  Returns 0 or -errno of the stream, -EINVAL. */
ROMA_API int roma_policy_print(const roma_policy *policy, FILE *stream);

/** Have a manager route by a copy of this policy from now on; NULL: by none.
 *
 *  Requests that begin after the call has returned are routed by it; one that runs at the same time
 *  goes by either. Blocks stay where they are. A roma_cache taken before goes on as it was: take
 *  another one. Rules of length, label or hint cost plain calls (roma_alloc) nothing up to the
 *  least length at which rules part, and the slow path beyond it.
 *
 *  error  may be NULL
 *  Returns 0, -EINVAL (a rule that names a provider which the manager does not have, `subject`),
 *  -ENOMEM: then nothing is changed.
 *  Threads: any, also while others allocate.  Cost: waits for requests that are being routed. */
ROMA_API int roma_manager_policy(roma_manager *manager, const roma_policy *policy,
                                 roma_error *error);

/** roma_explain() as it would be under a policy (NULL: none), in a manager with default options:
 *  nothing is done.  rule (may be NULL) receives the index of the rule that decided, -1 for none.
 *  Returns as roma_explain().  Cost: reads of /sys and /proc for each step. */
ROMA_API int roma_policy_explain(const roma_policy *policy, const roma_request *request,
                                 roma_grant *grant, int *rule);

#ifdef __cplusplus
}
#endif
#endif
