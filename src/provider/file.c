/* file.c - the file provider: memory that a file stands behind, handed out in whole pages, for
 * arrays that are larger than memory. What is not in use the kernel writes to the file and takes
 * from memory, without swap.
 *
 * The file is mapped once, as long as it can ever be; an extent is a run of its pages, by first fit
 * (runs.h), and so is its address. Space of the file system is taken when an extent is acquired
 * (fallocate), so that a full disk is an error there and no SIGBUS later, and given back when it is
 * released (a hole is punched): what is handed out again reads as zero.
 *
 * Fork. The mapping is shared, so a child that had it would write into its parent's arrays, and
 * both would hand out the same pages. It is not inherited: for a child the extents of its parent
 * are holes, and at its first call it makes a file of its own beside the other one, without a name.
 *
 * The records are under the lock of all regions, which is held over fork. It is not held while the
 * kernel works, but in a child's first call: a run is taken before its space is, and free again
 * after its hole was punched, so whoever is at work on a run is alone there.
 *
 * Limits. An extent grows in place only. A file system that cannot punch holes keeps the space, and
 * extents on pages used before do not say that they read as zero. One that writes elsewhere than in
 * place (btrfs) may be out of space at a later write, which is a SIGBUS. Pages lie where the kernel
 * puts them. */
#include "provider/file.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/structs.h"
#include "base/text.h"
#include "numa/machine.h"
#include "provider/fork.h"
#include "provider/instance.h"
#include "sys/kernel.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/vfs.h>

#define MAX_BYTES_DEFAULT (UINT64_C(1) << 36)

struct config {
    const char *path;
    roma_file_options options;
};

/* ---- requests -------------------------------------------------------------------------------- */

int roma__file_failed(roma__file *file, int code)
{
    if (code < 0) {
        roma__regions_lock();
        file->failures++;
        roma__regions_unlock();
    }
    return code;
}

static int check_request(const roma__file *file, const roma_extent_request *request, size_t *pages,
                         roma_error *error)
{
    size_t bytes;
    if (roma_page_class(request->pages) != ROMA_PAGE_CLASS_BASE ||
        roma__machine_resolve(request->pages) == 0) {
        (void)roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
        error->pages = request->pages;
        return -EOPNOTSUPP;
    }
    if (request->strict && !roma_nodes_is_empty(&request->nodes))
        return roma__error_subject(error, -EXDEV, ROMA_WHY_UNSUPPORTED,
                                   "strict placement of a file's pages");
    if (request->inherit)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "a file's pages in a child made by fork()");
    if (roma__align_up_overflows(request->bytes, file->page_bytes, &bytes)) {
        (void)roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        error->need = request->bytes;
        return -EOVERFLOW;
    }
    *pages = bytes / file->page_bytes;
    return 0;
}

static int is_full(const roma__file *file, size_t pages, roma_error *error)
{
    (void)roma__error(error, -ENOMEM, ROMA_WHY_REGION_FULL);
    error->need = (uint64_t)pages * file->page_bytes;
    error->have = (uint64_t)file->runs.free_pages * file->page_bytes;
    error->total = (uint64_t)file->runs.pages * file->page_bytes;
    return -ENOMEM;
}

/* An alignment as the list of runs knows it: every stride-th page, from `phase` on. */
struct lattice {
    size_t stride, phase;
};

static struct lattice lattice_of(const roma__file *file, size_t align)
{
    size_t stride = roma__max(align, file->page_bytes) / file->page_bytes;
    size_t base_page = (uintptr_t)file->base / file->page_bytes;
    return (struct lattice){stride, (stride - base_page % stride) % stride};
}

/* Would the file system have so much, as far as it says? */
static int disk_ready(const roma__file *file, size_t pages, roma_error *error)
{
    struct statfs status;
    uint64_t need = (uint64_t)pages * file->page_bytes;
    if (roma__sys->fstatfs(file->fd, &status) != 0 || status.f_blocks == 0)
        return 0;
    uint64_t have = (uint64_t)status.f_bavail * (uint64_t)status.f_bsize;
    if (have >= need)
        return 0;
    errno = ENOSPC;
    int code = roma__file_refused(error, "fallocate", file->path);
    error->need = need;
    error->have = have;
    return code;
}

static int probe(void *self, const roma_extent_request *request, roma_error *error)
{
    roma__file *file = self;
    size_t pages = 0;
    int code = check_request(file, request, &pages, error);
    if (code < 0)
        return code;
    struct lattice at = lattice_of(file, request->align);
    roma__regions_lock();
    /* A child's file would be empty. */
    bool is_here = file->generation == roma__fork_generation();
    if (is_here ? roma__runs_find(&file->runs, pages, at.stride, at.phase) == SIZE_MAX
                : pages > file->runs.pages)
        code = is_full(file, pages, error);
    roma__regions_unlock();
    return code < 0 ? code : disk_ready(file, pages, error);
}

/* ---- whose an extent is ---------------------------------------------------------------------- */

void *roma__file_tag(bool is_import)
{
    return (void *)((uintptr_t)roma__fork_generation() << 1 | is_import);
}

bool roma__file_is_import(const roma_extent *extent)
{
    return ((uintptr_t)extent->tag & 1) != 0;
}

bool roma__file_is_gone(const roma_extent *extent)
{
    return (uintptr_t)extent->tag >> 1 != roma__fork_generation();
}

int roma__file_gone(roma_error *error)
{
    return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an extent of the parent");
}

/* ---- extents --------------------------------------------------------------------------------- */

static int take_pages(roma__file *file, size_t align, size_t pages, size_t *first, bool *zeroed,
                      roma_error *error)
{
    roma__regions_lock();
    int code = roma__file_be_here(file, error);
    if (code == 0) {
        struct lattice at = lattice_of(file, align);
        *first = roma__runs_take(&file->runs, pages, at.stride, at.phase);
        if (*first == SIZE_MAX) {
            code = is_full(file, pages, error);
        } else {
            *zeroed = !file->keeps_old || *first >= file->fresh;
            file->fresh = roma__max(file->fresh, *first + pages);
        }
    }
    roma__regions_unlock();
    return code;
}

static void put_back(roma__file *file, size_t first, size_t pages)
{
    roma__regions_lock();
    roma_check(roma__runs_give(&file->runs, first, pages));
    roma__regions_unlock();
}

void roma__file_note(roma__file *file, uint64_t more_live, uint64_t more_bytes)
{
    roma__regions_lock();
    file->live += more_live;
    file->live_bytes += more_bytes;
    roma__regions_unlock();
}

static int acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error)
{
    roma__file *file = self;
    size_t pages = 0, first = 0;
    bool zeroed = false;
    int code = check_request(file, request, &pages, error);
    if (code == 0)
        code = take_pages(file, request->align, pages, &first, &zeroed, error);
    if (code < 0)
        return roma__file_failed(file, code);
    code = roma__file_back(file, first, pages, error);
    if (code < 0) {
        put_back(file, first, pages);
        return roma__file_failed(file, code);
    }
    *extent = (roma_extent){
        .address = file->base + first * file->page_bytes,
        .bytes = pages * file->page_bytes,
        .page_bytes = file->page_bytes,
        .pages = roma__machine_resolve(request->pages),
        .zeroed = zeroed,
        .populated = request->populate_threads > 0,
        .nodes = request->nodes,
        .tag = roma__file_tag(false),
    };
    if (extent->populated)
        code = roma__file_populate_pages(file, extent->address, extent->bytes,
                                         request->populate_threads, NULL, error);
    if (code < 0) {
        roma__file_give(file, first, pages);
        return roma__file_failed(file, code);
    }
    roma__file_note(file, 1, extent->bytes);
    return 0;
}

int roma__file_foreign(roma_error *error)
{
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                               "the space of an imported extent");
}

static int not_ours(roma_error *error)
{
    return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "extent");
}

/* The pages of an extent; false when it is none of this file. */
static bool pages_of(roma__file *file, const roma_extent *extent, size_t *first, size_t *pages)
{
    size_t offset = (uintptr_t)extent->address - (uintptr_t)file->base;
    *first = offset / file->page_bytes;
    *pages = extent->bytes / file->page_bytes;
    if ((uintptr_t)extent->address < (uintptr_t)file->base ||
        !roma__is_aligned(offset | extent->bytes, file->page_bytes) || *first >= file->runs.pages ||
        *pages > file->runs.pages - *first)
        return false;
    roma__regions_lock();
    bool are_taken = roma__runs_are_taken(&file->runs, *first, *pages);
    roma__regions_unlock();
    return are_taken;
}

static int release(void *self, const roma_extent *extent, roma_error *error)
{
    roma__file *file = self;
    size_t first, pages;
    if (!roma__file_is_gone(extent)) {
        if (roma__file_is_import(extent))
            return roma__file_let_go(file, extent, error);
        if (!pages_of(file, extent, &first, &pages))
            return not_ours(error);
        roma__file_give(file, first, pages);
    }
    roma__file_note(file, UINT64_MAX, 0 - (uint64_t)extent->bytes);
    return 0;
}

static int grow(roma__file *file, roma_extent *extent, size_t end, size_t more, roma_error *error)
{
    size_t bytes = more * file->page_bytes;
    roma__regions_lock();
    bool is_free = roma__runs_take_at(&file->runs, end, more);
    int code = is_free ? 0 : is_full(file, more, error);
    bool zeroed = !file->keeps_old || end >= file->fresh;
    if (is_free)
        file->fresh = roma__max(file->fresh, end + more);
    roma__regions_unlock();
    if (code < 0)
        return code;
    code = roma__file_back(file, end, more, error);
    if (code < 0) {
        put_back(file, end, more);
        return code;
    }
    if (extent->populated)
        code = roma__file_populate_pages(file, file->base + end * file->page_bytes, bytes, 1, NULL,
                                         error);
    if (code < 0) {
        roma__file_give(file, end, more);
        return code;
    }
    extent->zeroed = extent->zeroed && zeroed;
    extent->bytes += bytes;
    roma__file_note(file, 0, bytes);
    return 0;
}

static int resize(void *self, roma_extent *extent, size_t bytes, bool may_move, roma_error *error)
{
    (void)may_move; /* that would be a copy */
    roma__file *file = self;
    size_t first, pages, rounded;
    if (roma__file_is_gone(extent))
        return roma__file_gone(error);
    if (roma__file_is_import(extent))
        return roma__file_foreign(error);
    if (!pages_of(file, extent, &first, &pages))
        return not_ours(error);
    if (roma__align_up_overflows(bytes, file->page_bytes, &rounded))
        return roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
    size_t wanted = rounded / file->page_bytes;
    if (wanted > pages)
        return roma__file_failed(file, grow(file, extent, first + pages, wanted - pages, error));
    if (wanted < pages) {
        roma__file_give(file, first + wanted, pages - wanted);
        roma__file_note(file, 0, (uint64_t)rounded - extent->bytes);
        extent->bytes = rounded;
    }
    return 0;
}

/* ---- figures --------------------------------------------------------------------------------- */

static int stats(void *self, roma_visit visit, void *context)
{
    roma__file *file = self;
    roma__regions_lock();
    const struct {
        const char *key;
        roma_value value;
    } rows[] = {
        {"extents.live", {ROMA_VALUE_COUNT, file->live, NULL}},
        {"extents.bytes", {ROMA_VALUE_BYTES, file->live_bytes, NULL}},
        {"file.bytes", {ROMA_VALUE_BYTES, file->fresh * file->page_bytes, NULL}},
        {"file.max_bytes", {ROMA_VALUE_BYTES, file->bytes, NULL}},
        {"runs.count", {ROMA_VALUE_COUNT, file->runs.count, NULL}},
        {"failures.count", {ROMA_VALUE_COUNT, file->failures, NULL}},
    };
    roma__regions_unlock();
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof rows / sizeof rows[0]; i++)
        code = visit(context, rows[i].key, &rows[i].value);
    return code;
}

/* ---- making one ------------------------------------------------------------------------------ */

static int open_file(const void *argument, void **self, roma_error *error)
{
    const struct config *config = argument;
    size_t page_bytes = roma__machine_base_bytes(), bytes, record_bytes;
    uint64_t wanted = config->options.max_bytes;
    wanted = wanted == 0 ? MAX_BYTES_DEFAULT : wanted;
    if (wanted > PTRDIFF_MAX || roma__align_up_overflows((size_t)wanted, page_bytes, &bytes))
        return roma__error_invalid(error, "max_bytes");
    size_t list_bytes = roma__runs_bytes(bytes / page_bytes);
    if (list_bytes == 0 || roma__add_overflows(list_bytes, sizeof(roma__file), &record_bytes))
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    roma__file *file = roma__record_new(record_bytes);
    if (file == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    file->record_bytes = record_bytes;
    file->page_bytes = page_bytes;
    file->bytes = bytes;
    file->mode = config->options.mode == 0 ? 0600 : config->options.mode;
    if (config->options.executor != NULL)
        file->executor = *config->options.executor;
    file->maker = roma__fork_generation();
    int code = roma__file_make(file, config->path, config->options.keeps_name, error);
    if (code < 0) {
        roma__record_free(file, record_bytes);
        return code;
    }
    *self = file;
    return 0;
}

static void close_file(void *self)
{
    roma__file *file = self;
    roma_check(roma__runs_are_valid(&file->runs));
    if (file->generation == roma__fork_generation())
        (void)roma__sys->munmap(file->base, file->bytes);
    (void)roma__sys->close(file->fd);
    roma__record_free(file, file->record_bytes);
}

static const roma_provider_ops ops = {
    .size = sizeof ops,
    .version = ROMA_PROVIDER_VERSION,
    .capabilities = ROMA_CAN_SYNC | ROMA_CAN_SHARE,
    .name = "file",
    .open = open_file,
    .close = close_file,
    .probe = probe,
    .acquire = acquire,
    .release = release,
    .resize = resize,
    .populate = roma__file_populate,
    .advise = roma__file_advise,
    .query = roma__file_query,
    .stats = stats,
    .sync = roma__file_sync,
    .export_fd = roma__file_export,
    .import_fd = roma__file_import,
};

static int check_options(const roma_file_options *options, roma_error *error)
{
    if (options->executor != NULL &&
        (options->executor->size < sizeof *options->executor ||
         options->executor->file_populate == NULL || options->executor->file_advise == NULL))
        return roma__error_invalid(error, "executor");
    if (options->name != NULL && !roma__provider_name_is_valid(options->name))
        return roma__error_invalid(error, "name");
    if ((options->mode & ~0777u) != 0)
        return roma__error_invalid(error, "mode");
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return roma__error_invalid(error, "reserved");
    return 0;
}

int roma_provider_file(const char *path, const roma_file_options *options, roma_provider **provider,
                       roma_error *error)
{
    enum { FIRST_BYTES = offsetof(roma_file_options, executor) };
    struct config config = {path, roma_file_options_default()};
    if (path == NULL || provider == NULL)
        return roma__error_invalid(error, path == NULL ? "path" : "provider");
    int code = 0;
    if (options != NULL)
        code = roma__struct_read(&config.options, sizeof config.options, options, FIRST_BYTES,
                                 "options", error);
    if (code == 0)
        code = check_options(&config.options, error);
    if (code < 0)
        return code;
    const char *name = config.options.name == NULL ? "file" : config.options.name;
    return roma__provider_make(&ops, name, &config, provider, error);
}
