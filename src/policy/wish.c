/* wish.c - what a request wishes: each part of it is the request's own, else that of the rule that
 * matches, else the default. Placement, nodes and weights are one part. */
#include "policy/wish.h"

#include "base/error.h"
#include "numa/machine.h"
#include "numa/order.h"
#include "policy/policy.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(roma__wish) == sizeof(roma_placement) + sizeof(int) + sizeof(roma_nodes) +
                                         ROMA_WEIGHTS_MAX + sizeof(roma_pages) +
                                         2 * sizeof(size_t) + ROMA_RULE_PROVIDERS_MAX + 4,
               "no padding");

/* ---- what decides --------------------------------------------------------------------------- */

/* Placement, nodes and weights go together: from the first that says where. */
static void take_place(roma__wish *wish, roma_placement placement, const roma_nodes *nodes,
                       const uint8_t *weights)
{
    if (wish->placement != ROMA_ANYWHERE)
        return;
    wish->placement = placement;
    wish->nodes = *nodes;
    memcpy(wish->weights, weights, sizeof wish->weights);
}

/* Its place in the list, from 1; 0: it is not known. */
static uint8_t place_of(roma_provider *const *providers, size_t known, const char *name)
{
    for (size_t i = 0; i < known; i++)
        if (strcmp(roma_provider_name(providers[i]), name) == 0)
            return (uint8_t)(i + 1);
    return 0;
}

int roma__wish_know_providers(const roma_policy *policy, roma_provider **providers, size_t *known,
                              roma_provider *(*named)(const char *name), roma_error *error)
{
    for (unsigned r = 0; policy != NULL && r < policy->rules_count; r++) {
        const roma_rule *rule = &policy->rules[r];
        for (unsigned i = 0; i < ROMA_RULE_PROVIDERS_MAX && rule->providers[i][0] != '\0'; i++) {
            const char *name = rule->providers[i];
            if (place_of(providers, *known, name) != 0)
                continue;
            roma_provider *provider = named(name);
            if (provider == NULL || *known == ROMA_STEPS_MAX)
                return roma__error_invalid(error, name);
            providers[(*known)++] = provider;
        }
    }
    return 0;
}

static void take_rule(const roma__wisher *wisher, const roma_rule *rule, roma__routing *routing)
{
    roma__wish *wish = &routing->wish;
    take_place(wish, rule->placement, &rule->nodes, rule->weights);
    wish->pages = wish->pages != 0 ? wish->pages : rule->pages;
    wish->strict = wish->strict || rule->strict;
    if (routing->populate_threads == 0)
        routing->populate_threads = rule->populate_threads;
    for (unsigned i = 0; i < ROMA_RULE_PROVIDERS_MAX && rule->providers[i][0] != '\0'; i++)
        wish->providers[i] = place_of(wisher->providers, wisher->providers_known,
                                      rule->providers[i]);
}

static void take_defaults(const roma_request *defaults, roma__routing *routing)
{
    roma__wish *wish = &routing->wish;
    take_place(wish, defaults->placement, &defaults->nodes, defaults->weights);
    wish->pages = wish->pages != 0 ? wish->pages : defaults->pages;
    wish->strict = wish->strict || defaults->strict;
    wish->inherit = wish->inherit || defaults->inherit;
    if (routing->populate_threads == 0)
        routing->populate_threads = defaults->populate_threads;
}

/* ---- where from ----------------------------------------------------------------------------- */

static size_t pool_page_bytes(const roma__wish *wish)
{
    roma_page_kind first = roma__machine_resolve(roma_pages_at(wish->pages, 0));
    return roma_page_class(first) == ROMA_PAGE_CLASS_HUGETLB ? roma_page_bytes(first) : 0;
}

static int find_roomiest(roma__wish *wish, roma_error *error)
{
    const roma_topology *topology = roma_topology_get();
    roma_nodes best, memory = roma_topology_memory_nodes(topology);
    int code = roma__order_roomiest(&memory, pool_page_bytes(wish), &best, error);
    if (code == 0)
        wish->origin = roma_nodes_next(&best, 0);
    return code;
}

bool roma__wish_follows(const roma__wish *wish)
{
    switch (wish->placement) {
    case ROMA_NEAREST: return roma_nodes_is_empty(&wish->nodes);
    case ROMA_LOCAL:
    case ROMA_BANDWIDTH:
    case ROMA_LATENCY:
    case ROMA_CAPACITY: return true;
    default: return false;
    }
}

int roma__wish_find_origin(roma__wish *wish, roma_error *error)
{
    unsigned node;
    wish->origin = -1;
    if (wish->placement == ROMA_NEAREST && !roma_nodes_is_empty(&wish->nodes))
        wish->origin = roma_nodes_next(&wish->nodes, 0);
    if (!roma__wish_follows(wish))
        return 0;
    int code;
    if (wish->placement == ROMA_CAPACITY) {
        code = find_roomiest(wish, error);
    } else {
        code = roma__machine_local_node(&node, error);
        if (code == 0)
            wish->origin = (int)node;
    }
    /* A kernel that does not say where we are still has memory, and first touch is local. */
    return wish->strict && wish->placement == ROMA_LOCAL ? code : 0;
}

int roma__wish_of(const roma__wisher *wisher, const roma_policy *policy,
                  const roma_request *request, roma__routing *routing, roma_error *error)
{
    memset(routing, 0, sizeof *routing);
    roma__wish *wish = &routing->wish;
    take_place(wish, request->placement, &request->nodes, request->weights);
    wish->pages = request->pages;
    wish->strict = request->strict;
    wish->inherit = request->inherit;
    routing->populate_threads = request->populate_threads;
    routing->rule = policy == NULL ? -1 : roma__policy_match(policy, request);
    if (routing->rule >= 0)
        take_rule(wisher, &policy->rules[routing->rule], routing);
    wish->plain_at_last = policy != NULL && policy->otherwise == ROMA_OTHERWISE_PLAIN;
    if (wisher->defaults != NULL)
        take_defaults(wisher->defaults, routing);
    return roma__wish_find_origin(wish, error);
}

/* ---- the ladder ----------------------------------------------------------------------------- */

/* Strict, and the machine has no node of the kind meant: not the kernel's choice then. */
static bool is_without_nodes(const roma__wish *wish, const roma__ladder_wish *asked)
{
    return wish->strict && asked->groups_count == 0 && wish->placement != ROMA_ANYWHERE &&
           wish->placement != ROMA_NODES;
}

int roma__wish_ladder(const roma__wisher *wisher, const roma__wish *wish, roma__ladder *ladder,
                      roma_error *error)
{
    roma__ladder_machine machine = roma__ladder_machine_now();
    roma_provider *some[ROMA_RULE_PROVIDERS_MAX];
    roma__ladder_wish asked = {
        .pages = wish->pages,
        .strict = wish->strict,
        .providers = wisher->providers,
        .providers_count = wisher->providers_count,
    };
    if (wish->plain_at_last) {
        asked.plain_providers = wisher->providers;
        asked.plain_providers_count = wisher->providers_count;
    }
    if (wish->providers[0] != 0) {
        asked.providers = some;
        asked.providers_count = 0;
        for (unsigned i = 0; i < ROMA_RULE_PROVIDERS_MAX && wish->providers[i] != 0; i++)
            some[asked.providers_count++] = wisher->providers[wish->providers[i] - 1];
    }
    int code = roma__wish_place(wish, &asked, error);
    if (code == 0 && is_without_nodes(wish, &asked))
        code = roma__error_subject(error, -EXDEV, ROMA_WHY_UNSUPPORTED,
                                   "a strict placement: no node for it may be used");
    return code < 0 ? code : roma__ladder_build(&asked, &machine, ladder, error);
}
