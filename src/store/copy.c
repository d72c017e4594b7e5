/* copy.c - the bytes of a store's file in another file, and what makes that a store of its own. */
#include "store/checkpoint.h"

#include "base/bits.h"
#include "base/error.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20, SUPERS_BYTES = 2 * ROMA__SUPER_BYTES };

/* ---- reading and writing all of it ----------------------------------------------------------- */

int roma__write_at(int fd, const void *bytes, size_t count, uint64_t offset, roma_error *error)
{
    const char *at = bytes;
    while (count > 0) {
        ssize_t length = roma__sys->pwrite(fd, at, count, (off_t)offset);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return roma__error_call(error, "pwrite", length < 0 ? errno : ENOSPC);
        at += length;
        count -= (size_t)length;
        offset += (uint64_t)length;
    }
    return 0;
}

/* As much as there is; *got is less than `count` at the end of the file. */
static int read_at(int fd, void *bytes, size_t count, uint64_t offset, size_t *got,
                   roma_error *error)
{
    *got = 0;
    while (*got < count) {
        ssize_t length = roma__sys->pread(fd, (char *)bytes + *got, count - *got,
                                          (off_t)(offset + *got));
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0)
            return roma__error_call(error, "pread", errno);
        if (length == 0)
            return 0;
        *got += (size_t)length;
    }
    return 0;
}

static int file_bytes(int fd, uint64_t *bytes, roma_error *error)
{
    struct stat status;
    if (roma__sys->fstat(fd, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    *bytes = (uint64_t)status.st_size;
    return 0;
}

static int short_file(uint64_t need, uint64_t have, roma_error *error)
{
    (void)roma__error(error, -EUCLEAN, ROMA_WHY_STORE_SHORT);
    if (error != NULL) {
        error->need = need;
        error->have = have;
    }
    return -EUCLEAN;
}

/* ---- the superblock -------------------------------------------------------------------------- */

static int super_fault(int code, const roma__super *super, roma_error *error)
{
    if (code == -EMEDIUMTYPE)
        return roma__error(error, code, ROMA_WHY_STORE_FOREIGN);
    if (code == -EPROTONOSUPPORT) {
        (void)roma__error(error, code, ROMA_WHY_STORE_NEWER);
        if (error != NULL)
            error->need = super->version;
        return code;
    }
    return roma__error_subject(error, code, ROMA_WHY_STORE_DAMAGED, "no superblock is whole");
}

/* Also *live_units, what the live state says is backed, not beyond what there can be. */
static int read_supers(int fd, roma__super *super, roma__regions *regions, uint64_t *live_units,
                       roma_error *error)
{
    char first[ROMA__AT_LIVE + sizeof(uint64_t)];
    size_t got;
    unsigned index;
    int code = read_at(fd, first, sizeof first, 0, &got, error);
    if (code < 0)
        return code;
    memset(first + got, 0, sizeof first - got);
    code = roma__super_choose(first, super, &index, regions);
    if (code < 0)
        return super_fault(code, super, error);
    memcpy(live_units, first + ROMA__AT_LIVE + offsetof(roma__live, committed_units),
           sizeof *live_units);
    bool is_possible = *live_units > regions->first_unit && *live_units <= regions->max_units;
    if (!is_possible)
        *live_units = super->committed_units;
    return 0;
}

int roma__super_read(int fd, roma__super *super, roma__regions *regions, roma_error *error)
{
    uint64_t units, have = 0;
    int code = read_supers(fd, super, regions, &units, error);
    if (code == 0)
        code = file_bytes(fd, &have, error);
    if (code == 0) {
        super->committed_units = units;
        if (have < units << ROMA__UNIT_SHIFT)
            code = short_file(units << ROMA__UNIT_SHIFT, have, error);
    }
    return code;
}

bool roma__store_may_share(const roma_store *store)
{
    roma__super super;
    roma__regions regions;
    unsigned index;
    return roma__super_choose(store->view.base, &super, &index, &regions) == 0 &&
           (super.features_hint & ROMA__HINT_SHARED) != 0;
}

int roma__copy_own(int fd, uint64_t hint, roma_error *error)
{
    static const uint32_t nobody = 0;
    roma__super super;
    roma__regions regions;
    struct stat status;
    int code = roma__super_read(fd, &super, &regions, error);
    if (code < 0)
        return code;
    if (roma__sys->fstat(fd, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    super.generation++;
    super.flags = (super.flags | ROMA__SUPER_CLEAN) & ~(uint32_t)ROMA__SUPER_VOLATILE;
    super.features_hint &= ~(ROMA__HINT_SHARED | ROMA__HINT_UNSHARE);
    super.features_hint |= hint;
    super.device = (uint64_t)status.st_dev;
    super.inode = (uint64_t)status.st_ino;
    memset(super.boot_id, 0, sizeof super.boot_id);
    roma__boot_id(super.boot_id, sizeof super.boot_id);
    super.checksum = roma__checksum(&super, offsetof(roma__super, checksum));
    code = roma__write_at(fd, &super, sizeof super, ROMA__AT_SUPER_A, error);
    if (code == 0)
        code = roma__write_at(fd, &super, sizeof super, ROMA__AT_SUPER_B, error);
    if (code == 0)
        code = roma__write_at(fd, &nobody, sizeof nobody,
                              ROMA__AT_LIVE + offsetof(roma__live, park), error);
    return code;
}

/* ---- ranges with something in them ----------------------------------------------------------- */

/* Call `act` for each range of the file that is not a hole, as far as the file system tells. */
static int each_data(int fd, uint64_t end,
                     int (*act)(void *context, uint64_t offset, uint64_t bytes), void *context)
{
    for (uint64_t at = 0; at < end;) {
        off_t data = roma__sys->lseek(fd, (off_t)at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 0; /* a hole up to the end */
        off_t hole = data < 0 ? -1 : roma__sys->lseek(fd, data, SEEK_HOLE);
        uint64_t from = data < 0 ? at : (uint64_t)data;
        uint64_t to = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
        if (from >= to)
            return 0;
        int code = act(context, from, to - from);
        if (code < 0)
            return code;
        at = to;
    }
    return 0;
}

/* ---- copying --------------------------------------------------------------------------------- */

typedef struct copying {
    int to, from;
    char *buffer;
    roma_error *error;
} copying;

static bool is_zero(const char *bytes, size_t count)
{
    return count == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0);
}

static int copy_range(void *context, uint64_t offset, uint64_t bytes)
{
    copying *job = context;
    while (bytes > 0) {
        size_t got, most = bytes < BUFFER_BYTES ? (size_t)bytes : BUFFER_BYTES;
        int code = read_at(job->from, job->buffer, most, offset, &got, job->error);
        if (code < 0)
            return code;
        if (got < most)
            return short_file(offset + most, offset + got, job->error);
        if (!is_zero(job->buffer, got))
            code = roma__write_at(job->to, job->buffer, got, offset, job->error);
        if (code < 0)
            return code;
        offset += got;
        bytes -= got;
    }
    return 0;
}

int roma__copy_bytes(int to, int from, roma_error *error)
{
    uint64_t bytes = 0;
    int code = file_bytes(from, &bytes, error);
    if (code < 0)
        return code;
    copying job = {.to = to, .from = from, .buffer = malloc(BUFFER_BYTES), .error = error};
    if (job.buffer == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    if (roma__sys->ftruncate(to, (off_t)bytes) < 0)
        code = roma__error_call(error, "ftruncate", errno);
    if (code == 0)
        code = each_data(from, bytes, copy_range, &job);
    free(job.buffer);
    return code;
}

/* ---- space ----------------------------------------------------------------------------------- */

/* Whole pages: where the file system has smaller blocks, a page that is written needs several. */
static int allocate(int fd, int mode, uint64_t offset, uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), end = roma__align_up(offset + bytes, page);
    int code;
    offset = roma__align_down(offset, page);
    bytes = end - offset;
    do
        code = roma__sys->fallocate(fd, mode, (off_t)offset, (off_t)bytes);
    while (code < 0 && errno == EINTR);
    return code < 0 ? -errno : 0;
}

static int unshare_range(void *context, uint64_t offset, uint64_t bytes)
{
    return allocate(*(int *)context, FALLOC_FL_UNSHARE_RANGE, offset, bytes);
}

int roma__copy_unshare(int fd)
{
    uint64_t bytes = 0;
    int code = file_bytes(fd, &bytes, NULL);
    return code < 0 ? code : each_data(fd, bytes, unshare_range, &fd);
}

/* Units that are backed: runs of them without a punched bit. */
static int back_units(int fd, const roma__super *super, const roma__regions *regions)
{
    uint64_t map_at = regions->unit_maps_at + 2 * regions->unit_map_bytes;
    uint64_t word = 0, start = regions->first_unit, end = super->committed_units;
    int code = 0;
    for (uint64_t unit = regions->first_unit; unit <= end && code == 0; unit++) {
        size_t got;
        if (unit < end && (unit == regions->first_unit || unit % 64 == 0))
            code = read_at(fd, &word, sizeof word, map_at + unit / 64 * 8, &got, NULL);
        if (unit < end && (word >> unit % 64 & 1) == 0)
            continue;
        if (code == 0 && start < unit)
            code = allocate(fd, 0, start << ROMA__UNIT_SHIFT, (unit - start) << ROMA__UNIT_SHIFT);
        start = unit + 1;
    }
    return code;
}

static int back_all(int fd, const roma__super *super, const roma__regions *regions)
{
    uint64_t lanes_used = 0, units = super->committed_units;
    size_t got;
    int code = read_at(fd, &lanes_used, sizeof lanes_used,
                       ROMA__AT_LIVE + offsetof(roma__live, lanes_used), &got, NULL);
    if (lanes_used > regions->lanes)
        lanes_used = regions->lanes;
    if (code == 0)
        code = allocate(fd, 0, 0, regions->lanes_at + lanes_used * sizeof(roma__lane));
    for (unsigned map = 0; map < 3 && code == 0; map++)
        code = allocate(fd, 0, regions->unit_maps_at + map * regions->unit_map_bytes,
                        (units + 63) / 64 * 8);
    if (code == 0)
        code = allocate(fd, 0, regions->unit_table_at, units * sizeof(roma__unit));
    return code < 0 ? code : back_units(fd, super, regions);
}

int roma__copy_back(int fd)
{
    roma__super super;
    roma__regions regions;
    int code = roma__super_read(fd, &super, &regions, NULL);
    return code < 0 ? code : back_all(fd, &super, &regions);
}
