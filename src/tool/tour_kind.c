/* tour_kind.c - one page kind of the tour: take memory of it, prove it, measure it, give it back.
 *
 * First a block, strict, so that the memory is of this kind or not there at all: its pages are
 * proved, then memset and the chase run on it. Then bare extents from the provider, one after the
 * other, for the time that populating takes: transparent huge and base pages are mapped first and
 * populated under the clock; hugetlb pages are populated by the very call that obtains them, so
 * that call is timed. The first pass counts for nothing: memory that a host gives a virtual machine
 * for the first time comes slowly. At most one block or extent is there at a time.
 *
 * Plain malloc has no populate; its first touch is timed instead, a byte a page. */
#include "tour.h"

#include "parallel.h"
#include "progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A page pool with fewer free pages than the working set needs is measured as it is, but not below
 * what leaves the caches of most machines. */
enum { LEAST_POOL_BYTES = 64 << 20 };

/* ---- what is common to malloc and all kinds ------------------------------------------------- */

static size_t whole_pages(uint64_t bytes, roma_page_kind kind)
{
    unsigned shift = kind & ROMA_PAGE_SHIFT_MASK;
    return (size_t)(((bytes - 1) >> shift) + 1) << shift;
}

static void clear_rates(kind_figures *figures)
{
    figures->populate = figures->writing = (rates){-1, -1};
    figures->chase_ns = -1;
}

/* memset and chase over memory that is populated. */
static void measure_memory(const tour_plan *plan, roma_segment all, kind_figures *figures)
{
    double one[TOUR_PASSES_MAX] = {0}, many[TOUR_PASSES_MAX] = {0};
    progress("%s: memset", figures->name);
    (void)memset_rate(all, plan->base_bytes, 1);
    for (unsigned pass = 0; pass < plan->passes; pass++) {
        one[pass] = memset_rate(all, plan->base_bytes, 1);
        if (plan->threads > 1)
            many[pass] = memset_rate(all, plan->base_bytes, plan->threads);
    }
    figures->writing.one = median(one, plan->passes);
    if (plan->threads > 1)
        figures->writing.many = median(many, plan->passes);

    figures->chase_bytes = plan->bytes < all.bytes ? (size_t)plan->bytes : all.bytes;
    roma_segment set = roma_segment_slice(all, 0, figures->chase_bytes);
    progress("%s: linking cache lines in random order", figures->name);
    chase_link(set);
    progress("%s: chasing", figures->name);
    figures->chase_ns = chase_time_ns(set, plan->passes, plan->quick);
}

/* One pass of populating; GB/s, or below 0 when it failed. */
typedef double (*populate_pass)(const tour_plan *plan, const kind_figures *figures,
                                unsigned threads);

static double populate_median(const tour_plan *plan, const kind_figures *figures,
                              populate_pass pass_once, unsigned threads)
{
    double values[TOUR_PASSES_MAX];
    for (unsigned pass = 0; pass < plan->passes; pass++) {
        progress("%s: populating on %u thread%s, pass %u of %u", figures->name, threads,
                 threads == 1 ? "" : "s", pass + 1, plan->passes);
        values[pass] = pass_once(plan, figures, threads);
        if (values[pass] < 0)
            return -1;
    }
    return median(values, plan->passes);
}

static void measure_populate(const tour_plan *plan, kind_figures *figures, populate_pass pass_once)
{
    progress("%s: populating once, not counted", figures->name);
    (void)pass_once(plan, figures, 1);
    figures->populate.one = populate_median(plan, figures, pass_once, 1);
    if (plan->threads > 1)
        figures->populate.many = populate_median(plan, figures, pass_once, plan->threads);
}

/* ---- plain malloc --------------------------------------------------------------------------- */

static double malloc_pass(const tour_plan *plan, const kind_figures *figures, unsigned threads)
{
    void *memory = malloc(figures->bytes);
    if (memory == NULL)
        return -1;
    double rate = touch_rate(roma_segment_of(memory, figures->bytes), plan->base_bytes, threads);
    free(memory);
    return rate;
}

/* The page table's word on memory that is not roma's: a region provider over it can be asked. */
static void report_foreign(void *memory, size_t bytes, roma_report *report)
{
    roma_region_config config = {.size = sizeof config, .address = memory, .bytes = bytes};
    roma_provider *region;
    memset(report, 0, sizeof *report);
    if (roma_provider_region(&config, &region, NULL) != 0)
        return;
    size_t page_bytes = roma_topology_page_bytes(roma_topology_get(),
                                                 (roma_page_kind)ROMA_PAGES_BASE);
    roma_extent_request request = roma_extent_request_default();
    roma_extent extent;
    request.bytes = bytes > 2 * page_bytes ? (bytes / page_bytes - 1) * page_bytes : page_bytes;
    request.pages = (roma_page_kind)ROMA_PAGES_BASE;
    if (roma_provider_acquire(region, &request, &extent, NULL) == 0) {
        roma_range range = {&extent, 0, extent.bytes};
        if (roma_provider_query(region, &range, report, NULL) != 0)
            memset(report, 0, sizeof *report);
        (void)roma_provider_release(region, &extent, NULL);
    }
    (void)roma_provider_unregister(region);
}

void measure_malloc(const tour_plan *plan, kind_figures *figures)
{
    *figures = (kind_figures){.name = "malloc", .bytes = (size_t)plan->bytes};
    clear_rates(figures);
    progress("malloc: taking memory");
    accounting_read(&figures->proof.before, 0, plan->node);
    void *memory = malloc(figures->bytes);
    if (memory == NULL) {
        snprintf(figures->reason, sizeof figures->reason, "malloc failed (%s)", strerror(errno));
        return;
    }
    figures->given = true;
    roma_segment all = roma_segment_of(memory, figures->bytes);
    roma_segment_fill(all, 1);
    accounting_read(&figures->proof.after, 0, plan->node);
    report_foreign(memory, figures->bytes, &figures->proof.report);
    measure_memory(plan, all, figures);
    free(memory);
    measure_populate(plan, figures, malloc_pass);
}

/* ---- a page kind ---------------------------------------------------------------------------- */

static roma_extent_request extent_request_of(const tour_plan *plan, const kind_figures *figures)
{
    roma_extent_request request = roma_extent_request_default();
    request.bytes = figures->bytes;
    request.pages = figures->pages;
    request.nodes = plan->nodes;
    request.label = "roma tour";
    return request;
}

static double hugetlb_pass(const tour_plan *plan, const kind_figures *figures, unsigned threads)
{
    roma_provider *provider = roma_provider_anonymous();
    roma_extent_request request = extent_request_of(plan, figures);
    roma_extent extent;
    request.populate_threads = threads;
    uint64_t start_ns = now_ns();
    if (roma_provider_acquire(provider, &request, &extent, NULL) != 0)
        return -1;
    uint64_t elapsed_ns = now_ns() - start_ns;
    size_t bytes = extent.bytes;
    return roma_provider_release(provider, &extent, NULL) == 0 ? rate_of(bytes, elapsed_ns) : -1;
}

static double mapped_pass(const tour_plan *plan, const kind_figures *figures, unsigned threads)
{
    roma_provider *provider = roma_provider_anonymous();
    roma_extent_request request = extent_request_of(plan, figures);
    roma_extent extent;
    if (roma_provider_acquire(provider, &request, &extent, NULL) != 0)
        return -1;
    roma_range range = {&extent, 0, extent.bytes};
    roma_populate_options options = {.size = sizeof options, .threads = threads};
    uint64_t start_ns = now_ns();
    int code = roma_provider_populate(provider, &range, &options, NULL);
    uint64_t elapsed_ns = now_ns() - start_ns;
    size_t bytes = extent.bytes;
    (void)roma_provider_release(provider, &extent, NULL);
    return code == 0 ? rate_of(bytes, elapsed_ns) : -1;
}

static void *take_block(const tour_plan *plan, roma_manager *manager, const kind_figures *figures,
                        roma_grant *grant)
{
    roma_request request = roma_request_default();
    request.bytes = figures->bytes;
    request.pages = figures->pages;
    request.strict = true;
    request.populate_threads = 1; /* as malloc's memory is filled: by one thread, in order */
    request.label = "roma tour";
    if (plan->node >= 0) {
        request.placement = ROMA_NODES;
        request.nodes = plan->nodes;
    }
    return roma_alloc_with(manager, &request, grant);
}

/* Free pages of the kind's pool, in bytes; 0 when it has no pool. */
static uint64_t pool_free_bytes(const tour_plan *plan, roma_page_kind kind)
{
    accounting now;
    if (roma_page_class(kind) != ROMA_PAGE_CLASS_HUGETLB)
        return 0;
    accounting_read(&now, roma_page_bytes(kind), plan->node);
    return now.pool_free_pages * roma_page_bytes(kind);
}

/* Take a block of the planned size, or of what a smaller pool has. NULL: figures->reason is why. */
static void *take_what_there_is(const tour_plan *plan, roma_manager *manager, kind_figures *figures)
{
    roma_grant grant;
    void *block = take_block(plan, manager, figures, &grant);
    if (block != NULL)
        return block;
    roma_error_text(&grant.error, figures->reason, sizeof figures->reason);
    uint64_t rest = pool_free_bytes(plan, figures->pages);
    if (rest < LEAST_POOL_BYTES || rest >= figures->bytes)
        return NULL;
    figures->bytes = (size_t)rest;
    return take_block(plan, manager, figures, &grant);
}

static void prove_and_measure(const tour_plan *plan, roma_manager *manager, kind_figures *figures)
{
    size_t page_bytes = roma_page_bytes(figures->pages);
    bool is_hugetlb = roma_page_class(figures->pages) == ROMA_PAGE_CLASS_HUGETLB;
    progress("%s: taking a block", figures->name);
    accounting_read(&figures->proof.before, is_hugetlb ? page_bytes : 0, plan->node);
    void *block = take_what_there_is(plan, manager, figures);
    if (block == NULL)
        return;
    figures->given = true;
    accounting_read(&figures->proof.after, is_hugetlb ? page_bytes : 0, plan->node);
    if (roma_where(block, &figures->proof.report) != 0)
        memset(&figures->proof.report, 0, sizeof figures->proof.report);
    proof_judge(&figures->proof, figures->pages, figures->bytes, plan->thp_bytes);
    measure_memory(plan, roma_segment_of(block, roma_bytes(block)), figures);
    roma_free(block);
}

/* The size that follows the general setting has a sentence of the library's own when it is off. */
static bool is_switched_off(const tour_plan *plan, const roma_kind_info *kind)
{
    return !kind->usable && roma_page_class(kind->pages) == ROMA_PAGE_CLASS_THP &&
           roma_page_bytes(kind->pages) != plan->thp_bytes;
}

void measure_kind(const tour_plan *plan, const roma_kind_info *info, kind_figures *figures)
{
    roma_page_kind kind = info->pages;
    *figures = (kind_figures){.pages = kind};
    clear_rates(figures);
    figures->bytes = whole_pages(plan->bytes, kind);
    roma_page_kind_text(kind, figures->name, sizeof figures->name);

    if (is_switched_off(plan, info)) {
        snprintf(figures->reason, sizeof figures->reason,
                 "switched off (%s); each size has a file enabled below "
                 "/sys/kernel/mm/transparent_hugepage",
                 info->mode);
        return;
    }

    roma_manager *manager;
    roma_error error;
    roma_options options = roma_options_default();
    options.name = "tour";
    if (roma_manager_create(&manager, &options, &error) != 0) {
        roma_error_text(&error, figures->reason, sizeof figures->reason);
        return;
    }
    prove_and_measure(plan, manager, figures);
    (void)roma_manager_destroy(manager); /* gives the memory back, so that extents find it free */
    if (figures->given)
        measure_populate(plan, figures,
                         roma_page_class(kind) == ROMA_PAGE_CLASS_HUGETLB ? hugetlb_pass
                                                                          : mapped_pass);
}
