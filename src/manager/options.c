/* options.c - a manager's options: read, checked, laid down. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
#include "base/text.h"
#include "manager/tools.h"
#include "numa/machine.h"

#include <errno.h>
#include <string.h>

#define DEFAULT_RETURN_DELAY_NS 1000000000u

static int check(const roma_options *options, roma_error *error)
{
    if ((options->providers == NULL) != (options->providers_count == 0))
        return roma__error_invalid(error, "options.providers");
    if (options->providers_count > ROMA_STEPS_MAX)
        return roma__error_invalid(error, "options.providers_count");
    for (size_t i = 0; i < options->providers_count; i++)
        if (options->providers[i] == NULL)
            return roma__error_invalid(error, "options.providers");
    if (options->threshold_bytes > 0 && options->on_threshold == NULL)
        return roma__error_invalid(error, "options.on_threshold");
    if (options->growth_bytes > ROMA__BYTES_MAX)
        return roma__error_invalid(error, "options.growth_bytes");
    if ((options->debug & ~(unsigned)ROMA_DEBUG_ALL) != 0)
        return roma__error_invalid(error, "options.debug");
    if ((unsigned)options->counts > ROMA_COUNTS_EXACT)
        return roma__error_invalid(error, "options.counts");
    if (options->background && options->return_delay_ns == ROMA_RETURN_NEVER)
        return roma__error_invalid(error, "options.background");
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return roma__error_invalid(error, "options.reserved");
    return 0;
}

/* Who looks at the bytes of blocks must be asked at each step of each life. */
static uint32_t words_of(enum roma_counts counts, bool looks_at_bytes)
{
    if (looks_at_bytes || counts == ROMA_COUNTS_EXACT)
        return ROMA__WORDS_EXACT;
    return counts == ROMA_COUNTS_NONE ? ROMA__WORDS_NONE : ROMA__WORDS_OWNED;
}

static void decide_ways(roma_manager *manager, const roma_options *options)
{
    manager->under_tool = roma__tools_present();
    manager->looks_at_bytes = manager->debug != 0 || manager->under_tool;
    manager->words = words_of(options->counts, manager->looks_at_bytes);
    manager->is_closed = manager->looks_at_bytes || manager->defaults.populate_threads > 0;
    manager->bounded = options->bounded;
    manager->background = options->background;
    manager->return_delay_ns = options->return_delay_ns;
    if (manager->return_delay_ns == 0)
        manager->return_delay_ns = DEFAULT_RETURN_DELAY_NS;
}

int roma__options_take(roma_manager *manager, const roma_options *given, roma_error *error)
{
    roma_options options = roma_options_default();
    manager->defaults = roma_request_default();
    int code = 0;
    if (given != NULL)
        code = roma__struct_read(&options, sizeof options, given, offsetof(roma_options, name),
                                 "options.size", error);
    if (code == 0)
        code = check(&options, error);
    if (code == 0 && options.request != NULL)
        code = roma__request_read(&manager->defaults, options.request, error);
    if (code < 0)
        return code;

    roma__text_copy(manager->name, sizeof manager->name,
                    options.name == NULL ? "manager" : options.name);
    manager->providers[0] = roma_provider_anonymous();
    manager->providers_count = 1;
    if (options.providers_count > 0) {
        memcpy(manager->providers, options.providers,
               options.providers_count * sizeof options.providers[0]);
        manager->providers_count = options.providers_count;
    }
    manager->page_bytes = roma__machine_base_bytes();
    manager->options_limit_bytes = options.limit_bytes;
    manager->options_threshold_bytes = options.threshold_bytes;
    atomic_store_explicit(&manager->limit_bytes, options.limit_bytes, memory_order_relaxed);
    atomic_store_explicit(&manager->threshold_bytes, options.threshold_bytes, memory_order_relaxed);
    manager->on_threshold = options.on_threshold;
    manager->threshold_context = options.threshold_context;
    manager->growth_bytes = options.growth_bytes;
    manager->debug = options.debug;
    manager->leak_stream = options.leak_stream;
    manager->on_misuse = options.on_misuse;
    manager->misuse_context = options.misuse_context;
    decide_ways(manager, &options);
    return 0;
}
