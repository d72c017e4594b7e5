/* tour_store.c - the store part of the tour: a file into a store, by two processes, one of which is
 * killed in the middle.
 *
 *   make     a store in $TMPDIR or /tmp, with a block of slots, one for each piece of the file
 *   fill     two processes each read every second piece into a block and link it
 *   kill     one gets SIGKILL when it has linked half of its own
 *   go on    a third process does what is missing; the other one was never disturbed
 *   verify   each slot names a block with the bytes of the file; nothing that the dead one held is
 *            left; the check accounts for every byte
 *
 * How far each is stands in the user area. The one to be killed waits at three quarters for it, so
 * that it is always in the middle. */
#include "tour.h"

#include "parallel.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 << 10, PIECES_MAX = 1024, FILLERS = 2, WATCH_US = 200 };

typedef struct place {
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES + 16];
    const char *file;
    uint64_t bytes, pieces;
} place;

static void check(store_figures *figures, const char *what, bool good)
{
    if (figures->checks_count < STORE_CHECKS_MAX)
        figures->checks[figures->checks_count++] = (file_check){what, good};
}

__attribute__((format(printf, 2, 3))) static bool stop(store_figures *figures, const char *format,
                                                       ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(figures->reason, sizeof figures->reason, format, arguments);
    va_end(arguments);
    return false;
}

bool store_is_good(const store_figures *figures)
{
    for (unsigned i = 0; i < figures->checks_count; i++)
        if (!figures->checks[i].good)
            return false;
    return figures->ran;
}

static size_t piece_bytes(const place *where, uint64_t index)
{
    uint64_t rest = where->bytes - index * PIECE_BYTES;
    return rest < PIECE_BYTES ? (size_t)rest : PIECE_BYTES;
}

/* ---- a process that fills -------------------------------------------------------------------- */

static bool read_piece(int fd, const place *where, uint64_t index, void *to)
{
    size_t bytes = piece_bytes(where, index);
    return pread(fd, to, bytes, (off_t)(index * PIECE_BYTES)) == (ssize_t)bytes;
}

/* One piece, if its slot is still empty: whole before it is linked. */
static bool fill_piece(roma_store *store, int fd, const place *where, uint64_t index,
                       roma_ref *slot)
{
    if (*slot != 0)
        return true;
    void *block = roma_store_alloc(store, piece_bytes(where, index));
    bool good = block != NULL && read_piece(fd, where, index, block) &&
                roma_store_link(store, slot, block) == 0;
    return block != NULL && roma_store_release(store, block) == 0 && good;
}

/* Every second piece from `first` on. Returns an exit status. */
static int fill(const place *where, uint64_t first, bool is_victim)
{
    roma_store *store;
    int fd = open(where->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || roma_store_open(where->path, NULL, &store, NULL) < 0)
        return EXIT_FAULT;
    roma_ref *slots = roma_store_load(store, roma_store_root(store, 0));
    atomic_ullong *done = roma_store_user_area(store).address;
    uint64_t share = (where->pieces - first + 1) / FILLERS;
    for (uint64_t i = first; slots != NULL && i < where->pieces; i += FILLERS) {
        if (!fill_piece(store, fd, where, i, &slots[i]))
            return EXIT_FAULT;
        uint64_t so_far = atomic_fetch_add(&done[first], 1) + 1;
        if (is_victim && so_far >= share - share / 4)
            for (;;)
                pause(); /* to be killed */
    }
    close(fd);
    return slots == NULL || roma_store_release(store, slots) < 0 || roma_store_close(store) < 0
               ? EXIT_FAULT
               : EXIT_GOOD;
}

static pid_t start(const place *where, uint64_t first, bool is_victim)
{
    pid_t child = fork();
    if (child == 0)
        _exit(fill(where, first, is_victim));
    return child;
}

static bool ends_well(pid_t child)
{
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == EXIT_GOOD;
}

/* ---- the steps ------------------------------------------------------------------------------- */

static roma_store *make(const place *where, store_figures *figures)
{
    roma_store *store;
    roma_error error;
    char sentence[SENTENCE_BYTES];
    roma_store_options options = roma_store_options_default();
    options.max_bytes = 4 * where->pieces * PIECE_BYTES + (64 << 20);
    options.unsynced = true;
    if (roma_store_create(where->path, &options, &store, &error) < 0) {
        stop(figures, "%s", roma_error_text(&error, sentence, sizeof sentence));
        return NULL;
    }
    roma_store_request request = roma_store_request_of(where->pieces * sizeof(roma_ref));
    request.refs_count = (uint32_t)where->pieces;
    if (roma_store_alloc_into(store, roma_store_root(store, 0), &request) != NULL)
        return store;
    stop(figures, "the table could not be allocated (%s)", strerror(errno));
    (void)roma_store_close(store);
    return NULL;
}

/* Kill it when it has done half of its share. */
static void kill_in_the_middle(const place *where, roma_store *store, pid_t victim,
                               store_figures *figures)
{
    atomic_ullong *done = roma_store_user_area(store).address;
    uint64_t share = where->pieces / FILLERS;
    int status = 0;
    while (atomic_load(&done[1]) < share / 2 && waitpid(victim, &status, WNOHANG) == 0)
        usleep(WATCH_US);
    bool is_there = kill(victim, SIGKILL) == 0 && waitpid(victim, &status, 0) == victim;
    figures->killed_at = atomic_load(&done[1]);
    check(figures, "one process is killed in the middle",
          is_there && WIFSIGNALED(status) && figures->killed_at < share);
}

static bool has_the_file(const place *where, roma_store *store)
{
    char *buffer = need_memory(malloc(PIECE_BYTES));
    roma_ref *slots = roma_store_load(store, roma_store_root(store, 0));
    int fd = open(where->file, O_RDONLY | O_CLOEXEC);
    bool good = slots != NULL && fd >= 0;
    for (uint64_t i = 0; good && i < where->pieces; i++) {
        size_t bytes = piece_bytes(where, i);
        const void *block = slots[i] != 0 ? roma_ref_at(store, slots[i]) : NULL;
        good = block != NULL && roma_store_bytes(store, block) == bytes &&
               read_piece(fd, where, i, buffer) && memcmp(block, buffer, bytes) == 0;
    }
    if (fd >= 0)
        close(fd);
    free(buffer);
    return slots != NULL && roma_store_release(store, slots) == 0 && good;
}

static void fill_and_verify(const place *where, roma_store *store, store_figures *figures)
{
    progress("store: filling from two processes, and killing one");
    uint64_t start_ns = now_ns();
    pid_t steady = start(where, 0, false), victim = start(where, 1, true);
    if (victim > 0)
        kill_in_the_middle(where, store, victim, figures);
    pid_t third = start(where, 1, false);
    bool third_good = ends_well(third), steady_good = ends_well(steady);
    figures->fill_ms = (double)(now_ns() - start_ns) / 1e6;
    check(figures, "the other one goes on", steady_good);
    check(figures, "a third takes its place", third_good);
    progress("store: comparing with the file");
    check(figures, "what the dead one held is given back", roma_store_recover(store) >= 0);
    check(figures, "all pieces are those of the file", has_the_file(where, store));
    check(figures, "every byte is accounted for", roma_store_check(store, NULL, NULL) == 0);
}

void tour_store(const char *file, store_figures *figures)
{
    struct stat status;
    place where = {.file = file};
    const char *folder = getenv("TMPDIR");
    *figures = (store_figures){.fill_ms = -1};
    if (stat(file, &status) != 0) {
        stop(figures, "the file is not there (%s)", strerror(errno));
        return;
    }
    where.bytes = (uint64_t)status.st_size;
    if (where.bytes > (uint64_t)PIECES_MAX * PIECE_BYTES)
        where.bytes = (uint64_t)PIECES_MAX * PIECE_BYTES;
    where.pieces = (where.bytes + PIECE_BYTES - 1) / PIECE_BYTES;
    if (where.pieces < 2 * FILLERS * FILLERS) {
        stop(figures, "the file is too short to be shared out");
        return;
    }
    snprintf(where.folder, sizeof where.folder, "%s/roma-tour-XXXXXX",
             folder != NULL && folder[0] != '\0' ? folder : "/tmp");
    if (mkdtemp(where.folder) == NULL) {
        stop(figures, "no folder for it (%s)", strerror(errno));
        return;
    }
    snprintf(where.path, sizeof where.path, "%s/store", where.folder);
    figures->bytes = where.bytes;
    figures->pieces = where.pieces;
    roma_store *store = make(&where, figures);
    if (store != NULL) {
        fill_and_verify(&where, store, figures);
        check(figures, "it closes cleanly", roma_store_close(store) == 0);
        figures->ran = true;
    }
    (void)unlink(where.path);
    (void)rmdir(where.folder);
}
