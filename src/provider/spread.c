/* spread.c - the mapping core: pages laid on nodes by weight.
 *
 * An extent is cut into granules, and each granule prefers (hugetlb: is bound to) one node. Which
 * one, is smooth weighted round-robin: each turn every node gains its weight, the one that has
 * most takes the granule and pays the sum of all weights. So after any number of turns from the
 * start each node has its share to within one granule, and equal neighbours are as few as can be.
 * (The scheme is nginx's; src/http/ngx_http_upstream_round_robin.c there has it.)
 *
 * A granule is 2 MiB, or a page where that is larger, or what makes at most 1024 granules of an
 * extent: each is a mapping of its own to the kernel, which allows a process some 65 thousand.
 *
 * An extent of a whole round of turns or more begins with the first one, so that each node has its
 * share of it to within one granule. If shorter ones did so, too, those of one granule, as heaps
 * obtain them for small blocks, would all lie on the first node. So they take the turns of their
 * weights one after the other, from a counter that extents of the same weights share (and, by a
 * collision of hashes, perhaps others: then some turns are skipped). Together they have their
 * shares to within one granule, and each alone to within little more (1.14 for weights 5, 1, 1).
 *
 * The kernel has weighted interleaving of its own from Linux 6.9 on; it goes by weights of the
 * whole system and page by page, which is neither what a request says nor good for huge pages. */
#include "provider/mapping.h"

#include "base/bits.h"
#include "base/error.h"
#include "numa/machine.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

enum { GRANULE_BYTES = 2 << 20, GRANULES_MAX = 1024, COUNTERS = 64 };

typedef struct wheel {
    unsigned count;
    unsigned nodes[ROMA_WEIGHTS_MAX];
    int weights[ROMA_WEIGHTS_MAX];
    int credits[ROMA_WEIGHTS_MAX];
    int sum;
} wheel;

/* As it stands before the first turn of all. */
static wheel new_wheel(const roma__mapping_plan *plan)
{
    wheel turning;
    memset(&turning, 0, sizeof turning);
    unsigned index = 0;
    for (int node = roma_nodes_next(&plan->nodes, 0); node >= 0 && index < ROMA_WEIGHTS_MAX;
         node = roma_nodes_next(&plan->nodes, (unsigned)node + 1), index++) {
        if (plan->weights[index] == 0)
            continue;
        turning.nodes[turning.count] = (unsigned)node;
        turning.weights[turning.count++] = plan->weights[index];
        turning.sum += plan->weights[index];
    }
    return turning;
}

/* The index of the node whose turn it is. */
static unsigned turn(wheel *turning)
{
    unsigned best = 0;
    for (unsigned i = 0; i < turning->count; i++) {
        turning->credits[i] += turning->weights[i];
        if (turning->credits[i] > turning->credits[best])
            best = i;
    }
    turning->credits[best] -= turning->sum;
    return best;
}

static size_t granule_of(const roma__mapping_plan *plan, size_t bytes)
{
    size_t granule = roma__max(GRANULE_BYTES, plan->kind.page_bytes);
    while (bytes / granule >= GRANULES_MAX)
        granule *= 2;
    return granule;
}

/* As it stands before the plan's first turn. */
static wheel wheel_of(const roma__mapping_plan *plan)
{
    wheel turning = new_wheel(plan);
    for (unsigned skipped = plan->turns_before; skipped > 0; skipped--)
        (void)turn(&turning);
    return turning;
}

void roma__mapping_take_turns(roma__mapping_plan *plan, bool only_look)
{
    static _Atomic(unsigned) counters[COUNTERS];
    if (plan->spread != ROMA_SPREAD_WEIGHTED)
        return;
    wheel turning = new_wheel(plan);
    size_t granule = granule_of(plan, plan->bytes);
    unsigned turns = (unsigned)((plan->bytes + granule - 1) / granule);
    if (turns >= (unsigned)turning.sum) /* a whole round: from the start; no weights: nothing */
        return;
    unsigned hash = 5381;
    for (unsigned i = 0; i < turning.count; i++)
        hash = (hash * 33 + turning.nodes[i]) * 33 + (unsigned)turning.weights[i];
    unsigned taken = atomic_fetch_add_explicit(&counters[hash % COUNTERS], only_look ? 0 : turns,
                                               memory_order_relaxed);
    plan->turns_before = taken % (unsigned)turning.sum;
}

size_t roma__mapping_share(const roma__mapping_plan *plan, unsigned node, size_t bytes)
{
    if (plan->spread != ROMA_SPREAD_WEIGHTED) {
        size_t share = (bytes + roma_nodes_count(&plan->nodes) - 1) /
                       roma_nodes_count(&plan->nodes);
        return roma__align_up(share, plan->kind.page_bytes);
    }
    wheel turning = wheel_of(plan);
    size_t granule = granule_of(plan, bytes), share = 0;
    for (size_t at = 0; at < bytes && turning.count > 0; at += granule)
        if (turning.nodes[turn(&turning)] == node)
            share += roma__min(granule, bytes - at);
    return share;
}

int roma__mapping_furnish_weighted(const roma__mapping_plan *plan, char *address, size_t bytes,
                                   roma_error *error)
{
    wheel turning = wheel_of(plan);
    size_t granule = granule_of(plan, bytes);
    if (turning.count == 0)
        return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "weights");
    roma__mapping_plan part = *plan;
    part.spread = ROMA_SPREAD_NONE;
    bool bound = roma_page_class(plan->kind.pages) == ROMA_PAGE_CLASS_HUGETLB;
    unsigned next = turn(&turning);
    for (size_t at = 0, run; at < bytes; at += run) {
        unsigned now = next;
        for (run = 0; at + run < bytes && next == now; next = turn(&turning))
            run += roma__min(granule, bytes - at - run);
        part.nodes = roma_nodes_one(turning.nodes[now]);
        int code = roma__machine_bind(address + at, run, &part.nodes,
                                      bound ? ROMA__BIND : ROMA__PREFER, error);
        if (code == 0)
            code = roma__mapping_fill(&part, address + at, run, error);
        if (code < 0)
            return code;
    }
    return 0;
}
