/* warm_report.c - the answer of `roma warm`: a line for each argument and their sum, how fast it
 * went and by which way, and whether all came to be as it was asked. */
#include "warm.h"

#include "table.h"

#include <inttypes.h>

/* ---- whether it is so ----------------------------------------------------------------------- */

static bool is_all_there(const warm_answer *answer)
{
    return answer->total.after.bytes >= answer->total.after.looked_bytes;
}

/* What is not known is not held against it, and hides nothing of what is. */
bool warm_is_done(const warm_answer *answer)
{
    if (answer->faults_count > 0)
        return false;
    if (answer->plan.task == WARM_READ)
        return answer->plan.level != ROMA_PREFETCH_RESIDENT || is_all_there(answer);
    return answer->plan.task != WARM_EVICT || answer->total.after.bytes == 0;
}

/* ---- for people ----------------------------------------------------------------------------- */

/* "1.5 GiB, 37 %"; of no file nothing */
static const char *resident_text(const warm_resident *found, uint64_t files_count, char *text,
                                 size_t length)
{
    char size[WORD_BYTES];
    uint64_t bytes = found->bytes, of = found->looked_bytes;
    if (files_count == 0)
        text[0] = '\0';
    else if (!found->is_known)
        snprintf(text, length, "unknown");
    else /* cut, not rounded: 100 % is all */
        snprintf(text, length, "%s, %3u %%", roma_size_text(bytes, size, sizeof size),
                 of == 0 ? 100 : (unsigned)(100.0 * (double)bytes / (double)of));
    return text;
}

/* Empty where nothing is. What is not known is told where it was asked for, and no column else. */
static const char *dirty_text(const warm_answer *answer, const warm_row *row, char *text,
                              size_t length)
{
    bool is_status = answer->plan.task == WARM_STATUS;
    const warm_resident *found = is_status ? &row->before : &row->after;
    if (is_status && !found->is_dirty_known)
        return "unknown";
    return found->dirty_bytes > 0 ? roma_size_text(found->dirty_bytes, text, length) : "";
}

static void add_row(table *t, const warm_answer *answer, const warm_row *row, const char *name)
{
    char text[2 * WORD_BYTES];
    table_add(t, "%s", name);
    table_add(t, "%" PRIu64, row->files_count);
    table_add(t, "%s", roma_size_text(row->bytes, text, sizeof text));
    table_add(t, "%s", resident_text(&row->before, row->files_count, text, sizeof text));
    if (answer->plan.task == WARM_STATUS)
        table_add(t, "%s", "");
    else
        table_add(t, "%s", resident_text(&row->after, row->files_count, text, sizeof text));
    table_add(t, "%s", dirty_text(answer, row, text, sizeof text));
}

static void print_way(const roma_prefetch_report *report, FILE *stream)
{
    char sentence[SENTENCE_BYTES], line[SENTENCE_BYTES + WORD_BYTES];
    for (unsigned i = 0; i < report->steps_count; i++) {
        snprintf(line, sizeof line, "Not by %s: %s.", roma_prefetch_way_text(report->steps[i].way),
                 roma_error_text(&report->steps[i].error, sentence, sizeof sentence));
        print_paragraph(stream, 0, line);
    }
}

/* Who has a page mapped, the kernel does not tell; so a cut folio is told as one of the reasons. */
static void print_stays(const warm_answer *answer, FILE *stream)
{
    char stays[WORD_BYTES], line[SENTENCE_BYTES];
    snprintf(line, sizeof line,
             "%s stay: %sin use by a program that has them mapped, or being written.",
             roma_size_text(answer->total.after.bytes, stays, sizeof stays),
             answer->is_cut ? "in large folios that reach beyond the parts that were named, which "
                              "the kernel evicts only whole; or "
                            : "");
    print_paragraph(stream, 0, line);
}

static void print_work(const warm_answer *answer, FILE *stream)
{
    char read[WORD_BYTES], stays[WORD_BYTES], line[SENTENCE_BYTES];
    const warm_row *total = &answer->total;
    if (answer->plan.task == WARM_EVICT) {
        fprintf(stream, "Evicted in %.3f s.\n", answer->seconds);
        if (total->after.bytes > 0)
            print_stays(answer, stream);
        return;
    }
    roma_size_text(total->read_bytes, read, sizeof read);
    const char *way = roma_prefetch_way_text(answer->report.way);
    if (answer->plan.level == ROMA_PREFETCH_ISSUED) /* some of it is still on its way */
        fprintf(stream, "Asked for %s in %.3f s, by %s.\n", read, answer->seconds, way);
    else
        fprintf(stream, "Read %s in %.3f s, %.2f GB/s, by %s.\n", read, answer->seconds,
                answer->seconds > 0 ? (double)total->read_bytes / 1e9 / answer->seconds : 0.0, way);
    print_way(&answer->report, stream);
    if (answer->plan.level == ROMA_PREFETCH_RESIDENT && !is_all_there(answer)) {
        snprintf(
            line, sizeof line,
            "%s are not in memory: not read, taken away again by the kernel, or holes of a "
            "file of a tmpfs, which are not filled.",
            roma_size_text(total->after.looked_bytes - total->after.bytes, stays, sizeof stays));
        print_paragraph(stream, 0, line);
    }
}

void warm_print(const warm_answer *answer, FILE *stream)
{
    bool is_status = answer->plan.task == WARM_STATUS;
    const char *titles[] = {"file",   ">files", ">size", is_status ? ">in memory" : ">before",
                            ">after", ">dirty"};
    table t = table_of(titles, sizeof titles / sizeof titles[0]);
    for (size_t i = 0; i < answer->rows_count; i++)
        add_row(&t, answer, &answer->rows[i], answer->rows[i].path);
    if (answer->rows_count > 1)
        add_row(&t, answer, &answer->total, "all");
    table_print(&t, stream, 0);
    if (!is_status)
        print_work(answer, stream);
}

/* ---- as JSON -------------------------------------------------------------------------------- */

static void put_resident(json *map, const char *key, const warm_row *row,
                         const warm_resident *found)
{
    if (found->is_known && row->files_count > 0)
        json_put_count(map, key, found->bytes);
    else
        json_put(map, key, NULL);
}

static json *row_json(const warm_answer *answer, const warm_row *row)
{
    json *map = json_map();
    warm_task task = answer->plan.task;
    json_put_text(map, "path", row->path);
    json_put_count(map, "files", row->files_count);
    json_put_count(map, "bytes", row->bytes);
    if (task == WARM_STATUS) {
        put_resident(map, "resident_bytes", row, &row->before);
        if (row->before.is_dirty_known && row->files_count > 0)
            json_put_count(map, "dirty_bytes", row->before.dirty_bytes);
        else
            json_put(map, "dirty_bytes", NULL);
        return map;
    }
    put_resident(map, "before_bytes", row, &row->before);
    put_resident(map, "after_bytes", row, &row->after);
    if (task == WARM_READ) {
        json_put_count(map, "asked_bytes", row->asked_bytes);
        json_put_count(map, "read_bytes", row->read_bytes);
        json_put_count(map, "failed_bytes", row->failed_bytes);
    }
    return map;
}

static json *faults_json(const warm_answer *answer)
{
    json *list = json_list();
    for (size_t i = 0; i < answer->faults_count && i < WARM_FAULTS_MAX; i++) {
        json *entry = json_map();
        json_put_text(entry, "path", answer->faults[i].path);
        json_put_text(entry, "reason", answer->faults[i].sentence);
        json_append(list, entry);
    }
    return list;
}

static json *steps_json(const roma_prefetch_report *report)
{
    json *list = json_list();
    for (unsigned i = 0; i < report->steps_count; i++) {
        json *entry = json_map();
        json_put_text(entry, "way", roma_prefetch_way_text(report->steps[i].way));
        json_put_count(entry, "entries", report->steps[i].entries);
        json_put_error(entry, "reason", &report->steps[i].error);
        json_append(list, entry);
    }
    return list;
}

json *warm_json(const warm_answer *answer)
{
    static const char *const tasks[] = {"read", "evict", "status"};
    json *map = json_map(), *rows = json_list();
    json_put_text(map, "task", tasks[answer->plan.task]);
    for (size_t i = 0; i < answer->rows_count; i++)
        json_append(rows, row_json(answer, &answer->rows[i]));
    json_put(map, "arguments", rows);
    json_put(map, "all", row_json(answer, &answer->total));
    if (answer->plan.task != WARM_STATUS)
        json_put_figure(map, "seconds", answer->seconds);
    if (answer->plan.task == WARM_READ) {
        json_put_text(map, "way", roma_prefetch_way_text(answer->report.way));
        json_put(map, "not_taken", steps_json(&answer->report));
    }
    json_put_count(map, "faults_count", answer->faults_count);
    json_put(map, "faults", faults_json(answer));
    json_put_flag(map, "done", warm_is_done(answer));
    return map;
}
