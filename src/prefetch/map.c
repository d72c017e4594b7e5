/* map.c - files mapped through roma.
 *
 * A map keeps a descriptor of its own, so that the program's may be closed, and a range of
 * addresses that stays where it is. Addresses may be reserved beyond the file's end: the kernel
 * maps them as it maps all others, and they become usable when the file grows. Where the file
 * system has huge folios, an address that lies as its offset does, modulo a huge page, lets the
 * kernel map them as a whole; so the map is put at such an address where there is room for one. */
#include "prefetch/map.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
#include "base/text.h"
#include "prefetch/engine.h"
#include "prefetch/shadow.h"
#include "provider/space.h"
#include "sys/kernel.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { FIRST_OPTIONS_BYTES = sizeof(roma_map_options) };

/* ---- addresses ------------------------------------------------------------------------------ */

static void advise(const roma_map *map, roma_map_access access)
{
    static const int advices[] = {
        [ROMA_MAP_NORMAL] = MADV_NORMAL,
        [ROMA_MAP_SEQUENTIAL] = MADV_SEQUENTIAL,
        [ROMA_MAP_RANDOM] = MADV_RANDOM,
        [ROMA_MAP_HUGE] = MADV_HUGEPAGE,
    };
    /* A hint: a kernel without huge pages refuses the last one. */
    if (access != ROMA_MAP_NORMAL)
        (void)roma__sys->madvise(map->address, map->reserved_bytes, advices[access]);
}

static int map_file(roma_map *map, const roma_map_options *options, roma_error *error)
{
    const roma__space_file file = {
        .fd = map->file.fd,
        .protection = PROT_READ | (options->writable ? PROT_WRITE : 0),
        .offset = map->offset,
        /* hugetlbfs places its mappings itself, since only some addresses fit. */
        .align = map->file.kind == ROMA__FILE_HUGETLB ? 0 : roma__folio_align(map->reserved_bytes),
        .or_anywhere = true,
    };
    int code = roma__space_map_file(&file, map->reserved_bytes, &map->address, error);
    if (code < 0)
        return code;
    advise(map, options->access);
    return 0;
}

/* ---- opening -------------------------------------------------------------------------------- */

static int read_options(roma_map_options *own, const roma_map_options *given, roma_error *error)
{
    *own = roma_map_options_default();
    if (given == NULL)
        return 0;
    int code = roma__struct_read(own, sizeof *own, given, FIRST_OPTIONS_BYTES, "size", error);
    if (code < 0)
        return code;
    if ((unsigned)own->access > ROMA_MAP_HUGE)
        return roma__error_invalid(error, "access");
    for (size_t i = 0; i < sizeof own->reserved; i++)
        if (own->reserved[i])
            return roma__error_subject(error, -E2BIG, ROMA_WHY_UNKNOWN_OPTION, "reserved");
    return 0;
}

/* The file's bytes that the segment has when the file is `length` long. */
static size_t segment_bytes(const roma_map *map, uint64_t length)
{
    uint64_t there = length > map->offset ? length - map->offset : 0;
    return there < map->most_bytes ? (size_t)there : map->most_bytes;
}

/* How long the map is, from what was asked and what the file has. */
static int measure(roma_map *map, const roma_map_options *options, roma_error *error)
{
    size_t page_bytes = map->file.page_bytes;
    if (!roma__is_aligned((size_t)options->offset, page_bytes) || options->offset > INT64_MAX)
        return roma__error_invalid(error, "offset");
    map->offset = options->offset;
    if (map->file.kind == ROMA__FILE_DEVICE && options->bytes == 0)
        return roma__error_invalid(error, "bytes"); /* of a device, nobody tells */
    uint64_t there = map->file.bytes > map->offset ? map->file.bytes - map->offset : 0;
    uint64_t most = options->bytes != 0 ? options->bytes : there;
    if (options->bytes == 0 && options->reserve_bytes > most)
        most = options->reserve_bytes;
    if (map->file.kind == ROMA__FILE_HUGETLB && most > there)
        most = there; /* its files grow by being mapped */
    size_t reserved = roma__max((size_t)most, options->reserve_bytes);
    if (map->file.kind == ROMA__FILE_HUGETLB)
        reserved = (size_t)most;
    if (most > SIZE_MAX / 4 || reserved > SIZE_MAX / 4)
        return roma__error_subject(error, -EOVERFLOW, ROMA_WHY_INVALID, "bytes");
    if (reserved == 0 || (there == 0 && options->reserve_bytes == 0))
        return roma__error_subject(error, -ENODATA, ROMA_WHY_INVALID, "offset");
    map->most_bytes = (size_t)most;
    map->reserved_bytes = roma__align_up(reserved, page_bytes);
    atomic_init(&map->bytes, segment_bytes(map, map->file.bytes));
    return 0;
}

/* Takes the descriptor over. */
static int open_map(int fd, const roma_map_options *options, roma_map **map, roma_error *error)
{
    roma_map *made = roma__record_new(sizeof *made);
    int code = made == NULL ? roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY) : 0;
    if (code == 0)
        code = roma__file_look(fd, &made->file, error);
    if (code == 0)
        code = measure(made, options, error);
    if (code == 0)
        code = map_file(made, options, error);
    if (code < 0) {
        roma__record_free(made, sizeof *made);
        (void)roma__sys->close(fd);
        return code;
    }
    *map = made;
    return 0;
}

int roma_map_open(const char *path, const roma_map_options *options, roma_map **map,
                  roma_error *error)
{
    if (path == NULL || map == NULL)
        return roma__error_invalid(error, path == NULL ? "path" : "map");
    roma_map_options own;
    int code = read_options(&own, options, error);
    if (code < 0)
        return code;
    /* A pipe is refused, not waited for. */
    int fd = roma__sys->open(path, (own.writable ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        code = roma__error_call(error, "open", errno);
        size_t length = strlen(path);
        if (error != NULL) /* its end tells more than its start */
            roma__text_copy(error->subject, sizeof error->subject,
                            path + (length > 63 ? length - 63 : 0));
        return code;
    }
    return open_map(fd, &own, map, error);
}

int roma_map_open_fd(int fd, const roma_map_options *options, roma_map **map, roma_error *error)
{
    if (map == NULL)
        return roma__error_invalid(error, "map");
    roma_map_options own;
    int code = read_options(&own, options, error);
    if (code < 0)
        return code;
    int own_fd = roma__sys->dup(fd);
    if (own_fd < 0)
        return roma__error_call(error, "dup", errno);
    return open_map(own_fd, &own, map, error);
}

/* ---- using and closing ---------------------------------------------------------------------- */

/* A count of users is no part of what a const map is. */
static atomic_uint *scans_of(const roma_map *map)
{
    union {
        const roma_map *given;
        roma_map *counted;
    } pointer = {map};
    return &pointer.counted->scans;
}

void roma__map_hold(const roma_map *map)
{
    atomic_fetch_add_explicit(scans_of(map), 1, memory_order_relaxed);
}

void roma__map_drop(const roma_map *map)
{
    atomic_fetch_sub_explicit(scans_of(map), 1, memory_order_release);
}

/* What goes through its descriptor, wherever in the file, or to its addresses. Others who read the
 * same file are not disturbed: nothing of this map is theirs. */
static roma__ban all_of(const roma_map *map)
{
    return (roma__ban){
        .device = map->file.device,
        .inode = map->file.inode,
        .end = UINT64_MAX,
        .fd = map->file.fd,
        .base = (uintptr_t)map->address - (uintptr_t)map->offset,
    };
}

int roma_map_close(roma_map *map)
{
    if (map == NULL)
        return 0;
    if (roma__calling != NULL)
        return -EDEADLK; /* the thread that is to be waited for */
    /* Acquire: what a scan did with the map before it let go comes before the end. */
    if (atomic_load_explicit(&map->scans, memory_order_acquire) != 0)
        return -EBUSY;
    const roma__ban ban = all_of(map);
    roma__engines_leave(&ban);
    (void)roma__sys->munmap(map->address, map->reserved_bytes);
    (void)roma__sys->close(map->file.fd);
    roma__record_free(map, sizeof *map);
    return 0;
}

roma_segment roma_map_segment(const roma_map *map)
{
    if (map == NULL)
        return roma_segment_of(NULL, 0);
    return roma_segment_of(map->address, atomic_load_explicit(&map->bytes, memory_order_relaxed));
}

int roma_map_fd(const roma_map *map)
{
    return map == NULL ? -1 : map->file.fd;
}

int64_t roma_map_refresh(roma_map *map)
{
    uint64_t length = 0;
    if (map == NULL)
        return -EINVAL;
    int code = roma__file_length(map->file.fd, &length);
    if (code < 0)
        return code;
    size_t bytes = segment_bytes(map, length);
    atomic_store_explicit(&map->bytes, bytes, memory_order_relaxed);
    return (int64_t)bytes;
}
