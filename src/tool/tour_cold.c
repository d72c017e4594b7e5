/* tour_cold.c - the cold part of the tour: a file that is not in memory, read with prefetch and
 * without.
 *
 *   touch     a plain mapping, a byte of each page: the program waits in page faults
 *   prefetch  the program asks for all of it, and could go on working: how long was it kept?
 *   hash      work on what is read, piece by piece: on a plain mapping, and by a scan, which reads
 *             ahead; both must come to the same hash
 *
 * Before each of them the file is evicted, and the kernel has to say that nothing of it is left; a
 * file that stays (in use by others, or in memory by its nature) is not measured, and said so; what
 * fails in prefetching or scanning is a fault. At most the working set is read. Times are medians
 * of the passes; what asking took is the most, and of pieces and waits the last scan's are told. */
#include "tour.h"

#include "parallel.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 2 << 20, EVICT_TRIES = 20, EVICT_PAUSE_US = 20000 };

static const uint64_t bytes_least = (uint64_t)16 << 20; /* less is over before it has begun */

/* One file being read. */
typedef struct subject {
    int fd;
    size_t bytes, page_bytes;
    roma_prefetch_engine *engine;
    cold_figures *figures;
} subject;

__attribute__((format(printf, 2, 3))) static bool stop(cold_figures *figures, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(figures->reason, sizeof figures->reason, format, arguments);
    va_end(arguments);
    return false;
}

static bool stop_for(cold_figures *figures, const roma_error *error)
{
    char sentence[SENTENCE_BYTES];
    return stop(figures, "%s", roma_error_text(error, sentence, sizeof sentence));
}

/* What this part is about did not work. */
static bool fail_for(cold_figures *figures, const roma_error *error)
{
    figures->failed = true;
    return stop_for(figures, error);
}

/* ---- cold ----------------------------------------------------------------------------------- */

static roma_file_range whole_of(const subject *s, void *address)
{
    return roma_file_range_own(s->fd, 0, address, s->bytes);
}

/* Evict it, and have the kernel say that it is gone. */
static bool make_cold(const subject *s)
{
    roma_file_range whole = whole_of(s, NULL);
    roma_residency left = {.size = sizeof left};
    roma_error error;
    char size[WORD_BYTES];
    for (int i = 0; i < EVICT_TRIES; i++) {
        if (roma_evict(&whole, 1, ROMA_EVICT_DROP, &error) != 0 ||
            roma_residency_of(&whole, 1, &left, &error) != 0)
            return stop_for(s->figures, &error);
        if (left.resident_bytes == 0)
            return true;
        usleep(EVICT_PAUSE_US); /* somebody may be looking at it */
    }
    return stop(s->figures, "%s of it stay in memory: other programs use it; name another FILE",
                roma_size_text(left.resident_bytes, size, sizeof size));
}

/* ---- readings ------------------------------------------------------------------------------- */

typedef bool (*reading)(const subject *s, double *figure, unsigned pass);

static char *map(const subject *s)
{
    char *at = mmap(NULL, s->bytes, PROT_READ, MAP_SHARED, s->fd, 0);
    if (at != MAP_FAILED)
        return at;
    stop(s->figures, "it cannot be mapped (%s)", strerror(errno));
    return NULL;
}

static bool touch_pages(const subject *s, double *seconds, unsigned pass)
{
    (void)pass;
    char *at = make_cold(s) ? map(s) : NULL;
    if (at == NULL)
        return false;
    uint64_t begin_ns = now_ns();
    for (size_t i = 0; i < s->bytes; i += s->page_bytes)
        (void)*(volatile char *)(at + i);
    *seconds = (double)(now_ns() - begin_ns) / 1e9;
    munmap(at, s->bytes);
    return true;
}

static bool prefetch_all(const subject *s, double *seconds, unsigned pass)
{
    roma_file_range whole = whole_of(s, NULL);
    roma_prefetch_handle *handle;
    roma_error error = {0};
    if (!make_cold(s))
        return false;
    uint64_t begin_ns = now_ns();
    int code = roma_prefetch_submit(s->engine, &whole, 1, ROMA_PREFETCH_RESIDENT, &handle, &error);
    uint64_t asked_ns = now_ns() - begin_ns;
    if (code < 0)
        return fail_for(s->figures, &error);
    code = roma_prefetch_wait(handle, ROMA_FOREVER);
    *seconds = (double)(now_ns() - begin_ns) / 1e9;
    if (pass == 0 || (double)asked_ns / 1e6 > s->figures->caller_ms)
        s->figures->caller_ms = (double)asked_ns / 1e6;
    if (code < 0)
        (void)roma_prefetch_range_error(handle, 0, &error);
    roma_prefetch_close(handle);
    return code == 0 || fail_for(s->figures, &error);
}

static bool hash_plainly(const subject *s, double *seconds, unsigned pass)
{
    (void)pass;
    char *at = make_cold(s) ? map(s) : NULL;
    uint64_t hash = FNV_START;
    if (at == NULL)
        return false;
    uint64_t begin_ns = now_ns();
    for (size_t i = 0; i < s->bytes; i += PIECE_BYTES)
        hash = fnv_on(hash, at + i, s->bytes - i < PIECE_BYTES ? s->bytes - i : PIECE_BYTES);
    *seconds = (double)(now_ns() - begin_ns) / 1e9;
    s->figures->plain_hash = hash;
    munmap(at, s->bytes);
    return true;
}

static bool hash_pieces(const subject *s, roma_scan *scan)
{
    roma_segment piece;
    roma_scan_progress progress = {.size = sizeof progress};
    uint64_t hash = FNV_START;
    int code;
    while ((code = roma_scan_next(scan, &piece)) == 1)
        hash = fnv_on(hash, piece.address, piece.bytes);
    s->figures->failed = s->figures->failed || code < 0 || hash != s->figures->plain_hash;
    if (roma_scan_progress_of(scan, &progress) == 0) {
        s->figures->pieces = progress.steps;
        s->figures->waits = progress.waits;
        s->figures->longest_wait_ms = (double)progress.longest_wait_ns / 1e6;
    }
    return code == 0 || stop(s->figures, "the scan met an error (%s)", strerror(-code));
}

static bool hash_scanning(const subject *s, double *seconds, unsigned pass)
{
    (void)pass;
    char *at = make_cold(s) ? map(s) : NULL;
    roma_file_range whole = whole_of(s, at);
    roma_scan *scan;
    roma_error error;
    bool good = false;
    if (at == NULL)
        return false;
    uint64_t begin_ns = now_ns();
    if (roma_scan_open(s->engine, &whole, NULL, &scan, &error) == 0) {
        good = hash_pieces(s, scan);
        *seconds = (double)(now_ns() - begin_ns) / 1e9;
        roma_scan_close(scan);
    } else {
        fail_for(s->figures, &error);
    }
    munmap(at, s->bytes);
    return good;
}

/* ---- the part ------------------------------------------------------------------------------- */

static bool measure(const tour_plan *plan, const subject *s)
{
    const struct {
        const char *what;
        reading read;
        double *seconds;
    } rows[] = {
        {"page faults", touch_pages, &s->figures->touch_seconds},
        {"prefetch", prefetch_all, &s->figures->prefetch_seconds},
        {"hashing, page faults", hash_plainly, &s->figures->hash_seconds},
        {"hashing, a scan", hash_scanning, &s->figures->scan_seconds},
    };
    enum { ROWS_COUNT = sizeof rows / sizeof rows[0] };
    double seconds[ROWS_COUNT][TOUR_PASSES_MAX];
    for (unsigned pass = 0; pass < plan->passes; pass++)
        for (unsigned i = 0; i < ROWS_COUNT; i++) { /* in turn, so that noise meets all of them */
            progress("a cold file: %s", rows[i].what);
            if (!rows[i].read(s, &seconds[i][pass], pass))
                return false;
        }
    for (unsigned i = 0; i < ROWS_COUNT; i++)
        *rows[i].seconds = median(seconds[i], plan->passes);
    return true;
}

static bool begin(const tour_plan *plan, const char *path, subject *s)
{
    struct stat status;
    roma_error error;
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &status) != 0)
        return stop(s->figures, "it cannot be opened (%s)", strerror(errno));
    uint64_t bytes = (uint64_t)status.st_size;
    s->bytes = (size_t)bytes;
    if (plan->bytes < bytes) /* whole pieces: a large folio is evicted whole or not at all */
        s->bytes = (size_t)(plan->bytes - plan->bytes % PIECE_BYTES);
    s->figures->bytes = s->bytes;
    if (bytes < bytes_least)
        return stop(s->figures, "it is shorter than 16 MiB, which is read before it can be timed");
    (void)fdatasync(s->fd); /* what is dirty stays */
    return roma_prefetch_create(&s->engine, NULL, &error) == 0 || fail_for(s->figures, &error);
}

void tour_cold(const tour_plan *plan, const char *path, cold_figures *figures)
{
    subject s = {.fd = -1, .page_bytes = plan->base_bytes, .figures = figures};
    roma_prefetch_report report = {.size = sizeof report};
    *figures = (cold_figures){.caller_ms = -1};
    figures->ran = begin(plan, path, &s) && measure(plan, &s);
    if (roma_prefetch_backend(s.engine, &report) == 0) /* now: a ring may have been left */
        snprintf(figures->way, sizeof figures->way, "%s", roma_prefetch_way_text(report.way));
    (void)roma_prefetch_destroy(s.engine);
    if (s.fd >= 0)
        close(s.fd);
}
