/* ladder.c - builds ladders out of wishes, and walks requests down them.
 *
 * Each step is tried exactly once, in order; the first extent wins. Why a step failed is kept in
 * the grant, so that a caller who got base pages can read that node 1 had no free 2 MiB pages. */
#include "policy/ladder.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/grant.h"
#include "base/text.h"
#include "numa/machine.h"

#include <errno.h>
#include <string.h>

/* ---- which kinds, in which order ------------------------------------------------------------ */

struct kinds {
    unsigned count;
    roma_page_kind list[4 * ROMA_PAGE_KINDS_MAX];
};

static void add_kind(struct kinds *kinds, roma_page_kind kind)
{
    for (unsigned i = 0; i < kinds->count; i++)
        if (kinds->list[i] == kind)
            return;
    if (kinds->count < sizeof kinds->list)
        kinds->list[kinds->count++] = kind;
}

/* The kind with its size; as it was where the machine has no default of its class. */
static roma_page_kind with_size(roma_page_kind kind, const roma__ladder_machine *machine)
{
    if (roma_page_bytes(kind) != 0)
        return kind;
    roma_page_kind found = 0;
    switch (roma_page_class(kind)) {
    case ROMA_PAGE_CLASS_BASE: found = machine->base; break;
    case ROMA_PAGE_CLASS_THP: found = machine->thp; break;
    case ROMA_PAGE_CLASS_HUGETLB: found = machine->hugetlb; break;
    default: break;
    }
    return found != 0 ? found : kind;
}

/* What a wish that is not strict falls back on, after what it named. */
static void add_weaker(struct kinds *kinds, const roma__ladder_machine *machine)
{
    size_t largest = 0, smallest_hugetlb = 0;
    for (unsigned i = 0; i < kinds->count; i++) {
        roma_page_kind kind = kinds->list[i];
        size_t bytes = roma_page_bytes(kind);
        /* A default hugetlb size that is not there counts as larger than any transparent page. */
        largest = bytes == 0 ? SIZE_MAX : bytes > largest ? bytes : largest;
        if (roma_page_class(kind) == ROMA_PAGE_CLASS_HUGETLB &&
            (smallest_hugetlb == 0 || bytes < smallest_hugetlb))
            smallest_hugetlb = bytes;
    }
    for (unsigned i = 0; i < roma_pages_count(machine->pools); i++) {
        roma_page_kind pool = roma_pages_at(machine->pools, i);
        if (roma_page_bytes(pool) < smallest_hugetlb)
            add_kind(kinds, pool);
    }
    if (machine->thp != 0 && roma_page_bytes(machine->thp) <= largest)
        add_kind(kinds, machine->thp);
    add_kind(kinds, machine->base);
}

static int choose_kinds(const roma__ladder_wish *wish, const roma__ladder_machine *machine,
                        struct kinds *kinds, roma_error *error)
{
    kinds->count = 0;
    for (unsigned i = 0; i < roma_pages_count(wish->pages); i++) {
        roma_page_kind kind = roma_pages_at(wish->pages, i);
        if (roma_page_class(kind) == 0)
            return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "pages");
        add_kind(kinds, with_size(kind, machine));
    }
    if (kinds->count == 0) {
        if (machine->thp != 0)
            add_kind(kinds, machine->thp);
        add_kind(kinds, machine->base);
    } else if (!wish->strict) {
        add_weaker(kinds, machine);
    }
    return 0;
}

/* ---- building ------------------------------------------------------------------------------- */

static int add_steps(const roma__ladder_wish *wish, const struct kinds *kinds,
                     const roma_nodes *nodes, roma__ladder *ladder, roma_error *error)
{
    for (unsigned k = 0; k < kinds->count; k++) {
        for (size_t p = 0; p < wish->providers_count; p++) {
            if (ladder->count == ROMA_STEPS_MAX)
                return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "pages or providers");
            roma__ladder_step *step = &ladder->steps[ladder->count++];
            step->provider = wish->providers[p];
            step->nodes = *nodes;
            step->spread = roma_nodes_is_empty(nodes) ? ROMA_SPREAD_NONE : wish->spread;
            step->pages = kinds->list[k];
            step->strict = wish->strict;
        }
    }
    return 0;
}

/* How many sets of nodes a ladder has steps for; at least one, which may prove too many. */
static unsigned groups_that_fit(const roma__ladder_wish *wish, const struct kinds *kinds)
{
    size_t steps_each = kinds->count * wish->providers_count;
    size_t at_last = roma__min(ROMA_STEPS_MAX, 2 * wish->plain_providers_count);
    size_t turns = (ROMA_STEPS_MAX - at_last) / steps_each;
    size_t most = wish->strict || turns == 0 ? turns : turns - 1; /* the last: any node */
    return (unsigned)(most == 0 ? 1 : most < wish->groups_count ? most : wish->groups_count);
}

static int add_groups(const roma__ladder_wish *wish, const struct kinds *kinds,
                      roma__ladder *ladder, roma_error *error)
{
    unsigned count = groups_that_fit(wish, kinds);
    int code = 0;
    for (unsigned g = 0; code == 0 && g < count; g++) {
        roma_nodes nodes = wish->groups[g];
        for (unsigned rest = g + 1; g + 1 == count && rest < wish->groups_count; rest++)
            nodes = roma_nodes_either(&nodes, &wish->groups[rest]);
        code = add_steps(wish, kinds, &nodes, ladder, error);
    }
    return code;
}

static bool has_step(const roma__ladder *ladder, const roma__ladder_step *like)
{
    for (unsigned i = 0; i < ladder->count; i++) {
        const roma__ladder_step *step = &ladder->steps[i];
        if (step->provider == like->provider && step->pages == like->pages && !step->strict &&
            roma_nodes_is_empty(&step->nodes))
            return true;
    }
    return false;
}

/* Those that are there already are not tried twice. */
static int add_plain_steps(const roma__ladder_wish *wish, const roma__ladder_machine *machine,
                           roma__ladder *ladder, roma_error *error)
{
    roma__ladder plain = {.count = 0};
    roma__ladder_wish nothing = {.providers = wish->plain_providers,
                                 .providers_count = wish->plain_providers_count};
    int code = roma__ladder_build(&nothing, machine, &plain, error);
    for (unsigned i = 0; code == 0 && i < plain.count; i++) {
        if (has_step(ladder, &plain.steps[i]))
            continue;
        if (ladder->count == ROMA_STEPS_MAX)
            return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "pages or providers");
        ladder->steps[ladder->count++] = plain.steps[i];
    }
    return code;
}

int roma__ladder_build(const roma__ladder_wish *wish, const roma__ladder_machine *machine,
                       roma__ladder *ladder, roma_error *error)
{
    if (wish->providers_count == 0)
        return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "providers");
    struct kinds kinds;
    int code = choose_kinds(wish, machine, &kinds, error);
    if (code < 0)
        return code;
    ladder->count = 0;
    memcpy(ladder->weights, wish->weights, sizeof ladder->weights);
    if (wish->groups_count > 0)
        code = add_groups(wish, &kinds, ladder, error);
    if (code == 0 && (!wish->strict || wish->groups_count == 0)) {
        roma_nodes any = roma_nodes_none();
        code = add_steps(wish, &kinds, &any, ladder, error);
    }
    return code == 0 && wish->plain_providers_count > 0
               ? add_plain_steps(wish, machine, ladder, error)
               : code;
}

roma__ladder_machine roma__ladder_machine_now(void)
{
    roma_page_kind beyond_all = ROMA_PAGE_CLASS_HUGETLB | ROMA_PAGE_SHIFT_MASK;
    roma__ladder_machine machine = {
        .base = roma__machine_resolve(ROMA_PAGE_CLASS_BASE),
        .thp = roma__machine_resolve(ROMA_PAGE_CLASS_THP),
        .hugetlb = roma__machine_resolve(ROMA_PAGE_CLASS_HUGETLB),
        .pools = roma__machine_smaller_hugetlb(beyond_all),
    };
    return machine;
}

bool roma__ladder_equal(const roma__ladder *a, const roma__ladder *b)
{
    if (a->count != b->count || memcmp(a->weights, b->weights, sizeof a->weights) != 0)
        return false;
    for (unsigned i = 0; i < a->count; i++)
        if (a->steps[i].provider != b->steps[i].provider ||
            a->steps[i].pages != b->steps[i].pages || a->steps[i].spread != b->steps[i].spread ||
            a->steps[i].strict != b->steps[i].strict ||
            !roma_nodes_equal(&a->steps[i].nodes, &b->steps[i].nodes))
            return false;
    return true;
}

/* ---- walking -------------------------------------------------------------------------------- */

void roma__ladder_step_note(const roma__ladder *ladder, unsigned index, const roma_error *error,
                            roma_step *note)
{
    const roma__ladder_step *step = &ladder->steps[index];
    memset(note, 0, sizeof *note);
    roma__text_copy(note->provider, sizeof note->provider, roma_provider_name(step->provider));
    note->nodes = step->nodes;
    note->spread = step->spread;
    note->pages = step->pages;
    note->strict = step->strict;
    note->error = *error;
}

/* What one step asks: the caller's lengths and labels, the step's pages and nodes. */
static roma_extent_request request_of(const roma__ladder *ladder, unsigned index,
                                      const roma_extent_request *ask)
{
    roma_extent_request request = *ask;
    request.pages = ladder->steps[index].pages;
    request.nodes = ladder->steps[index].nodes;
    request.spread = ladder->steps[index].spread;
    memcpy(request.weights, ladder->weights, sizeof request.weights);
    request.strict = ladder->steps[index].strict;
    return request;
}

static void note_extent(const roma_extent *extent, roma_grant *grant)
{
    grant->code = 0;
    roma__error(&grant->error, 0, ROMA_WHY_NONE);
    grant->bytes = extent->bytes;
    grant->page_bytes = extent->page_bytes;
    grant->pages = extent->pages;
    grant->zeroed = extent->zeroed;
    grant->populated = extent->populated;
    grant->pinned = extent->pinned;
    grant->nodes = extent->nodes;
}

int roma__ladder_walk(const roma__ladder *ladder, unsigned first, const roma_extent_request *ask,
                      roma_extent *extent, unsigned *taken, roma_grant *grant, roma_error *error)
{
    int code = -ENOMEM;
    if (first == 0)
        roma__grant_clear(grant);
    for (unsigned i = first; i < ladder->count; i++) {
        roma_extent_request request = request_of(ladder, i, ask);
        code = roma_provider_acquire(ladder->steps[i].provider, &request, extent, error);
        if (code == 0)
            roma__error(error, 0, ROMA_WHY_NONE);
        if (grant != NULL) {
            roma__ladder_step_note(ladder, i, error, &grant->steps[i]);
            grant->steps_count = i + 1;
        }
        if (code == 0) {
            *taken = i;
            break;
        }
    }
    if (grant != NULL && code == 0)
        note_extent(extent, grant);
    return code < 0 ? roma__grant_fail(grant, code, error) : 0;
}

void roma__ladder_explain(const roma__ladder *ladder, const roma_extent_request *ask,
                          roma_grant *grant)
{
    memset(grant, 0, sizeof *grant);
    grant->code = -ENOMEM;
    for (unsigned i = 0; i < ladder->count; i++) {
        roma_extent_request request = request_of(ladder, i, ask);
        roma_error error;
        int code = roma_provider_probe(ladder->steps[i].provider, &request, &error);
        if (code == 0)
            roma__error(&error, 0, ROMA_WHY_NONE);
        roma__ladder_step_note(ladder, i, &error, &grant->steps[i]);
        grant->steps_count = i + 1;
        if (code == 0 && grant->code != 0) {
            grant->code = 0;
            grant->pages = ladder->steps[i].pages;
            grant->page_bytes = roma_page_bytes(grant->pages);
            grant->nodes = ladder->steps[i].nodes;
        } else if (grant->code != 0) {
            grant->code = code;
            grant->error = error;
        }
    }
    if (grant->code == 0)
        roma__error(&grant->error, 0, ROMA_WHY_NONE);
}
