/* mapping.c - the mapping core: obtaining and returning extents; see mapping.h.
 *
 * One way for every page kind: plan, pre-flight, map, furnish (memory policy, advice, name), fill
 * (populate, prove; fill.c). Each step that fails is named in the error, and nothing is left
 * behind.
 *
 *   hugetlb      bound to its nodes, always populated: a page that is not there would be a SIGBUS
 *                later. Not inherited over fork unless asked: the child's first write to a page
 *                needs a second one, and is a SIGBUS when the pool has none.
 *   transparent  aligned to, and in whole multiples of, the huge page; the kernel gives huge pages
 *                where it has them.
 *   base         huge pages are advised against, so that the extent is just what was asked.
 *
 * Ordinary pages are never bound to nodes: beyond a bound node's memory the kernel ends a process.
 * They prefer their nodes; a strict request looks where they landed. Where they are to be spread,
 * the kernel interleaves them page by page, and spread.c lays them by weight.
 *
 * Limits. A pre-flight is a forecast: between it and the first touch others may take the memory,
 * and a strict or populated request of ordinary pages may then still meet the kernel's OOM killer,
 * as any program may. Transparent huge pages smaller than the full size cannot be proved: no kernel
 * tells. */
#include "provider/mapping.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "numa/machine.h"
#include "provider/fork.h"
#include "provider/populate.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

static unsigned class_of(const roma__mapping_plan *plan)
{
    return roma_page_class(plan->kind.pages);
}

/* ---- tags: 6 bits of log2 of the alignment, strict, the generation -------------------------- */

enum { TAG_STRICT = 1 << 6, TAG_GENERATION_SHIFT = 8 };

void *roma__mapping_tag(const roma__mapping_memory *memory)
{
    uintptr_t tag = roma__log2_floor(memory->align);
    tag |= memory->strict ? TAG_STRICT : 0;
    tag |= (uintptr_t)memory->generation << TAG_GENERATION_SHIFT;
    return (void *)tag;
}

roma__mapping_memory roma__mapping_memory_of(const roma_extent *extent)
{
    uintptr_t tag = (uintptr_t)extent->tag;
    roma__mapping_memory memory = {
        .align = (size_t)1 << (tag & (TAG_STRICT - 1)),
        .strict = (tag & TAG_STRICT) != 0,
        .generation = (unsigned)(tag >> TAG_GENERATION_SHIFT),
    };
    return memory;
}

/* ---- planning ------------------------------------------------------------------------------- */

int roma__mapping_complete(roma__mapping_plan *plan, roma_error *error)
{
    bool is_hugetlb = class_of(plan) == ROMA_PAGE_CLASS_HUGETLB;
    bool is_thp = class_of(plan) == ROMA_PAGE_CLASS_THP;
    /* Hugetlb pages that are bound to nodes cannot be elsewhere; interleaved ones can. */
    plan->prove_nodes = plan->strict && !roma_nodes_is_empty(&plan->nodes) &&
                        plan->spread != ROMA_SPREAD_PREFER &&
                        (!is_hugetlb || plan->spread == ROMA_SPREAD_INTERLEAVE);
    plan->prove_kind = plan->strict && is_thp;
    if (plan->prove_kind && plan->kind.pages != roma__machine_resolve(ROMA_PAGES_THP)) {
        (void)roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                  "proving transparent huge pages of less than full size");
        error->pages = plan->kind.pages;
        return -EOPNOTSUPP;
    }
    if (plan->threads == 0 && (is_hugetlb || plan->prove_nodes || plan->prove_kind))
        plan->threads = 1;
    return 0;
}

static int make_plan(const roma_extent_request *request, roma__mapping_plan *plan,
                     roma_error *error)
{
    roma_page_kind pages = roma__machine_resolve(request->pages);
    size_t page_bytes = roma_page_bytes(pages);
    if (page_bytes == 0) {
        (void)roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
        error->pages = request->pages;
        return -EOPNOTSUPP;
    }
    *plan = (roma__mapping_plan){
        .kind = {pages, page_bytes, roma__max(request->align, page_bytes)},
        .nodes = request->nodes,
        .spread = request->spread,
        .weights = request->spread == ROMA_SPREAD_WEIGHTED ? request->weights : NULL,
        .strict = request->strict,
        .inherit = request->inherit,
        .threads = request->populate_threads,
    };
    if (roma__align_up_overflows(request->bytes, page_bytes, &plan->bytes) ||
        plan->bytes > PTRDIFF_MAX) {
        (void)roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        error->need = request->bytes;
        return -EOVERFLOW;
    }
    return roma__mapping_complete(plan, error);
}

roma__mapping_plan roma__mapping_plan_of(const roma_extent *extent)
{
    roma__mapping_memory memory = roma__mapping_memory_of(extent);
    roma__mapping_plan plan = {
        .kind = {extent->pages, extent->page_bytes, memory.align},
        .bytes = extent->bytes,
        .nodes = extent->nodes,
        .spread = extent->spread,
        .strict = memory.strict,
        .inherit = extent->inherited,
        .threads = extent->populated ? 1 : 0,
    };
    return plan;
}

/* ---- pre-flight ----------------------------------------------------------------------------- */

static bool is_spread(const roma__mapping_plan *plan)
{
    return plan->spread == ROMA_SPREAD_INTERLEAVE || plan->spread == ROMA_SPREAD_WEIGHTED;
}

/* Where pages are spread, each node must have its share: of `page_bytes` from a page pool, or, 0,
 * of ordinary memory. Else the nodes have the whole between them. */
static int nodes_ready(const roma__mapping_plan *plan, size_t page_bytes, size_t bytes,
                       const roma_nodes *nodes, roma_error *error)
{
    int code = 0;
    if (!is_spread(plan) || roma_nodes_is_empty(nodes))
        return page_bytes != 0
                   ? roma__machine_hugetlb_ready(page_bytes, bytes / page_bytes, nodes, error)
                   : roma__machine_memory_ready(bytes, nodes, error);
    for (int node = roma_nodes_next(nodes, 0); code == 0 && node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1)) {
        size_t share = roma__mapping_share(plan, (unsigned)node, bytes);
        roma_nodes one = roma_nodes_one((unsigned)node);
        if (share > 0)
            code = page_bytes != 0
                       ? roma__machine_hugetlb_ready(page_bytes, share / page_bytes, &one, error)
                       : roma__machine_memory_ready(share, &one, error);
    }
    return code;
}

static int hugetlb_ready(const roma__mapping_plan *plan, size_t bytes, roma_error *error)
{
    roma_nodes any = roma_nodes_none();
    int code = roma__populate_ready(error);
    if (code < 0) {
        error->pages = plan->kind.pages;
        return code;
    }
    return nodes_ready(plan, plan->kind.page_bytes, bytes,
                       plan->spread == ROMA_SPREAD_PREFER ? &any : &plan->nodes, error);
}

/* Memory that is populated at once must be there at once. Without strictness any node may give
 *  it. */
static int ordinary_ready(const roma__mapping_plan *plan, size_t bytes, roma_error *error)
{
    roma_nodes any = roma_nodes_none();
    if (class_of(plan) == ROMA_PAGE_CLASS_THP) {
        int code = roma__machine_thp_ready(plan->kind.pages, error);
        if (code < 0)
            return code;
    }
    if (plan->threads == 0)
        return 0;
    return nodes_ready(plan, 0, bytes, plan->prove_nodes ? &plan->nodes : &any, error);
}

int roma__mapping_ready(const roma__mapping_plan *plan, size_t bytes, roma_error *error)
{
    /* By weight each node gets its part, so that each must be usable. */
    bool all = plan->spread == ROMA_SPREAD_WEIGHTED ||
               (plan->strict && plan->spread != ROMA_SPREAD_PREFER);
    int code = roma__machine_nodes_usable(&plan->nodes, all, error);
    if (code < 0)
        return code;
    return class_of(plan) == ROMA_PAGE_CLASS_HUGETLB ? hugetlb_ready(plan, bytes, error)
                                                     : ordinary_ready(plan, bytes, error);
}

int roma__mapping_probe(const roma_extent_request *request, roma_error *error)
{
    roma__mapping_plan plan;
    int code = make_plan(request, &plan, error);
    if (code < 0)
        return code;
    roma__mapping_take_turns(&plan, true);
    return roma__mapping_ready(&plan, plan.bytes, error);
}

/* ---- furnishing ----------------------------------------------------------------------------- */

static int give_advice(char *address, size_t bytes, int advice, const char *name, roma_error *error)
{
    if (roma__sys->madvise(address, bytes, advice) == 0)
        return 0;
    int code = roma__error_call(error, "madvise", errno);
    roma__text_copy(error->subject, sizeof error->subject, name);
    return code;
}

/* Without strictness base pages are what mostly comes anyway, so that refusal is no failure; nor is
 * it where the kernel has no huge pages to advise against. */
static int advise_base(const roma__mapping_plan *plan, char *address, size_t bytes,
                       roma_error *error)
{
    int code = give_advice(address, bytes, MADV_NOHUGEPAGE, "MADV_NOHUGEPAGE", error);
    return code == 0 || error->cause == EINVAL || !plan->strict ? 0 : code;
}

static int give_advices(const roma__mapping_plan *plan, char *address, size_t bytes,
                        roma_error *error)
{
    int code = 0;
    if (class_of(plan) == ROMA_PAGE_CLASS_BASE)
        code = advise_base(plan, address, bytes, error);
    else if (class_of(plan) == ROMA_PAGE_CLASS_THP)
        code = give_advice(address, bytes, MADV_HUGEPAGE, "MADV_HUGEPAGE", error);
    else if (!plan->inherit)
        code = give_advice(address, bytes, MADV_DONTFORK, "MADV_DONTFORK", error);
    if (code < 0)
        error->pages = plan->kind.pages;
    return code;
}

/* "roma:LABEL" in /proc/PID/maps, with what the kernel does not allow in names made "_". A kernel
 * that cannot name mappings loses nothing but the name. */
static void give_name(char *address, size_t bytes, const char *label)
{
    char name[80] = "roma:";
    if (label == NULL)
        return;
    size_t used = strlen(name);
    for (; *label != '\0' && used < sizeof name - 1; label++) {
        bool allowed = *label >= ' ' && *label <= '~' && strchr("\\`$[]", *label) == NULL;
        name[used++] = allowed ? *label : '_';
    }
    (void)roma__sys->name_mapping(address, bytes, name);
}

static roma__manner manner_of(const roma__mapping_plan *plan)
{
    if (plan->spread == ROMA_SPREAD_INTERLEAVE)
        return ROMA__INTERLEAVE;
    bool bound = class_of(plan) == ROMA_PAGE_CLASS_HUGETLB && plan->spread != ROMA_SPREAD_PREFER;
    return bound ? ROMA__BIND : ROMA__PREFER;
}

int roma__mapping_furnish(const roma__mapping_plan *plan, char *address, size_t bytes,
                          const char *label, roma_error *error)
{
    int code = give_advices(plan, address, bytes, error);
    if (code < 0)
        return code;
    give_name(address, bytes, label);
    if (plan->spread == ROMA_SPREAD_WEIGHTED)
        return roma__mapping_furnish_weighted(plan, address, bytes, error);
    code = roma__machine_bind(address, bytes, &plan->nodes, manner_of(plan), error);
    return code < 0 ? code : roma__mapping_fill(plan, address, bytes, error);
}

/* ---- obtaining and returning ---------------------------------------------------------------- */

static void describe(const roma__mapping_plan *plan, char *address, roma_extent *extent)
{
    bool is_hugetlb = class_of(plan) == ROMA_PAGE_CLASS_HUGETLB;
    roma__mapping_memory memory = {plan->kind.align, plan->strict, roma__fork_generation()};
    *extent = (roma_extent){
        .address = address,
        .bytes = plan->bytes,
        .page_bytes = plan->kind.page_bytes,
        .pages = plan->kind.pages,
        .zeroed = true,
        .populated = plan->threads > 0,
        .pinned = is_hugetlb,
        .inherited = !is_hugetlb || plan->inherit,
        .nodes = plan->nodes,
        .spread = plan->spread,
        .tag = roma__mapping_tag(&memory),
    };
}

int roma__mapping_obtain(const roma_extent_request *request, roma_extent *extent, roma_error *error)
{
    roma__mapping_plan plan;
    char *address = NULL;
    int code = make_plan(request, &plan, error);
    if (code < 0)
        return code;
    roma__mapping_take_turns(&plan, false);
    code = roma__mapping_ready(&plan, plan.bytes, error);
    if (code == 0)
        code = roma__space_map(&plan.kind, plan.bytes, &address, error);
    if (code < 0)
        return code;
    code = roma__mapping_furnish(&plan, address, plan.bytes, request->label, error);
    if (code < 0) {
        (void)roma__space_unmap(address, plan.bytes, NULL);
        return code;
    }
    describe(&plan, address, extent);
    return 0;
}

bool roma__mapping_is_gone(const roma_extent *extent)
{
    return !extent->inherited &&
           roma__mapping_memory_of(extent).generation != roma__fork_generation();
}

int roma__mapping_return(const roma_extent *extent, roma_error *error)
{
    if (roma__mapping_is_gone(extent))
        return 0;
    return roma__space_unmap(extent->address, extent->bytes, error);
}

int roma__mapping_query(const roma_range *range, roma_report *report, roma_error *error)
{
    if (roma__mapping_is_gone(range->extent))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an extent of the parent");
    return roma__machine_where((const char *)range->extent->address + range->offset, range->bytes,
                               range->extent->pages, report, error);
}
