/* file.c - the file that is read: made of bytes that no disk can compress, made cold and proved to
 * be so before each measurement. */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK_BYTES = 4 << 20, TRIES = 20, TRY_NS = 50000000 };

static const size_t huge_bytes = (size_t)2 << 20; /* a mapping that suits larger ones suits these */

int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd < 0)
        die(path, errno);
    return fd;
}

uint64_t file_bytes(int fd)
{
    off_t end = lseek(fd, 0, SEEK_END);
    if (end <= 0)
        die("the file's length", end < 0 ? errno : ENODATA);
    return (uint64_t)end;
}

/* Write `bytes` random bytes, all of them to the device: to where the file had them before, if it
 * had so many, and into pages that are the kernel's choice anew. */
void file_make(const settings *s)
{
    int fd = open_file(s->file, O_WRONLY | O_CREAT);
    if (ftruncate(fd, (off_t)s->bytes) != 0)
        die("the file's length", errno);
    (void)fdatasync(fd);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    uint64_t *block = malloc(BLOCK_BYTES), state = 0x9E3779B97F4A7C15u;
    if (block == NULL)
        die("a buffer", ENOMEM);
    for (uint64_t at = 0; at < s->bytes; at += BLOCK_BYTES) {
        size_t length = s->bytes - at < BLOCK_BYTES ? (size_t)(s->bytes - at) : BLOCK_BYTES;
        for (size_t i = 0; i < BLOCK_BYTES / sizeof *block; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block[i] = state;
        }
        if (pwrite(fd, block, length, (off_t)at) != (ssize_t)length)
            die("writing", errno != 0 ? errno : ENOSPC);
    }
    if (fsync(fd) != 0)
        die("fsync", errno);
    free(block);
    close(fd);
}

char *map_file(int fd, uint64_t bytes)
{
    size_t room = (size_t)bytes + huge_bytes;
    char *space = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (space == MAP_FAILED)
        die("addresses", errno);
    char *at = (char *)(((uintptr_t)space + huge_bytes - 1) / huge_bytes * huge_bytes);
    if (mmap(at, (size_t)bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != at)
        die("mapping the file", errno);
    return at;
}

/* A byte a page, 1 for those in memory; to be freed. */
static unsigned char *pages_present(int fd, uint64_t bytes, size_t page)
{
    void *address = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, fd, 0);
    unsigned char *present = malloc(((size_t)bytes + page - 1) / page);
    if (address == MAP_FAILED || present == NULL)
        die("a mapping to look at", errno);
    if (mincore(address, (size_t)bytes, present) != 0)
        die("mincore", errno);
    munmap(address, (size_t)bytes);
    return present;
}

static size_t count_present(const unsigned char *present, size_t pages)
{
    size_t count = 0;
    for (size_t i = 0; i < pages; i++)
        count += present[i] & 1;
    return count;
}

uint64_t resident_bytes(int fd, uint64_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *present = pages_present(fd, bytes, page);
    size_t count = count_present(present, ((size_t)bytes + page - 1) / page);
    free(present);
    return count * page;
}

uint64_t resident_parts_bytes(int fd, uint64_t bytes, const uint64_t *parts, size_t count,
                              size_t part_bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (part_bytes + page - 1) / page;
    unsigned char *present = pages_present(fd, bytes, page);
    uint64_t whole = 0;
    for (size_t i = 0; i < count; i++)
        whole += count_present(present + parts[i] / page, pages) == pages;
    free(present);
    return whole * part_bytes;
}

void make_cold(int fd)
{
    uint64_t bytes = file_bytes(fd), left = 0;
    const struct timespec rest = {.tv_nsec = TRY_NS};
    if (fsync(fd) != 0)
        die("fsync", errno);
    for (int i = 0; i < TRIES; i++) {
        int code = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        if (code != 0)
            die("posix_fadvise", code);
        left = resident_bytes(fd, bytes);
        if (left == 0)
            return;
        (void)nanosleep(&rest, NULL); /* another program may be looking at it */
    }
    fprintf(stderr, "measure: %llu bytes of the file stay in memory: is it on a disk?\n",
            (unsigned long long)left);
    exit(EXIT_FAILURE);
}

int open_cold(const settings *s, uint64_t *bytes)
{
    int fd = open_file(s->file, O_RDONLY);
    *bytes = file_bytes(fd);
    if (s->bytes != 0 && s->bytes < *bytes)
        *bytes = s->bytes;
    make_cold(fd);
    return fd;
}

/* Read it from cold into pages of the base size, as all are on kernels without large folios: what
 * is read with this advice has no others. */
void file_singly(const settings *s)
{
    static char buffer[64 << 10];
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
    for (uint64_t at = 0; at < bytes; at += sizeof buffer)
        if (pread(fd, buffer, sizeof buffer, (off_t)at) <= 0)
            die(s->file, errno != 0 ? errno : ENODATA);
    put("bytes", (double)bytes);
    close(fd);
}

/* What this kernel has, for the report: whether this file gets large folios, mapped as a whole by
 * one entry, and whether residency can be asked for cheaply. */
void file_state(const settings *s)
{
    int fd = open_file(s->file, O_RDONLY);
    uint64_t bytes = file_bytes(fd) < 64u << 20 ? file_bytes(fd) : 64u << 20, huge = 0, number;
    char line[256];
    make_cold(fd);
    char *at = map_file(fd, bytes);
    (void)madvise(at, (size_t)bytes, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < bytes; i += (uint64_t)sysconf(_SC_PAGESIZE))
        (void)*(volatile char *)(at + i);
    FILE *maps = fopen("/proc/self/smaps_rollup", "re");
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL)
        if (sscanf(line, "FilePmdMapped: %lu", &number) == 1)
            huge = number << 10;
    if (maps != NULL)
        fclose(maps);
    put("large_folio_share", (double)huge / (double)bytes);
    roma_prefetch_engine *engine = engine_of(s);
    roma_prefetch_report report = {.size = sizeof report};
    if (roma_prefetch_backend(engine, &report) != 0)
        die("roma_prefetch_backend", EINVAL);
    put("cachestat", report.cachestat);
    put("populate", report.populate);
    printf("way %s\n", roma_prefetch_way_text(report.way));
    for (unsigned i = 0; i < report.steps_count; i++) {
        char sentence[256];
        printf("not %s: %s\n", roma_prefetch_way_text(report.steps[i].way),
               roma_error_text(&report.steps[i].error, sentence, sizeof sentence));
    }
    (void)roma_prefetch_destroy(engine);
}
