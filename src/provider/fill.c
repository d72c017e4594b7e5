/* fill.c - the mapping core's second half: populate, prove, and say what was exhausted.
 *
 * A strict request is populated slice by slice, and each slice is looked at before the next: when
 * pages land on other nodes or are not huge, little was populated in vain, and the nodes meanwhile
 * short of memory are not pressed on. The proof is the kernel's own account of the pages (where.c
 * in numa/), never that a call said yes. */
#include "provider/mapping.h"

#include "base/bits.h"
#include "base/error.h"
#include "numa/machine.h"
#include "provider/populate.h"

#include <errno.h>
#include <string.h>

enum { PROOF_BYTES = 64 << 20 };

/* ---- what was exhausted --------------------------------------------------------------------- */

/* Asked while our pages are still held: would one more be had? The answer tells the pool from the
 * cgroup; where it is yes again, somebody took the page that we did not get and gave it back. */
static int explain_hugetlb(const roma__mapping_plan *plan, size_t bytes, int cause,
                           roma_error *error)
{
    int code = roma__machine_hugetlb_ready(plan->kind.page_bytes, 1, &plan->nodes, error);
    if (code < 0 &&
        (error->why == ROMA_WHY_CGROUP_HUGETLB || error->why == ROMA_WHY_CGROUP_HUGETLB_RSVD)) {
        error->need = bytes;
    } else {
        roma_error found = *error;
        bool has_figures = code < 0 && found.why == ROMA_WHY_POOL_EMPTY;
        (void)roma__error(error, -ENOMEM, ROMA_WHY_POOL_RAN_DRY);
        error->pages = plan->kind.pages;
        error->node = roma_nodes_count(&plan->nodes) == 1 ? roma_nodes_next(&plan->nodes, 0) : -1;
        error->need = has_figures ? bytes / plan->kind.page_bytes : 0;
        error->have = has_figures ? found.have : 0;
        error->total = has_figures ? found.total : 0;
    }
    error->code = -ENOMEM;
    error->call = "madvise";
    error->cause = cause;
    return -ENOMEM;
}

/* Ordinary memory: a memory cgroup can be named, else the failed call is all that is known. */
static int explain_ordinary(size_t bytes, roma_error *error)
{
    roma_nodes any = roma_nodes_none();
    roma_error found;
    if (roma__machine_memory_ready(bytes, &any, &found) < 0 && found.why == ROMA_WHY_CGROUP_MEMORY)
        *error = found;
    error->code = -ENOMEM;
    return -ENOMEM;
}

int roma__mapping_populate_part(const roma__mapping_plan *plan, char *address, size_t bytes,
                                const roma_executor *executor, roma_error *error)
{
    bool is_hugetlb = roma_page_class(plan->kind.pages) == ROMA_PAGE_CLASS_HUGETLB;
    roma__populate wish = {
        .address = address,
        .bytes = bytes,
        /* Where pages are touched, each must be: transparent ones may be base pages. */
        .page_bytes = is_hugetlb ? plan->kind.page_bytes : roma__machine_base_bytes(),
        .threads = plan->threads,
        .executor = executor,
        .may_touch = !is_hugetlb,
        .nodes = plan->spread == ROMA_SPREAD_NONE ? plan->nodes : roma_nodes_none(),
    };
    int code = roma__populate_now(&wish, error);
    if (code == -EFAULT || code == -ENOMEM)
        return is_hugetlb ? explain_hugetlb(plan, bytes, -code, error)
                          : explain_ordinary(bytes, error);
    if (code < 0)
        error->pages = plan->kind.pages;
    return code;
}

/* ---- proofs --------------------------------------------------------------------------------- */

/* How far a proof has come, in bytes; the report adds up what was looked at. */
struct proof {
    roma_report report;
    size_t seen, on_nodes, of_kind;
};

static int nodes_refused(roma_error *error)
{
    (void)roma__error_call(error, "move_pages", EPERM);
    return -EPERM;
}

static int landed_elsewhere(const roma__mapping_plan *plan, const struct proof *proof,
                            roma_error *error)
{
    (void)roma__error(error, -EXDEV, ROMA_WHY_LANDED_ELSEWHERE);
    error->node = roma_nodes_count(&plan->nodes) == 1 ? roma_nodes_next(&plan->nodes, 0) : -1;
    error->pages = plan->kind.pages;
    error->need = proof->seen;
    error->have = proof->on_nodes;
    return -EXDEV;
}

static int thp_scarce(const roma__mapping_plan *plan, const struct proof *proof, roma_error *error)
{
    (void)roma__error(error, -ENOMEM, ROMA_WHY_THP_SCARCE);
    error->pages = plan->kind.pages;
    error->need = proof->seen / plan->kind.page_bytes;
    error->have = proof->of_kind / plan->kind.page_bytes;
    return -ENOMEM;
}

static size_t bytes_on(const roma_report *report, const roma_nodes *nodes)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < report->nodes_count; i++)
        if (roma_nodes_has(nodes, (unsigned)report->nodes[i].node))
            bytes += report->nodes[i].bytes;
    return bytes;
}

static size_t bytes_of(const roma_report *report, roma_page_kind pages)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < report->kinds_count; i++)
        if (report->kinds[i].pages == pages)
            bytes += report->kinds[i].bytes;
    return bytes;
}

static int prove(const roma__mapping_plan *plan, char *address, size_t bytes, struct proof *proof,
                 roma_error *error)
{
    roma_report *report = &proof->report;
    int code = roma__machine_where(address, bytes, plan->kind.pages, report, error);
    if (code < 0)
        return code;
    proof->seen += bytes;
    proof->on_nodes = bytes_on(report, &plan->nodes);
    proof->of_kind = bytes_of(report, plan->kind.pages);
    if (plan->prove_nodes && !report->nodes_known)
        return nodes_refused(error);
    if (plan->prove_kind && !report->kinds_known)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "proof of page kinds (PAGEMAP_SCAN, Linux 6.7)");
    if (plan->prove_nodes && proof->on_nodes < proof->seen)
        return landed_elsewhere(plan, proof, error);
    if (plan->prove_kind && proof->of_kind < proof->seen)
        return thp_scarce(plan, proof, error);
    return 0;
}

/* Interleaved pages that were short on one node are on the others: has each node its share, to
 * within a page or 2 %? */
static int prove_shares(const roma__mapping_plan *plan, struct proof *proof, roma_error *error)
{
    size_t share = proof->seen / roma_nodes_count(&plan->nodes);
    size_t slack = roma__max(proof->seen / 50, plan->kind.page_bytes);
    for (int node = roma_nodes_next(&plan->nodes, 0); node >= 0;
         node = roma_nodes_next(&plan->nodes, (unsigned)node + 1)) {
        roma_nodes one = roma_nodes_one((unsigned)node);
        size_t bytes = bytes_on(&proof->report, &one);
        if (bytes + slack >= share && bytes <= share + slack)
            continue;
        proof->on_nodes = proof->seen - (bytes > share ? bytes - share : share - bytes);
        (void)landed_elsewhere(plan, proof, error);
        error->node = node;
        return -EXDEV;
    }
    return 0;
}

int roma__mapping_fill(const roma__mapping_plan *plan, char *address, size_t bytes,
                       roma_error *error)
{
    if (plan->threads == 0)
        return 0;
    if (!plan->prove_nodes && !plan->prove_kind)
        return roma__mapping_populate_part(plan, address, bytes, NULL, error);
    size_t slice_bytes = roma__align_up(PROOF_BYTES, plan->kind.page_bytes);
    struct proof proof;
    memset(&proof, 0, sizeof proof);
    for (size_t done = 0; done < bytes;) {
        size_t step = roma__min(slice_bytes, bytes - done);
        int code = roma__mapping_populate_part(plan, address + done, step, NULL, error);
        if (code == 0)
            code = prove(plan, address + done, step, &proof, error);
        if (code < 0)
            return code;
        done += step;
    }
    bool in_turn = plan->prove_nodes && plan->spread == ROMA_SPREAD_INTERLEAVE;
    return in_turn ? prove_shares(plan, &proof, error) : 0;
}

int roma__mapping_populate(const roma_range *range, const roma_populate_options *options,
                           roma_error *error)
{
    if (roma__mapping_is_gone(range->extent))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an extent of the parent");
    roma__mapping_plan plan = roma__mapping_plan_of(range->extent);
    plan.threads = options->threads;
    return roma__mapping_populate_part(&plan, (char *)range->extent->address + range->offset,
                                       range->bytes, options->executor, error);
}
