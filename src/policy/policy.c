/* policy.c - policies as values: made, filled, read back, copied.
 *
 * A policy is one record with room for all its rules; a copy is a copy of the bytes. A rule is
 * checked and brought into one form when it is added, so that what reads a policy later (matching,
 * printing, building ladders) trusts it. */
#include "policy/policy.h"

#include "base/error.h"
#include "base/structs.h"
#include "policy/placement.h"
#include "provider/instance.h"
#include "sys/records.h"

#include <errno.h>
#include <string.h>

/* ---- making --------------------------------------------------------------------------------- */

int roma_policy_create(roma_policy **policy)
{
    if (policy == NULL)
        return -EINVAL;
    *policy = roma__record_new(sizeof **policy);
    return *policy == NULL ? -ENOMEM : 0;
}

void roma_policy_destroy(roma_policy *policy)
{
    roma__record_free(policy, sizeof *policy);
}

int roma__policy_copy(const roma_policy *policy, roma_policy **copy)
{
    *copy = NULL;
    if (policy == NULL)
        return 0;
    int code = roma_policy_create(copy);
    if (code < 0)
        return code;
    /* Without the rules that are not there: their pages of the copy then cost no memory. */
    memcpy(*copy, policy,
           offsetof(roma_policy, rules) + policy->rules_count * sizeof policy->rules[0]);
    return 0;
}

/* ---- rules ---------------------------------------------------------------------------------- */

/* Terminated, and without what the text form cannot say: `?` stands for a quote, too. */
static bool pattern_is_fit(const char *pattern)
{
    size_t length = strnlen(pattern, ROMA_LABEL_PATTERN_BYTES);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)pattern[i] < ' ' || pattern[i] == '\x7f' || pattern[i] == '"')
            return false;
    return length < ROMA_LABEL_PATTERN_BYTES;
}

static int check_conditions(const roma_conditions *when, roma_error *error)
{
    if (when->most_bytes != 0 && when->most_bytes < when->least_bytes)
        return roma__error_invalid(error, "rule.when.most_bytes");
    if (!pattern_is_fit(when->label))
        return roma__error_invalid(error, "rule.when.label");
    if ((unsigned)when->lifetime > ROMA_LIFETIME_LONG)
        return roma__error_invalid(error, "rule.when.lifetime");
    if ((unsigned)when->access > ROMA_ACCESS_RARE)
        return roma__error_invalid(error, "rule.when.access");
    if ((unsigned)when->shared > ROMA_NO)
        return roma__error_invalid(error, "rule.when.shared");
    if ((unsigned)when->persistent > ROMA_NO)
        return roma__error_invalid(error, "rule.when.persistent");
    return 0;
}

/* Kinds of a class each, none twice, none behind a hole. */
static bool pages_are_fit(roma_pages pages)
{
    for (unsigned i = 0; i < roma_pages_count(pages); i++)
        if (roma_page_class(roma_pages_at(pages, i)) == 0)
            return false;
    return roma_pages_then(0, pages) == pages;
}

/* Names that a provider can have, none twice, none behind a hole. */
static bool providers_are_fit(const char (*names)[ROMA_PROVIDER_NAME_BYTES])
{
    bool ended = false;
    for (unsigned i = 0; i < ROMA_RULE_PROVIDERS_MAX; i++) {
        ended = ended || names[i][0] == '\0';
        if (ended != (names[i][0] == '\0') || (!ended && !roma__provider_name_is_valid(names[i])))
            return false;
        for (unsigned j = 0; !ended && j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return false;
    }
    return true;
}

int roma__rule_check(const roma_rule *rule, roma_error *error)
{
    int code = check_conditions(&rule->when, error);
    if (code == 0)
        code = roma__placement_check(rule->placement, &rule->nodes, rule->weights, rule->strict,
                                     error, "rule.");
    if (code < 0)
        return code;
    if (!pages_are_fit(rule->pages))
        return roma__error_invalid(error, "rule.pages");
    if (!providers_are_fit(rule->providers))
        return roma__error_invalid(error, "rule.providers");
    return 0;
}

/* Zeroes behind the end of a text that is terminated. */
static void clean(char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);
    memset(text + length, 0, bytes - length);
}

int roma_policy_add_rule(roma_policy *policy, const roma_rule *rule, roma_error *error)
{
    roma_rule own;
    if (policy == NULL || rule == NULL)
        return roma__error_invalid(error, policy == NULL ? "policy" : "rule");
    int code = roma__struct_read(&own, sizeof own, rule, offsetof(roma_rule, placement),
                                 "rule.size", error);
    if (code == 0)
        code = roma__rule_check(&own, error);
    if (code < 0)
        return code;
    unsigned count = policy->rules_count;
    if (count > 0 && roma__conditions_hold_always(&policy->rules[count - 1].when))
        return roma__error_invalid(error, "rule behind one that decides on every request");
    if (count == ROMA_RULES_MAX)
        return roma__error_subject(error, -ENOSPC, ROMA_WHY_INVALID, "number of rules");
    own.size = sizeof own;
    clean(own.when.label, sizeof own.when.label);
    for (unsigned i = 0; i < ROMA_RULE_PROVIDERS_MAX; i++)
        clean(own.providers[i], sizeof own.providers[i]);
    policy->rules[policy->rules_count++] = own;
    roma__error_fill(error, 0, ROMA_WHY_NONE, NULL);
    return 0;
}

unsigned roma_policy_rules_count(const roma_policy *policy)
{
    return policy == NULL ? 0 : policy->rules_count;
}

int roma_policy_rule(const roma_policy *policy, unsigned index, roma_rule *rule)
{
    if (policy == NULL || rule == NULL || index >= policy->rules_count)
        return -EINVAL;
    *rule = policy->rules[index];
    return 0;
}

/* ---- the limit, and what happens otherwise -------------------------------------------------- */

int roma_policy_set_limit(roma_policy *policy, size_t limit_bytes, size_t threshold_bytes)
{
    if (policy == NULL || (limit_bytes != 0 && threshold_bytes > limit_bytes))
        return -EINVAL;
    policy->limit_bytes = limit_bytes;
    policy->threshold_bytes = threshold_bytes;
    return 0;
}

size_t roma_policy_limit(const roma_policy *policy)
{
    return policy == NULL ? 0 : policy->limit_bytes;
}

size_t roma_policy_threshold(const roma_policy *policy)
{
    return policy == NULL ? 0 : policy->threshold_bytes;
}

int roma_policy_set_otherwise(roma_policy *policy, roma_otherwise otherwise)
{
    if (policy == NULL || (unsigned)otherwise > ROMA_OTHERWISE_ABORT)
        return -EINVAL;
    policy->otherwise = otherwise;
    return 0;
}

roma_otherwise roma_policy_otherwise(const roma_policy *policy)
{
    return policy == NULL ? ROMA_OTHERWISE_FAIL : policy->otherwise;
}

/* ---- what tests ask ------------------------------------------------------------------------- */

bool roma__policy_is_valid(const roma_policy *policy)
{
    if (policy->rules_count > ROMA_RULES_MAX || (unsigned)policy->otherwise > ROMA_OTHERWISE_ABORT)
        return false;
    if (policy->limit_bytes != 0 && policy->threshold_bytes > policy->limit_bytes)
        return false;
    for (unsigned i = 0; i < policy->rules_count; i++)
        if (roma__rule_check(&policy->rules[i], NULL) != 0 ||
            (i + 1 < policy->rules_count && roma__conditions_hold_always(&policy->rules[i].when)))
            return false;
    return true;
}

bool roma__conditions_equal(const roma_conditions *a, const roma_conditions *b)
{
    return a->least_bytes == b->least_bytes && a->most_bytes == b->most_bytes &&
           a->lifetime == b->lifetime && a->access == b->access && a->shared == b->shared &&
           a->persistent == b->persistent && memcmp(a->label, b->label, sizeof a->label) == 0;
}

/* Member by member: what lies between them is not looked at. */
static bool rules_equal(const roma_rule *a, const roma_rule *b)
{
    return roma__conditions_equal(&a->when, &b->when) && a->placement == b->placement &&
           roma_nodes_equal(&a->nodes, &b->nodes) &&
           memcmp(a->weights, b->weights, sizeof a->weights) == 0 && a->pages == b->pages &&
           memcmp(a->providers, b->providers, sizeof a->providers) == 0 && a->strict == b->strict &&
           a->populate_threads == b->populate_threads;
}

bool roma__policy_equal(const roma_policy *a, const roma_policy *b)
{
    if (a->rules_count != b->rules_count || a->otherwise != b->otherwise ||
        a->limit_bytes != b->limit_bytes || a->threshold_bytes != b->threshold_bytes)
        return false;
    for (unsigned i = 0; i < a->rules_count; i++)
        if (!rules_equal(&a->rules[i], &b->rules[i]))
            return false;
    return true;
}
