/* pages.c - the shim's provider: ordinary pages, transparent huge or base, for one heap.
 *
 * The anonymous provider looks before it maps: is the page kind there, is it switched on, does a
 * cgroup leave room. Managers want to know; a malloc wants to start in microseconds and to grow
 * without reading files. So this one maps, advises, and takes what comes: where transparent huge
 * pages are switched off the same extents are of base pages, and no step of the ladder failed.
 * What it does not do itself is the mapping core's. Unless ROMA_HUGE=thp wants huge pages at any
 * price, extents of them are also of base pages while huge ones come slowly (pace.h): in all other
 * ways they are what they would be.
 *
 * The size of a huge page is that of one entry of the middle page table: as many base pages as
 * entries of 8 bytes fit a base page. That is 2 MiB where base pages have 4 KiB and 32 MiB at
 * 16 KiB; the 512 MiB at 64 KiB are of no use to a malloc, and base pages serve alone.
 *
 * Extents are one mapping each, and stay one, so that growing and moving are a single mremap(),
 * which brings the pages' tables along and needs no second mapping behind the first. */
#include "malloc/pace.h"
#include "malloc/settings.h"
#include "malloc/shim.h"

#include "base/bits.h"
#include "base/error.h"
#include "numa/machine.h"
#include "provider/instance.h"
#include "provider/mapping.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <time.h>

enum { THP_MAX_LOG2 = 25, PAGE_TABLE_ENTRY_LOG2 = 3 };

static struct {
    _Atomic(uint64_t) live, bytes;
} figures;

/* ---- page kinds ------------------------------------------------------------------------------ */

roma_page_kind roma__shim_base_kind(void)
{
    unsigned base_log2 = roma__log2_floor(roma__machine_base_bytes());
    return (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, base_log2);
}

roma_page_kind roma__shim_thp_kind(void)
{
    unsigned base_log2 = roma__log2_floor(roma__machine_base_bytes());
    unsigned thp_log2 = 2 * base_log2 - PAGE_TABLE_ENTRY_LOG2;
    if (thp_log2 > THP_MAX_LOG2)
        return 0;
    return (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, thp_log2);
}

/* ---- what they cost -------------------------------------------------------------------------- */

static struct roma__pace pace = ROMA__PACE_AT_START;

/* The CPU time of this thread: what others do in between does not count. */
static uint64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- extents --------------------------------------------------------------------------------- */

static void count(uint64_t extents, uint64_t bytes) /* also backwards */
{
    atomic_fetch_add_explicit(&figures.live, extents, memory_order_relaxed);
    atomic_fetch_add_explicit(&figures.bytes, bytes, memory_order_relaxed);
}

/* The heap's ladder asks for nothing else; who does is told. */
static int probe(void *self, const roma_extent_request *request, roma_error *error)
{
    (void)self;
    bool is_known = request->pages == roma__shim_base_kind() ||
                    (request->pages == roma__shim_thp_kind() && request->pages != 0);
    if (!is_known)
        return roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
    if (request->strict || !roma_nodes_is_empty(&request->nodes) || request->populate_threads > 0)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "strict, placed or populated pages");
    return 0;
}

/* Time the first huge page. Memory that is locked is there already, and a kernel that does not
 * populate says nothing: both are quick. */
static bool first_is_quick(const roma__mapping_plan *plan, char *address)
{
    uint64_t before_ns = thread_ns();
    int code = roma__sys->madvise(address, plan->kind.page_bytes, MADV_POPULATE_WRITE);
    return code < 0 || roma__pace_is_quick(&pace, plan->kind.page_bytes, thread_ns() - before_ns);
}

/* The whole extent gets the same advice, because it is to stay one mapping. */
static int furnish_with_base(const roma__mapping_plan *plan, char *address, roma_error *error)
{
    roma__mapping_plan base = *plan;
    base.kind.pages = roma__shim_base_kind();
    return roma__mapping_furnish(&base, address, plan->bytes, NULL, error);
}

static int furnish(const roma__mapping_plan *plan, char *address, roma_error *error)
{
    bool is_paced = roma__settings.huge != ROMA__HUGE_THP &&
                    roma_page_class(plan->kind.pages) == ROMA_PAGE_CLASS_THP;
    if (is_paced && roma__pace_rests(&pace, plan->bytes))
        return furnish_with_base(plan, address, error);
    /* A kernel without transparent huge pages refuses the advice, and there the step fails. */
    int code = roma__mapping_furnish(plan, address, plan->bytes, NULL, error);
    if (code == 0 && is_paced && !first_is_quick(plan, address))
        code = furnish_with_base(plan, address, error);
    return code;
}

static int acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error)
{
    int code = probe(self, request, error);
    if (code < 0)
        return code;
    size_t page_bytes = roma_page_bytes(request->pages);
    roma__mapping_plan plan = {
        .kind = {request->pages, page_bytes, roma__max(request->align, page_bytes)},
        .inherit = true,
    };
    char *address = NULL;
    if (roma__align_up_overflows(request->bytes, page_bytes, &plan.bytes))
        return roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
    code = roma__space_map(&plan.kind, plan.bytes, &address, error);
    if (code < 0)
        return code;
    code = furnish(&plan, address, error);
    if (code < 0) {
        (void)roma__space_unmap(address, plan.bytes, NULL);
        return code;
    }
    roma__mapping_memory memory = {.align = plan.kind.align};
    *extent = (roma_extent){
        .address = address,
        .bytes = plan.bytes,
        .page_bytes = page_bytes,
        .pages = request->pages,
        .zeroed = true,
        .inherited = true,
        .tag = roma__mapping_tag(&memory),
    };
    count(1, plan.bytes);
    return 0;
}

static int release(void *self, const roma_extent *extent, roma_error *error)
{
    (void)self;
    int code = roma__space_unmap(extent->address, extent->bytes, error);
    if (code == 0)
        count((uint64_t)0 - 1, (uint64_t)0 - extent->bytes);
    return code;
}

/* ---- resizing -------------------------------------------------------------------------------- */

/* The kernel would choose an address that is a multiple of a base page; so the place is chosen
 * here. */
static int move(roma_extent *extent, size_t bytes, roma_error *error)
{
    char *target = NULL;
    roma__space_kind kind = {extent->pages, extent->page_bytes,
                             roma__mapping_memory_of(extent).align};
    int code = roma__space_reserve(bytes, kind.align, &target, error);
    if (code == 0)
        code = roma__space_move(&kind, extent->address, extent->bytes, target, bytes, error);
    if (code == 0)
        extent->address = target;
    return code;
}

static int grow(roma_extent *extent, size_t bytes, bool may_move, roma_error *error)
{
    if (roma__sys->mremap(extent->address, extent->bytes, bytes, 0, NULL) != MAP_FAILED)
        return 0;
    /* All else than a want of room is so at any address: pages that are locked, a mapping that the
     * program has parted by an advice of its own. */
    if (errno != ENOMEM)
        return roma__error_call(error, "mremap", errno);
    return may_move ? move(extent, bytes, error)
                    : roma__error(error, -ENOMEM, ROMA_WHY_ADDRESS_SPACE);
}

static int resize(void *self, roma_extent *extent, size_t bytes, bool may_move, roma_error *error)
{
    (void)self;
    size_t rounded, before = extent->bytes;
    if (roma__align_up_overflows(bytes, extent->page_bytes, &rounded))
        return roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
    int code = 0;
    if (rounded < before)
        code = roma__space_unmap((char *)extent->address + rounded, before - rounded, error);
    else if (rounded > before)
        code = grow(extent, rounded, may_move, error);
    if (code < 0)
        return code;
    extent->bytes = rounded;
    count(0, (uint64_t)rounded - before);
    return 0;
}

/* ---- the rest is the mapping core's ---------------------------------------------------------- */

static int populate(void *self, const roma_range *range, const roma_populate_options *options,
                    roma_error *error)
{
    (void)self;
    return roma__mapping_populate(range, options, error);
}

static int advise(void *self, const roma_range *range, roma_advice advice,
                  const roma_executor *executor, roma_error *error)
{
    (void)self;
    (void)executor; /* one call to the kernel */
    return roma__mapping_advise(range, advice, error);
}

static int query(void *self, const roma_range *range, roma_report *report, roma_error *error)
{
    (void)self;
    return roma__mapping_query(range, report, error);
}

static int stats(void *self, roma_visit visit, void *context)
{
    (void)self;
    roma_value live = {ROMA_VALUE_COUNT, figures.live, NULL};
    roma_value bytes = {ROMA_VALUE_BYTES, figures.bytes, NULL};
    int code = visit(context, "extents.live", &live);
    return code != 0 ? code : visit(context, "extents.bytes", &bytes);
}

roma_provider *roma__shim_pages(void)
{
    static roma_provider pages = {
        .ops =
            {
                .size = sizeof(roma_provider_ops),
                .version = ROMA_PROVIDER_VERSION,
                .name = "pages",
                .probe = probe,
                .acquire = acquire,
                .release = release,
                .resize = resize,
                .populate = populate,
                .advise = advise,
                .query = query,
                .stats = stats,
            },
        .name = "pages",
        .built_in = true,
    };
    return &pages;
}
