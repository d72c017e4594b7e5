/* tour_report.c - the answer of the tour as a person reads it: the figures, what pages they were
 * made on, what was not given and why, the file, and one paragraph that reads the table. */
#include "tour.h"

#include "table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- figures -------------------------------------------------------------------------------- */

static void add_figure(table *t, double figure, int decimals)
{
    if (figure < 0)
        table_add(t, "%s", "");
    else
        table_add(t, "%.*f", decimals, figure);
}

static const kind_figures *find_malloc(const tour_answer *answer)
{
    return answer->kinds_count > 0 && answer->kinds[0].pages == 0 && answer->kinds[0].given
               ? &answer->kinds[0]
               : NULL;
}

/* How many times shorter the chase is than malloc's; below 0 where the two do not compare. */
static double chase_gain(const tour_answer *answer, const kind_figures *figures)
{
    const kind_figures *plain = find_malloc(answer);
    if (plain == NULL || plain->chase_bytes != figures->chase_bytes || figures->chase_ns <= 0)
        return -1;
    return plain->chase_ns / figures->chase_ns;
}

static void print_figures(const tour_answer *answer, FILE *stream)
{
    char populate_many[WORD_BYTES], memset_many[WORD_BYTES], size[WORD_BYTES];
    unsigned threads = answer->plan.threads;
    snprintf(populate_many, sizeof populate_many, ">on %u", threads);
    snprintf(memset_many, sizeof memset_many, ">on %u", threads);
    const char *titles[] = {"memory",       ">size",     ">populate on 1", populate_many,
                            ">memset on 1", memset_many, ">chase ns",      ">times malloc"};
    table t = table_of(titles, 8);
    for (unsigned i = 0; i < answer->kinds_count; i++) {
        const kind_figures *figures = &answer->kinds[i];
        if (!figures->given)
            continue;
        table_add(&t, "%s", figures->name);
        table_add(&t, "%s", roma_size_text(figures->bytes, size, sizeof size));
        add_figure(&t, figures->populate.one, 2);
        add_figure(&t, figures->populate.many, 2);
        add_figure(&t, figures->writing.one, 2);
        add_figure(&t, figures->writing.many, 2);
        add_figure(&t, figures->chase_ns, 1);
        add_figure(&t, figures->pages == 0 ? -1 : chase_gain(answer, figures), 2);
    }
    fprintf(stream,
            "\nWhat memory is worth here: populate and memset in GB/s on 1 thread and more; chase: "
            "the\nnanoseconds that a random access takes over %s%s\n\n",
            roma_size_text(answer->plan.bytes, size, sizeof size),
            answer->plan.passes > 1 ? ", medians" : "");
    table_print(&t, stream, 2);
}

/* ---- proofs --------------------------------------------------------------------------------- */

static void print_proofs(const tour_answer *answer, FILE *stream)
{
    static const char *const titles[] = {"memory", "page table of the range", "kernel's accounts",
                                         "proved"};
    table t = table_of(titles, 4);
    for (unsigned i = 0; i < answer->kinds_count; i++) {
        const kind_figures *figures = &answer->kinds[i];
        char text[SENTENCE_BYTES];
        if (!figures->given)
            continue;
        table_add(&t, "%s", figures->name);
        proof_pages_text(&figures->proof, text, sizeof text);
        table_add(&t, "%s", text);
        proof_account_text(&figures->proof, figures->pages, text, sizeof text);
        table_add(&t, "%s", text);
        table_add(&t, "%s", figures->pages == 0 ? "" : proof_result_text(figures->proof.result));
    }
    fputs("\nWhat pages they were, by the kernel\n\n", stream);
    table_print(&t, stream, 2);
}

/* ---- what was not given --------------------------------------------------------------------- */

/* Kinds that fail for one reason are told in one sentence. */
static bool told_before(const tour_answer *answer, unsigned index)
{
    for (unsigned i = 0; i < index; i++)
        if (!answer->kinds[i].given &&
            strcmp(answer->kinds[i].reason, answer->kinds[index].reason) == 0)
            return true;
    return false;
}

static void print_missing(const tour_answer *answer, FILE *stream)
{
    bool any = false;
    for (unsigned i = 0; i < answer->kinds_count; i++) {
        if (answer->kinds[i].given || told_before(answer, i))
            continue;
        char line[TOUR_KINDS_MAX * WORD_BYTES + SENTENCE_BYTES];
        size_t used = (size_t)snprintf(line, sizeof line, "%s", answer->kinds[i].name);
        for (unsigned j = i + 1; j < answer->kinds_count; j++)
            if (!answer->kinds[j].given &&
                strcmp(answer->kinds[i].reason, answer->kinds[j].reason) == 0)
                used += (size_t)snprintf(line + used, sizeof line - used, ", %s",
                                         answer->kinds[j].name);
        snprintf(line + used, sizeof line - used, ": %s.", answer->kinds[i].reason);
        fputs(any ? "" : "\nWhat this machine did not give\n\n", stream);
        print_paragraph(stream, 2, line);
        any = true;
    }
}

/* ---- the file ------------------------------------------------------------------------------- */

static void print_checks(const file_check *checks, unsigned count, FILE *stream)
{
    fputs("\n", stream);
    for (unsigned i = 0; i < count; i++)
        fprintf(stream, "  %-3s %s\n", checks[i].good ? "yes" : "NO", checks[i].what);
}

static void print_file_story(const file_figures *file, FILE *stream)
{
    char kind[WORD_BYTES], size[WORD_BYTES], line[2 * SENTENCE_BYTES];
    const char *wish = file->degraded[0] != '\0' ? ", not on hugetlb: " : "";
    snprintf(line, sizeof line, "on %s pages%s%s",
             roma_page_kind_text(file->pages, kind, sizeof kind), wish, file->degraded);
    print_paragraph(stream, 2, line);
    fprintf(stream, "  loaded at %.2f GB/s\n", file->load_rate);
    fprintf(stream, "  %zu segments hashed on 2 threads at %.2f GB/s: %016" PRIx64 "\n",
            file->segments_count, file->hash_rate, file->hash);
    if (file->grown_bytes > 0)
        fprintf(stream, "  grown to %s in %.2f ms, %s\n",
                roma_size_text(file->grown_bytes, size, sizeof size), file->grow_ms,
                file->moved ? "elsewhere" : "in place");
    if (file->share_ns >= 0)
        fprintf(stream, "  retained and released on 2 threads at once, %.0f ns a pair\n",
                file->share_ns);
}

static void print_file(const file_figures *file, FILE *stream)
{
    char size[WORD_BYTES];
    fputs("\nA file in a block\n\n", stream);
    if (file->path[0] == '\0') {
        fprintf(stream, "  none: %s\n", file->reason);
        return;
    }
    fprintf(stream, "  %s, %s\n", file->path, roma_size_text(file->bytes, size, sizeof size));
    if (file->ran)
        print_file_story(file, stream);
    if (file->reason[0] != '\0')
        print_paragraph(stream, 2, file->reason);
    print_checks(file->checks, file->checks_count, stream);
}

static void print_store(const store_figures *store, FILE *stream)
{
    char size[WORD_BYTES];
    if (!store->ran && store->reason[0] == '\0')
        return;
    fputs("\nThe file in a store\n\n", stream);
    if (store->ran)
        fprintf(stream,
                "  %s in %" PRIu64
                " blocks, by two processes in %.0f ms; one was killed after %" PRIu64
                " of its own,\n  and a third went on\n",
                roma_size_text(store->bytes, size, sizeof size), store->pieces, store->fill_ms,
                store->killed_at);
    else
        print_paragraph(stream, 2, store->reason);
    print_checks(store->checks, store->checks_count, stream);
}

/* ---- the cold file -------------------------------------------------------------------------- */

static void add_reading(table *t, const char *what, const cold_figures *cold, double seconds,
                        const char *waits)
{
    table_add(t, "%s", what);
    table_add(t, "%.4f", seconds);
    table_add(t, "%.2f", seconds > 0 ? (double)cold->bytes / 1e9 / seconds : 0.0);
    table_add(t, "%s", waits);
}

static void print_cold(const cold_figures *cold, FILE *stream)
{
    static const char *const titles[] = {"from cold", ">s", ">GB/s", "the program waits"};
    char size[WORD_BYTES], text[2 * WORD_BYTES];
    if (cold->reason[0] != '\0') {
        fputs("\nThe file from cold\n\n", stream);
        print_paragraph(stream, 2, cold->reason);
        return;
    }
    fprintf(stream,
            "\nThe file from cold, %s: evicted before each reading, by the kernel's word\n\n",
            roma_size_text(cold->bytes, size, sizeof size));
    table t = table_of(titles, 4);
    add_reading(&t, "page faults", cold, cold->touch_seconds, "throughout");
    snprintf(text, sizeof text, "%.2f ms, to ask for it", cold->caller_ms);
    add_reading(&t, "prefetch", cold, cold->prefetch_seconds, text);
    add_reading(&t, "hashed, page faults", cold, cold->hash_seconds, "at each new piece");
    snprintf(text, sizeof text, "for %" PRIu64 " of %" PRIu64 " pieces, %.2f ms at most",
             cold->waits, cold->pieces, cold->longest_wait_ms);
    add_reading(&t, "hashed by a scan", cold, cold->scan_seconds, text);
    table_print(&t, stream, 2);
    fprintf(stream, "\n  prefetch is made by %s\n  %-3s both hashes are the same\n", cold->way,
            cold->failed ? "NO" : "yes");
}

/* ---- the reservation ------------------------------------------------------------------------ */

const char *reservation_text(const reservation *r, char *text, size_t bytes)
{
    char page[WORD_BYTES], on_node[WORD_BYTES] = "";
    text[0] = '\0';
    if (!r->wanted)
        return text;
    roma_size_text(r->page_bytes, page, sizeof page);
    if (r->node >= 0)
        snprintf(on_node, sizeof on_node, " on node %d", r->node);
    if (r->page_bytes == 0)
        snprintf(text, bytes, "Nothing was reserved: this kernel has no hugetlb pages to reserve.");
    else if (r->code != 0)
        snprintf(text, bytes, "No %s pages could be reserved%s (%s%s).", page, on_node,
                 strerror(-r->code), r->code == -EACCES ? ": this needs root" : "");
    else if (r->during == r->before)
        snprintf(text, bytes,
                 r->added_nothing ? "The pool of %s pages%s had enough free ones; nothing was "
                                    "reserved."
                                  : "The kernel had no memory for more %s pages%s; nothing was "
                                    "reserved.",
                 page, on_node);
    else
        snprintf(text, bytes,
                 "nr_hugepages of %s pages%s went from %" PRIu64 " to %" PRIu64
                 " for the tour and %s %" PRIu64 ".",
                 page, on_node, r->before, r->during,
                 r->put_back ? "is back at" : "COULD NOT be put back: it is", r->after);
    return text;
}

static void print_reservation(const tour_answer *answer, FILE *stream)
{
    char text[SENTENCE_BYTES];
    reservation_text(&answer->reserved, text, sizeof text);
    if (text[0] == '\0')
        return;
    fputc('\n', stream);
    print_paragraph(stream, 0, text);
}

/* ---- the reading ---------------------------------------------------------------------------- */

/* "1.8 times faster", "as fast" when within 5 %, "1.2 times slower". */
static void ratio_text(double ratio, char *text, size_t bytes)
{
    if (ratio >= 1.05)
        snprintf(text, bytes, "%.1f times faster", ratio);
    else if (ratio > 1 / 1.05)
        snprintf(text, bytes, "as fast");
    else
        snprintf(text, bytes, "%.1f times slower", 1 / ratio);
}

static void read_chase(const tour_answer *answer, const kind_figures *plain, FILE *out)
{
    char size[WORD_BYTES], ratio[WORD_BYTES];
    fprintf(out, "Over %s a random access to memory of plain malloc takes %.0f ns.",
            roma_size_text(plain->chase_bytes, size, sizeof size), plain->chase_ns);
    for (unsigned i = 0; i < answer->kinds_count; i++) {
        const kind_figures *figures = &answer->kinds[i];
        if (!figures->given || figures->pages == 0)
            continue;
        double gain = chase_gain(answer, figures);
        if (gain < 0) {
            fprintf(out, " %s pages were too few to compare.", figures->name);
            continue;
        }
        ratio_text(gain, ratio, sizeof ratio);
        fprintf(out, " %s pages chase %s (%.0f ns)", figures->name, ratio, figures->chase_ns);
        if (figures->populate.one > 0 && plain->populate.one > 0) {
            ratio_text(figures->populate.one / plain->populate.one, ratio, sizeof ratio);
            fprintf(out, " and populate %s", ratio);
        }
        fputc('.', out);
    }
}

static void read_threads(const tour_answer *answer, FILE *out)
{
    const kind_figures *best = NULL;
    for (unsigned i = 0; i < answer->kinds_count; i++) {
        const kind_figures *figures = &answer->kinds[i];
        if (figures->given && figures->populate.many > 0 &&
            (best == NULL || figures->populate.many > best->populate.many))
            best = figures;
    }
    if (best != NULL)
        fprintf(out, " The most that populating gives on %u threads is %.1f GB/s, with %s%s.",
                answer->plan.threads, best->populate.many, best->name,
                best->pages == 0 ? "" : " pages");
}

static void read_cold(const cold_figures *cold, FILE *out)
{
    char reading[WORD_BYTES], hashing[WORD_BYTES];
    ratio_text(cold->touch_seconds / cold->prefetch_seconds, reading, sizeof reading);
    ratio_text(cold->hash_seconds / cold->scan_seconds, hashing, sizeof hashing);
    fprintf(out,
            " Beside page faults, the file is read from cold %s by prefetch, and hashed %s by a "
            "scan.",
            reading, hashing);
}

char *tour_reading(const tour_answer *answer)
{
    char *text = NULL;
    size_t length;
    FILE *out = need_memory(open_memstream(&text, &length));
    const kind_figures *plain = find_malloc(answer);
    if (plain != NULL)
        read_chase(answer, plain, out);
    else
        fputs("Plain malloc gave no memory, so there is nothing to compare with.", out);
    read_threads(answer, out);
    if (answer->file.ran)
        fprintf(out, " The file part %s.",
                file_is_good(&answer->file) ? "verified" : "did NOT verify");
    if (answer->cold.ran && answer->cold.prefetch_seconds > 0 && answer->cold.scan_seconds > 0)
        read_cold(&answer->cold, out);
    if (answer->store.ran)
        fprintf(out, " The store %s a process that was killed while it wrote.",
                store_is_good(&answer->store) ? "survived" : "did NOT survive");
    if (fclose(out) != 0)
        (void)need_memory(NULL);
    return text;
}

/* Other work takes time and caches from the measurements, and not from all alike. */
static void print_load(const tour_plan *plan, FILE *stream)
{
    if (plan->load > plan->cpus * 0.25)
        fprintf(stream,
                "\nThe machine was busy when the tour began (a load of %.1f on %u CPU%s): its "
                "figures suffer.\n",
                plan->load, plan->cpus, plan->cpus == 1 ? "" : "s");
}

void tour_print(const tour_answer *answer, FILE *stream)
{
    print_figures(answer, stream);
    print_proofs(answer, stream);
    print_missing(answer, stream);
    print_file(&answer->file, stream);
    if (answer->file.path[0] != '\0')
        print_cold(&answer->cold, stream);
    print_store(&answer->store, stream);
    print_reservation(answer, stream);
    print_load(&answer->plan, stream);
    char *reading = tour_reading(answer);
    fputc('\n', stream);
    print_paragraph(stream, 0, reading);
    free(reading);
    if (!answer->verified)
        fputs("\nSOMETHING DID NOT VERIFY: see the rows marked NO.\n", stream);
}
