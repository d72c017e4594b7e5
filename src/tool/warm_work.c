/* warm_work.c - reading files and evicting them, and asking what of them is in memory.
 *
 * Reading: some tens of files at a time are with the engine, a handle each, and the oldest is
 * waited for, so that the device does not rest between files. They are as many as the process may
 * have open; where others take what there is (EMFILE, ENFILE), the oldest is waited for and its
 * descriptor is the next one's. Evicting: what is dirty is written
 * first, since the kernel evicts clean pages only. */
#include "warm.h"

#include "parallel.h"
#include "progress.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { JOBS_MOST = 32, BAR_COLUMNS = 30 };

static const uint64_t bar_interval_ns = 100000000;

/* ---- what is in memory ---------------------------------------------------------------------- */

static void add_resident(warm_resident *to, const roma_residency *found, bool is_known,
                         uint64_t wanted_bytes)
{
    to->looked_bytes += found->bytes;
    to->bytes += found->resident_bytes;
    to->dirty_bytes += found->dirty_bytes;
    to->unknown_bytes += is_known ? 0 : wanted_bytes; /* whole pages, but for a file's end */
    to->is_known = to->is_known && is_known;
    to->is_dirty_known = to->is_dirty_known && is_known && found->details;
}

static bool is_there(int fd, uint64_t offset)
{
    const roma_file_range byte = roma_file_range_own(fd, offset, NULL, 1);
    roma_residency found = {.size = sizeof found};
    return roma_residency_of(&byte, 1, &found, NULL) == 0 && found.resident_bytes > 0;
}

/* Whether pages are there on both sides of an end of a part: it may cut a large folio. */
static bool is_cut(int fd, const roma_file_range *part, uint64_t file_bytes)
{
    uint64_t begin = part->offset, end = begin + part->bytes;
    return (begin > 0 && is_there(fd, begin) && is_there(fd, begin - 1)) ||
           (end < file_bytes && is_there(fd, end) && is_there(fd, end - 1));
}

static bool is_any_cut(int fd, const roma_file_range *parts, size_t count, uint64_t file_bytes)
{
    for (size_t i = 0; i < count; i++)
        if (is_cut(fd, &parts[i], file_bytes))
            return true;
    return false;
}

static void look_at(warm_answer *answer, warm_file *file, bool is_after)
{
    uint64_t file_bytes;
    roma_file_range *ranges;
    roma_residency found = {.size = sizeof found};
    roma_error error;
    char sentence[SENTENCE_BYTES];
    warm_row *row = &answer->rows[file->row];
    int fd = warm_open(answer, file, &file_bytes);
    if (fd < 0) {
        file->is_lost = !is_after;
        return;
    }
    size_t count = warm_ranges(&answer->plan, fd, file_bytes, &ranges);
    int code = roma_residency_of(ranges, count, &found, &error);
    bool is_known = code == 0;
    uint64_t wanted_bytes = 0;
    for (size_t i = 0; i < count; i++)
        wanted_bytes += ranges[i].bytes;
    if (!is_known) /* a file of somebody else: told once, and no reason not to read it */
        found = (roma_residency){.size = sizeof found};
    if (!is_known && code != -EPERM && !is_after)
        warm_note(answer, file->path, roma_error_text(&error, sentence, sizeof sentence));
    warm_row *total = &answer->total;
    add_resident(is_after ? &row->after : &row->before, &found, is_known, wanted_bytes);
    add_resident(is_after ? &total->after : &total->before, &found, is_known, wanted_bytes);
    bool stays = is_after && answer->plan.task == WARM_EVICT && found.resident_bytes > 0;
    if (stays)
        answer->is_cut = answer->is_cut || is_any_cut(fd, ranges, count, file_bytes);
    if (!is_after) {
        row->bytes += wanted_bytes;
        total->bytes += wanted_bytes;
        row->files_count++;
        total->files_count++;
    }
    free(ranges);
    close(fd);
}

void warm_look(warm_answer *answer, bool is_after)
{
    const warm_resident nothing = {.is_known = true, .is_dirty_known = true};
    for (size_t i = 0; i < answer->rows_count; i++)
        *(is_after ? &answer->rows[i].after : &answer->rows[i].before) = nothing;
    *(is_after ? &answer->total.after : &answer->total.before) = nothing;
    for (size_t i = 0; i < answer->files_count; i++)
        if (warm_counts(&answer->files[i]))
            look_at(answer, &answer->files[i], is_after);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* A file that the engine has. */
typedef struct job {
    const warm_file *file;
    int fd;
    size_t ranges_count;
    roma_prefetch_handle *handle;
} job;

typedef struct reading {
    warm_answer *answer;
    roma_prefetch_engine *engine;
    job jobs[JOBS_MOST]; /* a ring */
    size_t first, count;
    size_t most;               /* of them at once */
    uint64_t begin_ns, bar_ns; /* bar_ns: when it was last drawn */
    uint64_t done_bytes;       /* of files that are finished     */
    uint64_t read_bytes;       /* of these: were not in memory   */
} reading;

/* What is done, and how fast, on a line that is overwritten: on a terminal alone. */
static void draw_bar(reading *r)
{
    uint64_t now = now_ns(), done = r->done_bytes, read = r->read_bytes;
    uint64_t total = r->answer->total.bytes;
    char bar[BAR_COLUMNS + 1], part[WORD_BYTES], all[WORD_BYTES];
    if (!progress_is_overwritten() || now - r->bar_ns < bar_interval_ns || total == 0)
        return;
    for (size_t i = 0; i < r->count; i++) {
        roma_prefetch_progress progress = {.size = sizeof progress};
        if (roma_prefetch_progress_of(r->jobs[(r->first + i) % JOBS_MOST].handle, &progress) == 0) {
            done += progress.done_bytes;
            read += progress.done_bytes - progress.resident_bytes;
        }
    }
    if (done > total) /* whole pages, and the files end before them */
        done = total;
    double share = (double)done / (double)total, rate = (double)read / (double)(now - r->begin_ns);
    memset(bar, '.', BAR_COLUMNS);
    memset(bar, '#', (size_t)(share * BAR_COLUMNS));
    bar[BAR_COLUMNS] = '\0';
    progress("[%s] %3.0f %%  %s of %s  %.2f GB/s", bar, 100 * share,
             roma_size_text(done, part, sizeof part), roma_size_text(total, all, sizeof all), rate);
    r->bar_ns = now;
}

/* The first range that failed says why the file did; `code` where none does. */
static void note_failure(reading *r, const job *finished, int code)
{
    char sentence[SENTENCE_BYTES];
    roma_error error;
    for (size_t i = 0; i < finished->ranges_count; i++)
        if (roma_prefetch_range_error(finished->handle, i, &error) < 0) {
            warm_note(r->answer, finished->file->path,
                      roma_error_text(&error, sentence, sizeof sentence));
            return;
        }
    warm_note(r->answer, finished->file->path, strerror(-code));
}

static void finish_oldest(reading *r)
{
    job *oldest = &r->jobs[r->first];
    warm_row *row = &r->answer->rows[oldest->file->row];
    roma_prefetch_progress progress = {.size = sizeof progress};
    int code;
    while ((code = roma_prefetch_wait(oldest->handle, bar_interval_ns)) == -ETIMEDOUT)
        draw_bar(r);
    if (roma_prefetch_progress_of(oldest->handle, &progress) == 0) {
        uint64_t read = progress.done_bytes - progress.resident_bytes;
        row->asked_bytes += read;
        row->failed_bytes += progress.failed_bytes;
        r->answer->total.failed_bytes += progress.failed_bytes;
        r->done_bytes += progress.done_bytes + progress.failed_bytes;
        r->read_bytes += read;
    }
    if (code < 0)
        note_failure(r, oldest, code);
    roma_prefetch_close(oldest->handle);
    close(oldest->fd);
    r->first = (r->first + 1) % JOBS_MOST;
    r->count--;
    draw_bar(r);
}

/* With a descriptor that one of those before has left, where there is no other. */
static int open_next(reading *r, const warm_file *file, uint64_t *file_bytes)
{
    int fd = warm_try_open(file, file_bytes);
    while ((fd == -EMFILE || fd == -ENFILE) && r->count > 0) {
        finish_oldest(r);
        fd = warm_try_open(file, file_bytes);
    }
    if (fd < 0)
        warm_note(r->answer, file->path, strerror(-fd));
    return fd;
}

static void begin(reading *r, const warm_file *file)
{
    uint64_t file_bytes;
    roma_file_range *ranges;
    roma_error error;
    char sentence[SENTENCE_BYTES];
    job new = {.file = file, .fd = open_next(r, file, &file_bytes)};
    if (new.fd < 0)
        return;
    new.ranges_count = warm_ranges(&r->answer->plan, new.fd, file_bytes, &ranges);
    int code = roma_prefetch_submit(r->engine, ranges, new.ranges_count, r->answer->plan.level,
                                    &new.handle, &error);
    free(ranges);
    if (code < 0) {
        warm_note(r->answer, file->path, roma_error_text(&error, sentence, sizeof sentence));
        close(new.fd);
        return;
    }
    r->jobs[(r->first + r->count++) % JOBS_MOST] = new;
    if (roma_prefetch_poll(new.handle) == 1) /* by plain calls it is done already */
        draw_bar(r);
}

static roma_prefetch_engine *engine_of(warm_answer *answer)
{
    roma_prefetch_options options = roma_prefetch_options_default();
    roma_prefetch_engine *engine;
    roma_error error;
    char sentence[SENTENCE_BYTES];
    options.way = answer->plan.way;
    if (roma_prefetch_create(&engine, &options, &error) != 0) {
        complain(answer->plan.command, "%s", roma_error_text(&error, sentence, sizeof sentence));
        return NULL;
    }
    return engine;
}

/* What is asked for counts by pieces, and of a piece only some pages may have been missing. */
static void count_read_bytes(warm_answer *answer)
{
    for (size_t i = 0; i < answer->rows_count; i++) {
        warm_row *row = &answer->rows[i];
        uint64_t missing_bytes = warm_missing_bytes(&row->before);
        row->read_bytes = row->asked_bytes < missing_bytes ? row->asked_bytes : missing_bytes;
        answer->total.asked_bytes += row->asked_bytes;
        answer->total.read_bytes += row->read_bytes;
    }
}

bool warm_read(warm_answer *answer)
{
    reading r = {.answer = answer, .engine = engine_of(answer)};
    if (r.engine == NULL)
        return false;
    r.most = warm_files_room(JOBS_MOST);
    r.begin_ns = now_ns();
    for (size_t i = 0; i < answer->files_count; i++) {
        if (!warm_counts(&answer->files[i]))
            continue;
        if (r.count > 0 && r.count == r.most)
            finish_oldest(&r);
        begin(&r, &answer->files[i]);
    }
    while (r.count > 0)
        finish_oldest(&r);
    answer->seconds = (double)(now_ns() - r.begin_ns) / 1e9;
    count_read_bytes(answer);
    answer->report.size = sizeof answer->report;
    (void)roma_prefetch_backend(r.engine, &answer->report); /* now: a ring may have been left */
    (void)roma_prefetch_destroy(r.engine);
    return true;
}

/* ---- evicting ------------------------------------------------------------------------------- */

static int write_dirty(roma_prefetch_engine *engine, const roma_file_range *ranges, size_t count,
                       roma_error *error)
{
    roma_prefetch_handle *handle;
    int code = roma_flush_submit(engine, ranges, count, &handle, error);
    if (code < 0)
        return code;
    code = roma_prefetch_wait(handle, ROMA_FOREVER);
    for (size_t i = 0; i < count && code < 0; i++)
        if (roma_prefetch_range_error(handle, i, error) < 0)
            break;
    roma_prefetch_close(handle);
    return code;
}

static void evict(warm_answer *answer, roma_prefetch_engine *engine, const warm_file *file)
{
    uint64_t file_bytes;
    roma_file_range *ranges;
    roma_residency found = {.size = sizeof found};
    roma_error error = {0};
    char sentence[SENTENCE_BYTES];
    int fd = warm_open(answer, file, &file_bytes);
    if (fd < 0)
        return;
    size_t count = warm_ranges(&answer->plan, fd, file_bytes, &ranges);
    int code = roma_residency_of(ranges, count, &found, NULL);
    bool may_be_dirty = code < 0 || !found.details || found.dirty_bytes + found.writeback_bytes > 0;
    code = may_be_dirty ? write_dirty(engine, ranges, count, &error) : 0;
    if (code == 0)
        code = roma_evict(ranges, count, ROMA_EVICT_DROP, &error);
    if (code < 0)
        warm_note(answer, file->path, roma_error_text(&error, sentence, sizeof sentence));
    free(ranges);
    close(fd);
}

bool warm_evict(warm_answer *answer)
{
    roma_prefetch_engine *engine = engine_of(answer);
    if (engine == NULL)
        return false;
    uint64_t begin_ns = now_ns();
    for (size_t i = 0; i < answer->files_count; i++)
        if (warm_counts(&answer->files[i]))
            evict(answer, engine, &answer->files[i]);
    answer->seconds = (double)(now_ns() - begin_ns) / 1e9;
    (void)roma_prefetch_destroy(engine);
    return true;
}
