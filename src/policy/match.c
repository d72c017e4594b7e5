/* match.c - which rule of a policy a request meets, and at which lengths that changes.
 *
 * The first rule whose conditions all hold decides; there are at most 64, so they are tried one by
 * one. A length of 0 counts as 1: such a block takes an address too, and a rule `size >= 1` is then
 * one for every request.
 *
 * Patterns are matched with one point to return to, the last `*`: what an earlier `*` took need
 * never be tried again, because the last one can take whatever that would have freed. A label is at
 * most 63 bytes and so is a pattern, which bounds a match at some 4000 steps.
 *
 * For plain requests the matched rule is a function of the length alone, constant between the ends
 * that rules name. So the next parting is found by going from end to end. */
#include "policy/policy.h"

#include <string.h>

/* ---- one rule ------------------------------------------------------------------------------- */

bool roma__pattern_matches(const char *pattern, const char *text, size_t length)
{
    size_t at = 0, star_at = 0; /* in the text: here, and where the last `*` has stopped taking */
    const char *behind_star = NULL;
    while (at < length) {
        if (*pattern == '*') {
            behind_star = ++pattern;
            star_at = at;
        } else if (*pattern != '\0' && (*pattern == '?' || *pattern == text[at])) {
            pattern++;
            at++;
        } else if (behind_star != NULL) {
            pattern = behind_star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static bool label_holds(const char *pattern, const char *label)
{
    if (pattern[0] == '\0')
        return true;
    if (label == NULL || label[0] == '\0')
        return false;
    enum { KEPT_BYTES = 63 }; /* as much of it as there is in reports */
    return roma__pattern_matches(pattern, label, strnlen(label, KEPT_BYTES));
}

static bool tristate_holds(roma_tristate wanted, bool is)
{
    return wanted == ROMA_EITHER || (wanted == ROMA_YES) == is;
}

static bool length_holds(const roma_conditions *when, size_t bytes)
{
    size_t counted = bytes == 0 ? 1 : bytes;
    return counted >= when->least_bytes && (when->most_bytes == 0 || counted <= when->most_bytes);
}

static bool conditions_hold(const roma_conditions *when, const roma_request *request)
{
    return length_holds(when, request->bytes) &&
           (when->lifetime == ROMA_LIFETIME_UNKNOWN || when->lifetime == request->lifetime) &&
           (when->access == ROMA_ACCESS_UNKNOWN || when->access == request->access) &&
           tristate_holds(when->shared, request->shared) &&
           tristate_holds(when->persistent, request->persistent) &&
           label_holds(when->label, request->label);
}

bool roma__conditions_hold_always(const roma_conditions *when)
{
    return when->least_bytes <= 1 && when->most_bytes == 0 && when->label[0] == '\0' &&
           when->lifetime == ROMA_LIFETIME_UNKNOWN && when->access == ROMA_ACCESS_UNKNOWN &&
           when->shared == ROMA_EITHER && when->persistent == ROMA_EITHER;
}

int roma__policy_match(const roma_policy *policy, const roma_request *request)
{
    for (unsigned i = 0; i < policy->rules_count; i++)
        if (conditions_hold(&policy->rules[i].when, request))
            return (int)i;
    return -1;
}

/* ---- where rules part for plain requests ---------------------------------------------------- */

static int match_plain(const roma_policy *policy, size_t bytes)
{
    roma_request plain = roma_request_default();
    plain.bytes = bytes;
    return roma__policy_match(policy, &plain);
}

/* The least length above `bytes` at which some rule's condition of length changes. */
static size_t next_end(const roma_policy *policy, size_t bytes)
{
    size_t next = SIZE_MAX;
    for (unsigned i = 0; i < policy->rules_count; i++) {
        const roma_conditions *when = &policy->rules[i].when;
        if (when->least_bytes > bytes && when->least_bytes < next)
            next = when->least_bytes;
        if (when->most_bytes != 0 && when->most_bytes >= bytes && when->most_bytes < next)
            next = when->most_bytes + 1;
    }
    return next;
}

size_t roma__policy_next_parting(const roma_policy *policy, size_t bytes)
{
    size_t here = bytes == 0 ? 1 : bytes;
    int matched = match_plain(policy, here);
    size_t at = next_end(policy, here);
    while (at != SIZE_MAX && match_plain(policy, at) == matched)
        at = next_end(policy, at);
    return at;
}

size_t roma__policy_first_parting(const roma_policy *policy)
{
    return roma__policy_next_parting(policy, 1);
}
