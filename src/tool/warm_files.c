/* warm_files.c - which files, and which parts of them.
 *
 * Of a folder: all regular files below it, on its own file system; symbolic links are not followed.
 * A file or folder that is named is followed where it leads. A file with several names, or one that
 * is named twice, counts once, under the first of them. */
#include "warm.h"

#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FOLDERS_OPEN = 16,
    SPARE_DESCRIPTORS = 4 /* of the library, which looks into /sys while it works */
};

/* ---- faults --------------------------------------------------------------------------------- */

void warm_note(warm_answer *answer, const char *path, const char *sentence)
{
    progress_clear();
    complain(answer->plan.command, "%s: %s", path, sentence);
    if (answer->faults_count < WARM_FAULTS_MAX) {
        warm_fault *fault = &answer->faults[answer->faults_count];
        fault->path = need_memory(strdup(path));
        snprintf(fault->sentence, sizeof fault->sentence, "%s", sentence);
    }
    answer->faults_count++;
}

/* ---- finding -------------------------------------------------------------------------------- */

static warm_answer *walking; /* nftw hands its caller's context to nobody */

static void add_file(warm_answer *answer, const char *path, const struct stat *status)
{
    if (answer->files_count == answer->files_room) {
        answer->files_room = answer->files_room == 0 ? 64 : 2 * answer->files_room;
        answer->files = need_memory(
            realloc(answer->files, answer->files_room * sizeof *answer->files));
    }
    answer->files[answer->files_count++] = (warm_file){.path = need_memory(strdup(path)),
                                                       .row = answer->rows_count - 1,
                                                       .device = status->st_dev,
                                                       .inode = status->st_ino};
}

static int consider(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)where;
    if (type == FTW_DNR)
        warm_note(walking, path, "this folder cannot be read");
    else if (type == FTW_NS)
        warm_note(walking, path, "it cannot be looked at");
    else if (type == FTW_F && S_ISREG(status->st_mode))
        add_file(walking, path, status);
    return 0;
}

/* As many folders as are held open save opening them again on the way back. */
static void find_in(warm_answer *answer, const char *path)
{
    const int open_most = (int)warm_files_room(FOLDERS_OPEN);
    char *folder = realpath(path, NULL); /* a link to a folder is followed, if it is named */
    walking = answer;
    if (folder == NULL || nftw(folder, consider, open_most, FTW_PHYS | FTW_MOUNT) != 0)
        warm_note(answer, path, strerror(errno));
    free(folder);
}

static const warm_answer *sorting;

static int by_inode(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    const warm_file *x = &sorting->files[left], *y = &sorting->files[right];
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return left < right ? -1 : left > right;
}

static void mark_twice(warm_answer *answer)
{
    size_t *order = need_memory(malloc((answer->files_count + 1) * sizeof *order));
    for (size_t i = 0; i < answer->files_count; i++)
        order[i] = i;
    sorting = answer;
    qsort(order, answer->files_count, sizeof *order, by_inode);
    for (size_t i = 1; i < answer->files_count; i++) {
        const warm_file *before = &answer->files[order[i - 1]];
        warm_file *file = &answer->files[order[i]];
        file->is_twice = file->device == before->device && file->inode == before->inode;
    }
    free(order);
}

void warm_find(warm_answer *answer, char **paths, size_t paths_count)
{
    answer->rows = need_memory(calloc(paths_count, sizeof *answer->rows));
    for (size_t i = 0; i < paths_count; i++) {
        struct stat status;
        answer->rows[answer->rows_count++] = (warm_row){.path = paths[i]};
        if (stat(paths[i], &status) != 0)
            warm_note(answer, paths[i], strerror(errno));
        else if (S_ISDIR(status.st_mode))
            find_in(answer, paths[i]);
        else if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode))
            add_file(answer, paths[i], &status);
        else
            warm_note(answer, paths[i], "it is neither a file nor a folder");
    }
    mark_twice(answer);
}

void warm_forget(warm_answer *answer)
{
    for (size_t i = 0; i < answer->files_count; i++)
        free(answer->files[i].path);
    for (size_t i = 0; i < answer->faults_count && i < WARM_FAULTS_MAX; i++)
        free(answer->faults[i].path);
    free(answer->files);
    free(answer->rows);
    free(answer->plan.parts);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* The limit is one of the numbers that descriptors have: those that are free below it are counted,
 * as far as it matters. */
size_t warm_files_room(size_t most)
{
    struct rlimit limit;
    size_t wanted = most + SPARE_DESCRIPTORS, room = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return most;
    for (rlim_t fd = 0; fd < limit.rlim_cur && fd <= INT_MAX && room < wanted; fd++)
        room += fcntl((int)fd, F_GETFD) < 0;
    return room > SPARE_DESCRIPTORS ? room - SPARE_DESCRIPTORS : 1;
}

int warm_try_open(const warm_file *file, uint64_t *file_bytes)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    off_t end = fd < 0 ? -1 : lseek(fd, 0, SEEK_END); /* that of a block device, too */
    int code = -errno;
    if (end >= 0) {
        *file_bytes = (uint64_t)end;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return code;
}

int warm_open(warm_answer *answer, const warm_file *file, uint64_t *file_bytes)
{
    int fd = warm_try_open(file, file_bytes);
    if (fd < 0)
        warm_note(answer, file->path, strerror(-fd));
    return fd;
}

/* ---- parts ---------------------------------------------------------------------------------- */

/* The next word of a line, cut off with a zero; NULL when there is none. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\r\n");
    if (*word == '\0' || *word == '#')
        return NULL;
    *rest = word + strcspn(word, " \t\r\n");
    if (**rest != '\0')
        *(*rest)++ = '\0';
    return word;
}

static bool read_line(warm_plan *plan, char *line, size_t *room)
{
    char *first = next_word(&line);
    if (first == NULL)
        return true; /* empty, or a comment */
    char *second = next_word(&line);
    uint64_t from, bytes = 1, to; /* 1: the page that has it */
    if (next_word(&line) != NULL || roma_size_parse(first, &from) != 0 ||
        (second != NULL && roma_size_parse(second, &bytes) != 0) ||
        __builtin_add_overflow(from, bytes, &to))
        return false;
    if (plan->parts_count == *room) {
        *room = 2 * *room + 64;
        plan->parts = need_memory(realloc(plan->parts, *room * sizeof *plan->parts));
    }
    plan->parts[plan->parts_count++] = (warm_part){from, to};
    return true;
}

bool warm_read_list(warm_plan *plan, const char *path)
{
    FILE *stream = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    if (stream == NULL) {
        complain_misuse(plan->command, "--list: '%s' cannot be read (%s)", path, strerror(errno));
        return false;
    }
    char *line = NULL;
    size_t length = 0, number = 0, room = plan->parts_count;
    bool good = true;
    for (ssize_t read; good && (read = getline(&line, &length, stream)) >= 0; number++)
        good = strlen(line) == (size_t)read && read_line(plan, line, &room);
    if (!good)
        complain_misuse(plan->command, "--list: line %zu of '%s' is not OFFSET [LENGTH]", number,
                        path);
    if (good && ferror(stream)) {
        complain_misuse(plan->command, "--list: '%s' cannot be read (%s)", path, strerror(errno));
        good = false;
    }
    free(line);
    if (stream != stdin)
        fclose(stream);
    if (good && plan->parts_count == 0) {
        complain_misuse(plan->command, "--list: '%s' names no offset", path);
        good = false;
    }
    return good;
}

/* Its pages. A part of no bytes has none, wherever it is. */
static warm_part widened(warm_part part, uint64_t page_bytes)
{
    if (part.from >= part.to)
        return (warm_part){0, 0};
    uint64_t past = part.to % page_bytes, more = past > 0 ? page_bytes - past : 0;
    uint64_t to = part.to < UINT64_MAX - more ? part.to + more : UINT64_MAX;
    return (warm_part){part.from - part.from % page_bytes, to};
}

static int by_begin(const void *a, const void *b)
{
    const warm_part *left = a, *right = b;
    return left->from < right->from ? -1 : left->from > right->from;
}

void warm_join_parts(warm_plan *plan)
{
    warm_part *parts = plan->parts;
    size_t count = 0;
    for (size_t i = 0; i < plan->parts_count; i++)
        parts[i] = widened(parts[i], plan->page_bytes);
    if (plan->parts_count > 1)
        qsort(parts, plan->parts_count, sizeof *parts, by_begin);
    for (size_t i = 0; i < plan->parts_count; i++) {
        warm_part *last = count > 0 ? &parts[count - 1] : NULL;
        if (last == NULL || parts[i].from > last->to)
            parts[count++] = parts[i];
        else if (parts[i].to > last->to)
            last->to = parts[i].to;
    }
    plan->parts_count = count;
}

size_t warm_ranges(const warm_plan *plan, int fd, uint64_t file_bytes, roma_file_range **ranges)
{
    static const warm_part all = {0, UINT64_MAX};
    const warm_part *parts = plan->parts_count > 0 ? plan->parts : &all;
    size_t parts_count = plan->parts_count > 0 ? plan->parts_count : 1, count = 0;
    *ranges = need_memory(malloc(parts_count * sizeof **ranges));
    for (size_t i = 0; i < parts_count; i++) {
        uint64_t to = parts[i].to < file_bytes ? parts[i].to : file_bytes;
        if (parts[i].from >= to)
            continue;
        uint64_t bytes = to - parts[i].from;
        if (bytes > SIZE_MAX / 2)
            bytes = SIZE_MAX / 2;
        (*ranges)[count++] = roma_file_range_own(fd, parts[i].from, NULL, (size_t)bytes);
    }
    return count;
}
