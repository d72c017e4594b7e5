/* space.c - see space.h.
 *
 * mmap aligns to a base page, or for hugetlb to the huge page. For more, a longer range is
 * reserved, cut to the aligned part, and made accessible: reservations are inaccessible and count
 * against nobody's limit of memory. Ordinary pages come by mprotect(), which fails before it
 * changes anything; hugetlb ones are mapped over the reservation.
 *
 * The kernel takes away what stands at a fixed address before it looks whether it has the memory
 * for what is to stand there (mremap(), and mmap() before 6.12). A call that failed so leaves a
 * hole, where another thread may have a mapping by the time that we look: nothing is unmapped there
 * that is not known to be ours. A mapping over a hole proves itself (MAP_FIXED_NOREPLACE); that a
 * reservation still stands is read off a mark in its first page, no other's at that address. Where
 * neither can be told (no /proc), the range is left alone: address space is lost then, and no
 * memory.
 *
 * Files fail in ways that memory does not, for their file system has a say in each mapping, and a
 * store or a map is not worth a page that is only there for its mark. So they are not mapped over a
 * reservation: it shows where there is room, is let go as a whole, and the file is mapped there if
 * the place is still free. Whatever fails, nothing of ours stands there. A place that another
 * thread took in between is left to it, and the next one is tried.
 *
 * hugetlb pages are mapped without the kernel's reservation. It would take pages by the thread's
 * memory policy, before a node could be named, and say nothing of cgroup limits; so pages are taken
 * when the range is populated, and failing to take one is an error there (populate.c).
 *
 * A range that grew may be several mappings: the kernel merges neighbours that are alike, but never
 * hugetlb ones, and kernels before 6.17 move one mapping at a time. So a move that meets several is
 * halved until each part is one. */
#include "provider/space.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "numa/machine.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

/* ---- reserving ------------------------------------------------------------------------------ */

static int no_space(roma_error *error, int cause, size_t bytes)
{
    if (cause != ENOMEM && cause != EEXIST)
        return roma__error_call(error, "mmap", cause);
    (void)roma__error(error, -ENOMEM, ROMA_WHY_ADDRESS_SPACE);
    if (error != NULL) {
        error->call = "mmap";
        error->cause = cause;
        error->need = bytes;
    }
    return -ENOMEM;
}

int roma__space_unmap(char *address, size_t bytes, roma_error *error)
{
    if (bytes == 0 || roma__sys->munmap(address, bytes) == 0)
        return 0;
    return roma__error_call(error, "munmap", errno);
}

/* Cut [raw, raw + span) to the part in use; what was cut off is not touched again on failure,
 * because it may be somebody else's by then. */
static int cut(char *raw, size_t span, char *first, size_t bytes, roma_error *error)
{
    size_t head = (size_t)(first - raw);
    size_t tail = span - head - bytes;
    int code = roma__space_unmap(raw, head, error);
    if (code < 0) {
        (void)roma__space_unmap(raw, span, NULL);
        return code;
    }
    code = roma__space_unmap(first + bytes, tail, error);
    if (code < 0)
        (void)roma__space_unmap(first, bytes + tail, NULL);
    return code;
}

int roma__space_reserve(size_t bytes, size_t align, char **address, roma_error *error)
{
    size_t base_bytes = roma__machine_base_bytes();
    size_t span, slack = align > base_bytes ? align - base_bytes : 0;
    if (roma__add_overflows(bytes, slack, &span))
        return no_space(error, ENOMEM, bytes);
    /* Not MAP_NORESERVE: what becomes accessible is to be accounted then. */
    char *raw = roma__sys->mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return no_space(error, errno, bytes);
    size_t up = roma__align_up((uintptr_t)raw, roma__max(align, base_bytes)) - (uintptr_t)raw;
    int code = cut(raw, span, raw + up, bytes, error);
    if (code == 0)
        *address = raw + up;
    return code;
}

/* ---- reservations that may have gone --------------------------------------------------------- */

static int make_accessible(char *address, size_t bytes, roma_error *error)
{
    if (roma__sys->mprotect(address, bytes, PROT_READ | PROT_WRITE) == 0)
        return 0;
    return roma__error_call(error, "mprotect", errno);
}

/* Of one call: no other, of this library or of another copy of it, has the same two words. */
typedef struct mark {
    uint64_t whose, serial;
} mark;

static int put_mark(char *to, mark *made, roma_error *error)
{
    static _Atomic(uint64_t) serials;
    static const uint64_t name = 0x726f6d6120746f21; /* "roma to!" */
    roma_check(to != NULL);
    int code = make_accessible(to, roma__machine_base_bytes(), error);
    if (code < 0)
        return code;
    made->whose = (uint64_t)(uintptr_t)&serials ^ name;
    made->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed);
    memcpy(to, made, sizeof *made);
    return 0;
}

/* Read by the kernel, for there may be nothing to be read. */
static bool is_marked(const char *to, const mark *made)
{
    mark found = {0, 0};
    int fd = roma__sys->open("/proc/thread-self/mem", O_RDONLY);
    if (fd < 0)
        return false;
    ssize_t got = roma__sys->pread(fd, &found, sizeof found, (off_t)(uintptr_t)to);
    (void)roma__sys->close(fd);
    return got == (ssize_t)sizeof found && memcmp(&found, made, sizeof found) == 0;
}

/* ---- mapping -------------------------------------------------------------------------------- */

static bool is_hugetlb(const roma__space_kind *kind)
{
    return roma_page_class(kind->pages) == ROMA_PAGE_CLASS_HUGETLB;
}

static int flags_of(const roma__space_kind *kind)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (is_hugetlb(kind))
        flags |= MAP_NORESERVE | MAP_HUGETLB |
                 (int)(roma__log2_floor(kind->page_bytes) << MAP_HUGE_SHIFT);
    return flags;
}

static int map(const roma__space_kind *kind, char *at, size_t bytes, int how, char **address,
               roma_error *error)
{
    char *mapped = roma__sys->mmap(at, bytes, PROT_READ | PROT_WRITE, flags_of(kind) | how, -1, 0);
    if (mapped != MAP_FAILED) {
        *address = mapped;
        return 0;
    }
    int cause = errno;
    if (cause == EEXIST)
        return no_space(error, cause, bytes);
    if (!is_hugetlb(kind) || cause != EINVAL)
        return roma__error_call(error, "mmap", cause);
    int code = roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
    if (error != NULL) {
        error->call = "mmap";
        error->cause = cause;
        error->pages = kind->pages;
    }
    return code;
}

/* hugetlb pages are a mapping of their own kind, which inaccessible memory cannot become. */
static int map_over(const roma__space_kind *kind, char *address, size_t bytes, roma_error *error)
{
    mark made;
    char *mapped;
    int code = put_mark(address, &made, error);
    bool is_ours = code < 0;
    if (code == 0) {
        code = map(kind, address, bytes, MAP_FIXED, &mapped, error);
        is_ours = code < 0 && is_marked(address, &made);
    }
    if (is_ours)
        (void)roma__space_unmap(address, bytes, NULL);
    return code;
}

int roma__space_map_within(const roma__space_kind *kind, char *address, size_t bytes,
                           roma_error *error)
{
    if (is_hugetlb(kind))
        return map_over(kind, address, bytes, error);
    int code = make_accessible(address, bytes, error);
    if (code < 0)
        (void)roma__space_unmap(address, bytes, NULL);
    return code;
}

int roma__space_map_behind(const roma__space_kind *kind, char *address, size_t bytes,
                           roma_error *error)
{
    char *mapped = NULL;
    int code = map(kind, address, bytes, MAP_FIXED_NOREPLACE, &mapped, error);
    if (code == 0 && mapped != address) { /* an emulator that takes the address for a hint */
        (void)roma__space_unmap(mapped, bytes, NULL);
        code = no_space(error, EEXIST, bytes);
    }
    return code;
}

int roma__space_map(const roma__space_kind *kind, size_t bytes, char **address, roma_error *error)
{
    size_t natural = is_hugetlb(kind) ? kind->page_bytes : roma__machine_base_bytes();
    if (kind->align <= natural)
        return map(kind, NULL, bytes, 0, address, error);
    char *reserved = NULL;
    int code = roma__space_reserve(bytes, kind->align, &reserved, error);
    if (code < 0)
        return code;
    code = roma__space_map_within(kind, reserved, bytes, error);
    if (code == 0)
        *address = reserved;
    return code;
}

/* ---- files ---------------------------------------------------------------------------------- */

enum { PLACES = 64 }; /* looked for, before there is none: each time another thread was quicker */

/* Where there is room for it, until somebody takes it. */
static int find_place(const roma__space_file *file, size_t bytes, char **place, roma_error *error)
{
    size_t span;
    if (roma__add_overflows(bytes, file->align - roma__machine_base_bytes(), &span))
        return no_space(error, ENOMEM, bytes);
    char *raw = roma__sys->mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                -1, 0);
    if (raw == MAP_FAILED)
        return no_space(error, errno, bytes);
    *place = raw + ((size_t)(file->offset - (uintptr_t)raw) & (file->align - 1));
    return roma__space_unmap(raw, span, error);
}

/* At a place that is free, or, NULL, anywhere. Returns 0 or -errno; -EEXIST: it is not free. */
static int map_file_at(const roma__space_file *file, size_t bytes, char *place, char **address)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (place != NULL ? MAP_FIXED_NOREPLACE : 0);
    char *mapped = roma__sys->mmap(place, bytes, file->protection, flags, file->fd,
                                   (off_t)file->offset);
    if (mapped == MAP_FAILED)
        return -errno;
    if (place != NULL && mapped != place) { /* an emulator that takes the address for a hint */
        (void)roma__space_unmap(mapped, bytes, NULL);
        return -EEXIST;
    }
    *address = mapped;
    return 0;
}

int roma__space_map_file(const roma__space_file *file, size_t bytes, char **address,
                         roma_error *error)
{
    bool anywhere = file->align <= roma__machine_base_bytes();
    int code = -EEXIST;
    for (int i = 0; !anywhere && i < PLACES && code == -EEXIST; i++) {
        char *place = NULL;
        code = find_place(file, bytes, &place, error);
        if (code < 0)
            return code;
        code = map_file_at(file, bytes, place, address);
    }
    if (code == -EEXIST && (anywhere || file->or_anywhere))
        code = map_file_at(file, bytes, NULL, address);
    if (code == -EEXIST)
        return no_space(error, EEXIST, bytes);
    return code < 0 ? roma__error_call(error, "mmap", -code) : 0;
}

/* ---- moving --------------------------------------------------------------------------------- */

static int move_failed(const roma__space_kind *kind, int cause, roma_error *error)
{
    if (is_hugetlb(kind) && cause == EINVAL)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "moving hugetlb pages (Linux 5.16)");
    return roma__error_call(error, "mremap", cause);
}

/* Reserve a range if nothing is mapped there. */
static bool claim(char *address, size_t bytes)
{
    void *claimed = roma__sys->mmap(address, bytes, PROT_NONE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (claimed != MAP_FAILED && claimed != (void *)address)
        (void)roma__sys->munmap(claimed, bytes);
    return claimed == (void *)address;
}

/* One mapping. Returns 0; or -errno, and *is_ours says whether the target is a reservation of ours
 * still, or again. */
static int move_one(const roma__space_kind *kind, char *from, size_t bytes, char *to,
                    size_t to_bytes, bool *is_ours, roma_error *error)
{
    mark made;
    int code = put_mark(to, &made, error);
    *is_ours = true;
    if (code < 0)
        return code;
    if (roma__sys->mremap(from, bytes, to_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) != MAP_FAILED)
        return 0;
    int cause = errno;
    *is_ours = claim(to, to_bytes) || is_marked(to, &made);
    return move_failed(kind, cause, error);
}

/* The old place is a hole that others may have mapped meanwhile, so it is claimed first. Half an
 * extent at each of two places is nothing that a caller could go on with: then we end. It takes a
 * kernel out of memory and a second thread that maps at this very address in the same moment. */
static void move_back(const roma__space_kind *kind, char *at, char *home, size_t bytes)
{
    roma_check(claim(home, bytes));
    roma_check(roma__space_move(kind, at, bytes, home, bytes, NULL) == 0);
}

/* To a reservation that is the caller's no more, whatever comes of it. */
static int move_halves(const roma__space_kind *kind, char *from, char *to, size_t bytes,
                       roma_error *error)
{
    size_t half = roma__align_up(bytes / 2, kind->page_bytes);
    int code = roma__space_move(kind, from, half, to, half, error);
    if (code < 0) {
        (void)roma__space_unmap(to + half, bytes - half, NULL);
        return code;
    }
    code = roma__space_move(kind, from + half, bytes - half, to + half, bytes - half, error);
    if (code < 0)
        move_back(kind, to, from, half);
    return code;
}

/* A range of several mappings, as hugetlb extents that grew are, is EFAULT before Linux 6.17, where
 * nothing has been moved: then each half is tried alone, down to a page. */
int roma__space_move(const roma__space_kind *kind, char *from, size_t bytes, char *to,
                     size_t to_bytes, roma_error *error)
{
    roma_error own = {.node = -1};
    bool is_ours;
    error = error == NULL ? &own : error;
    int code = move_one(kind, from, bytes, to, to_bytes, &is_ours, error);
    if (code == 0 || !is_ours)
        return code;
    if (error->cause == EFAULT && bytes > kind->page_bytes && bytes == to_bytes)
        return move_halves(kind, from, to, bytes, error);
    (void)roma__space_unmap(to, to_bytes, NULL);
    return code;
}
