/* print.c - writes a policy in its text form, so that reading it gives an equal one: rules, a line
 * each, then limit, threshold and otherwise where they are said.
 *
 * A size is written in the largest unit that it is a whole number of. What a rule does not say is
 * left out; one that says nothing is `anywhere`. */
#include "policy/policy.h"

#include "policy/placement.h"
#include "policy/words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>

/* A stream, and the first thing that went wrong with it. */
struct out {
    FILE *stream;
    int code;
};

__attribute__((format(printf, 2, 3))) static void put(struct out *out, const char *format, ...)
{
    va_list arguments;
    errno = 0;
    va_start(arguments, format);
    int length = vfprintf(out->stream, format, arguments);
    va_end(arguments);
    if (length < 0 && out->code == 0)
        out->code = errno != 0 ? -errno : -EIO;
}

static void put_size(struct out *out, uint64_t size)
{
    static const char *const units[] = {"", "K", "M", "G", "T"};
    unsigned unit = 0;
    while (unit + 1 < sizeof units / sizeof units[0] && size != 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    put(out, "%" PRIu64 "%s", size, units[unit]);
}

/* ---- conditions ----------------------------------------------------------------------------- */

static void put_choice(struct out *out, const char *what, const roma__words *words, unsigned value)
{
    if (words->list[value] != NULL)
        put(out, "%s %s ", what, words->list[value]);
}

static void put_conditions(struct out *out, const roma_conditions *when)
{
    if (when->least_bytes != 0) {
        put(out, "size >= ");
        put_size(out, when->least_bytes);
        put(out, " ");
    }
    if (when->most_bytes != 0) {
        put(out, "size <= ");
        put_size(out, when->most_bytes);
        put(out, " ");
    }
    if (when->label[0] != '\0')
        put(out, "label \"%s\" ", when->label);
    put_choice(out, "lifetime", &roma__lifetime_words, when->lifetime);
    put_choice(out, "access", &roma__access_words, when->access);
    put_choice(out, "shared", &roma__tristate_words, when->shared);
    put_choice(out, "persistent", &roma__tristate_words, when->persistent);
}

/* ---- actions -------------------------------------------------------------------------------- */

static void put_nodes(struct out *out, const roma_nodes *nodes)
{
    char text[4096]; /* every second node of 1024 is the longest */
    if (!roma_nodes_is_empty(nodes))
        put(out, " %s", roma_nodes_text(nodes, text, sizeof text));
}

static void put_weights(struct out *out, const roma_rule *rule)
{
    int node = -1;
    for (unsigned i = 0; i < roma_nodes_count(&rule->nodes); i++) {
        node = roma_nodes_next(&rule->nodes, (unsigned)(node + 1));
        put(out, "%s%d=%u", i == 0 ? " " : ",", node, rule->weights[i]);
    }
}

static void put_placement(struct out *out, const roma_rule *rule)
{
    put(out, "%s", roma__placement_words.list[rule->placement]);
    if (rule->placement == ROMA_NODES && roma_nodes_is_empty(&rule->nodes))
        put(out, " any");
    else if (roma__weights_are_given(rule->weights))
        put_weights(out, rule);
    else
        put_nodes(out, &rule->nodes);
}

/* As roma_pages_parse() reads it. */
static void put_kind(struct out *out, roma_page_kind kind)
{
    size_t page_bytes = roma_page_bytes(kind);
    switch (roma_page_class(kind)) {
    case ROMA_PAGE_CLASS_BASE: put(out, page_bytes == 0 ? " base" : " base:"); break;
    case ROMA_PAGE_CLASS_THP: put(out, page_bytes == 0 ? " thp" : " thp:"); break;
    default: put(out, page_bytes == 0 ? " hugetlb" : " "); break;
    }
    if (page_bytes != 0)
        put_size(out, page_bytes);
}

static void put_pages(struct out *out, roma_pages pages)
{
    put(out, "pages");
    for (unsigned i = 0; i < roma_pages_count(pages); i++)
        put_kind(out, roma_pages_at(pages, i));
}

static void put_providers(struct out *out, const roma_rule *rule)
{
    put(out, "providers");
    for (unsigned i = 0; i < ROMA_RULE_PROVIDERS_MAX && rule->providers[i][0] != '\0'; i++)
        put(out, " %s", rule->providers[i]);
}

static void put_actions(struct out *out, const roma_rule *rule)
{
    const char *before = "", *comma = ", ";
    if (rule->placement != ROMA_ANYWHERE) {
        put_placement(out, rule);
        before = comma;
    }
    if (rule->pages != 0) {
        put(out, "%s", before);
        put_pages(out, rule->pages);
        before = comma;
    }
    if (rule->providers[0][0] != '\0') {
        put(out, "%s", before);
        put_providers(out, rule);
        before = comma;
    }
    if (rule->populate_threads != 0) {
        put(out, "%spopulate %u", before, rule->populate_threads);
        before = comma;
    }
    if (rule->strict) {
        put(out, "%sstrict", before);
        before = comma;
    }
    if (before != comma)
        put(out, "anywhere");
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void put_rule(struct out *out, const roma_rule *rule)
{
    static const roma_conditions none;
    if (roma__conditions_equal(&rule->when, &none))
        put(out, "any ");
    else
        put_conditions(out, &rule->when);
    put(out, "-> ");
    put_actions(out, rule);
    put(out, "\n");
}

static void put_limit(struct out *out, const char *word, size_t bytes)
{
    if (bytes == 0)
        return;
    put(out, "%s ", word);
    put_size(out, bytes);
    put(out, "\n");
}

int roma_policy_print(const roma_policy *policy, FILE *stream)
{
    struct out out = {.stream = stream};
    if (policy == NULL || stream == NULL)
        return -EINVAL;
    for (unsigned i = 0; i < policy->rules_count; i++)
        put_rule(&out, &policy->rules[i]);
    put_limit(&out, "limit", policy->limit_bytes);
    put_limit(&out, "threshold", policy->threshold_bytes);
    if (policy->otherwise != ROMA_OTHERWISE_FAIL)
        put(&out, "otherwise %s\n", roma__otherwise_words.list[policy->otherwise]);
    return out.code;
}
