/* tour_proof.c - what pages they were, by the kernel's own accounting.
 *
 * Three witnesses: the page table of the very range (roma_report), the process's totals in
 * /proc/self/smaps_rollup before and after, and the page pool's count of free pages. The first two
 * decide, since they are about this process alone; others may use the pool at the same time, so
 * it is shown and does not decide. A kernel that lacks a witness is not held against the pages. */
#include "tour.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading -------------------------------------------------------------------------------- */

/* "AnonHugePages:    4096 kB" adds to *bytes when the line has this name. */
static bool add_line(const char *line, const char *name, uint64_t *bytes)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || line[length] != ':')
        return false;
    *bytes += strtoull(line + length + 1, NULL, 10) * 1024;
    return true;
}

static bool read_process(accounting *now)
{
    FILE *stream = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    bool have_thp = false;
    if (stream == NULL)
        return false;
    while (fgets(line, sizeof line, stream) != NULL) {
        have_thp = add_line(line, "AnonHugePages", &now->thp_bytes) || have_thp;
        (void)add_line(line, "Private_Hugetlb", &now->hugetlb_bytes);
        (void)add_line(line, "Shared_Hugetlb", &now->hugetlb_bytes);
    }
    fclose(stream);
    return have_thp;
}

/* Read afresh: a topology is a snapshot of one moment. */
static bool read_pool(accounting *now, size_t page_bytes, int node)
{
    roma_topology *topology;
    roma_pool_info pool;
    if (page_bytes == 0 || roma_topology_read(NULL, &topology, NULL) != 0)
        return false;
    bool found = roma_topology_pool(topology, page_bytes, node, &pool) == 0;
    roma_topology_free(topology);
    now->pool_free_pages = found ? pool.free : 0;
    return found;
}

void accounting_read(accounting *now, size_t page_bytes, int node)
{
    *now = (accounting){0};
    now->process_known = read_process(now);
    now->pool_known = read_pool(now, page_bytes, node);
}

/* ---- judging -------------------------------------------------------------------------------- */

/* As many bytes as the block's, or a page more: under AddressSanitizer a red zone follows it. */
static proof_result judge_bytes(uint64_t found, roma_page_kind kind, size_t bytes)
{
    return found >= bytes && found - bytes <= roma_page_bytes(kind) ? PROOF_GOOD : PROOF_WRONG;
}

static proof_result judge_report(const roma_report *report, roma_page_kind kind, size_t bytes)
{
    if (!report->kinds_known)
        return PROOF_UNKNOWN;
    if (report->kinds_count != 1 || report->kinds[0].pages != kind)
        return PROOF_WRONG;
    return judge_bytes(report->kinds[0].bytes, kind, bytes);
}

/* smaps counts transparent huge pages of the largest size only, and base pages not as such: of
 * those it can tell that no huge page is among them. */
static proof_result judge_process(const proof *p, roma_page_kind kind, size_t bytes,
                                  size_t thp_bytes)
{
    if (!p->before.process_known || !p->after.process_known)
        return PROOF_UNKNOWN;
    uint64_t thp = p->after.thp_bytes - p->before.thp_bytes;
    uint64_t hugetlb = p->after.hugetlb_bytes - p->before.hugetlb_bytes;
    switch (roma_page_class(kind)) {
    case ROMA_PAGE_CLASS_HUGETLB: return judge_bytes(hugetlb, kind, bytes);
    case ROMA_PAGE_CLASS_THP:
        return roma_page_bytes(kind) == thp_bytes ? judge_bytes(thp, kind, bytes) : PROOF_UNKNOWN;
    default: return thp == 0 && hugetlb == 0 ? PROOF_GOOD : PROOF_WRONG;
    }
}

void proof_judge(proof *p, roma_page_kind kind, size_t bytes, size_t thp_bytes)
{
    proof_result range = judge_report(&p->report, kind, bytes);
    proof_result process = judge_process(p, kind, bytes, thp_bytes);
    if (range == PROOF_WRONG || process == PROOF_WRONG)
        p->result = PROOF_WRONG;
    else if (range == PROOF_GOOD || process == PROOF_GOOD)
        p->result = PROOF_GOOD;
    else
        p->result = PROOF_UNKNOWN;
}

/* ---- telling -------------------------------------------------------------------------------- */

const char *proof_result_text(proof_result result)
{
    static const char *const texts[] = {"unknown", "yes", "NO"};
    return texts[result];
}

void proof_pages_text(const proof *p, char *text, size_t bytes)
{
    size_t used = 0;
    snprintf(text, bytes, "%s", p->report.kinds_known ? "" : "not told by this kernel");
    for (unsigned i = 0; i < p->report.kinds_count && used < bytes; i++) {
        char kind[WORD_BYTES];
        size_t page_bytes = roma_page_bytes(p->report.kinds[i].pages);
        used += (size_t)snprintf(text + used, bytes - used, "%s%zu x %s", i > 0 ? ", " : "",
                                 page_bytes > 0 ? p->report.kinds[i].bytes / page_bytes : 0,
                                 roma_page_kind_text(p->report.kinds[i].pages, kind, sizeof kind));
    }
}

static void difference_text(uint64_t before, uint64_t after, char *text, size_t bytes)
{
    char size[WORD_BYTES];
    roma_size_text(after >= before ? after - before : before - after, size, sizeof size);
    snprintf(text, bytes, "%c%s", after >= before ? '+' : '-', size);
}

void proof_account_text(const proof *p, roma_page_kind kind, char *text, size_t bytes)
{
    char difference[WORD_BYTES + 1];
    if (!p->before.process_known || !p->after.process_known) {
        snprintf(text, bytes, "not told by this kernel");
    } else if (roma_page_class(kind) == ROMA_PAGE_CLASS_HUGETLB) {
        difference_text(p->before.hugetlb_bytes, p->after.hugetlb_bytes, difference,
                        sizeof difference);
        snprintf(text, bytes, "Private_Hugetlb %s", difference);
    } else {
        difference_text(p->before.thp_bytes, p->after.thp_bytes, difference, sizeof difference);
        snprintf(text, bytes, "AnonHugePages %s", difference);
    }
    size_t used = strlen(text);
    if (p->before.pool_known && p->after.pool_known)
        snprintf(text + used, bytes - used, ", free in the pool %" PRIu64 " -> %" PRIu64,
                 p->before.pool_free_pages, p->after.pool_free_pages);
}
