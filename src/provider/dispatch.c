/* dispatch.c - the public calls on a provider.
 *
 * Arguments are checked here, for all providers: a provider sees whole requests of this version's
 * length, non-empty ranges inside an extent, and an error record to fill.
 *
 * What a provider granted is checked as well, because all above it builds on that: an extent that
 * is too short, not aligned or no whole pages is given back and is the provider's failure. */
#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
#include "provider/dispatch.h"
#include "provider/instance.h"

#include <errno.h>
#include <string.h>

typedef void (*any_function)(void);

static int settle(const roma_provider *provider, int code, roma_error *error)
{
    return roma__provider_settle(provider->name, code, error);
}

/* ---- checking arguments --------------------------------------------------------------------- */

enum {
    FIRST_REQUEST_BYTES = offsetof(roma_extent_request, populate_threads) + sizeof(unsigned),
    FIRST_POPULATE_BYTES = offsetof(roma_populate_options, executor) +
                           sizeof(const roma_executor *),
    FIRST_EXECUTOR_BYTES = offsetof(roma_executor, submit) + sizeof(any_function),
};

static bool is_page_kind(roma_page_kind kind)
{
    return roma_page_class(kind) != 0;
}

static int read_request(const roma_extent_request *request, roma_extent_request *own,
                        roma_error *error)
{
    if (request == NULL)
        return roma__error_invalid(error, "request");
    int code = roma__struct_read(own, sizeof *own, request, FIRST_REQUEST_BYTES, "request", error);
    if (code < 0)
        return code;
    own->size = sizeof *own;
    if (own->bytes == 0)
        return roma__error_invalid(error, "bytes");
    if (own->align != 0 && !roma__is_power_of_two(own->align))
        return roma__error_invalid(error, "align");
    if (!is_page_kind(own->pages))
        return roma__error_invalid(error, "pages");
    if (own->bytes > PTRDIFF_MAX) {
        (void)roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        error->need = own->bytes;
        return -EOVERFLOW;
    }
    return 0;
}

/* The specification of what a provider may grant. */
static bool extent_is_valid(const roma_extent *extent, size_t bytes, size_t align)
{
    uintptr_t address = (uintptr_t)extent->address;
    return address != 0 && roma__is_power_of_two(extent->page_bytes) &&
           roma__is_aligned(address, roma__max(extent->page_bytes, align)) &&
           roma__is_aligned(extent->bytes, extent->page_bytes) && extent->bytes >= bytes &&
           extent->bytes <= UINTPTR_MAX - address;
}

/* What a caller passes as an extent: one that was granted, not a cleared one. */
static bool is_extent(const roma_extent *extent)
{
    return extent != NULL && extent_is_valid(extent, 1, 1);
}

static int check_range(const roma_range *range, roma_error *error)
{
    if (range == NULL || !is_extent(range->extent))
        return roma__error_invalid(error, range == NULL ? "range" : "extent");
    const roma_extent *extent = range->extent;
    if (!roma__is_aligned(range->offset, extent->page_bytes) || range->offset > extent->bytes)
        return roma__error_invalid(error, "offset");
    if (!roma__is_aligned(range->bytes, extent->page_bytes) ||
        range->bytes > extent->bytes - range->offset)
        return roma__error_invalid(error, "bytes");
    return 0;
}

static int read_executor(const roma_executor *executor, roma_executor *own, roma_error *error)
{
    int code = roma__struct_read(own, sizeof *own, executor, FIRST_EXECUTOR_BYTES, "executor",
                                 error);
    if (code == 0 &&
        (own->submit == NULL || (own->file_populate == NULL) != (own->file_advise == NULL)))
        code = roma__error_invalid(error, "executor");
    own->size = sizeof *own;
    return code;
}

/* The start of every call: an error record to fill, and a provider to call. */
static int begin(const roma_provider *provider, roma_error **error, roma_error *ignored)
{
    *error = *error != NULL ? *error : ignored;
    (void)roma__error(*error, 0, ROMA_WHY_NONE);
    return provider == NULL ? roma__error_invalid(*error, "provider") : 0;
}

static int refuse_group(roma_error *error, const char *what)
{
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED, what);
}

/* ---- extents -------------------------------------------------------------------------------- */

int roma_provider_probe(roma_provider *provider, const roma_extent_request *request,
                        roma_error *error)
{
    roma_error ignored;
    roma_extent_request own;
    int code = begin(provider, &error, &ignored);
    if (code == 0)
        code = read_request(request, &own, error);
    if (code < 0)
        return code;
    return settle(provider, provider->ops.probe(provider->self, &own, error), error);
}

/* Take over what the provider granted, or give it back where it broke its contract. */
static int adopt(roma_provider *provider, roma_extent *extent, size_t bytes, size_t align,
                 roma_error *error)
{
    if (extent_is_valid(extent, bytes, align)) {
        atomic_fetch_add_explicit(&provider->extents, 1, memory_order_relaxed);
        return 0;
    }
    if (extent->address != NULL)
        (void)provider->ops.release(provider->self, extent, error);
    return roma__error_subject(error, -EIO, ROMA_WHY_PROVIDER, provider->name);
}

int roma_provider_acquire(roma_provider *provider, const roma_extent_request *request,
                          roma_extent *extent, roma_error *error)
{
    roma_error ignored;
    roma_extent_request own;
    int code = begin(provider, &error, &ignored);
    if (code == 0 && extent == NULL)
        code = roma__error_invalid(error, "extent");
    if (code == 0)
        code = read_request(request, &own, error);
    if (code < 0)
        return code;
    memset(extent, 0, sizeof *extent);
    code = settle(provider, provider->ops.acquire(provider->self, &own, extent, error), error);
    if (code == 0)
        code = adopt(provider, extent, own.bytes, roma__max(own.align, 1), error);
    if (code < 0)
        memset(extent, 0, sizeof *extent);
    return code;
}

int roma_provider_release(roma_provider *provider, roma_extent *extent, roma_error *error)
{
    roma_error ignored;
    int code = begin(provider, &error, &ignored);
    if (code == 0 && !is_extent(extent))
        code = roma__error_invalid(error, "extent");
    if (code < 0)
        return code;
    code = settle(provider, provider->ops.release(provider->self, extent, error), error);
    if (code == 0) {
        memset(extent, 0, sizeof *extent);
        atomic_fetch_sub_explicit(&provider->extents, 1, memory_order_release);
    }
    return code;
}

int roma_provider_resize(roma_provider *provider, roma_extent *extent, size_t bytes, bool may_move,
                         roma_error *error)
{
    roma_error ignored;
    int code = begin(provider, &error, &ignored);
    if (code == 0 && !is_extent(extent))
        code = roma__error_invalid(error, "extent");
    if (code == 0 && bytes == 0)
        code = roma__error_invalid(error, "bytes");
    if (code == 0 && bytes > PTRDIFF_MAX) {
        code = roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        error->need = bytes;
    }
    if (code < 0)
        return code;
    roma_extent before = *extent;
    code = settle(provider, provider->ops.resize(provider->self, extent, bytes, may_move, error),
                  error);
    if (code == 0 && !extent_is_valid(extent, bytes, 1))
        code = roma__error_subject(error, -EIO, ROMA_WHY_PROVIDER, provider->name);
    if (code < 0)
        *extent = before;
    return code;
}

/* ---- ranges --------------------------------------------------------------------------------- */

int roma_provider_populate(roma_provider *provider, const roma_range *range,
                           const roma_populate_options *options, roma_error *error)
{
    roma_error ignored;
    roma_executor executor;
    roma_populate_options own = {.size = sizeof own};
    int code = begin(provider, &error, &ignored);
    if (code == 0)
        code = check_range(range, error);
    if (code == 0 && options != NULL)
        code = roma__struct_read(&own, sizeof own, options, FIRST_POPULATE_BYTES, "options", error);
    if (code == 0 && own.executor != NULL)
        code = read_executor(own.executor, &executor, error);
    if (code < 0 || range->bytes == 0)
        return code;
    own.size = sizeof own;
    own.threads = own.threads == 0 ? 1 : own.threads;
    own.executor = own.executor == NULL ? NULL : &executor;
    return settle(provider, provider->ops.populate(provider->self, range, &own, error), error);
}

int roma_provider_advise(roma_provider *provider, const roma_range *range, roma_advice advice,
                         const roma_executor *executor, roma_error *error)
{
    roma_error ignored;
    roma_executor own;
    int code = begin(provider, &error, &ignored);
    if (code == 0)
        code = check_range(range, error);
    if (code == 0 && (advice < ROMA_ADVICE_NEED || advice >= ROMA_ADVICE_COUNT))
        code = roma__error_invalid(error, "advice");
    if (code == 0 && executor != NULL)
        code = read_executor(executor, &own, error);
    if (code < 0 || range->bytes == 0)
        return code;
    const roma_executor *passed = executor == NULL ? NULL : &own;
    return settle(provider, provider->ops.advise(provider->self, range, advice, passed, error),
                  error);
}

int roma_provider_query(roma_provider *provider, const roma_range *range, roma_report *report,
                        roma_error *error)
{
    roma_error ignored;
    int code = begin(provider, &error, &ignored);
    if (code == 0)
        code = check_range(range, error);
    if (code == 0 && report == NULL)
        code = roma__error_invalid(error, "report");
    if (code < 0)
        return code;
    memset(report, 0, sizeof *report);
    if (range->bytes == 0)
        return 0;
    return settle(provider, provider->ops.query(provider->self, range, report, error), error);
}

int roma_provider_stats(roma_provider *provider, roma_visit visit, void *context)
{
    if (provider == NULL || visit == NULL)
        return -EINVAL;
    int code = provider->ops.stats(provider->self, visit, context);
    if (code != 0)
        return code;
    roma_value value = {ROMA_VALUE_COUNT, roma__provider_extents(provider), NULL};
    return visit(context, "dispatch.extents", &value);
}

/* ---- optional groups ------------------------------------------------------------------------ */

int roma_provider_migrate(roma_provider *provider, const roma_range *range, const roma_nodes *nodes,
                          roma_migration *migration, roma_error *error)
{
    roma_error ignored;
    roma_migration unseen = {0};
    migration = migration != NULL ? migration : &unseen;
    memset(migration, 0, sizeof *migration);
    int code = begin(provider, &error, &ignored);
    if (code == 0)
        code = check_range(range, error);
    if (code == 0 && (nodes == NULL || roma_nodes_is_empty(nodes)))
        code = roma__error_invalid(error, "nodes");
    if (code == 0 && (provider->ops.capabilities & ROMA_CAN_MIGRATE) == 0)
        code = refuse_group(error, "migrate");
    if (code == 0 && range->bytes > 0)
        code = settle(provider,
                      provider->ops.migrate(provider->self, range, nodes, migration, error), error);
    migration->error = *error;
    return code;
}

int roma_provider_sync(roma_provider *provider, const roma_range *range, roma_error *error)
{
    roma_error ignored;
    int code = begin(provider, &error, &ignored);
    if (code == 0)
        code = check_range(range, error);
    if (code == 0 && (provider->ops.capabilities & ROMA_CAN_SYNC) == 0)
        code = refuse_group(error, "sync");
    if (code < 0 || range->bytes == 0)
        return code;
    return settle(provider, provider->ops.sync(provider->self, range, error), error);
}

int roma_provider_export_fd(roma_provider *provider, const roma_extent *extent, roma_error *error)
{
    roma_error ignored;
    int code = begin(provider, &error, &ignored);
    if (code == 0 && !is_extent(extent))
        code = roma__error_invalid(error, "extent");
    if (code == 0 && (provider->ops.capabilities & ROMA_CAN_SHARE) == 0)
        code = refuse_group(error, "export_fd");
    if (code < 0)
        return code;
    int fd = provider->ops.export_fd(provider->self, extent, error);
    return fd >= 0 ? fd : settle(provider, fd, error);
}

int roma_provider_import_fd(roma_provider *provider, int fd, roma_extent *extent, roma_error *error)
{
    roma_error ignored;
    int code = begin(provider, &error, &ignored);
    if (code == 0 && (fd < 0 || extent == NULL))
        code = roma__error_invalid(error, fd < 0 ? "fd" : "extent");
    if (code == 0 && (provider->ops.capabilities & ROMA_CAN_SHARE) == 0)
        code = refuse_group(error, "import_fd");
    if (code < 0)
        return code;
    memset(extent, 0, sizeof *extent);
    code = settle(provider, provider->ops.import_fd(provider->self, fd, extent, error), error);
    if (code == 0)
        code = adopt(provider, extent, 1, 1, error);
    if (code < 0)
        memset(extent, 0, sizeof *extent);
    return code;
}
