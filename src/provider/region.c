/* region.c - the region provider: memory that the caller brings, handed out in whole pages.
 *
 * Which pages are free stands in a record of its own (runs.h). No byte of the region is read or
 * written here: it may be device memory, or hold what the caller still wants to see.
 *
 * One lock stands over the records of all regions and is held over fork; it is not held while the
 * kernel works, but for taking advice back when an extent ends.
 *
 * Limits: an extent grows in place only, since moving it would be a copy, and copies are the
 * business of those above. The configuration's word is taken for page kind and nodes. */
#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/structs.h"
#include "base/text.h"
#include "numa/machine.h"
#include "provider/fork.h"
#include "provider/instance.h"
#include "provider/populate.h"
#include "provider/runs.h"
#include "sys/kernel.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>

struct region {
    roma_region_config config; /* its kind resolved                              */
    char *base;                /* of the first whole page                        */
    size_t page_bytes;
    size_t record_bytes;

    /* Under the lock. */
    size_t fresh; /* pages from here on were never handed out       */
    size_t live, failures;
    bool advised; /* some extent has had advice that must end with it */
    struct roma__runs runs;
};

/* ---- requests ------------------------------------------------------------------------------- */

/* Base pages are what any memory can serve as; strict is exact. */
static bool serves(const struct region *region, roma_page_kind wanted, bool strict)
{
    roma_page_kind pages = roma__machine_resolve(wanted);
    if (pages == region->config.pages)
        return true;
    return !strict && roma_page_class(wanted) == ROMA_PAGE_CLASS_BASE && pages != 0;
}

static int check_place(const struct region *region, const roma_extent_request *request,
                       roma_error *error)
{
    if (!request->strict || roma_nodes_is_empty(&request->nodes))
        return 0;
    if (roma_nodes_is_empty(&region->config.nodes))
        return roma__error_subject(error, -EXDEV, ROMA_WHY_UNSUPPORTED,
                                   "strict placement in a region of unknown nodes");
    roma_nodes other = roma_nodes_without(&region->config.nodes, &request->nodes);
    if (roma_nodes_is_empty(&other))
        return 0;
    (void)roma__error(error, -EXDEV, ROMA_WHY_LANDED_ELSEWHERE);
    error->node = roma_nodes_next(&request->nodes, 0);
    return -EXDEV;
}

static int check_request(const struct region *region, const roma_extent_request *request,
                         size_t *pages, roma_error *error)
{
    if (!serves(region, request->pages, request->strict)) {
        (void)roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
        error->pages = request->pages;
        return -EOPNOTSUPP;
    }
    int code = check_place(region, request, error);
    size_t bytes;
    if (code == 0 && roma__align_up_overflows(request->bytes, region->page_bytes, &bytes)) {
        (void)roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        error->need = request->bytes;
        code = -EOVERFLOW;
    }
    if (code == 0)
        *pages = bytes / region->page_bytes;
    return code;
}

static int is_full(const struct region *region, size_t pages, roma_error *error)
{
    (void)roma__error(error, -ENOMEM, ROMA_WHY_REGION_FULL);
    error->pages = region->config.pages;
    error->need = (uint64_t)pages * region->page_bytes;
    error->have = (uint64_t)region->runs.free_pages * region->page_bytes;
    error->total = (uint64_t)region->runs.pages * region->page_bytes;
    return -ENOMEM;
}

/* An alignment as the list of runs knows it: every stride-th page, from `phase` on. */
struct lattice {
    size_t stride, phase;
};

static struct lattice lattice_of(const struct region *region, size_t align)
{
    size_t stride = roma__max(align, region->page_bytes) / region->page_bytes;
    size_t base_page = (uintptr_t)region->base / region->page_bytes;
    return (struct lattice){stride, (stride - base_page % stride) % stride};
}

/* ---- the table: extents --------------------------------------------------------------------- */

static int probe(void *self, const roma_extent_request *request, roma_error *error)
{
    struct region *region = self;
    size_t pages = 0;
    int code = check_request(region, request, &pages, error);
    if (code < 0)
        return code;
    struct lattice at = lattice_of(region, request->align);
    roma__regions_lock();
    if (roma__runs_find(&region->runs, pages, at.stride, at.phase) == SIZE_MAX)
        code = is_full(region, pages, error);
    roma__regions_unlock();
    return code;
}

static int populate_pages(const struct region *region, char *address, size_t bytes,
                          unsigned threads, const roma_executor *executor, roma_error *error)
{
    roma__populate wish = {.address = address,
                           .bytes = bytes,
                           .page_bytes = region->page_bytes,
                           .threads = threads,
                           .executor = executor};
    int code = roma__populate_now(&wish, error);
    if (code == -EFAULT) {
        code = roma__error(error, -ENOMEM, ROMA_WHY_POOL_RAN_DRY);
        error->pages = region->config.pages;
        error->need = bytes / region->page_bytes;
    }
    return code;
}

static int count_failure(struct region *region, int code)
{
    if (code < 0) {
        roma__regions_lock();
        region->failures++;
        roma__regions_unlock();
    }
    return code;
}

static void put_back(struct region *region, size_t first, size_t pages)
{
    roma__regions_lock();
    roma_check(roma__runs_give(&region->runs, first, pages));
    roma__regions_unlock();
}

static int take_pages(struct region *region, size_t align, size_t pages, size_t *first,
                      bool *zeroed, roma_error *error)
{
    struct lattice at = lattice_of(region, align);
    int code = 0;
    roma__regions_lock();
    size_t fresh = region->fresh;
    *first = roma__runs_take(&region->runs, pages, at.stride, at.phase);
    if (*first == SIZE_MAX)
        code = is_full(region, pages, error);
    else
        region->fresh = roma__max(fresh, *first + pages);
    *zeroed = region->config.zeroed && *first >= fresh;
    roma__regions_unlock();
    return code;
}

static void describe(const struct region *region, const roma_extent_request *request, size_t first,
                     size_t pages, bool zeroed, roma_extent *extent)
{
    bool is_hugetlb = roma_page_class(region->config.pages) == ROMA_PAGE_CLASS_HUGETLB;
    *extent = (roma_extent){
        .address = region->base + first * region->page_bytes,
        .bytes = pages * region->page_bytes,
        .page_bytes = region->page_bytes,
        .pages = region->config.pages,
        .zeroed = zeroed,
        /* The first touch of a hugetlb page may be a SIGBUS, populating it is an error. */
        .populated = is_hugetlb || request->populate_threads > 0,
        .pinned = is_hugetlb,
        .inherited = !is_hugetlb || request->inherit,
        .nodes = request->nodes,
    };
}

static int acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error)
{
    struct region *region = self;
    size_t pages = 0, first = 0;
    bool zeroed = false;
    int code = check_request(region, request, &pages, error);
    if (code == 0)
        code = take_pages(region, request->align, pages, &first, &zeroed, error);
    if (code < 0)
        return count_failure(region, code);
    describe(region, request, first, pages, zeroed, extent);
    if (extent->populated)
        code = populate_pages(region, extent->address, extent->bytes,
                              request->populate_threads > 0 ? request->populate_threads : 1, NULL,
                              error);
    if (code < 0) {
        put_back(region, first, pages);
        return count_failure(region, code);
    }
    roma__regions_lock();
    region->live++;
    roma__regions_unlock();
    return 0;
}

/* The pages of an extent; false when it does not lie on whole pages of the region. */
static bool pages_of(const struct region *region, const roma_extent *extent, size_t *first,
                     size_t *pages)
{
    size_t offset = (uintptr_t)extent->address - (uintptr_t)region->base;
    *first = offset / region->page_bytes;
    *pages = extent->bytes / region->page_bytes;
    return (uintptr_t)extent->address >= (uintptr_t)region->base &&
           roma__is_aligned(offset, region->page_bytes) &&
           roma__is_aligned(extent->bytes, region->page_bytes) && *first < region->runs.pages;
}

static int not_ours(roma_error *error)
{
    return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "extent");
}

/* Other memory is unmapped with what was advised of it; this goes to the next who asks. Under the
 * lock. A kernel that took the advice takes it back; where it does not, there is nobody to tell. */
static void withdraw_advice(const struct region *region, void *address, size_t bytes)
{
    if (!region->advised)
        return;
    (void)roma__sys->madvise(address, bytes, MADV_DODUMP);
    (void)roma__sys->madvise(address, bytes, MADV_DOFORK);
}

static int release(void *self, const roma_extent *extent, roma_error *error)
{
    struct region *region = self;
    size_t first, pages;
    if (!pages_of(region, extent, &first, &pages))
        return not_ours(error);
    roma__regions_lock();
    bool ours = roma__runs_give(&region->runs, first, pages);
    if (ours) {
        region->live--;
        withdraw_advice(region, extent->address, extent->bytes);
    }
    roma__regions_unlock();
    return ours ? 0 : not_ours(error);
}

/* Under the lock. */
static int resize_locked(struct region *region, roma_extent *extent, size_t first, size_t pages,
                         size_t wanted, roma_error *error)
{
    if (!roma__runs_are_taken(&region->runs, first, pages))
        return not_ours(error);
    if (wanted < pages) {
        roma_check(roma__runs_give(&region->runs, first + wanted, pages - wanted));
        withdraw_advice(region, region->base + (first + wanted) * region->page_bytes,
                        (pages - wanted) * region->page_bytes);
    } else if (wanted > pages) {
        if (!roma__runs_take_at(&region->runs, first + pages, wanted - pages))
            return is_full(region, wanted - pages, error);
        extent->zeroed = extent->zeroed && first + pages >= region->fresh;
        region->fresh = roma__max(region->fresh, first + wanted);
    }
    extent->bytes = wanted * region->page_bytes;
    return 0;
}

static int resize(void *self, roma_extent *extent, size_t bytes, bool may_move, roma_error *error)
{
    (void)may_move; /* that would be a copy */
    struct region *region = self;
    size_t first, pages, rounded, before = extent->bytes;
    if (!pages_of(region, extent, &first, &pages))
        return not_ours(error);
    if (roma__align_up_overflows(bytes, region->page_bytes, &rounded))
        return roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
    bool zeroed = extent->zeroed;
    roma__regions_lock();
    int code = resize_locked(region, extent, first, pages, rounded / region->page_bytes, error);
    roma__regions_unlock();
    if (code == 0 && extent->populated && rounded > before) {
        code = populate_pages(region, (char *)extent->address + before, rounded - before, 1, NULL,
                              error);
        if (code < 0) {
            put_back(region, first + pages, (rounded - before) / region->page_bytes);
            extent->bytes = before;
            extent->zeroed = zeroed;
        }
    }
    return count_failure(region, code);
}

/* ---- the table: ranges ---------------------------------------------------------------------- */

static char *address_of(const roma_range *range)
{
    return (char *)range->extent->address + range->offset;
}

static int populate(void *self, const roma_range *range, const roma_populate_options *options,
                    roma_error *error)
{
    struct region *region = self;
    return count_failure(region, populate_pages(region, address_of(range), range->bytes,
                                                options->threads, options->executor, error));
}

/* What the memory is made of is not known here, so what would change its bytes is refused. */
static int advise(void *self, const roma_range *range, roma_advice advice,
                  const roma_executor *executor, roma_error *error)
{
    (void)executor;
    static const int words[ROMA_ADVICE_COUNT] = {
        [ROMA_ADVICE_NEED] = MADV_WILLNEED,   [ROMA_ADVICE_COLD] = MADV_COLD,
        [ROMA_ADVICE_PAGEOUT] = MADV_PAGEOUT, [ROMA_ADVICE_NODUMP] = MADV_DONTDUMP,
        [ROMA_ADVICE_NOFORK] = MADV_DONTFORK,
    };
    if (advice == ROMA_ADVICE_DISCARD)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "discarding bytes of a region");
    struct region *region = self;
    if (advice == ROMA_ADVICE_NODUMP || advice == ROMA_ADVICE_NOFORK) {
        roma__regions_lock();
        region->advised = true;
        roma__regions_unlock();
    }
    if (roma__sys->madvise(address_of(range), range->bytes, words[advice]) == 0)
        return 0;
    return count_failure(region, roma__error_call(error, "madvise", errno));
}

static int query(void *self, const roma_range *range, roma_report *report, roma_error *error)
{
    const struct region *region = self;
    return roma__machine_where(address_of(range), range->bytes, region->config.pages, report,
                               error);
}

static int stats(void *self, roma_visit visit, void *context)
{
    const struct region *region = self;
    roma__regions_lock();
    size_t used_pages = region->runs.pages - region->runs.free_pages;
    struct {
        const char *key;
        roma_value value;
    } rows[] = {
        {"extents.live", {ROMA_VALUE_COUNT, region->live, NULL}},
        {"extents.bytes", {ROMA_VALUE_BYTES, used_pages * region->page_bytes, NULL}},
        {"region.bytes", {ROMA_VALUE_BYTES, region->runs.pages * region->page_bytes, NULL}},
        {"runs.count", {ROMA_VALUE_COUNT, region->runs.count, NULL}},
        {"failures.count", {ROMA_VALUE_COUNT, region->failures, NULL}},
    };
    roma__regions_unlock();
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof rows / sizeof rows[0]; i++)
        code = visit(context, rows[i].key, &rows[i].value);
    return code;
}

/* ---- making one ----------------------------------------------------------------------------- */

/* Whole pages of the memory that was brought; 0: none. */
static size_t whole_pages(const roma_region_config *config, size_t page_bytes, char **base)
{
    uintptr_t start = (uintptr_t)config->address, end, first;
    if (roma__add_overflows(start, config->bytes, &end) ||
        roma__align_up_overflows(start, page_bytes, &first) || first >= end)
        return 0;
    *base = (char *)config->address + (first - start);
    return (end - first) / page_bytes;
}

static int open_region(const void *argument, void **self, roma_error *error)
{
    const roma_region_config *config = argument;
    size_t page_bytes = roma_page_bytes(config->pages), record_bytes;
    char *base = NULL;
    size_t pages = page_bytes == 0 ? 0 : whole_pages(config, page_bytes, &base);
    if (pages == 0)
        return roma__error_invalid(error, "bytes");
    size_t list_bytes = roma__runs_bytes(pages);
    if (list_bytes == 0 || roma__add_overflows(list_bytes, sizeof(struct region), &record_bytes))
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    struct region *region = roma__record_new(record_bytes);
    if (region == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    region->config = *config;
    region->base = base;
    region->page_bytes = page_bytes;
    region->record_bytes = record_bytes;
    roma__runs_start(&region->runs, pages, (struct roma__run *)(void *)(region + 1));
    *self = region;
    return 0;
}

static void close_region(void *self)
{
    struct region *region = self;
    roma_check(roma__runs_are_valid(&region->runs));
    roma__record_free(region, region->record_bytes);
}

static const roma_provider_ops ops = {
    .size = sizeof ops,
    .version = ROMA_PROVIDER_VERSION,
    .name = "region",
    .open = open_region,
    .close = close_region,
    .probe = probe,
    .acquire = acquire,
    .release = release,
    .resize = resize,
    .populate = populate,
    .advise = advise,
    .query = query,
    .stats = stats,
};

int roma_provider_region(const roma_region_config *config, roma_provider **provider,
                         roma_error *error)
{
    enum { FIRST_BYTES = offsetof(roma_region_config, nodes) + sizeof(roma_nodes) };
    if (config == NULL || provider == NULL)
        return roma__error_invalid(error, config == NULL ? "config" : "provider");
    roma_region_config own;
    int code = roma__struct_read(&own, sizeof own, config, FIRST_BYTES, "config", error);
    if (code < 0)
        return code;
    if (own.name != NULL && !roma__provider_name_is_valid(own.name))
        return roma__error_invalid(error, "name");
    if (own.address == NULL)
        return roma__error_invalid(error, "address");
    own.pages = roma__machine_resolve(own.pages == 0 ? (roma_page_kind)ROMA_PAGES_BASE : own.pages);
    if (own.pages == 0)
        return roma__error_invalid(error, "pages");
    const char *name = own.name == NULL ? "region" : own.name;
    own.name = NULL; /* copied; the caller's may go */
    return roma__provider_make(&ops, name, &own, provider, error);
}
