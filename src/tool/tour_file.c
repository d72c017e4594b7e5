/* tour_file.c - the file part of the tour: a file through blocks and segments, every step checked.
 *
 *   load    the file is read into a block: hugetlb pages, else transparent huge, else base
 *   split   the block's segment is split into pieces of 1 MiB
 *   hash    two threads hash the pieces, every second one each
 *   verify  a plain read of the file hashes the same and has the same bytes
 *   grow    the block is resized; what was in it is still there, the new part can be written
 *   share   two threads retain and release it many times, then each gives up its own reference;
 *           exactly one of them was the last
 *   end     the handle is stale, nothing is left of the block, the manager goes
 *
 * A hash is FNV-1a of 64 bits for a piece; the file's is the same hash over those of its pieces. */
#include "tour.h"

#include "parallel.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20, HASHERS = 2, SHARERS = 2, SHARE_ROUNDS = 200000 };

/* ---- which file ----------------------------------------------------------------------------- */

static struct {
    char *path;
    size_t path_bytes;
    off_t bytes;
} largest; /* nftw hands its caller's context to nobody */

static bool is_shared_library(const char *name)
{
    const char *mark = strstr(name, ".so");
    return mark != NULL && (mark[3] == '\0' || mark[3] == '.');
}

static int consider(const char *path, const struct stat *status, int type, struct FTW *where)
{
    if (type == FTW_F && S_ISREG(status->st_mode) && status->st_size > largest.bytes &&
        is_shared_library(path + where->base) && strlen(path) < largest.path_bytes &&
        access(path, R_OK) == 0) {
        largest.bytes = status->st_size;
        snprintf(largest.path, largest.path_bytes, "%s", path);
    }
    return 0;
}

bool find_largest_library(char *path, size_t bytes)
{
    static const char *const folders[] = {"/usr/lib", "/usr/lib64", "/lib", "/lib64"};
    largest.path = path;
    largest.path_bytes = bytes;
    largest.bytes = 0;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        (void)nftw(folders[i], consider, 16, FTW_PHYS | FTW_MOUNT);
    return largest.bytes > 0;
}

/* ---- hashing -------------------------------------------------------------------------------- */

uint64_t fnv_on(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *at = data;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * 0x100000001B3u;
    return hash;
}

static uint64_t fnv(const void *data, size_t bytes)
{
    return fnv_on(FNV_START, data, bytes);
}

typedef struct pieces {
    roma_segment *segments;
    uint64_t *hashes;
    size_t count;
} pieces;

static pieces pieces_of(roma_segment all)
{
    pieces p = {.count = (all.bytes + PIECE_BYTES - 1) / PIECE_BYTES};
    p.segments = need_memory(calloc(p.count + 1, sizeof *p.segments));
    p.hashes = need_memory(calloc(p.count + 1, sizeof *p.hashes));
    for (size_t i = 0; i < p.count; i++) {
        size_t bytes = all.bytes < PIECE_BYTES ? all.bytes : PIECE_BYTES;
        (void)roma_segment_split(all, bytes, &p.segments[i], &all);
    }
    return p;
}

static void pieces_free(pieces *p)
{
    free(p->segments);
    free(p->hashes);
}

static void hash_every_second(void *context, unsigned index)
{
    pieces *p = context;
    for (size_t i = index; i < p->count; i += HASHERS)
        p->hashes[i] = fnv(p->segments[i].address, p->segments[i].bytes);
}

/* Hash a segment on two threads; 0 when they could not be started. */
static uint64_t hash_segment(roma_segment all, size_t *count, uint64_t *elapsed_ns)
{
    pieces p = pieces_of(all);
    uint64_t hash = 0;
    if (run_parallel(HASHERS, hash_every_second, &p, elapsed_ns) == 0)
        hash = fnv(p.hashes, p.count * sizeof *p.hashes);
    if (count != NULL)
        *count = p.count;
    pieces_free(&p);
    return hash;
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Read exactly `bytes` bytes. Returns 0, -errno, or -ENODATA when the file ends early. */
static int read_whole(int fd, void *to, size_t bytes)
{
    char *at = to;
    while (bytes > 0) {
        ssize_t length = read(fd, at, bytes < 1u << 30 ? bytes : 1u << 30);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 ? -errno : -ENODATA;
        at += length;
        bytes -= (size_t)length;
    }
    return 0;
}

typedef struct plain_read {
    uint64_t hash;
    bool same_bytes;
} plain_read;

/* Read the file again, into ordinary memory, and compare it with the segment. */
static int read_plainly(const char *path, roma_segment loaded, plain_read *result)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t count = (loaded.bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    char *buffer = need_memory(malloc(PIECE_BYTES));
    uint64_t *hashes = need_memory(calloc(count + 1, sizeof *hashes));
    int code = 0;
    *result = (plain_read){.same_bytes = true};
    for (size_t i = 0; i < count && code == 0; i++) {
        size_t rest = loaded.bytes - i * PIECE_BYTES;
        size_t bytes = rest < PIECE_BYTES ? rest : PIECE_BYTES;
        code = read_whole(fd, buffer, bytes);
        hashes[i] = fnv(buffer, bytes);
        roma_segment piece = roma_segment_slice(loaded, i * PIECE_BYTES, bytes);
        if (roma_segment_compare(piece, roma_segment_of(buffer, bytes)) != 0)
            result->same_bytes = false;
    }
    if (code == 0 && read(fd, buffer, 1) != 0)
        result->same_bytes = false; /* the file goes on */
    result->hash = fnv(hashes, count * sizeof *hashes);
    free(hashes);
    free(buffer);
    close(fd);
    return code;
}

/* ---- the steps ------------------------------------------------------------------------------ */

static void check(file_figures *figures, const char *what, bool good)
{
    if (figures->checks_count < FILE_CHECKS_MAX)
        figures->checks[figures->checks_count++] = (file_check){what, good};
}

bool file_is_good(const file_figures *figures)
{
    for (unsigned i = 0; i < figures->checks_count; i++)
        if (!figures->checks[i].good)
            return false;
    return figures->ran;
}

__attribute__((format(printf, 2, 3))) static bool stop(file_figures *figures, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(figures->reason, sizeof figures->reason, format, arguments);
    va_end(arguments);
    return false;
}

static void *take_file_block(const tour_plan *plan, roma_manager *manager, file_figures *figures)
{
    roma_request request = roma_request_default();
    roma_grant grant;
    char sentence[SENTENCE_BYTES];
    request.bytes = (size_t)figures->bytes;
    request.pages = roma_pages_then(roma_pages_then(ROMA_PAGES_HUGETLB, ROMA_PAGES_THP),
                                    ROMA_PAGES_BASE);
    request.label = "file of roma tour";
    if (plan->node >= 0) {
        request.placement = ROMA_NODES;
        request.nodes = plan->nodes;
    }
    void *block = roma_alloc_with(manager, &request, &grant);
    if (block == NULL) {
        stop(figures, "%s", roma_error_text(&grant.error, sentence, sizeof sentence));
        return NULL;
    }
    figures->pages = grant.pages;
    if (grant.steps_count > 1)
        roma_error_text(&grant.steps[0].error, figures->degraded, sizeof figures->degraded);
    return block;
}

static bool load(const char *path, void *block, file_figures *figures)
{
    progress("file: loading");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return stop(figures, "it cannot be opened (%s)", strerror(errno));
    uint64_t start_ns = now_ns();
    int code = read_whole(fd, block, (size_t)figures->bytes);
    figures->load_rate = rate_of(figures->bytes, now_ns() - start_ns);
    close(fd);
    if (code == -ENODATA)
        return stop(figures, "it became shorter while it was read");
    return code == 0 || stop(figures, "it cannot be read (%s)", strerror(-code));
}

static bool hash_and_verify(const char *path, void *block, file_figures *figures)
{
    roma_segment loaded = roma_segment_of(block, (size_t)figures->bytes);
    uint64_t elapsed_ns = 0;
    progress("file: hashing on two threads");
    figures->hash = hash_segment(loaded, &figures->segments_count, &elapsed_ns);
    figures->hash_rate = rate_of(figures->bytes, elapsed_ns);
    progress("file: comparing with a plain read");
    plain_read again = {0};
    int code = read_plainly(path, loaded, &again);
    if (code != 0)
        return stop(figures, "it cannot be read again (%s)", strerror(-code));
    check(figures, "hash is that of a plain read", again.hash == figures->hash);
    check(figures, "bytes are those of a plain read", again.same_bytes);
    return true;
}

static bool all_bytes_are(roma_segment segment, unsigned char value)
{
    const unsigned char *at = segment.address;
    for (size_t i = 0; i < segment.bytes; i++)
        if (at[i] != value)
            return false;
    return true;
}

/* By a quarter and at least a page. Returns the block's address now; as before when it stayed. */
static void *grow(const tour_plan *plan, void *block, file_figures *figures)
{
    size_t old_bytes = (size_t)figures->bytes;
    size_t new_bytes = old_bytes + old_bytes / 4 + plan->base_bytes;
    progress("file: growing the block");
    uint64_t start_ns = now_ns();
    void *grown = roma_resize(block, new_bytes);
    figures->grow_ms = (double)(now_ns() - start_ns) / 1e6;
    if (grown == NULL) {
        stop(figures, "the block could not grow (%s)", strerror(errno));
        check(figures, "block grows", false);
        return block;
    }
    figures->moved = grown != block;
    figures->grown_bytes = new_bytes;
    roma_segment all = roma_segment_of(grown, roma_bytes(grown));
    roma_segment old = roma_segment_slice(all, 0, old_bytes);
    roma_segment added = roma_segment_slice(all, old_bytes, new_bytes - old_bytes);
    roma_segment_fill(added, 0xC3);
    check(figures, "block grows", all.bytes == new_bytes);
    check(figures, "contents stay when it grows",
          hash_segment(old, NULL, NULL) == figures->hash && all_bytes_are(added, 0xC3));
    return grown;
}

typedef struct shared_block {
    void *block;
    atomic_uint faults, last_holders;
} shared_block;

/* Holds one reference at its start and gives it up at its end. */
static void share(void *context, unsigned index)
{
    shared_block *shared = context;
    (void)index;
    for (int i = 0; i < SHARE_ROUNDS; i++)
        if (roma_retain(shared->block) < 2 || roma_release(shared->block) < 1)
            atomic_fetch_add(&shared->faults, 1);
    int left = roma_release(shared->block);
    if (left < 0)
        atomic_fetch_add(&shared->faults, 1);
    else if (left == 0)
        atomic_fetch_add(&shared->last_holders, 1);
}

static void share_and_free(void *block, file_figures *figures)
{
    roma_block handle = roma_block_of(block);
    shared_block shared = {.block = block};
    uint64_t elapsed_ns;
    progress("file: retaining and releasing on two threads");
    for (int i = 1; i < SHARERS; i++) /* the caller's own reference is the first sharer's */
        if (roma_retain(block) != i + 1)
            atomic_fetch_add(&shared.faults, 1);
    int code = run_parallel(SHARERS, share, &shared, &elapsed_ns);
    figures->share_ns = code == 0 ? (double)elapsed_ns / SHARE_ROUNDS : -1;
    check(figures, "retain and release across threads", code == 0 && shared.faults == 0);
    check(figures, "one last holder frees it", code == 0 && shared.last_holders == 1);
    errno = 0;
    check(figures, "its handle is stale then",
          !roma_block_is_live(handle) && roma_block_get(handle) == NULL && errno == ESTALE);
}

static bool walk(const tour_plan *plan, const char *path, roma_manager *manager,
                 file_figures *figures)
{
    void *block = take_file_block(plan, manager, figures);
    if (block == NULL)
        return false;
    if (!load(path, block, figures) || !hash_and_verify(path, block, figures)) {
        roma_free(block);
        return false;
    }
    block = grow(plan, block, figures);
    share_and_free(block, figures);
    return true;
}

void tour_file(const tour_plan *plan, const char *path, file_figures *figures)
{
    struct stat status;
    roma_manager *manager;
    roma_error error;
    char sentence[SENTENCE_BYTES];
    *figures = (file_figures){.load_rate = -1, .hash_rate = -1, .share_ns = -1};
    snprintf(figures->path, sizeof figures->path, "%s", path);
    if (stat(path, &status) != 0) {
        stop(figures, "it is not there (%s)", strerror(errno));
        return;
    }
    figures->bytes = (uint64_t)status.st_size;
    roma_options options = roma_options_default();
    options.name = "tour of a file";
    if (roma_manager_create(&manager, &options, &error) != 0) {
        stop(figures, "%s", roma_error_text(&error, sentence, sizeof sentence));
        return;
    }
    figures->ran = walk(plan, path, manager, figures);
    int code = roma_manager_destroy(manager);
    if (figures->ran)
        check(figures, "nothing is left of it", code == 0);
}
