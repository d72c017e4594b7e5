/* arena.c - the built-in providers of one node's memory: the mapping core with its node fixed.
 *
 * There is one a node, made when it is first asked for and kept until the program ends. They stand
 * in a table by node number. Entries are published by one compare-and-swap: of two threads that
 * make the same one, the loser frees its own. A reader's acquire pairs with the winner's release,
 * and nothing that the reader then looks at without an atomic ever changes; so there is no lock
 * that could be held over fork, and a child has the arenas of its parent.
 *
 * An arena is not strict by itself: as with all ordinary pages a node is preferred, and proved
 * where the request is strict; hugetlb pages are bound. */
#include "provider/figures.h"
#include "provider/instance.h"
#include "provider/mapping.h"

#include "base/error.h"
#include "base/text.h"
#include "numa/machine.h"
#include "sys/records.h"

#include <errno.h>

typedef struct arena {
    roma__provider_figures figures; /* first: the provider's self is both */
    unsigned node;
    roma_provider provider;
} arena;

static _Atomic(arena *) arenas[ROMA_NODES_MAX];

/* ---- the node is fixed ---------------------------------------------------------------------- */

static int refuse_nodes(const roma_nodes *nodes, roma_error *error)
{
    (void)roma__error_subject(error, -EXDEV, ROMA_WHY_UNSUPPORTED,
                              "another node than the one of its arena");
    error->node = roma_nodes_next(nodes, 0);
    return -EXDEV;
}

/* The request as the mapping core gets it: on the node. Of one node all spreads are the same, but
 * for the wish that is met elsewhere, too. */
static int place(const arena *own, const roma_extent_request *request, roma_extent_request *placed,
                 roma_error *error)
{
    if (!roma_nodes_is_empty(&request->nodes) && !roma_nodes_has(&request->nodes, own->node))
        return refuse_nodes(&request->nodes, error);
    *placed = *request;
    placed->nodes = roma_nodes_one(own->node);
    if (placed->spread != ROMA_SPREAD_PREFER)
        placed->spread = ROMA_SPREAD_NONE;
    return 0;
}

static int probe(void *self, const roma_extent_request *request, roma_error *error)
{
    roma_extent_request placed;
    int code = place(self, request, &placed, error);
    return code < 0 ? code : roma__mapping_probe(&placed, error);
}

static int acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error)
{
    roma_extent_request placed;
    int code = place(self, request, &placed, error);
    return code < 0 ? roma__figures_failed(self, code)
                    : roma__figures_acquire(self, &placed, extent, error);
}

/* Pages that came from elsewhere, since the node was full, may come home; none may leave. */
static int migrate(void *self, const roma_range *range, const roma_nodes *nodes,
                   roma_migration *migration, roma_error *error)
{
    const arena *own = self;
    roma_nodes others = *nodes;
    roma_nodes_remove(&others, own->node);
    if (!roma_nodes_is_empty(&others))
        return roma__figures_failed(self, refuse_nodes(&others, error));
    return roma__figures_migrate(self, range, nodes, migration, error);
}

static const roma_provider_ops arena_ops = {
    .size = sizeof arena_ops,
    .version = ROMA_PROVIDER_VERSION,
    .capabilities = ROMA_CAN_MIGRATE,
    .probe = probe,
    .acquire = acquire,
    .release = roma__figures_release,
    .resize = roma__figures_resize,
    .populate = roma__figures_populate,
    .advise = roma__figures_advise,
    .query = roma__figures_query,
    .stats = roma__figures_stats,
    .migrate = migrate,
};

/* ---- making one ----------------------------------------------------------------------------- */

static arena *make(unsigned node)
{
    arena *made = roma__record_new(sizeof *made);
    if (made == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    made->node = node;
    made->provider.ops = arena_ops;
    made->provider.self = made;
    made->provider.built_in = true;
    roma__text name = roma__text_in(made->provider.name, sizeof made->provider.name);
    roma__text_add(&name, "node%u", node);
    made->provider.ops.name = made->provider.name;
    return made;
}

/* What the cpuset forbids may be allowed later: the arena can be there, and refuse by name. */
static int check_node(unsigned node)
{
    roma_error error;
    roma_nodes nodes = roma_nodes_one(node);
    if (node >= ROMA_NODES_MAX)
        return -EINVAL;
    int code = roma__machine_nodes_usable(&nodes, true, &error);
    return error.why == ROMA_WHY_NODE_FORBIDDEN && code < 0 ? 0 : code;
}

roma_provider *roma_provider_node(unsigned node)
{
    arena *there = node < ROMA_NODES_MAX ? atomic_load_explicit(&arenas[node], memory_order_acquire)
                                         : NULL;
    if (there != NULL)
        return &there->provider;
    int code = check_node(node);
    if (code < 0) {
        errno = -code;
        return NULL;
    }
    arena *made = make(node);
    if (made == NULL)
        return NULL;
    if (atomic_compare_exchange_strong_explicit(&arenas[node], &there, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return &made->provider;
    roma__record_free(made, sizeof *made);
    return &there->provider;
}
