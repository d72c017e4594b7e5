/* read.c - readers of small kernel files; see read.h. Each opens, reads and closes: kernel files
 * are made at the first read, so nothing is kept open. Interrupted reads are repeated. */
#include "sys/read.h"

#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- opening and reading -------------------------------------------------------------------- */

static int open_path(const char *path)
{
    for (;;) {
        int fd = roma__sys->open(path, O_RDONLY);
        if (fd >= 0)
            return fd;
        if (errno != EINTR)
            return -errno;
    }
}

/* A descriptor, or -errno; -ENAMETOOLONG when root and path do not fit. */
__attribute__((format(printf, 2, 0))) static int open_file(const char *root, const char *path,
                                                           va_list arguments)
{
    char full[ROMA__PATH_BYTES];
    size_t root_length = strlen(root);
    if (root_length >= sizeof full)
        return -ENAMETOOLONG;
    memcpy(full, root, root_length + 1);
    size_t room = sizeof full - root_length;
    int length = vsnprintf(full + root_length, room, path, arguments);
    if (length < 0 || (size_t)length >= room)
        return -ENAMETOOLONG;
    return open_path(full);
}

/* Up to `bytes` bytes; 0 at the end of the file; -errno. */
static ssize_t read_some(int fd, void *buffer, size_t bytes)
{
    for (;;) {
        ssize_t length = roma__sys->read(fd, buffer, bytes);
        if (length >= 0)
            return length;
        if (errno != EINTR)
            return -errno;
    }
}

/* ---- whole files ---------------------------------------------------------------------------- */

/* Fills the buffer to its last byte at most, so a full buffer says that the text does not fit. */
static ssize_t read_whole(int fd, char *buffer, size_t bytes)
{
    size_t used = 0;
    while (used < bytes) {
        ssize_t length = read_some(fd, buffer + used, bytes - used);
        if (length < 0)
            return length;
        if (length == 0)
            break;
        used += (size_t)length;
    }
    if (used == bytes)
        return -EFBIG;
    if (used > 0 && buffer[used - 1] == '\n')
        used--;
    buffer[used] = '\0';
    return (ssize_t)used;
}

__attribute__((format(printf, 4, 0))) static ssize_t read_file(const char *root, char *buffer,
                                                               size_t bytes, const char *path,
                                                               va_list arguments)
{
    if (bytes == 0)
        return -EFBIG;
    int fd = open_file(root, path, arguments);
    ssize_t length = fd;
    if (fd >= 0) {
        length = read_whole(fd, buffer, bytes);
        (void)roma__sys->close(fd);
    }
    if (length < 0)
        buffer[0] = '\0';
    return length;
}

ssize_t roma__read_file(const char *root, char *buffer, size_t bytes, const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    ssize_t length = read_file(root, buffer, bytes, path, arguments);
    va_end(arguments);
    return length;
}

/* ---- one number, one choice ----------------------------------------------------------------- */

static int parse_number(const char *text, uint64_t *value)
{
    if (strcmp(text, "max") == 0) {
        *value = UINT64_MAX;
        return 0;
    }
    uint64_t result = 0;
    const char *digit = text;
    for (; *digit >= '0' && *digit <= '9'; digit++)
        if (__builtin_mul_overflow(result, (uint64_t)10, &result) ||
            __builtin_add_overflow(result, (uint64_t)(*digit - '0'), &result))
            return -EINVAL;
    if (digit == text || *digit != '\0')
        return -EINVAL;
    *value = result;
    return 0;
}

int roma__read_number(const char *root, uint64_t *value, const char *path, ...)
{
    char text[32];
    va_list arguments;
    va_start(arguments, path);
    ssize_t length = read_file(root, text, sizeof text, path, arguments);
    va_end(arguments);
    if (length == -EFBIG)
        return -EINVAL; /* longer than any number */
    return length < 0 ? (int)length : parse_number(text, value);
}

int roma__read_choice(const char *root, char *word, size_t bytes, const char *path, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, path);
    ssize_t length = read_file(root, text, sizeof text, path, arguments);
    va_end(arguments);
    if (bytes > 0)
        word[0] = '\0';
    if (length < 0)
        return (int)length;
    const char *open = strchr(text, '[');
    const char *close = open != NULL ? strchr(open, ']') : NULL;
    if (close == NULL)
        return -EINVAL;
    size_t word_length = (size_t)(close - open) - 1;
    if (word_length >= bytes)
        return -EFBIG;
    memcpy(word, open + 1, word_length);
    word[word_length] = '\0';
    return 0;
}

/* ---- lines ---------------------------------------------------------------------------------- */

int roma__lines_open(roma__lines *lines, const char *root, const char *path, ...)
{
    va_list arguments;
    va_start(arguments, path);
    int fd = open_file(root, path, arguments);
    va_end(arguments);
    lines->fd = fd;
    lines->used = lines->next = 0;
    lines->error = 0;
    lines->skip = false;
    lines->end = fd < 0;
    return fd < 0 ? fd : 0;
}

/* Move what is left to the front and read on; one byte stays free for a terminator. */
static void refill(roma__lines *lines)
{
    memmove(lines->buffer, lines->buffer + lines->next, lines->used - lines->next);
    lines->used -= lines->next;
    lines->next = 0;
    ssize_t length = read_some(lines->fd, lines->buffer + lines->used,
                               sizeof lines->buffer - 1 - lines->used);
    if (length > 0) {
        lines->used += (size_t)length;
        return;
    }
    lines->end = true;
    lines->error = (int)length;
}

/* What is left of the buffer's text as a line; it ends at `used`. */
static char *take_rest(roma__lines *lines)
{
    char *line = lines->buffer + lines->next;
    lines->buffer[lines->used] = '\0';
    lines->next = lines->used;
    return line;
}

char *roma__lines_next(roma__lines *lines)
{
    for (;;) {
        char *line = lines->buffer + lines->next;
        size_t left = lines->used - lines->next;
        char *newline = memchr(line, '\n', left);
        bool skipped = lines->skip;
        if (newline != NULL) {
            *newline = '\0';
            lines->next += (size_t)(newline - line) + 1;
            lines->skip = false;
            if (!skipped)
                return line;
        } else if (lines->end) {
            return left == 0 || skipped ? NULL : take_rest(lines);
        } else if (skipped) {
            lines->next = lines->used;
            refill(lines);
        } else if (left == sizeof lines->buffer - 1) {
            lines->skip = true;
            return take_rest(lines);
        } else {
            refill(lines);
        }
    }
}

void roma__lines_close(roma__lines *lines)
{
    if (lines->fd >= 0)
        (void)roma__sys->close(lines->fd);
    lines->fd = -1;
    lines->end = true;
    lines->used = lines->next = 0;
}

/* ---- folders -------------------------------------------------------------------------------- */

/* As getdents64 writes it. */
struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static int visit_entries(const char *buffer, size_t length,
                         int (*visit)(void *context, const char *name), void *context)
{
    for (size_t at = 0; at < length;) {
        const struct entry *entry = (const void *)(buffer + at);
        at += entry->bytes;
        if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
            continue;
        int code = visit(context, entry->name);
        if (code != 0)
            return code;
    }
    return 0;
}

static int visit_folder(int fd, int (*visit)(void *context, const char *name), void *context)
{
    _Alignas(struct entry) char buffer[2048];
    for (;;) {
        ssize_t length = roma__sys->getdents(fd, buffer, sizeof buffer);
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            return length < 0 ? -errno : 0;
        int code = visit_entries(buffer, (size_t)length, visit, context);
        if (code != 0)
            return code;
    }
}

/* A path that is no format, through the one function that joins root and path. */
__attribute__((format(printf, 2, 3))) static int open_format(const char *root, const char *format,
                                                             ...)
{
    va_list arguments;
    va_start(arguments, format);
    int fd = open_file(root, format, arguments);
    va_end(arguments);
    return fd;
}

int roma__folder_each(const char *root, const char *path,
                      int (*visit)(void *context, const char *name), void *context)
{
    int fd = open_format(root, "%s", path);
    if (fd < 0)
        return fd;
    int code = visit_folder(fd, visit, context);
    (void)roma__sys->close(fd);
    return code;
}
