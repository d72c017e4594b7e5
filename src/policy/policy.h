/* policy.h - a policy as a value, and the rule that a request meets.
 *
 * What is in a policy has been checked when it came in, and is in one form: texts are terminated
 * and zero behind their end, so that rules compare member by member. */
#ifndef ROMA_POLICY_POLICY_H
#define ROMA_POLICY_POLICY_H

#include <roma/policy.h>

#ifdef __cplusplus
extern "C" {
#endif

struct roma_policy {
    unsigned rules_count;
    roma_otherwise otherwise;
    size_t limit_bytes, threshold_bytes; /* 0: not said */
    roma_rule rules[ROMA_RULES_MAX];
};

/* The specification: every rule is fit to be added and can be met, the threshold is not above the
 * limit. */
bool roma__policy_is_valid(const roma_policy *policy);

/* Does a rule with these conditions decide on every request? */
bool roma__conditions_hold_always(const roma_conditions *when);

/* Is the rule fit to be in a policy? Returns 0 or -EINVAL with *error naming the member. */
int roma__rule_check(const roma_rule *rule, roma_error *error);

bool roma__conditions_equal(const roma_conditions *a, const roma_conditions *b);
bool roma__policy_equal(const roma_policy *a, const roma_policy *b);

/* NULL is copied as NULL. Returns 0 or -ENOMEM. */
int roma__policy_copy(const roma_policy *policy, roma_policy **copy);

/* Read text of this length, which need not be terminated; else as roma_policy_parse(). */
int roma__policy_parse(const char *text, size_t bytes, roma_policy **policy, roma_error *error);

/* ---- matching (match.c) --------------------------------------------------------------------- */

/* The index of the first rule whose conditions all hold; -1: none. A length of 0 counts as 1. */
int roma__policy_match(const roma_policy *policy, const roma_request *request);

/* A plain request has no label and no hints, so that only its length decides. The least length
 * above `bytes` that meets another rule (or none) than `bytes` does; SIZE_MAX: none does. */
size_t roma__policy_next_parting(const roma_policy *policy, size_t bytes);

/* The least length that meets another rule than a length of 1 does; SIZE_MAX: none does. */
size_t roma__policy_first_parting(const roma_policy *policy);

/* `*` is any text, `?` any one byte. Time: product of the lengths at worst. */
bool roma__pattern_matches(const char *pattern, const char *text, size_t length);

#ifdef __cplusplus
}
#endif
#endif
