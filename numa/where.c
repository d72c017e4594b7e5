/* where.c - where the pages of a range are: how much is present, on which nodes, of which kinds.
 *
 * The present runs come from pagemap, where a scan also tells which are mapped as huge pages. Each
 * page of a run (one probe a huge page) is then asked for its node with move_pages, which moves
 * nothing when it is given no targets.
 *
 * Where the kernel cannot scan (before 6.7, or a filter), the kinds come from smaps, which counts
 * for each mapping, not for a range: they are known where a mapping has no huge page, has nothing
 * else, or lies in the range as a whole. Huge means hugetlb pages, or transparent ones of full
 * size; the kernel tells nobody of smaller transparent ones, so in a range mapped for those the
 * kinds of all other pages are unknown.
 *
 * Others may fault, move or discard pages meanwhile; a figure is of the moment when it was read. */
#include "numa/machine.h"

#include "base/bits.h"
#include "base/error.h"
#include "numa/topology.h"
#include "sys/pagemap.h"
#include "sys/read.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PROBES = 256 };

typedef struct survey {
    uintptr_t start, end; /* the range asked for, not aligned               */
    size_t base_bytes;
    size_t huge_bytes;        /* of a run that is huge; 0: not known            */
    roma_page_kind huge_kind; /* of a run that is huge                          */
    roma_page_kind base_kind; /* of a run that is not; 0: the kernel tells not  */
    bool huge_known, kinds_known, nodes_known;
    roma_report *report;
    unsigned probes_count;
    void *pages[PROBES];
    size_t bytes[PROBES]; /* that each probe speaks for */
} survey;

/* ---- sums ----------------------------------------------------------------------------------- */

static void add_kind(survey *look, roma_page_kind kind, size_t bytes)
{
    roma_report *report = look->report;
    if (bytes == 0)
        return;
    unsigned at = 0;
    while (at < report->kinds_count && report->kinds[at].pages != kind)
        at++;
    if (kind == 0 || at == ROMA_REPORT_KINDS) {
        look->kinds_known = false;
        return;
    }
    if (at == report->kinds_count)
        report->kinds[report->kinds_count++] = (struct roma_report_kind){kind, 0};
    report->kinds[at].bytes += bytes;
}

static void add_node(roma_report *report, int node, size_t bytes)
{
    unsigned at = 0;
    while (at < report->nodes_count && report->nodes[at].node != node)
        at++;
    if (at == ROMA_REPORT_NODES)
        return; /* the first 64, as the report says */
    if (at == report->nodes_count)
        report->nodes[report->nodes_count++] = (struct roma_report_node){node, 0};
    report->nodes[at].bytes += bytes;
}

/* How much of [start, end) is in the range asked for. */
static size_t bytes_within(const survey *look, uintptr_t start, uintptr_t end)
{
    start = start > look->start ? start : look->start;
    end = end < look->end ? end : look->end;
    return end > start ? end - start : 0;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void flush_probes(survey *look)
{
    int status[PROBES];
    unsigned count = look->probes_count;
    look->probes_count = 0;
    if (count == 0 || !look->nodes_known)
        return;
    if (roma__sys->move_pages(count, look->pages, NULL, status, 0) != 0) {
        look->nodes_known = false;
        return;
    }
    for (unsigned i = 0; i < count; i++)
        if (status[i] >= 0) /* else it is gone meanwhile, or the shared page of zeros */
            add_node(look->report, status[i], look->bytes[i]);
}

static void probe_nodes(survey *look, const roma__present *run)
{
    size_t stride = run->huge && look->huge_bytes != 0 ? look->huge_bytes : look->base_bytes;
    for (uintptr_t at = run->start; at < run->end;) {
        uintptr_t next = roma__align_down(at, stride) + stride;
        if (next > run->end || next < at)
            next = run->end;
        look->pages[look->probes_count] = (void *)at;
        look->bytes[look->probes_count++] = bytes_within(look, at, next);
        if (look->probes_count == PROBES)
            flush_probes(look);
        at = next;
    }
}

/* ---- runs ----------------------------------------------------------------------------------- */

static int take_run(void *context, const roma__present *run)
{
    survey *look = context;
    size_t bytes = bytes_within(look, run->start, run->end);
    look->report->resident_bytes += bytes;
    if (look->huge_known)
        add_kind(look, run->huge ? look->huge_kind : look->base_kind, bytes);
    if (look->nodes_known)
        probe_nodes(look, run);
    return 0;
}

static int each_run(survey *look, uintptr_t start, uintptr_t end, bool *huge_known,
                    int (*visit)(void *context, const roma__present *run), void *context)
{
    size_t last;
    if (roma__align_up_overflows(end, look->base_bytes, &last))
        return -EINVAL;
    return roma__pagemap_each(roma__align_down(start, look->base_bytes), last, look->base_bytes,
                              huge_known, visit, context);
}

/* ---- kinds by smaps ------------------------------------------------------------------------- */

typedef struct smaps_mapping {
    uintptr_t start, end;
    size_t page_bytes;            /* hugetlb: of the pool           */
    size_t rss_bytes, huge_bytes; /* present; in transparent pages  */
} smaps_mapping;

typedef struct present_sum {
    const survey *look;
    uintptr_t start, end;
    size_t bytes;
} present_sum;

static int add_present(void *context, const roma__present *run)
{
    present_sum *sum = context;
    uintptr_t start = run->start > sum->start ? run->start : sum->start;
    uintptr_t end = run->end < sum->end ? run->end : sum->end;
    sum->bytes += end > start ? bytes_within(sum->look, start, end) : 0;
    return 0;
}

static int take_mapping(survey *look, const smaps_mapping *mapping)
{
    present_sum sum = {look, mapping->start, mapping->end, 0};
    uintptr_t start = mapping->start > look->start ? mapping->start : look->start;
    uintptr_t end = mapping->end < look->end ? mapping->end : look->end;
    bool scanned;
    if (start >= end)
        return 0;
    int code = each_run(look, start, end, &scanned, add_present, &sum);
    if (code != 0)
        return code;
    if (mapping->page_bytes > look->base_bytes) {
        add_kind(look,
                 (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB,
                                               roma__log2_floor(mapping->page_bytes)),
                 sum.bytes);
    } else if (mapping->huge_bytes == 0) {
        add_kind(look, look->base_kind, sum.bytes);
    } else if (mapping->huge_bytes == mapping->rss_bytes) {
        add_kind(look, look->huge_kind, sum.bytes);
    } else if (mapping->start >= look->start && mapping->end <= look->end &&
               mapping->huge_bytes <= sum.bytes) {
        add_kind(look, look->huge_kind, mapping->huge_bytes);
        add_kind(look, look->base_kind, sum.bytes - mapping->huge_bytes);
    } else if (sum.bytes > 0) {
        look->kinds_known = false;
    }
    return 0;
}

/* "AnonHugePages:    2048 kB" and the like. */
static void take_figure(smaps_mapping *mapping, const char *line)
{
    char key[32];
    unsigned long long kib;
    if (sscanf(line, "%31[^:]: %20llu kB", key, &kib) != 2)
        return;
    size_t bytes = (size_t)kib * 1024;
    if (strcmp(key, "KernelPageSize") == 0)
        mapping->page_bytes = bytes;
    else if (strcmp(key, "Rss") == 0)
        mapping->rss_bytes = bytes;
    else if (strcmp(key, "AnonHugePages") == 0 || strcmp(key, "ShmemPmdMapped") == 0 ||
             strcmp(key, "FilePmdMapped") == 0)
        mapping->huge_bytes += bytes;
}

/* A mapping's lines start with "7f00-7f10 rw-p ..."; its figures follow. */
static int kinds_by_smaps(survey *look)
{
    roma__lines lines;
    int code = roma__lines_open(&lines, "", "/proc/self/smaps");
    if (code != 0)
        return code;
    smaps_mapping mapping = {0};
    for (char *line; code == 0 && (line = roma__lines_next(&lines)) != NULL;) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) != 2) {
            take_figure(&mapping, line);
            continue;
        }
        code = take_mapping(look, &mapping);
        mapping = (smaps_mapping){.start = start, .end = end};
        if (start >= look->end)
            break;
    }
    if (code == 0)
        code = take_mapping(look, &mapping);
    roma__lines_close(&lines);
    return code != 0 ? code : lines.error;
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* What huge and other pages of the range are, given what it is mapped as. */
static void set_kinds(survey *look, roma_page_kind kind)
{
    const roma_topology *topology = roma_topology_get();
    roma_page_kind full = topology != NULL ? topology->default_thp : 0;
    look->base_kind = roma__machine_resolve(ROMA_PAGES_BASE);
    look->huge_kind = full;
    if (roma_page_class(kind) == ROMA_PAGE_CLASS_HUGETLB)
        look->huge_kind = kind;
    else if (roma_page_class(kind) == ROMA_PAGE_CLASS_THP && roma_page_bytes(kind) != 0 &&
             kind != full)
        look->base_kind = 0;
    look->huge_bytes = roma_page_bytes(look->huge_kind);
}

/* A kernel without NUMA refuses the question; all that is present is on its one node. */
static void settle_nodes(survey *look, size_t resident_before)
{
    const roma_topology *topology = roma_topology_get();
    if (look->nodes_known || topology == NULL || topology->has_numa)
        return;
    add_node(look->report, 0, look->report->resident_bytes - resident_before);
    look->nodes_known = true;
}

int roma__machine_where(const void *address, size_t bytes, roma_page_kind kind, roma_report *report,
                        roma_error *error)
{
    bool first = report->bytes == 0;
    size_t resident_before = report->resident_bytes;
    survey look = {.start = (uintptr_t)address,
                   .base_bytes = roma__machine_base_bytes(),
                   .kinds_known = first || report->kinds_known,
                   .nodes_known = first || report->nodes_known,
                   .report = report};
    if (roma__add_overflows(look.start, bytes, &look.end))
        return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "bytes");
    set_kinds(&look, kind);
    bool wants_nodes = look.nodes_known;
    int code = each_run(&look, look.start, look.end, &look.huge_known, take_run, &look);
    if (code != 0)
        return roma__error_call(error, "reading pagemap", -code);
    flush_probes(&look);
    if (wants_nodes)
        settle_nodes(&look, resident_before);
    if (!look.huge_known && look.kinds_known && kinds_by_smaps(&look) != 0)
        look.kinds_known = false;

    report->bytes += bytes;
    report->kinds_known = look.kinds_known;
    report->nodes_known = look.nodes_known;
    if (!look.kinds_known)
        report->kinds_count = 0;
    if (!look.nodes_known)
        report->nodes_count = 0;
    return 0;
}
