/* user_provider.c - a provider as a user would write one, against the public header alone: each
 * extent is a file in memory (memfd), so that it can be shared by its descriptor. */
#include "user_provider.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct files {
    _Atomic(uint64_t) live, bytes;
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int fd_of(const roma_extent *extent)
{
    return (int)(intptr_t)extent->tag;
}

static int fail(roma_error *error, int code, roma_why why)
{
    error->code = code;
    error->why = why;
    return code;
}

static int files_open(const void *config, void **self, roma_error *error)
{
    (void)config;
    *self = calloc(1, sizeof(struct files));
    return *self != NULL ? 0 : fail(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
}

static void files_close(void *self)
{
    free(self);
}

static int files_probe(void *self, const roma_extent_request *request, roma_error *error)
{
    (void)self;
    if (roma_page_class(request->pages) == ROMA_PAGE_CLASS_BASE)
        return 0;
    error->pages = request->pages;
    return fail(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
}

/* Address space at a multiple of `align`, to be mapped over. */
static void *reserve(size_t bytes, size_t align)
{
    size_t span = bytes + align;
    char *raw = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    size_t head = (align - (uintptr_t)raw % align) % align;
    if (head > 0)
        munmap(raw, head);
    munmap(raw + head + bytes, span - head - bytes);
    return raw + head;
}

static int map_file(struct files *files, int fd, size_t bytes, size_t align, roma_extent *extent,
                    roma_error *error)
{
    void *at = bytes > PTRDIFF_MAX - align ? NULL : reserve(bytes, align);
    if (at == NULL)
        return fail(error, -ENOMEM, ROMA_WHY_ADDRESS_SPACE);
    if (mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        munmap(at, bytes);
        return fail(error, -ENOMEM, ROMA_WHY_CALL);
    }
    extent->address = at;
    extent->bytes = bytes;
    extent->page_bytes = page_bytes();
    extent->pages = (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE,
                                                  __builtin_ctzl(page_bytes()));
    extent->tag = (void *)(intptr_t)fd;
    files->live++;
    files->bytes += bytes;
    return 0;
}

static int files_release(void *self, const roma_extent *extent, roma_error *error)
{
    struct files *files = self;
    (void)error;
    munmap(extent->address, extent->bytes);
    close(fd_of(extent));
    files->live--;
    files->bytes -= extent->bytes;
    return 0;
}

static int files_populate(void *self, const roma_range *range, const roma_populate_options *options,
                          roma_error *error)
{
    (void)self;
    (void)options;
    (void)error;
    volatile char *at = (char *)range->extent->address + range->offset;
    for (size_t i = 0; i < range->bytes; i += page_bytes())
        at[i] = at[i];
    return 0;
}

static int files_acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                         roma_error *error)
{
    int code = files_probe(self, request, error);
    if (code < 0)
        return code;
    size_t page = page_bytes();
    size_t bytes = (request->bytes + page - 1) / page * page;
    int fd = memfd_create(request->label != NULL ? request->label : "extent", MFD_CLOEXEC);
    if (fd < 0)
        return fail(error, -errno, ROMA_WHY_CALL);
    if (ftruncate(fd, (off_t)bytes) != 0)
        code = fail(error, -ENOMEM, ROMA_WHY_CALL);
    else
        code = map_file(self, fd, bytes, request->align > page ? request->align : page, extent,
                        error);
    if (code < 0) {
        close(fd);
        return code;
    }
    extent->zeroed = true;
    extent->inherited = true;
    if (request->populate_threads > 0) {
        roma_range all = {extent, 0, extent->bytes};
        extent->populated = files_populate(self, &all, NULL, error) == 0;
    }
    return 0;
}

static int files_resize(void *self, roma_extent *extent, size_t bytes, bool may_move,
                        roma_error *error)
{
    struct files *files = self;
    (void)may_move;
    size_t page = page_bytes();
    size_t rounded = (bytes + page - 1) / page * page, before = extent->bytes;
    if (rounded > before && ftruncate(fd_of(extent), (off_t)rounded) != 0)
        return fail(error, -ENOMEM, ROMA_WHY_CALL);
    if (rounded != before && mremap(extent->address, before, rounded, 0) == MAP_FAILED) {
        (void)!ftruncate(fd_of(extent), (off_t)before);
        return fail(error, -ENOMEM, ROMA_WHY_ADDRESS_SPACE);
    }
    if (rounded < before)
        (void)!ftruncate(fd_of(extent), (off_t)rounded);
    extent->bytes = rounded;
    files->bytes += rounded - before;
    if (extent->populated && rounded > before) {
        roma_range added = {extent, before, rounded - before};
        return files_populate(self, &added, NULL, error);
    }
    return 0;
}

static int files_advise(void *self, const roma_range *range, roma_advice advice,
                        const roma_executor *executor, roma_error *error)
{
    (void)self;
    (void)range;
    (void)executor;
    return advice == ROMA_ADVICE_NEED ? 0 : fail(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED);
}

static int files_query(void *self, const roma_range *range, roma_report *report, roma_error *error)
{
    (void)self;
    char *at = (char *)range->extent->address + range->offset;
    report->bytes = range->bytes;
    for (size_t i = 0; i < range->bytes; i += page_bytes()) {
        unsigned char present;
        if (mincore(at + i, page_bytes(), &present) != 0)
            return fail(error, -errno, ROMA_WHY_CALL);
        report->resident_bytes += (present & 1) != 0 ? page_bytes() : 0;
    }
    return 0;
}

static int files_stats(void *self, roma_visit visit, void *context)
{
    struct files *files = self;
    roma_value live = {ROMA_VALUE_COUNT, files->live, NULL};
    roma_value bytes = {ROMA_VALUE_BYTES, files->bytes, NULL};
    int code = visit(context, "extents.live", &live);
    return code != 0 ? code : visit(context, "extents.bytes", &bytes);
}

static int files_export(void *self, const roma_extent *extent, roma_error *error)
{
    (void)self;
    int fd = fcntl(fd_of(extent), F_DUPFD_CLOEXEC, 0);
    return fd >= 0 ? fd : fail(error, -errno, ROMA_WHY_CALL);
}

static int files_import(void *self, int fd, roma_extent *extent, roma_error *error)
{
    struct stat status;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0 || fstat(own, &status) != 0)
        return fail(error, -EBADF, ROMA_WHY_INVALID);
    int code = map_file(self, own, (size_t)status.st_size, page_bytes(), extent, error);
    if (code < 0)
        close(own);
    return code;
}

const roma_provider_ops user_provider_ops = {
    .size = sizeof user_provider_ops,
    .version = ROMA_PROVIDER_VERSION,
    .capabilities = ROMA_CAN_SHARE,
    .name = "files",
    .open = files_open,
    .close = files_close,
    .probe = files_probe,
    .acquire = files_acquire,
    .release = files_release,
    .resize = files_resize,
    .populate = files_populate,
    .advise = files_advise,
    .query = files_query,
    .stats = files_stats,
    .export_fd = files_export,
    .import_fd = files_import,
};
