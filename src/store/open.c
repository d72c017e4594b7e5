/* open.c - a store is opened.
 *
 * Openings, and the closing of the last session, go one by one, under the file lock: a byte lock
 * that the kernel drops when its holder dies. Under it is looked whether any session lives. Where
 * none does, what the superblock says decides: a store that was closed by its last session is
 * clean; one that was not, in this run of the machine, is what killed processes left, and recovered
 * as it is met; one of an earlier run was interrupted by a crash of the machine, when the kernel
 * may have written any pages and not others, and only its checkpoint can be trusted. One that says
 * it lies elsewhere is a copy that was made while it was in use.
 *
 * Waiting for the file lock, writing the superblock out and recovering a dead session all take the
 * time that other processes and the disk take, so nothing of this process is locked meanwhile
 * (openings.c): but for the moment in which the mapping is made.
 *
 * Nothing here depends on how large the file is or what is in it, but where a checkpoint was killed
 * while it shared pages: the first session copies those. */
#include "store/checkpoint.h"
#include "store/open.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
#include "store/openings.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options --------------------------------------------------------------------------------- */

int roma__store_options_read(const roma_store_options *given, roma_store_options *options,
                             roma_error *error)
{
    if (given == NULL) {
        *options = roma_store_options_default();
        return 0;
    }
    int code = roma__struct_read(options, sizeof *options, given, sizeof *options,
                                 "roma_store_options", error);
    for (size_t i = 0; code == 0 && i < sizeof options->reserved; i++)
        if (options->reserved[i])
            code = roma__error_subject(error, -E2BIG, ROMA_WHY_UNKNOWN_OPTION,
                                       "roma_store_options");
    return code;
}

/* ---- the superblock -------------------------------------------------------------------------- */

/* Through the mapping: the copy that does not count is written, and counts when it is whole. */
int roma__super_change(roma_store *store, void (*change)(roma__super *super, void *context),
                       void *context, roma_error *error)
{
    roma__super super;
    roma__regions regions;
    unsigned index;
    int code = roma__super_choose(store->view.base, &super, &index, &regions);
    if (code < 0)
        return roma__error_subject(error, -EUCLEAN, ROMA_WHY_STORE_DAMAGED, "superblock");
    change(&super, context);
    super.generation++;
    super.checksum = roma__checksum(&super, offsetof(roma__super, checksum));
    memcpy(store->view.base + (index == 0 ? ROMA__AT_SUPER_B : ROMA__AT_SUPER_A), &super,
           sizeof super);
    roma__step("super.written");
    return 0;
}

const roma__store_watcher *roma__store_watched_by;

static int judged(int code, roma_error *error)
{
    switch (code) {
    case 0: return 0;
    case -EMEDIUMTYPE: return roma__error(error, code, ROMA_WHY_STORE_FOREIGN);
    case -EPROTONOSUPPORT: return roma__error(error, code, ROMA_WHY_STORE_NEWER);
    default: return roma__error_subject(error, code, ROMA_WHY_STORE_DAMAGED, "superblock");
    }
}

static int read_super(int fd, roma__super *super, roma__regions *regions, roma_error *error)
{
    char first[ROMA__AT_LIVE];
    size_t have = 0;
    while (have < sizeof first) {
        ssize_t got = roma__sys->pread(fd, first + have, sizeof first - have, (off_t)have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return roma__error_call(error, "pread", errno);
        if (got == 0)
            break;
        have += (size_t)got;
    }
    memset(first + have, 0, sizeof first - have);
    unsigned index;
    int code = roma__super_choose(first, super, &index, regions);
    if (code == -EPROTONOSUPPORT && error != NULL) {
        (void)judged(code, error);
        error->need = super->version != ROMA__STORE_VERSION ? super->version : super->features;
        return code;
    }
    return judged(code, error);
}

/* ---- judging the file ------------------------------------------------------------------------ */

static int check_length(uint64_t need_units, uint64_t file_bytes, roma_error *error)
{
    uint64_t need = need_units << ROMA__UNIT_SHIFT;
    if (file_bytes >= need)
        return 0;
    (void)roma__error(error, -EUCLEAN, ROMA_WHY_STORE_SHORT);
    if (error != NULL) {
        error->need = need;
        error->have = file_bytes;
    }
    return -EUCLEAN;
}

/* The end of the checkpoint's path, as much as a record has room for. */
static int crashed(const roma_store *store, roma_error *error)
{
    char *checkpoint = store->path == NULL ? NULL : roma__path_with(store->path, ".checkpoint");
    size_t length = checkpoint == NULL ? 0 : strlen(checkpoint), most = sizeof error->subject - 1;
    (void)roma__error_subject(error, -EUCLEAN, ROMA_WHY_STORE_CRASHED,
                              length > most ? checkpoint + length - most : checkpoint);
    free(checkpoint);
    return -EUCLEAN;
}

/* What the live state says of the file's length, against what it has then: another session may grow
 * it meanwhile, so its word is read first. */
static int check_committed(const roma_store *store, roma_error *error)
{
    struct stat status;
    uint64_t committed = roma__load_acquire(&store->view.live->committed_units);
    if (roma__sys->fstat(store->fd, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    int code = check_length(committed, (uint64_t)status.st_size, error);
    if (code == 0 && roma__view_units(&store->view) <= store->view.regions.first_unit)
        code = roma__error_subject(error, -EUCLEAN, ROMA_WHY_STORE_DAMAGED, "committed size");
    return code;
}

/* Nobody has it open: can what is there be trusted? */
static int judge_rest(const roma_store *store, const roma__super *super, const struct stat *status,
                      const roma_store_options *options, roma_error *error)
{
    char boot_id[sizeof super->boot_id];
    if ((super->flags & ROMA__SUPER_CLEAN) != 0 || options->keep_crashed)
        return 0;
    roma__boot_id(boot_id, sizeof boot_id);
    if ((super->flags & ROMA__SUPER_VOLATILE) == 0 &&
        strncmp(super->boot_id, boot_id, sizeof boot_id) != 0)
        return crashed(store, error);
    if ((super->flags & ROMA__SUPER_VOLATILE) == 0 &&
        (super->inode != (uint64_t)status->st_ino || super->device != (uint64_t)status->st_dev))
        return roma__error(error, -EUCLEAN, ROMA_WHY_STORE_COPIED);
    return 0;
}

typedef struct beginning {
    const struct stat *status;
    bool is_unshared;
} beginning;

static void begin_use(roma__super *super, void *context)
{
    const beginning *how = context;
    const struct stat *status = how->status;
    super->features_hint &= ~(ROMA__HINT_UNSHARE | (how->is_unshared ? ROMA__HINT_SHARED : 0));
    super->flags &= ~(uint32_t)ROMA__SUPER_CLEAN;
    super->incarnation++;
    super->inode = (uint64_t)status->st_ino;
    super->device = (uint64_t)status->st_dev;
    memset(super->boot_id, 0, sizeof super->boot_id);
    roma__boot_id(super->boot_id, sizeof super->boot_id);
}

/* What no living process can stand for: locks of lanes that are not in use, left by damage. */
static void clear_strays(const roma__view *view)
{
    for (unsigned i = 0; i < ROMA__STRIPES_COUNT; i++) {
        uint32_t holder = roma__load(&view->stripes[i].holder);
        if (holder != 0 &&
            (holder > view->regions.lanes || roma__load(&view->live->lanes_used) < holder ||
             roma__load(&view->lanes[holder - 1].word) == 0 ||
             roma__load(&view->lanes[holder - 1].word) > view->regions.sessions))
            roma__store(&view->stripes[i].holder, 0);
    }
    roma__store(&view->live->park, 0);
}

/* The first session of all: from here on the file is in use, and says so before it is changed.
 * Pages that a killed checkpoint left shared are copied first, if there is room for them. */
static int begin_first(roma_store *store, const struct stat *status, const roma__super *super,
                       const roma_store_options *options, roma_error *error)
{
    bool is_volatile = (super->flags & ROMA__SUPER_VOLATILE) != 0;
    bool is_left = (super->features_hint & ROMA__HINT_UNSHARE) != 0;
    beginning how = {status, is_left && roma__copy_unshare(store->fd) == 0};
    int code = roma__super_change(store, begin_use, &how, error);
    if (code < 0)
        return code;
    if (!is_volatile && !options->unsynced && roma__sys->fsync(store->fd) < 0)
        return roma__error_call(error, "fsync", errno);
    clear_strays(&store->view);
    return 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

static uint32_t page_bytes_of(void)
{
    long bytes = sysconf(_SC_PAGESIZE);
    return bytes > 4096 ? (uint32_t)bytes : 4096;
}

/* A forked child has either nothing of the mapping's description, or knows its descriptor. */
static int map(roma_store *store, const roma__regions *regions, roma_error *error)
{
    roma__opening_lock();
    int fd = roma__file_reopen(store->fd, store->is_read_only, error);
    int code = fd < 0 ? fd : roma__store_map(store, fd, regions, error);
    store->mapped_fd = fd < 0 ? -1 : fd;
    roma__opening_unlock();
    return code;
}

static int attach(roma_store *store, bool is_first, const struct stat *status,
                  const roma__super *super, const roma_store_options *options, roma_error *error)
{
    int code = check_committed(store, error);
    if (code < 0 || store->is_read_only)
        return code;
    if (is_first)
        code = begin_first(store, status, super, options, error);
    if (code == 0)
        code = roma__session_attach(store, options->label, error);
    if (code < 0 && is_first && (super->flags & ROMA__SUPER_CLEAN) != 0)
        (void)roma__store_rest(store); /* nobody has it after all */
    return code;
}

static int map_and_attach(roma_store *store, const struct stat *status, const roma__super *super,
                          const roma__regions *regions, const roma_store_options *options,
                          roma_error *error)
{
    int alive = roma__sessions_alive(store->fd, regions, NULL);
    if (alive < 0)
        return roma__error_call(error, "fcntl", -alive);
    int code = alive ? 0 : judge_rest(store, super, status, options, error);
    if (code == 0)
        code = map(store, regions, error);
    /* Where it is clean, sessions that are alive only have yet to unmap it (close.c). */
    bool is_first = !alive || (super->flags & ROMA__SUPER_CLEAN) != 0;
    if (code == 0)
        code = attach(store, is_first, status, super, options, error);
    /* From here on lock and mapping live and die together. */
    if (store->maps_itself || store->is_read_only)
        roma__store_close_mapped(store);
    return code;
}

int roma__store_open_locked(roma_store *store, const roma_store_options *options, roma_error *error)
{
    roma__super super = {.magic = 0};
    roma__regions regions = {.sessions = 0};
    struct stat status;
    int code = read_super(store->fd, &super, &regions, error);
    if (code < 0)
        return code;
    if (roma__sys->fstat(store->fd, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    if (!store->is_read_only && super.features_write != 0) {
        (void)judged(-EPROTONOSUPPORT, error);
        if (error != NULL)
            error->need = super.features_write;
        return -EPROTONOSUPPORT;
    }
    code = check_length(super.committed_units, (uint64_t)status.st_size, error);
    if (code < 0)
        return code;
    store->page_bytes = super.page_bytes;
    if (store->page_bytes < page_bytes_of())
        store->page_bytes = page_bytes_of();
    store->is_in_memory = (super.flags & ROMA__SUPER_VOLATILE) != 0;
    return map_and_attach(store, &status, &super, &regions, options, error);
}

/* The byte by which others see that it is being opened or closed or, for reading, that it is open.
 * It is unlocked by name, not by closing: a forked child may have the description for a while. */
int64_t roma__store_lock_of(const roma_store *store)
{
    return store->is_read_only ? ROMA__LOCK_OPEN : ROMA__LOCK_FILE;
}

/* A read-only opening is seen by who would cut or replace the file. */
static int lock(roma_store *store, roma_error *error)
{
    int64_t byte = roma__store_lock_of(store);
    int code = store->is_read_only ? roma__byte_share(store->fd, byte)
                                   : roma__byte_lock(store->fd, byte, true);
    return code < 0 ? roma__error_call(error, "fcntl", -code) : 0;
}

int roma__store_open_begin(roma_store *store, const roma_store_options *options, roma_error *error)
{
    store->is_read_only = options->read_only;
    store->wants_shrink = options->shrink;
    store->wants_no_sync = options->unsynced;
    roma__file_system system;
    int code = roma__file_judge(store->fd, &system, error);
    if (code < 0)
        return code;
    store->maps_itself = system.maps_itself;
    store->capabilities = system.capabilities | (options->read_only ? 0 : ROMA_STORE_WRITABLE);
    if (roma__opening_add(store) < 0)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    (void)roma__sys->membarrier(ROMA__MEMBARRIER_REGISTER_GLOBAL_EXPEDITED, 0); /* park.c */
    code = lock(store, error);
    if (code < 0)
        roma__opening_remove(store);
    return code;
}

int roma__store_open_end(roma_store *store, int code)
{
    if (code < 0)
        roma__store_unmap(store);
    if (code < 0 || !store->is_read_only)
        (void)roma__byte_unlock(store->fd, roma__store_lock_of(store));
    if (code < 0) {
        roma__opening_remove(store);
        return code;
    }
    roma__opening_done(store);
    if (roma__store_watched_by != NULL)
        roma__store_watched_by->opened(store);
    return 0;
}

static int open_fd(roma_store *store, const roma_store_options *options, roma_error *error)
{
    int code = roma__store_open_begin(store, options, error);
    if (code < 0)
        return code;
    return roma__store_open_end(store, roma__store_open_locked(store, options, error));
}

static int open_with(roma_store *store, const roma_store_options *given, roma_store **out,
                     roma_error *error)
{
    roma_store_options options;
    int code = roma__store_options_read(given, &options, error);
    if (code == 0)
        code = open_fd(store, &options, error);
    if (code < 0) {
        roma__store_delete(store);
        return code;
    }
    *out = store;
    return 0;
}

/* An empty record for an opening, or an error. */
static int new_store(roma_store **out, roma_store **store, roma_error *error)
{
    if (out == NULL)
        return roma__error_invalid(error, "store");
    *out = NULL;
    *store = roma__store_new();
    return *store != NULL ? 0 : roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
}

int roma_store_open(const char *path, const roma_store_options *options, roma_store **out,
                    roma_error *error)
{
    roma_store *store;
    if (path == NULL)
        return roma__error_invalid(error, "path");
    int code = new_store(out, &store, error);
    if (code < 0)
        return code;
    bool read_only = options != NULL && options->read_only;
    store->fd = roma__file_open(path, read_only, error);
    if (store->fd < 0) {
        code = store->fd;
        roma__store_delete(store);
        return code;
    }
    store->path = realpath(path, NULL);
    return open_with(store, options, out, error);
}

/* NULL when it has none: in memory, or unlinked, which the kernel tells by a name that is none. */
static char *path_of(int fd)
{
    char name[4096], link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = roma__sys->readlink(link, name, sizeof name - 1);
    if (length <= 0)
        return NULL;
    name[length] = '\0';
    return roma__file_has_name(fd, name) == 1 ? strdup(name) : NULL;
}

int roma_store_attach(int fd, const roma_store_options *options, roma_store **out,
                      roma_error *error)
{
    roma_store *store;
    int code = new_store(out, &store, error);
    if (code < 0)
        return code;
    store->fd = roma__file_reopen(fd, options != NULL && options->read_only, error);
    if (store->fd < 0) {
        code = store->fd;
        roma__store_delete(store);
        return code;
    }
    store->path = path_of(store->fd);
    return open_with(store, options, out, error);
}

/* ---- one that is open ------------------------------------------------------------------------ */

int roma_store_fd(const roma_store *given)
{
    roma_store *store = (roma_store *)(uintptr_t)given; /* the lock makes it safe for readers */
    if (store == NULL)
        return -EINVAL;
    (void)pthread_mutex_lock(&store->lock);
    if (store->shown_fd < 0)
        store->shown_fd = roma__file_reopen(store->fd, store->is_read_only, NULL);
    int fd = store->shown_fd;
    (void)pthread_mutex_unlock(&store->lock);
    return fd;
}

bool roma_store_is_stale(const roma_store *store)
{
    return store != NULL && roma__load(&store->is_stale);
}

unsigned roma_store_capabilities(const roma_store *store)
{
    if (store == NULL)
        return 0;
    bool may_share = !roma__load(&store->is_stale) && roma__store_may_share(store);
    return store->capabilities & ~(may_share ? (unsigned)ROMA_STORE_FULL_IS_ERROR : 0);
}

int roma_store_sync(roma_store *store)
{
    if (store == NULL)
        return -EINVAL;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    return roma__sys->fsync(store->fd) < 0 ? -errno : 0;
}
