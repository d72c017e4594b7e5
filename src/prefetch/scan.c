/* scan.c - a reader's window: the pieces of a range in order, and a given number of bytes ahead of
 * the reader on their way into memory.
 *
 * Pieces are numbered in the order of reading. While one is being given out they lie like this:
 *
 *     0 ... dropped ... | next: given out | ......... | asked: not yet asked for ... | pieces_count
 *                                          <- window ->
 *
 * The window begins behind that piece, which the reader will work on: so there is always one on its
 * way meanwhile, be a step longer than the window.
 *
 * What lies between `next` and `asked` is cut into batches; a batch is one handle of the engine,
 * with a range for each of its pieces, so that each piece has its own error. Batches of a run are
 * at least as long as what the engine reads in whole huge pages, and those of a list begin with one
 * piece, so that the reader can soon begin; they double until they are an eighth of the window, or
 * long enough for the device: a batch counts as there when all of it is, so longer ones would let
 * the reader wait for what it does not read yet.
 *
 * The window is filled whenever there is room for a batch, on the reader's own thread: a scan has
 * none, and a reader that does not ask does not read ahead. Only a few batches are with the engine
 * at a time, as it works on all handles in turn: with the whole window there, what is read last
 * would slow down what is read first. So it takes a reader some steps to have its window full.
 *
 * Dropping behind the reader goes by groups of some MiB, and each time from where the time before
 * began, because the kernel evicts a large folio only when all of it is in the range; at the end
 * all of it once more, since the kernel's own read-ahead may have gone upwards behind one who reads
 * backwards. Pieces of a list are dropped one by one, all pages that one has a part of, but for
 * those that the next one has, too; a page that is wanted again later may be dropped between. What
 * cannot be evicted stays, and is no error of the scan.
 *
 * A scan is used by one thread at a time; it takes no lock. What it keeps is one record, sized when
 * it is opened. */
#include <roma/prefetch.h>

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/structs.h"
#include "prefetch/engine.h"
#include "prefetch/map.h"
#include "sys/records.h"

#include <errno.h>
#include <unistd.h>

enum {
    WINDOW_BYTES = 64 << 20,
    STEP_BYTES = 2 << 20,
    BATCH_BYTES_MOST = 8 << 20, /* of a run: two of them in flight keep a fast disk busy      */
    BATCH_PIECES_MOST = 64,     /* of a list: two of them are more than the engine has in flight */
    BATCHES_OF_WINDOW = 8,
    BATCHES_GROWING = 8,  /* those that are shorter: the first ones, and the last       */
    BATCHES_FLYING = 3,   /* with the engine: two keep it busy while the reader is away */
    GROUP_BYTES = 8 << 20 /* left behind before it is dropped                           */
};

typedef struct batch {
    roma_prefetch_handle *handle;
    uint64_t first, count; /* pieces */
} batch;

/* Of a range, in bytes. */
typedef struct pages_span {
    uint64_t from, to;
} pages_span;

struct roma_scan {
    roma_prefetch_engine *engine;
    size_t record_bytes;
    roma_file_range range;
    roma_segment whole; /* the range in the program's mapping */
    roma_scan_options options;
    roma_prefetch_level level;
    uint64_t pieces_count, next, asked;
    uint64_t window_pieces, batch_pieces;
    uint64_t growing;          /* pieces of the next batch */
    uint64_t dropped, regroup; /* pieces before are dropped; where the time before began */
    roma_scan_progress progress;
    roma_file_range *ranges; /* batch_pieces of them, to submit from */
    batch *batches;          /* a ring */
    size_t batches_room, batches_head, batches_count;
    size_t ended; /* of the batches, from the head on: known to be done */
};

static bool scan_is_valid(const roma_scan *scan)
{
    const batch *head = &scan->batches[scan->batches_head];
    return scan->next <= scan->asked && scan->asked <= scan->pieces_count &&
           scan->regroup <= scan->dropped && scan->dropped <= scan->next &&
           scan->batches_count <= scan->batches_room && scan->ended <= scan->batches_count &&
           scan->growing <= scan->batch_pieces &&
           scan->asked - scan->next <= scan->window_pieces + 1 &&
           (scan->batches_count == 0 || head->first + head->count > scan->next);
}

/* ---- pieces --------------------------------------------------------------------------------- */

static bool is_backwards(const roma_scan *scan)
{
    return scan->options.direction == ROMA_SCAN_BACKWARDS;
}

/* Where a piece begins in the range; at its end for one outside: a list may have been changed since
 * it was checked. */
static uint64_t piece_at(const roma_scan *scan, uint64_t piece)
{
    if (scan->options.pages != NULL)
        return roma__min(scan->options.pages[piece], scan->whole.bytes);
    uint64_t index = is_backwards(scan) ? scan->pieces_count - 1 - piece : piece;
    return index * scan->options.step_bytes;
}

/* It may be shorter at the range's end. */
static size_t piece_bytes(const roma_scan *scan, uint64_t at)
{
    return roma__min(scan->options.step_bytes, scan->whole.bytes - (size_t)at);
}

static roma_file_range part_of(const roma_scan *scan, uint64_t at, size_t bytes)
{
    roma_file_range part = scan->range;
    part.offset += at;
    part.bytes = bytes;
    if (part.map == NULL)
        part.address = (char *)part.address + at;
    return part;
}

/* ---- asking --------------------------------------------------------------------------------- */

/* Ask for `count` pieces from `asked` on. */
static int ask(roma_scan *scan, uint64_t count, roma_error *error)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = piece_at(scan, scan->asked + i);
        scan->ranges[i] = part_of(scan, at, piece_bytes(scan, at));
    }
    size_t index = (scan->batches_head + scan->batches_count) % scan->batches_room;
    batch *new = &scan->batches[index];
    int code = roma_prefetch_submit(scan->engine, scan->ranges, (size_t)count, scan->level,
                                    &new->handle, error);
    if (code < 0)
        return code;
    new->first = scan->asked;
    new->count = count;
    scan->batches_count++;
    scan->asked += count;
    return 0;
}

static const batch *nth_batch(const roma_scan *scan, size_t n)
{
    return &scan->batches[(scan->batches_head + n) % scan->batches_room];
}

/* How many batches the engine has. */
static size_t flying_count(roma_scan *scan)
{
    while (scan->ended < scan->batches_count &&
           roma_prefetch_poll(nth_batch(scan, scan->ended)->handle) == 1)
        scan->ended++;
    size_t count = 0;
    for (size_t i = scan->ended; i < scan->batches_count; i++)
        count += roma_prefetch_poll(nth_batch(scan, i)->handle) == 0;
    return count;
}

/* Fill the window. A batch that is refused as a whole, be it for one of its pieces, is tried again
 * with its first piece alone: each piece gets the error that is its own. */
static int fill(roma_scan *scan, roma_error *error)
{
    for (;;) {
        uint64_t rest = scan->pieces_count - scan->asked;
        uint64_t room = 1 + scan->window_pieces - (scan->asked - scan->next);
        uint64_t count = rest < scan->growing ? rest : scan->growing;
        if (count == 0 || room < count || scan->batches_count == scan->batches_room ||
            flying_count(scan) >= BATCHES_FLYING)
            return 0;
        int code = ask(scan, count, error);
        if (code < 0 && count > 1)
            code = ask(scan, 1, error);
        else if (scan->growing < scan->batch_pieces)
            scan->growing = roma__min(2 * scan->growing, scan->batch_pieces);
        if (code < 0)
            return code;
    }
}

/* ---- leaving -------------------------------------------------------------------------------- */

/* Evict the pieces from `dropped` to `end`, which lie side by side. */
static void drop_run(roma_scan *scan, uint64_t end)
{
    uint64_t first = is_backwards(scan) ? end - 1 : scan->regroup;
    uint64_t last = is_backwards(scan) ? scan->regroup : end - 1;
    uint64_t from = piece_at(scan, first), to = piece_at(scan, last);
    to += piece_bytes(scan, to);
    roma_file_range range = part_of(scan, from, (size_t)(to - from));
    if (roma_evict(&range, 1, ROMA_EVICT_DROP, NULL) == 0)
        for (uint64_t piece = scan->dropped; piece < end; piece++)
            scan->progress.dropped_bytes += piece_bytes(scan, piece_at(scan, piece));
    scan->regroup = scan->dropped;
    scan->dropped = end;
}

/* The pages that a piece has a part of, as bytes of the range; those outside of it are not its. */
static pages_span pages_of(const roma_scan *scan, uint64_t piece)
{
    const uint64_t mask = (uint64_t)getpagesize() - 1, ahead = scan->range.offset & mask;
    uint64_t at = piece_at(scan, piece), end = at + piece_bytes(scan, at);
    uint64_t first = (ahead + at) & ~mask, past = (ahead + end + mask) & ~mask;
    return (pages_span){
        .from = first > ahead ? first - ahead : 0,
        .to = roma__min(past - ahead, (uint64_t)scan->whole.bytes),
    };
}

/* Evict a piece's pages, but for those that the next one has a part of, too: they go with it. */
static void drop_page(roma_scan *scan, uint64_t piece)
{
    pages_span own = pages_of(scan, piece);
    if (piece + 1 < scan->pieces_count) {
        const pages_span next = pages_of(scan, piece + 1);
        if (next.from <= own.from && next.to > own.from)
            own.from = roma__min(next.to, own.to);
        else if (next.from > own.from && next.from < own.to)
            own.to = next.from;
    }
    if (own.from == own.to)
        return;
    roma_file_range range = part_of(scan, own.from, (size_t)(own.to - own.from));
    if (roma_evict(&range, 1, ROMA_EVICT_DROP, NULL) == 0)
        scan->progress.dropped_bytes += range.bytes;
}

static void drop_pages(roma_scan *scan, uint64_t end)
{
    for (; scan->dropped < end; scan->dropped++)
        drop_page(scan, scan->dropped);
    scan->regroup = end;
}

/* Drop what lies behind the reader, up to `next`; groups that are not full only at the end. */
static void drop(roma_scan *scan, bool at_end)
{
    uint64_t left = scan->next - scan->dropped;
    if (!scan->options.drop_behind || left == 0)
        return;
    if (at_end)
        scan->regroup = 0;
    if (scan->options.pages != NULL)
        drop_pages(scan, scan->next);
    else if (at_end || left >= GROUP_BYTES / scan->options.step_bytes)
        drop_run(scan, scan->next);
}

/* ---- giving --------------------------------------------------------------------------------- */

/* Wait for a batch; how its pieces fared, ranges tell. */
static void wait_for(roma_scan *scan, const batch *waited)
{
    if (roma_prefetch_poll(waited->handle) == 1)
        return;
    uint64_t begin_ns = roma__now_ns();
    (void)roma_prefetch_wait(waited->handle, ROMA_FOREVER);
    uint64_t waited_ns = roma__now_ns() - begin_ns;
    scan->progress.waits++;
    scan->progress.waited_ns += waited_ns;
    if (waited_ns > scan->progress.longest_wait_ns)
        scan->progress.longest_wait_ns = waited_ns;
}

static void close_head(roma_scan *scan)
{
    roma_prefetch_close(scan->batches[scan->batches_head].handle);
    scan->batches_head = (scan->batches_head + 1) % scan->batches_room;
    scan->batches_count--;
    if (scan->ended > 0)
        scan->ended--;
}

/* Give the piece `next`, which has come to `code`. */
static int give(roma_scan *scan, int code, roma_segment *segment)
{
    uint64_t at = piece_at(scan, scan->next);
    size_t bytes = piece_bytes(scan, at);
    if (bytes == 0)
        code = -EINVAL;
    *segment = roma_segment_slice(scan->whole, (size_t)at, bytes);
    scan->next++;
    scan->progress.steps++;
    scan->progress.given_bytes += bytes;
    if (code < 0)
        scan->progress.failed_bytes += bytes;
    return code < 0 ? code : 1;
}

int roma_scan_next(roma_scan *scan, roma_segment *segment)
{
    if (scan == NULL || segment == NULL)
        return -EINVAL;
    *segment = roma_segment_of(NULL, 0);
    if (roma__engine_is_gone(scan->engine))
        return -ESTALE;
    if (roma__calling != NULL)
        return -EDEADLK; /* also where nothing would be waited for: else it would be so by chance */
    roma_check(scan_is_valid(scan));
    drop(scan, scan->next == scan->pieces_count);
    if (scan->next == scan->pieces_count)
        return 0;
    int code = fill(scan, NULL);
    if (scan->asked == scan->next) { /* it cannot even be asked for; the next one may */
        scan->asked++;
        return give(scan, code, segment);
    }
    const batch *head = nth_batch(scan, 0);
    wait_for(scan, head);
    uint64_t index = scan->next - head->first;
    code = roma_prefetch_range_error(head->handle, (size_t)index, NULL);
    if (index + 1 == head->count)
        close_head(scan);
    return give(scan, code, segment);
}

int roma_scan_progress_of(const roma_scan *scan, roma_scan_progress *progress)
{
    if (scan == NULL || progress == NULL || progress->size < sizeof *progress)
        return -EINVAL;
    if (roma__engine_is_gone(scan->engine))
        return -ESTALE;
    size_t size = progress->size;
    *progress = scan->progress;
    progress->size = size;
    return 0;
}

/* ---- beginning and ending ------------------------------------------------------------------- */

static int read_options(const roma_scan_options *given, roma_scan_options *options,
                        roma_error *error)
{
    size_t page_bytes = (size_t)getpagesize();
    *options = roma_scan_options_default();
    if (given != NULL) {
        int code = roma__struct_read(options, sizeof *options, given,
                                     offsetof(roma_scan_options, direction), "options.size", error);
        if (code < 0)
            return code;
    }
    bool is_list = options->pages != NULL;
    if (options->window_bytes == 0)
        options->window_bytes = WINDOW_BYTES;
    if (options->step_bytes == 0)
        options->step_bytes = is_list ? page_bytes : roma__align_up(STEP_BYTES, page_bytes);
    if (!is_list && !roma__is_aligned(options->step_bytes, page_bytes))
        return roma__error_invalid(error, "options.step_bytes");
    if (options->direction != ROMA_SCAN_FORWARDS &&
        (options->direction != ROMA_SCAN_BACKWARDS || is_list))
        return roma__error_invalid(error, "options.direction");
    if (options->reserved[0] || options->reserved[1])
        return roma__error_invalid(error, "options.reserved");
    if (!is_list && options->pages_count > 0)
        return roma__error_invalid(error, "options.pages_count");
    return 0;
}

/* The range in the program's mapping; the null segment for one that is none. */
static roma_segment whole_of(const roma_file_range *range)
{
    roma_segment mapped = roma_map_segment(range->map);
    uintptr_t end;
    if (range->map != NULL)
        return range->offset <= mapped.bytes
                   ? roma_segment_slice(mapped, (size_t)range->offset, range->bytes)
                   : roma_segment_of(NULL, 0);
    if (__builtin_add_overflow((uintptr_t)range->address, range->bytes, &end))
        return roma_segment_of(NULL, 0);
    return roma_segment_of(range->address, range->bytes);
}

static int check_pages(const roma_scan_options *options, size_t bytes, roma_error *error)
{
    for (size_t i = 0; options->pages != NULL && i < options->pages_count; i++)
        if (options->pages[i] >= bytes) {
            (void)roma__error_invalid(error, "options.pages");
            if (error != NULL)
                error->need = i;
            return -EINVAL;
        }
    return 0;
}

/* How many pieces, and how many at a time. */
static void measure(roma_scan *scan)
{
    const roma_scan_options *options = &scan->options;
    size_t step = options->step_bytes, bytes = scan->whole.bytes;
    scan->pieces_count = options->pages != NULL ? options->pages_count
                                                : bytes / step + (bytes % step != 0);
    scan->window_pieces = roma__max(options->window_bytes / step, 1);
    if (scan->window_pieces > scan->pieces_count) /* the room for its batches need not be larger */
        scan->window_pieces = roma__max((size_t)scan->pieces_count, 1);
    size_t least = 1, most = roma__max(BATCH_BYTES_MOST / step, 1);
    if (options->pages != NULL)
        most = roma__min(most, BATCH_PIECES_MOST);
    else
        least = roma__min(roma__max(ROMA__DENSE_LEAST_BYTES / step, 1),
                          roma__max(scan->window_pieces / 2, 1));
    scan->batch_pieces = roma__max(scan->window_pieces / BATCHES_OF_WINDOW, least);
    scan->batch_pieces = roma__min(scan->batch_pieces, roma__max(least, most));
    scan->growing = least;
    scan->batches_room = (scan->window_pieces + 1) / scan->batch_pieces + BATCHES_GROWING;
}

/* A scan with its room, from one that is measured. */
static roma_scan *scan_new(const roma_scan *measured, roma_error *error)
{
    size_t batches_bytes, ranges_bytes = measured->batch_pieces * sizeof(roma_file_range), bytes;
    roma_scan *scan = NULL;
    if (!roma__mul_overflows(measured->batches_room, sizeof(batch), &batches_bytes) &&
        !roma__add_overflows(sizeof *scan + ranges_bytes, batches_bytes, &bytes))
        scan = roma__record_new(bytes);
    if (scan == NULL) {
        (void)roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
        return NULL;
    }
    *scan = *measured;
    scan->record_bytes = bytes;
    scan->ranges = (roma_file_range *)(scan + 1);
    scan->batches = (batch *)(scan->ranges + scan->batch_pieces);
    return scan;
}

/* Resident where the kernel can tell, else at least on its way. */
static roma_prefetch_level level_of(const roma_prefetch_report *report,
                                    const roma_scan_options *options)
{
    if (options->mapped)
        return ROMA_PREFETCH_MAPPED;
    return report->populate ? ROMA_PREFETCH_RESIDENT : ROMA_PREFETCH_ISSUED;
}

/* Of a scan that has nothing in flight. */
static void end(roma_scan *scan)
{
    if (scan->range.map != NULL)
        roma__map_drop(scan->range.map);
    roma__engine_let(scan->engine);
    roma__record_free(scan, scan->record_bytes);
}

int roma_scan_open(roma_prefetch_engine *engine, const roma_file_range *range,
                   const roma_scan_options *options, roma_scan **scan, roma_error *error)
{
    if (engine == NULL || range == NULL || scan == NULL)
        return roma__error_invalid(error, engine == NULL  ? "engine"
                                          : range == NULL ? "range"
                                                          : "scan");
    *scan = NULL;
    roma_prefetch_report report = {.size = sizeof report};
    roma_scan measured = {.engine = engine, .range = *range};
    int code = roma_prefetch_backend(engine, &report);
    if (code < 0)
        return roma__error(error, code, ROMA_WHY_INVALID);
    code = read_options(options, &measured.options, error);
    if (code < 0)
        return code;
    measured.whole = whole_of(range);
    if (measured.whole.address == NULL)
        return roma__error_invalid(error, range->map != NULL ? "range" : "range.address");
    code = check_pages(&measured.options, measured.whole.bytes, error);
    if (code < 0)
        return code;
    measured.level = level_of(&report, &measured.options);
    measure(&measured);
    roma_scan *new = scan_new(&measured, error);
    if (new == NULL)
        return -ENOMEM;
    code = roma__engine_hold(engine, error);
    if (code < 0) {
        roma__record_free(new, new->record_bytes);
        return code;
    }
    if (range->map != NULL)
        roma__map_hold(range->map);
    code = fill(new, error);
    if (code < 0 && new->asked == 0) {
        end(new);
        return code;
    }
    *scan = new;
    return 0;
}

int roma_scan_close(roma_scan *scan)
{
    if (scan == NULL)
        return 0;
    /* It would not wait, and leave its addresses and its descriptor to reads in flight. */
    if (!roma__engine_is_gone(scan->engine) && roma__calling != NULL)
        return -EDEADLK;
    for (size_t i = 0; i < scan->batches_count; i++)
        (void)roma_prefetch_cancel(nth_batch(scan, i)->handle);
    while (scan->batches_count > 0) {
        (void)roma_prefetch_wait(scan->batches[scan->batches_head].handle, ROMA_FOREVER);
        close_head(scan);
    }
    if (!roma__engine_is_gone(scan->engine))
        drop(scan, true);
    end(scan);
    return 0;
}
