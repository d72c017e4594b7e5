/* anonymous.c - the built-in provider of anonymous memory: the mapping core with figures.
 *
 * There is one, and nothing to make: it is there before the first call and after the last. */
#include "provider/figures.h"
#include "provider/instance.h"
#include "provider/mapping.h"

static roma__provider_figures figures;

static int probe(void *self, const roma_extent_request *request, roma_error *error)
{
    (void)self;
    return roma__mapping_probe(request, error);
}

static roma_provider anonymous = {
    .ops =
        {
            .size = sizeof(roma_provider_ops),
            .version = ROMA_PROVIDER_VERSION,
            .capabilities = ROMA_CAN_MIGRATE,
            .name = "anonymous",
            .probe = probe,
            .acquire = roma__figures_acquire,
            .release = roma__figures_release,
            .resize = roma__figures_resize,
            .populate = roma__figures_populate,
            .advise = roma__figures_advise,
            .query = roma__figures_query,
            .stats = roma__figures_stats,
            .migrate = roma__figures_migrate,
        },
    .self = &figures,
    .name = "anonymous",
    .built_in = true,
};

roma_provider *roma_provider_anonymous(void)
{
    return &anonymous;
}
