/* plan.c - see plan.h.
 *
 * Ranges are sorted as indices, by merging: stable, no recursion, and one pass over what is in
 * order already, as most lists are.
 *
 * A long run (dense) is read in whole huge pages. Where it begins or ends in the middle of one,
 * less than half of that page is an edge of its own, read like a short run, and more is read with
 * the run. So nothing more than half a huge page is read in vain at either side; what the kernel
 * reads ahead past the end comes on top.
 *
 * Ranges that touch or overlap are a cluster. It is one run, but where its descriptor changes: the
 * next run begins then where the one before ends. All runs of a cluster name all of its ranges,
 * since any of these may lie in several runs. */
#include "prefetch/plan.h"

#include "base/bits.h"

#include <errno.h>
#include <string.h>

/* ---- order ---------------------------------------------------------------------------------- */

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

struct sorting {
    const roma__file *files;
    const roma__asked *asked;
    bool by_address;
};

/* By file, not by descriptor: two of one file are one file. */
static int compare_files(const struct sorting *sorting, uint32_t a, uint32_t b)
{
    if (a == b)
        return 0;
    const roma__file *left = &sorting->files[a], *right = &sorting->files[b];
    int order = compare_numbers(left->device, right->device);
    return order != 0 ? order : compare_numbers(left->inode, right->inode);
}

static int compare(const struct sorting *sorting, uint32_t a, uint32_t b)
{
    const roma__asked *left = &sorting->asked[a], *right = &sorting->asked[b];
    int order = compare_files(sorting, left->file, right->file);
    if (order == 0 && sorting->by_address)
        order = compare_numbers(left->base, right->base);
    return order != 0 ? order : compare_numbers(left->offset, right->offset);
}

static void merge(const struct sorting *sorting, const uint32_t *from, uint32_t *to, size_t start,
                  size_t middle, size_t end)
{
    size_t left = start, right = middle;
    for (size_t i = start; i < end; i++) {
        bool take_left = left < middle &&
                         (right == end || compare(sorting, from[left], from[right]) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

static bool is_sorted(const struct sorting *sorting, const uint32_t *order, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (compare(sorting, order[i - 1], order[i]) > 0)
            return false;
    return true;
}

static void sort(const struct sorting *sorting, uint32_t *order, uint32_t *spare, size_t n)
{
    if (is_sorted(sorting, order, n))
        return;
    uint32_t *from = order, *to = spare;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t start = 0; start < n; start += 2 * width)
            merge(sorting, from, to, start, roma__min(start + width, n),
                  roma__min(start + 2 * width, n));
        uint32_t *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != order)
        memcpy(order, from, n * sizeof *order);
}

/* ---- clamping ------------------------------------------------------------------------------- */

bool roma__asked_pages(const roma__file *file, const roma__asked *asked, uint64_t *start,
                       uint64_t *end)
{
    if (asked->bytes == 0 || asked->offset >= file->bytes)
        return false;
    uint64_t left = file->bytes - asked->offset;
    uint64_t last = asked->offset + (asked->bytes < left ? asked->bytes : left);
    uint64_t mask = file->page_bytes - 1;
    *start = asked->offset & ~mask;
    *end = (last + mask) & ~mask;
    return true;
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* How much of the end of a run at `at` is an edge: what lies in a huge page of which the run has
 * less than half. */
static uint64_t edge_before(uint64_t at, uint64_t huge_bytes)
{
    uint64_t in_page = (huge_bytes - at % huge_bytes) % huge_bytes;
    return in_page < huge_bytes / 2 ? in_page : 0;
}

static uint64_t edge_behind(uint64_t end, uint64_t huge_bytes)
{
    uint64_t in_page = end % huge_bytes;
    return in_page < huge_bytes / 2 ? in_page : 0;
}

/* Put a run down, in up to three parts; none for one of no bytes. Returns how many. */
static size_t put_run(const roma__file *file, const roma__run *run, const roma__rules *rules,
                      roma__run *out)
{
    if (run->bytes == 0)
        return 0;
    bool is_long = run->bytes >= roma__max(ROMA__DENSE_LEAST_BYTES, 2 * rules->huge_bytes);
    bool reads = file->kind == ROMA__FILE_DISK || file->kind == ROMA__FILE_DEVICE;
    out[0] = *run;
    out[0].dense = is_long && reads && !rules->no_dense;
    if (!out[0].dense || rules->huge_bytes == 0)
        return 1;
    uint64_t end = run->offset + run->bytes;
    uint64_t before = edge_before(run->offset, rules->huge_bytes);
    /* At the file's end there is nothing more to read in vain. */
    uint64_t behind = end >= file->bytes ? 0 : edge_behind(end, rules->huge_bytes);
    if (run->bytes - before - behind < rules->huge_bytes)
        return 1;
    size_t count = 0;
    if (before > 0) {
        out[count] = *run;
        out[count++].bytes = before;
    }
    out[count] = *run;
    out[count].offset += before;
    out[count].bytes -= before + behind;
    out[count++].dense = true;
    if (behind > 0) {
        out[count] = *run;
        out[count].offset = end - behind;
        out[count++].bytes = behind;
    }
    return count;
}

/* How many ranges a cluster has is known when its last run is. */
static void end_cluster(roma__run *runs, size_t first, size_t end, const roma__run *last)
{
    for (size_t i = first; i < end; i++)
        runs[i].count = last->count;
}

size_t roma__plan(const roma__file *files, roma__asked *asked, uint32_t *order, uint32_t *spare,
                  size_t n, const roma__rules *rules, roma__run *runs)
{
    const struct sorting sorting = {files, asked, rules->by_address};
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    sort(&sorting, order, spare, n);

    size_t count = 0, cluster = 0;
    roma__run run = {0};
    for (size_t i = 0; i < n; i++) {
        roma__asked *range = &asked[order[i]];
        const roma__file *file = &files[range->file];
        uint64_t start, end;
        if (range->code != 0 || !roma__asked_pages(file, range, &start, &end)) {
            if (range->code == 0 && range->bytes > 0)
                range->code = -EFAULT;
            run.count++; /* it may stand between two that are merged; none of its bytes count */
            continue;
        }
        uint64_t run_end = run.offset + run.bytes;
        bool joins = run.bytes > 0 && start <= run_end &&
                     roma__file_is_same(file, &files[run.file]) &&
                     (!rules->by_address || range->base == run.base);
        if (!joins) {
            count += put_run(&files[run.file], &run, rules, &runs[count]);
            end_cluster(runs, cluster, count, &run);
            cluster = count;
            run = (roma__run){.offset = start, .base = range->base, .file = range->file};
            run.first = (uint32_t)i;
        } else if (range->file != run.file && end > run_end) {
            count += put_run(&files[run.file], &run, rules, &runs[count]);
            run.offset = run_end;
            run.bytes = 0;
            run.file = range->file;
        }
        if (end > run.offset + run.bytes)
            run.bytes = end - run.offset;
        run.count++;
    }
    count += put_run(&files[run.file], &run, rules, &runs[count]);
    end_cluster(runs, cluster, count, &run);
    return count;
}

/* ---- pieces --------------------------------------------------------------------------------- */

size_t roma__piece_bytes(const roma__run *run, uint64_t at, size_t most, size_t unit)
{
    uint64_t left = run->offset + run->bytes - at;
    if (left <= most)
        return (size_t)left;
    size_t grid = unit <= most ? unit : roma__is_power_of_two(most) ? most : 1;
    size_t uneven = (size_t)((at + most) & (grid - 1));
    return uneven < most ? most - uneven : most;
}

size_t roma__chunk_next(size_t bytes, uint64_t ns, size_t most)
{
    const uint64_t bearable_ns = 100 * 1000 * 1000;
    size_t next = bytes;
    if (ns * 4 <= bearable_ns && bytes <= SIZE_MAX / 4)
        next = bytes * 4;
    else if (ns > 2 * bearable_ns)
        next = bytes / 4;
    next = roma__max(next, ROMA__CHUNK_FIRST_BYTES);
    return roma__min(next, most);
}

/* ---- proof ---------------------------------------------------------------------------------- */

static bool run_is_valid(const roma__file *files, const roma__asked *asked, const uint32_t *order,
                         size_t n, const roma__run *run, bool by_address)
{
    const roma__file *file = &files[run->file];
    if (run->bytes == 0 || ((run->offset | run->bytes) & (file->page_bytes - 1)) != 0 ||
        run->count == 0 || run->first > n || run->count > n - run->first)
        return false;
    for (uint32_t i = 0; i < run->count; i++) {
        const roma__asked *range = &asked[order[run->first + i]];
        if (range->code == 0 && range->bytes > 0 &&
            (!roma__file_is_same(&files[range->file], file) ||
             (by_address && range->base != run->base)))
            return false;
    }
    return true;
}

bool roma__plan_is_valid(const roma__file *files, const roma__asked *asked, const uint32_t *order,
                         size_t n, const roma__run *runs, size_t runs_count,
                         const roma__rules *rules)
{
    for (size_t i = 0; i < runs_count; i++) {
        if (!run_is_valid(files, asked, order, n, &runs[i], rules->by_address))
            return false;
        if (i == 0 || !roma__file_is_same(&files[runs[i].file], &files[runs[i - 1].file]) ||
            (rules->by_address && runs[i].base != runs[i - 1].base))
            continue;
        if (runs[i].offset < runs[i - 1].offset + runs[i - 1].bytes)
            return false;
    }
    return true;
}
