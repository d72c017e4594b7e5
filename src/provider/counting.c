/* counting.c - the counting provider: forwards every call to another provider and counts calls,
 * failures and bytes. A wrapper rather than counters everywhere: who does not ask pays nothing.
 *
 * It calls the other through the public calls, as a user would, so that the other's own count of
 * live extents holds whoever acquired them. Figures are relaxed atomics: each is exact, a set of
 * them is not of one moment. */
#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "provider/dispatch.h"
#include "provider/instance.h"
#include "sys/records.h"

#include <errno.h>

typedef _Atomic(uint64_t) atomic_figure;

/* Calls that are counted, with the words that they are reported under. */
#define CALLS(X)                                                                                   \
    X(probe)                                                                                       \
    X(acquire)                                                                                     \
    X(release)                                                                                     \
    X(resize)                                                                                      \
    X(populate)                                                                                    \
    X(advise)                                                                                      \
    X(query)                                                                                       \
    X(migrate)                                                                                     \
    X(sync)                                                                                        \
    X(export_fd)                                                                                   \
    X(import_fd)

enum {
#define X(name) CALL_##name,
    CALLS(X)
#undef X
        CALLS_COUNT
};

static const char *const call_names[CALLS_COUNT] = {
#define X(name) #name,
    CALLS(X)
#undef X
};

struct counting {
    roma_provider *other;
    atomic_figure calls[CALLS_COUNT], failures[CALLS_COUNT];
    atomic_figure live, bytes, peak_bytes, acquired_bytes;
};

static void add(atomic_figure *figure, uint64_t amount)
{
    atomic_fetch_add_explicit(figure, amount, memory_order_relaxed);
}

static uint64_t now(atomic_figure *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static int count(struct counting *counting, int call, int code)
{
    add(&counting->calls[call], 1);
    if (code < 0)
        add(&counting->failures[call], 1);
    return code;
}

static void gain(struct counting *counting, uint64_t bytes)
{
    add(&counting->acquired_bytes, bytes);
    uint64_t held = bytes +
                    atomic_fetch_add_explicit(&counting->bytes, bytes, memory_order_relaxed);
    uint64_t peak = now(&counting->peak_bytes);
    while (peak < held &&
           !atomic_compare_exchange_weak_explicit(&counting->peak_bytes, &peak, held,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

static void lose(struct counting *counting, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&counting->bytes, bytes, memory_order_relaxed);
}

/* ---- the table ------------------------------------------------------------------------------ */

static int probe(void *self, const roma_extent_request *request, roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_probe, roma_provider_probe(counting->other, request, error));
}

static int take_over(struct counting *counting, int call, const roma_extent *extent, int code)
{
    if (count(counting, call, code) == 0) {
        add(&counting->live, 1);
        gain(counting, extent->bytes);
    }
    return code;
}

static int acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error)
{
    struct counting *counting = self;
    return take_over(counting, CALL_acquire, extent,
                     roma_provider_acquire(counting->other, request, extent, error));
}

static int release(void *self, const roma_extent *extent, roma_error *error)
{
    struct counting *counting = self;
    roma_extent gone = *extent; /* cleared by the call; ours is the dispatch's to clear */
    int code = count(counting, CALL_release, roma_provider_release(counting->other, &gone, error));
    if (code == 0) {
        add(&counting->live, (uint64_t)0 - 1);
        lose(counting, extent->bytes);
    }
    return code;
}

static int resize(void *self, roma_extent *extent, size_t bytes, bool may_move, roma_error *error)
{
    struct counting *counting = self;
    size_t before = extent->bytes;
    int code = count(counting, CALL_resize,
                     roma_provider_resize(counting->other, extent, bytes, may_move, error));
    if (code == 0 && extent->bytes > before)
        gain(counting, extent->bytes - before);
    else if (code == 0)
        lose(counting, before - extent->bytes);
    return code;
}

static int populate(void *self, const roma_range *range, const roma_populate_options *options,
                    roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_populate,
                 roma_provider_populate(counting->other, range, options, error));
}

static int advise(void *self, const roma_range *range, roma_advice advice,
                  const roma_executor *executor, roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_advise,
                 roma_provider_advise(counting->other, range, advice, executor, error));
}

static int query(void *self, const roma_range *range, roma_report *report, roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_query, roma_provider_query(counting->other, range, report, error));
}

static int migrate(void *self, const roma_range *range, const roma_nodes *nodes,
                   roma_migration *migration, roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_migrate,
                 roma_provider_migrate(counting->other, range, nodes, migration, error));
}

static int sync_range(void *self, const roma_range *range, roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_sync, roma_provider_sync(counting->other, range, error));
}

static int export_fd(void *self, const roma_extent *extent, roma_error *error)
{
    struct counting *counting = self;
    return count(counting, CALL_export_fd, roma_provider_export_fd(counting->other, extent, error));
}

static int import_fd(void *self, int fd, roma_extent *extent, roma_error *error)
{
    struct counting *counting = self;
    return take_over(counting, CALL_import_fd, extent,
                     roma_provider_import_fd(counting->other, fd, extent, error));
}

/* ---- figures -------------------------------------------------------------------------------- */

typedef struct prefixed {
    roma_visit visit;
    void *context;
} prefixed;

/* The other's figures, told apart from ours. */
static int visit_other(void *context, const char *key, const roma_value *value)
{
    const prefixed *outer = context;
    char longer[128];
    roma__text text = roma__text_in(longer, sizeof longer);
    roma__text_add(&text, "other.%s", key);
    return outer->visit(outer->context, longer, value);
}

static int visit_calls(atomic_figure *figures, const char *what, roma_visit visit, void *context)
{
    int code = 0;
    for (int call = 0; code == 0 && call < CALLS_COUNT; call++) {
        char key[64];
        roma__text text = roma__text_in(key, sizeof key);
        roma__text_add(&text, "%s.%s.count", what, call_names[call]);
        roma_value value = {ROMA_VALUE_COUNT, now(&figures[call]), NULL};
        code = visit(context, key, &value);
    }
    return code;
}

static int stats(void *self, roma_visit visit, void *context)
{
    struct counting *counting = self;
    const struct {
        const char *key;
        roma_value value;
    } rows[] = {
        {"extents.live", {ROMA_VALUE_COUNT, now(&counting->live), NULL}},
        {"extents.bytes", {ROMA_VALUE_BYTES, now(&counting->bytes), NULL}},
        {"extents.peak.bytes", {ROMA_VALUE_BYTES, now(&counting->peak_bytes), NULL}},
        {"acquired.bytes", {ROMA_VALUE_BYTES, now(&counting->acquired_bytes), NULL}},
    };
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof rows / sizeof rows[0]; i++)
        code = visit(context, rows[i].key, &rows[i].value);
    if (code == 0)
        code = visit_calls(counting->calls, "calls", visit, context);
    if (code == 0)
        code = visit_calls(counting->failures, "failures", visit, context);
    prefixed outer = {visit, context};
    return code != 0 ? code : roma_provider_stats(counting->other, visit_other, &outer);
}

/* ---- making one ----------------------------------------------------------------------------- */

static int open_counting(const void *argument, void **self, roma_error *error)
{
    const roma_provider *const *other = argument;
    struct counting *counting = roma__record_new(sizeof *counting);
    if (counting == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    union {
        const roma_provider *given;
        roma_provider *kept;
    } pointer = {*other};
    counting->other = pointer.kept;
    roma__provider_hold(counting->other);
    *self = counting;
    return 0;
}

static void close_counting(void *self)
{
    struct counting *counting = self;
    roma__provider_drop(counting->other);
    roma__record_free(counting, sizeof *counting);
}

/* The groups that the other has, and no more. */
static roma_provider_ops ops_for(const roma_provider *other)
{
    roma_provider_ops ops = {
        .size = sizeof ops,
        .version = ROMA_PROVIDER_VERSION,
        .capabilities = other->ops.capabilities,
        .open = open_counting,
        .close = close_counting,
        .probe = probe,
        .acquire = acquire,
        .release = release,
        .resize = resize,
        .populate = populate,
        .advise = advise,
        .query = query,
        .stats = stats,
    };
    if ((ops.capabilities & ROMA_CAN_MIGRATE) != 0)
        ops.migrate = migrate;
    if ((ops.capabilities & ROMA_CAN_SYNC) != 0)
        ops.sync = sync_range;
    if ((ops.capabilities & ROMA_CAN_SHARE) != 0) {
        ops.export_fd = export_fd;
        ops.import_fd = import_fd;
    }
    return ops;
}

int roma_provider_counting(roma_provider *other, roma_provider **provider, roma_error *error)
{
    if (other == NULL || provider == NULL)
        return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID,
                                   other == NULL ? "other" : "provider");
    roma_provider_ops ops = ops_for(other);
    char name[ROMA_PROVIDER_NAME_BYTES];
    roma__text text = roma__text_in(name, sizeof name);
    roma__text_add(&text, "counting:%s", roma_provider_name(other));
    const roma_provider *config = other;
    return roma__provider_make(&ops, name, &config, provider, error);
}
