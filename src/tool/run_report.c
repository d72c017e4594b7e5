/* run_report.c - what a program did with its memory, as a person reads it. */
#include "run.h"

#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OTHERS_MAX = 32, BAR_COLUMNS = 32 }; /* JSON has all */

static const char *size_text(uint64_t bytes)
{
    static char texts[8][WORD_BYTES]; /* as many as one line of text uses */
    static unsigned next;
    return roma_size_text(bytes, texts[next++ % 8], WORD_BYTES);
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100 * (double)part / (double)whole : 0;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void print_end(const run_answer *answer, FILE *stream)
{
    if (answer->signal != 0)
        fprintf(stream, "roma run: %s was ended by signal %d (%s) after %.3f s\n",
                answer->plan->program[0], answer->signal, strsignal(answer->signal),
                answer->seconds);
    else
        fprintf(stream, "roma run: %s ended with status %d after %.3f s\n",
                answer->plan->program[0], answer->status, answer->seconds);
    for (unsigned i = 0; i < answer->remarks.count; i++)
        print_paragraph(stream, 2, answer->remarks.text[i]);
    fprintf(stream, "  page faults: %" PRIu64 " minor, %" PRIu64 " major, %s\n",
            answer->minor_faults, answer->major_faults, "with the processes that it waited for");
    fprintf(stream, "  resident at most: %s, of the largest process\n",
            size_text(answer->most_resident_bytes));
}

/* ---- the kernel's account ------------------------------------------------------------------- */

static void add_share(table *t, const char *name, uint64_t bytes, uint64_t whole)
{
    table_add(t, "%s", name);
    table_add(t, "%s", size_text(bytes));
    table_add(t, "%.1f %%", percent(bytes, whole));
}

static void add_kinds(table *t, const run_memory *m)
{
    uint64_t whole = m->resident + m->hugetlb;
    if (m->knows_rollup) {
        uint64_t others = m->resident > m->anonymous ? m->resident - m->anonymous : 0;
        add_share(t, "anonymous, transparent huge pages", m->anonymous_huge, whole);
        add_share(t, "anonymous, base pages", m->anonymous - m->anonymous_huge, whole);
        add_share(t, "files and shared memory", others, whole);
    } else {
        add_share(t, "resident", m->resident, whole);
    }
    add_share(t, "hugetlb pages", m->hugetlb, whole);
    if (m->swapped > 0)
        add_share(t, "swapped out, not in the sum", m->swapped, whole);
}

static uint64_t placed_bytes(const run_placed *placed)
{
    uint64_t sum = placed->other_nodes;
    for (unsigned node = 0; node < RUN_NODES_MAX; node++)
        sum += placed->node[node];
    return sum;
}

/* Pages of more than the base size are hugetlb ones: of transparent ones the kernel does not tell
 * the nodes apart. */
static void add_placed(table *t, const char *where, uint64_t bytes, uint64_t page_bytes,
                       uint64_t whole)
{
    char name[2 * WORD_BYTES];
    if (bytes == 0)
        return;
    if (page_bytes > (uint64_t)sysconf(_SC_PAGESIZE))
        snprintf(name, sizeof name, "%s, hugetlb pages of %s", where, size_text(page_bytes));
    else
        snprintf(name, sizeof name, "%s", where);
    add_share(t, name, bytes, whole);
}

/* Read a moment after the kinds: the shares are of their own sum. */
static void add_nodes(table *t, const run_memory *m)
{
    uint64_t whole = 0;
    for (unsigned i = 0; i < m->placed_count; i++)
        whole += placed_bytes(&m->placed[i]);
    for (unsigned node = 0; node < RUN_NODES_MAX; node++) {
        char name[WORD_BYTES];
        snprintf(name, sizeof name, "on node %u", node);
        for (unsigned i = 0; i < m->placed_count; i++)
            add_placed(t, name, m->placed[i].node[node], m->placed[i].page_bytes, whole);
    }
    for (unsigned i = 0; i < m->placed_count; i++)
        add_placed(t, "on other nodes", m->placed[i].other_nodes, m->placed[i].page_bytes, whole);
}

static void print_peak(const run_answer *answer, FILE *stream)
{
    static const char *const titles[] = {"memory", ">size", ">share"};
    const run_sampler *s = &answer->sampler;
    const run_memory *m = &s->peak;
    if (s->close_looks_count == 0) {
        fputs("\nThe program ended before the kernel was asked about its memory.\n", stream);
        return;
    }
    fprintf(stream,
            "\nBy the kernel, %s in %u process%s after %.3f s, the peak of %u close looks\n",
            size_text(m->resident + m->hugetlb), m->processes_count,
            m->processes_count == 1 ? "" : "es", m->seconds, s->close_looks_count);
    fprintf(stream, "(%s at most in %u looks)\n\n", size_text(s->most_bytes), s->looks_count);
    table t = table_of(titles, 3);
    add_kinds(&t, m);
    add_nodes(&t, m);
    table_print(&t, stream, 2);
    if (m->knows_rollup)
        fprintf(stream, "\n  Huge pages cover %.1f %% of its anonymous memory.\n",
                percent(m->anonymous_huge + m->hugetlb, m->anonymous + m->hugetlb));
}

/* ---- the heap's account --------------------------------------------------------------------- */

static void print_heap(const run_line *line, FILE *stream)
{
    fprintf(stream, "  allocations  %" PRIu64 ", of which %" PRIu64 " were released\n",
            line->allocations, line->releases);
    fprintf(stream, "  in use       %s at the end, %s at most\n", size_text(line->live_bytes),
            size_text(line->peak_bytes));
    fprintf(stream, "  held         %s at the end, %s at most; %s of it free, %s metadata\n",
            size_text(line->held_bytes), size_text(line->held_peak_bytes),
            size_text(line->free_bytes), size_text(line->metadata_bytes));
    fprintf(stream, "  given back   %s to the kernel while it ran\n",
            size_text(line->returned_bytes));
    fprintf(stream, "  page faults  %" PRIu64 " minor, %" PRIu64 " major\n", line->minor_faults,
            line->major_faults);
}

/* Nothing, where there are no rows. */
static void print_after_gap(table *t, FILE *stream)
{
    if (t->cells_count == 0)
        return;
    fputs("\n", stream);
    table_print(t, stream, 2);
}

static void print_pages(const run_line *line, FILE *stream)
{
    static const char *const titles[] = {">pages of", "node", ">count", ">size"};
    table t = table_of(titles, 4);
    for (size_t i = 0; i < line->pages_count; i++) {
        const run_pages *pages = &line->pages[i];
        if (pages->count == 0)
            continue;
        table_add(&t, "%s", size_text(pages->page_bytes));
        if (pages->node >= 0)
            table_add(&t, "%d", pages->node);
        else
            table_add(&t, "unknown");
        table_add(&t, "%" PRIu64, pages->count);
        table_add(&t, "%s", size_text(pages->page_bytes * pages->count));
    }
    print_after_gap(&t, stream);
}

/* Only where the table of pages does not say it. */
static void print_nodes(const run_line *line, FILE *stream)
{
    static const char *const titles[] = {"node", ">size"};
    table t = table_of(titles, 2);
    for (size_t i = 0; line->nodes_count > 1 && i < line->nodes_count; i++) {
        table_add(&t, "%d", line->nodes[i].node);
        table_add(&t, "%s", size_text(line->nodes[i].bytes));
    }
    print_after_gap(&t, stream);
}

static void add_size(table *t, const char *name, uint64_t count, uint64_t all, uint64_t most)
{
    char bar[BAR_COLUMNS + 1];
    size_t length = (size_t)((double)count / (double)most * BAR_COLUMNS + 0.5);
    if (count == 0)
        return;
    memset(bar, '#', sizeof bar);
    bar[length < BAR_COLUMNS ? length : BAR_COLUMNS] = '\0';
    table_add(t, "%s", name);
    table_add(t, "%" PRIu64, count);
    table_add(t, "%.1f %%", percent(count, all));
    table_add(t, "%s", bar);
}

static void print_sizes(const run_line *line, FILE *stream)
{
    static const char *const titles[] = {">up to", ">allocations", ">share", ""};
    uint64_t counts[RUN_SIZES_MAX], larger = run_sizes_by_power(line, counts);
    uint64_t all = larger, most = larger;
    for (unsigned power = 0; power < RUN_SIZES_MAX; power++) {
        all += counts[power];
        most = counts[power] > most ? counts[power] : most;
    }
    if (all == 0)
        return;
    table t = table_of(titles, 4);
    for (unsigned power = 0; power < RUN_SIZES_MAX; power++)
        add_size(&t, size_text((uint64_t)1 << power), counts[power], all, most);
    add_size(&t, "larger", larger, all, most);
    print_after_gap(&t, stream);
}

static void print_main(const run_answer *answer, FILE *stream)
{
    const run_line *line = run_main_line(answer);
    if (line == NULL) {
        fprintf(stream, "\nProcess %d wrote no line about its heap:\n", (int)answer->pid);
        print_paragraph(stream, 2,
                        answer->signal != 0 ? "a signal ended it"
                        : answer->remarks.count > 0
                            ? "see above"
                            : "it ended by _exit(), or became a program that the "
                              "library is not loaded into");
        return;
    }
    fprintf(stream, "\nThe heap of %s, process %d\n\n", line->program, (int)line->pid);
    print_heap(line, stream);
    print_pages(line, stream);
    print_nodes(line, stream);
    print_sizes(line, stream);
}

/* ---- the other processes -------------------------------------------------------------------- */

/* By what they held at most, the largest first; alike ones as they ended. */
static int compare_lines(const void *a, const void *b)
{
    const run_line *one = *(const run_line *const *)a, *other = *(const run_line *const *)b;
    if (one->held_peak_bytes != other->held_peak_bytes)
        return one->held_peak_bytes > other->held_peak_bytes ? -1 : 1;
    return one < other ? -1 : one > other;
}

/* All lines but the main one, sorted; the caller frees. */
static const run_line **sort_others(const run_answer *answer, size_t *count)
{
    const run_line **others = need_memory(calloc(answer->lines.count + 1, sizeof(run_line *)));
    const run_line *main_line = run_main_line(answer);
    *count = 0;
    for (size_t i = 0; i < answer->lines.count; i++)
        if (&answer->lines.lines[i] != main_line)
            others[(*count)++] = &answer->lines.lines[i];
    qsort(others, *count, sizeof(run_line *), compare_lines);
    return others;
}

static void add_other(table *t, const run_line *line)
{
    table_add(t, "%d", (int)line->pid);
    table_add(t, "%s", line->program);
    table_add(t, "%.3f", line->seconds);
    table_add(t, "%" PRIu64, line->allocations);
    table_add(t, "%s", size_text(line->peak_bytes));
    table_add(t, "%s", size_text(line->held_peak_bytes));
    table_add(t, "%" PRIu64, line->minor_faults);
}

static void print_others(const run_answer *answer, FILE *stream)
{
    static const char *const titles[] = {">process",     "program",         ">seconds",
                                         ">allocations", ">in use at most", ">held at most",
                                         ">minor faults"};
    table t = table_of(titles, 7);
    size_t count;
    const run_line **others = sort_others(answer, &count);
    size_t told = count < OTHERS_MAX ? count : OTHERS_MAX;
    for (size_t i = 0; i < told; i++)
        add_other(&t, others[i]);
    free(others);
    if (told > 0) {
        fputs(count > 1 ? "\nOther processes, those that held most first\n\n"
                        : "\nOther processes\n\n",
              stream);
        table_print(&t, stream, 2);
    }
    if (count > told)
        fprintf(stream, "  and %zu more that held no more than these: --json has them all\n",
                count - told);
}

static void print_silent(const run_answer *answer, FILE *stream)
{
    size_t told = 0, untold = 0;
    for (size_t i = 0; i < answer->sampler.seen_count; i++) {
        const run_process *seen = &answer->sampler.seen[i];
        if (seen->pid == answer->pid || !run_is_silent(answer, seen->pid))
            continue;
        if (told == OTHERS_MAX) {
            untold++;
            continue;
        }
        if (told++ == 0)
            fputs("\nSeen, but without a line about their heap (they ended by _exit() or a signal, "
                  "are not\nunder the library, or still run):",
                  stream);
        fprintf(stream, "%s %s (%d)", told == 1 ? "" : ",", seen->program, (int)seen->pid);
    }
    if (untold > 0)
        fprintf(stream, " and %zu more", untold);
    if (told > 0)
        fputs("\n", stream);
    if (answer->lines.unreadable_count > 0)
        fprintf(stream, "\n%zu lines of the report file could not be read.\n",
                answer->lines.unreadable_count);
}

void run_print(const run_answer *answer, FILE *stream)
{
    print_end(answer, stream);
    print_peak(answer, stream);
    print_main(answer, stream);
    print_others(answer, stream);
    print_silent(answer, stream);
}
