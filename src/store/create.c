/* create.c - a store is made: space first, then its first state, the superblock last.
 *
 * Everything that a new store needs is backed by fallocate() before anything is written, so a full
 * disk is an error. The superblock is written when all else is there: a file whose maker was killed
 * has none, and is no store. On failure the file is removed. Whoever opens the file meanwhile waits
 * until the store is made and open, or finds an empty file. */
#include "base/bits.h"
#include "base/error.h"
#include "store/open.h"
#include "store/openings.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEFAULT_MAX (UINT64_C(64) << 30)
#define DEFAULT_BYTES (UINT64_C(1) << 20)

typedef struct plan {
    roma__regions regions;
    uint64_t committed; /* units, of the whole file */
    uint32_t lanes;     /* that have space from the start: who comes on a full disk can release */
    uint32_t page_bytes;
} plan;

static uint64_t units_of(uint64_t bytes)
{
    return (bytes >> ROMA__UNIT_SHIFT) + (bytes % ROMA__UNIT_BYTES != 0);
}

static int make_plan(const roma_store_options *options, uint32_t page_bytes, plan *out,
                     roma_error *error)
{
    uint64_t bytes = options->bytes != 0 ? options->bytes : DEFAULT_BYTES;
    uint64_t max = options->max_bytes;
    if (max == 0)
        max = bytes > DEFAULT_MAX / 16 && bytes < UINT64_MAX / 16 ? bytes * 16 : DEFAULT_MAX;
    uint32_t sessions = options->sessions != 0 ? options->sessions : ROMA_STORE_SESSIONS_DEFAULT;
    uint32_t lanes = options->lanes != 0 ? options->lanes : ROMA_STORE_LANES_DEFAULT;
    if (sessions > ROMA__SESSIONS_MAX)
        return roma__error_invalid(error, "roma_store_options.sessions");
    if (lanes > ROMA__LANES_MAX)
        return roma__error_invalid(error, "roma_store_options.lanes");
    if (max < bytes || roma__regions_of(sessions, lanes, units_of(max), &out->regions) < 0)
        return roma__error_invalid(error, "roma_store_options.max_bytes");
    uint64_t multiple = roma__max(page_bytes / ROMA__UNIT_BYTES, 1);
    out->lanes = lanes < ROMA__LANES_BACKED ? lanes : ROMA__LANES_BACKED;
    out->page_bytes = page_bytes;
    out->committed = roma__min(roma__align_up(out->regions.first_unit + units_of(bytes), multiple),
                               out->regions.max_units);
    return 0;
}

/* ---- the file's first state ------------------------------------------------------------------ */

static int back_all(roma_store *store, const plan *made, roma_error *error)
{
    uint64_t lanes_end = made->regions.lanes_at + made->lanes * sizeof(roma__lane);
    int code = roma__file_fits(made->committed << ROMA__UNIT_SHIFT);
    if (code == 0)
        code = roma__store_file_back(store->fd, 0, lanes_end);
    if (code == 0)
        code = roma__units_back(store, made->regions.first_unit, made->committed);
    return code < 0 ? roma__error_call(error, "fallocate", -code) : 0;
}

static void fill_uuid(uint8_t *uuid)
{
    char text[40];
    roma__boot_id(text, sizeof text); /* a start, if there is no better */
    int fd = roma__sys->open("/dev/urandom", O_RDONLY);
    ssize_t got = fd >= 0 ? roma__sys->read(fd, uuid, 16) : -1;
    if (got != 16)
        memcpy(uuid, text, 16);
    if (fd >= 0)
        (void)roma__sys->close(fd);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static void write_super(roma_store *store, const plan *made, uint32_t flags)
{
    const roma__regions *regions = &made->regions;
    roma__super super;
    memset(&super, 0, sizeof super);
    super.magic = ROMA__STORE_MAGIC;
    super.version = ROMA__STORE_VERSION;
    super.byte_order = ROMA__STORE_BYTE_ORDER;
    super.super_bytes = sizeof super;
    super.features = ROMA__FEATURES_KNOWN;
    super.generation = 1;
    fill_uuid(super.uuid);
    super.flags = flags | ROMA__SUPER_CLEAN;
    super.page_bytes = made->page_bytes;
    super.sessions = regions->sessions;
    super.lanes = regions->lanes;
    super.max_units = regions->max_units;
    super.committed_units = made->committed;
    super.sessions_at = ROMA__AT_SESSIONS;
    super.lanes_at = regions->lanes_at;
    super.unit_maps_at = regions->unit_maps_at;
    super.unit_map_bytes = regions->unit_map_bytes;
    super.unit_table_at = regions->unit_table_at;
    super.first_unit = regions->first_unit;
    super.checksum = roma__checksum(&super, offsetof(roma__super, checksum));
    memcpy(store->view.base + ROMA__AT_SUPER_A, &super, sizeof super);
}

/* Through a mapping of its own, which is gone before the store is opened. */
static int write_first(roma_store *store, const plan *made, uint32_t flags, roma_error *error)
{
    uint64_t bytes = made->committed << ROMA__UNIT_SHIFT;
    /* A forked child must not have it: with it go the locks of the description. */
    roma__opening_lock();
    char *base = roma__sys->mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                                 store->fd, 0);
    int cause = errno;
    bool is_own = base != MAP_FAILED && roma__sys->madvise(base, bytes, MADV_DONTFORK) == 0;
    cause = base != MAP_FAILED ? errno : cause;
    roma__opening_unlock();
    if (base == MAP_FAILED)
        return roma__error_call(error, "mmap", cause);
    if (!is_own) {
        (void)roma__sys->munmap(base, bytes);
        return roma__error_call(error, "madvise", cause);
    }
    roma__view_fill(&store->view, base, bytes, -1, &made->regions);
    store->view.live->committed_units = made->committed;
    store->view.live->lanes_used = made->lanes;
    store->view.live->units_cursor = made->regions.first_unit;
    roma__units_set_free(&store->view, made->regions.first_unit, made->committed);
    roma__step("create.filled");
    write_super(store, made, flags);
    memset(&store->view, 0, sizeof store->view);
    if (roma__sys->munmap(base, bytes) < 0)
        return roma__error_call(error, "munmap", errno);
    return 0;
}

static int fill_file(roma_store *store, const roma_store_options *options, uint32_t flags,
                     roma_error *error)
{
    plan made = {.committed = 0};
    struct statfs status;
    long page = sysconf(_SC_PAGESIZE);
    uint32_t page_bytes = page > 4096 ? (uint32_t)page : 4096;
    if (options->huge && roma__sys->fstatfs(store->fd, &status) == 0)
        page_bytes = (uint32_t)status.f_bsize;
    int code = make_plan(options, page_bytes, &made, error);
    if (code < 0)
        return code;
    store->view.regions = made.regions; /* roma__units_back() reads them */
    code = back_all(store, &made, error);
    return code == 0 ? write_first(store, &made, flags, error) : code;
}

/* ---- what users call ------------------------------------------------------------------------- */

/* Under both locks of the file: nobody has it mapped, or can open it. */
static int make_and_open(roma_store *store, const roma_store_options *options, uint32_t flags,
                         roma_error *error)
{
    int code = fill_file(store, options, flags, error);
    return code == 0 ? roma__store_open_locked(store, options, error) : code;
}

/* `path` is the file's, NULL in memory: on failure it has none any more, and is empty. */
static int create(roma_store *store, const roma_store_options *options, uint32_t flags,
                  const char *path, roma_error *error)
{
    int code = roma__store_open_begin(store, options, error);
    if (code < 0) {
        if (path != NULL)
            (void)roma__sys->unlink(path);
        return code;
    }
    code = roma__byte_lock(store->fd, ROMA__LOCK_OPEN, true);
    code = code < 0 ? roma__error_call(error, "fcntl", -code)
                    : make_and_open(store, options, flags, error);
    if (code < 0 && path != NULL) {
        roma__store_unmap(store);
        (void)roma__sys->ftruncate(store->fd, 0);
        (void)roma__sys->unlink(path);
    }
    (void)roma__byte_unlock(store->fd, ROMA__LOCK_OPEN);
    return roma__store_open_end(store, code);
}

int roma_store_create(const char *path, const roma_store_options *given, roma_store **out,
                      roma_error *error)
{
    roma_store_options options;
    if (path == NULL || out == NULL)
        return roma__error_invalid(error, path == NULL ? "path" : "store");
    *out = NULL;
    int code = roma__store_options_read(given, &options, error);
    if (code == 0 && (options.read_only || options.huge))
        code = roma__error_invalid(error, options.huge ? "roma_store_options.huge"
                                                       : "roma_store_options.read_only");
    if (code < 0)
        return code;
    roma_store *store = roma__store_new();
    if (store == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    store->fd = roma__sys->create(path, O_RDWR | O_EXCL, options.mode != 0 ? options.mode : 0600);
    if (store->fd < 0) {
        code = roma__error_call(error, "open", errno);
        roma__store_delete(store);
        return code;
    }
    store->path = realpath(path, NULL);
    code = create(store, &options, 0, path, error);
    if (code < 0) {
        roma__store_delete(store);
        return code;
    }
    *out = store;
    return 0;
}

int roma_store_create_memory(const char *name, const roma_store_options *given, roma_store **out,
                             roma_error *error)
{
    roma_store_options options;
    if (out == NULL)
        return roma__error_invalid(error, "store");
    *out = NULL;
    int code = roma__store_options_read(given, &options, error);
    if (code == 0 && options.read_only)
        code = roma__error_invalid(error, "roma_store_options.read_only");
    if (code < 0)
        return code;
    roma_store *store = roma__store_new();
    if (store == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    unsigned flags = ROMA__MFD_CLOEXEC | ROMA__MFD_ALLOW_SEALING;
    if (options.huge)
        flags |= ROMA__MFD_HUGETLB;
    store->fd = roma__sys->memfd_create(name != NULL ? name : "roma", flags);
    if (store->fd < 0)
        code = roma__error_call(error, "memfd_create", errno);
    else
        code = create(store, &options, ROMA__SUPER_VOLATILE, NULL, error);
    if (code == 0 && roma__sys->add_seals(store->fd, ROMA__SEAL_SHRINK) < 0) {
        code = roma__error_call(error, "fcntl", errno);
        (void)roma_store_close(store);
        return code;
    }
    if (code < 0) {
        roma__store_delete(store);
        return code;
    }
    *out = store;
    return 0;
}
