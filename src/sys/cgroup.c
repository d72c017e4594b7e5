/* cgroup.c - which cgroup limits bind this process.
 *
 * For each controller (memory, hugetlb): /proc/self/cgroup tells which hierarchy has it and which
 * cgroup of it the process is in; /proc/self/mountinfo tells where that hierarchy can be seen. A
 * mount shows a subtree (its root field), and both files tell paths from the root of the reader's
 * cgroup namespace, with ".." for what is above it. So the process's cgroup is found in a mount by
 * taking the mount's root off the front of its path:
 *
 *     in /a/b/c    mount of /a/b    seen as  <mount point>/c
 *     in /         mount of /..     the name of the step down is not known; the mount's own root
 *                                   is an ancestor, so its limits are looked at and no others
 *     in /x        mount of /a      nothing there binds this process
 *
 * From that folder up to the mount point every limit that is set is visited. Ancestors above the
 * mount cannot be seen; the kernel applies their limits all the same. A hierarchy of version 1 has
 * its controllers named in /proc/self/cgroup; what none names is on version 2, which hybrid systems
 * mount beside. Files of a controller that is not enabled are simply not there. */
#include "sys/cgroup.h"

#include "sys/read.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CGROUP_BYTES = ROMA__PATH_BYTES / 2 };

/* Beyond this a limit of version 1 is none: its largest value is 2^63 rounded down to pages. */
static const uint64_t unlimited_bytes = (uint64_t)1 << 62;

typedef struct hierarchy {
    unsigned version;         /* 1, 2; 0: the process is in none with this controller */
    char path[CGROUP_BYTES];  /* the process's cgroup, as /proc/self/cgroup tells it  */
    char mount[CGROUP_BYTES]; /* mount point; "" when it is mounted nowhere           */
    char top[CGROUP_BYTES];   /* the mount's root, "" for "/"                         */
    char below[CGROUP_BYTES]; /* the cgroup below that root: "" or "/..."             */
} hierarchy;

typedef struct limit_walk {
    const char *root;
    const size_t *page_sizes;
    size_t sizes_count;
    int (*visit)(void *context, const roma__limit *limit);
    void *context;
} limit_walk;

/* ---- /proc/self/cgroup ---------------------------------------------------------------------- */

/* Is `word` in a list with commas? */
static bool list_has(const char *list, const char *word)
{
    size_t length = strlen(word);
    while (*list != '\0') {
        size_t item = strcspn(list, ",");
        if (item == length && memcmp(list, word, length) == 0)
            return true;
        list += item + (list[item] == ',');
    }
    return false;
}

/* "/" is told as "", so that paths join without a double slash. False: it does not fit. */
static bool copy_path(char *to, const char *path)
{
    if (strcmp(path, "/") == 0)
        path = "";
    size_t length = strlen(path);
    if (length >= CGROUP_BYTES)
        return false;
    memcpy(to, path, length + 1);
    return true;
}

/* A line is "4:memory:/path", of version 2 "0::/path". */
static void take_membership(hierarchy *found, char *line, const char *controller)
{
    char *controllers = strchr(line, ':');
    char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (path == NULL)
        return;
    *controllers++ = '\0';
    *path++ = '\0';
    bool is_second = strcmp(line, "0") == 0 && controllers[0] == '\0';
    bool is_first = list_has(controllers, controller);
    if ((is_first || (is_second && found->version == 0)) && copy_path(found->path, path))
        found->version = is_first ? 1 : 2;
}

static int find_membership(const char *root, hierarchy *found, const char *controller)
{
    roma__lines lines;
    int code = roma__lines_open(&lines, root, "/proc/self/cgroup");
    if (code != 0)
        return code;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;)
        take_membership(found, line, controller);
    roma__lines_close(&lines);
    return lines.error;
}

/* ---- /proc/self/mountinfo ------------------------------------------------------------------- */

/* Undo the kernel's escapes of blanks and backslashes, "\040", in place. */
static void unescape(char *text)
{
    char *to = text;
    while (*text != '\0') {
        bool escaped = text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
                       text[2] <= '7' && text[3] >= '0' && text[3] <= '7';
        if (escaped) {
            *to++ = (char)((text[1] - '0') * 64 + (text[2] - '0') * 8 + (text[3] - '0'));
            text += 4;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
}

/* Only steps up: "/..", "/../.."? */
static bool is_all_up(const char *path)
{
    while (strncmp(path, "/..", 3) == 0 && (path[3] == '/' || path[3] == '\0'))
        path += 3;
    return *path == '\0';
}

/* The cgroup as seen in a mount whose root is `top`; NULL when it is not in there. */
static const char *path_below(const char *path, const char *top)
{
    size_t length = strlen(top);
    if (strncmp(path, top, length) == 0 && (path[length] == '/' || path[length] == '\0')) {
        const char *below = path + length;
        return strncmp(below, "/..", 3) == 0 && (below[3] == '/' || below[3] == '\0') ? NULL
                                                                                      : below;
    }
    return is_all_up(top) ? "" : NULL;
}

/* "31 23 0:28 /root /mount/point rw,... [optional fields] - type source options" */
static void take_mount(hierarchy *found, char *line, const char *controller)
{
    char *rest = NULL, *fields[5];
    char *tail = strstr(line, " - ");
    if (tail == NULL)
        return;
    *tail = '\0';
    char *type = strtok_r(tail + 3, " ", &rest);
    char *source = strtok_r(NULL, " ", &rest);
    char *options = strtok_r(NULL, " ", &rest);
    if (type == NULL || source == NULL || options == NULL)
        return;
    bool wanted = found->version == 1 ? strcmp(type, "cgroup") == 0 && list_has(options, controller)
                                      : strcmp(type, "cgroup2") == 0;
    if (!wanted)
        return;
    for (unsigned i = 0; i < 5; i++)
        if ((fields[i] = strtok_r(i == 0 ? line : NULL, " ", &rest)) == NULL)
            return;
    unescape(fields[3]);
    unescape(fields[4]);
    char top[CGROUP_BYTES];
    if (!copy_path(top, fields[3]))
        return;
    const char *below = path_below(found->path, top);
    /* Of several mounts the one that shows the most ancestors: the longest way down. */
    bool better = found->mount[0] == '\0' || strlen(top) < strlen(found->top);
    if (below == NULL || !better || fields[4][0] != '/' || strlen(fields[4]) >= CGROUP_BYTES)
        return;
    (void)copy_path(found->mount, fields[4]);
    (void)copy_path(found->top, top);
    (void)copy_path(found->below, below);
}

static int find_mount(const char *root, hierarchy *found, const char *controller)
{
    roma__lines lines;
    int code = roma__lines_open(&lines, root, "/proc/self/mountinfo");
    if (code != 0)
        return code;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;)
        take_mount(found, line, controller);
    roma__lines_close(&lines);
    return lines.error;
}

/* ---- the limits of one cgroup --------------------------------------------------------------- */

/* A file that is not there, may not be read or holds no number sets no limit. */
static bool read_bytes(const char *root, const hierarchy *in, const char *file, uint64_t *bytes)
{
    return roma__read_number(root, bytes, "%s%s/%s", in->mount, in->below, file) == 0;
}

static uint64_t file_cache_bytes(const char *root, const hierarchy *in)
{
    const char *prefix = in->version == 1 ? "total_" : "";
    roma__lines lines;
    if (roma__lines_open(&lines, root, "%s%s/memory.stat", in->mount, in->below) != 0)
        return 0;
    uint64_t sum = 0;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;) {
        unsigned long long bytes;
        if (strncmp(line, prefix, strlen(prefix)) != 0)
            continue;
        line += strlen(prefix);
        if (sscanf(line, "inactive_file %20llu", &bytes) == 1 ||
            sscanf(line, "active_file %20llu", &bytes) == 1)
            sum = sum + bytes < sum ? UINT64_MAX : sum + bytes;
    }
    roma__lines_close(&lines);
    return sum;
}

/* The path in the hierarchy, cut at its front when too long: its end tells more. */
static void name_cgroup(const hierarchy *in, roma__limit *limit)
{
    char full[2 * CGROUP_BYTES];
    int length = snprintf(full, sizeof full, "%s%s", in->top, in->below);
    size_t used = length > 0 ? (size_t)length : 0;
    size_t skip = used >= sizeof limit->cgroup ? used - (sizeof limit->cgroup - 1) : 0;
    memcpy(limit->cgroup, full + skip, used - skip + 1);
    if (used == 0)
        memcpy(limit->cgroup, "/", 2);
}

static int visit_limit(const limit_walk *walk, const hierarchy *in, roma__limit_kind kind,
                       size_t page_bytes, const char *limit_file, const char *usage_file)
{
    roma__limit limit = {.kind = kind, .version = in->version, .page_bytes = page_bytes};
    if (!read_bytes(walk->root, in, limit_file, &limit.max_bytes) ||
        limit.max_bytes >= unlimited_bytes)
        return 0;
    if (!read_bytes(walk->root, in, usage_file, &limit.used_bytes))
        limit.used_bytes = 0;
    if (kind == ROMA__LIMIT_MEMORY)
        limit.cache_bytes = file_cache_bytes(walk->root, in);
    name_cgroup(in, &limit);
    return walk->visit(walk->context, &limit);
}

static int visit_memory(const limit_walk *walk, const hierarchy *in)
{
    if (in->version == 1)
        return visit_limit(walk, in, ROMA__LIMIT_MEMORY, 0, "memory.limit_in_bytes",
                           "memory.usage_in_bytes");
    return visit_limit(walk, in, ROMA__LIMIT_MEMORY, 0, "memory.max", "memory.current");
}

/* A page size as the kernel names it in files: "64KB", "2MB", "1GB". */
static void name_size(size_t page_bytes, char *name, size_t bytes)
{
    unsigned shift = page_bytes >= (size_t)1 << 30 ? 30 : page_bytes >= (size_t)1 << 20 ? 20 : 10;
    (void)snprintf(name, bytes, "%zu%s", page_bytes >> shift,
                   shift == 30   ? "GB"
                   : shift == 20 ? "MB"
                                 : "KB");
}

static int visit_hugetlb_of(const limit_walk *walk, const hierarchy *in, size_t page_bytes,
                            bool rsvd)
{
    char size[32], limit_file[80], usage_file[80];
    const char *limit = in->version == 1 ? "limit_in_bytes" : "max";
    const char *usage = in->version == 1 ? "usage_in_bytes" : "current";
    name_size(page_bytes, size, sizeof size);
    (void)snprintf(limit_file, sizeof limit_file, "hugetlb.%s.%s%s", size, rsvd ? "rsvd." : "",
                   limit);
    (void)snprintf(usage_file, sizeof usage_file, "hugetlb.%s.%s%s", size, rsvd ? "rsvd." : "",
                   usage);
    return visit_limit(walk, in, rsvd ? ROMA__LIMIT_HUGETLB_RSVD : ROMA__LIMIT_HUGETLB, page_bytes,
                       limit_file, usage_file);
}

static int visit_hugetlb(const limit_walk *walk, const hierarchy *in)
{
    for (size_t i = 0; i < walk->sizes_count; i++) {
        int code = visit_hugetlb_of(walk, in, walk->page_sizes[i], false);
        if (code == 0)
            code = visit_hugetlb_of(walk, in, walk->page_sizes[i], true);
        if (code != 0)
            return code;
    }
    return 0;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static int each_ancestor(const limit_walk *walk, hierarchy *in,
                         int (*visit)(const limit_walk *walk, const hierarchy *in))
{
    for (;;) {
        int code = visit(walk, in);
        char *slash = strrchr(in->below, '/');
        if (code != 0 || slash == NULL)
            return code;
        *slash = '\0';
    }
}

static int walk_controller(const limit_walk *walk, const char *controller,
                           int (*visit)(const limit_walk *walk, const hierarchy *in))
{
    hierarchy found = {.version = 0};
    int code = find_membership(walk->root, &found, controller);
    if (code == 0 && found.version != 0)
        code = find_mount(walk->root, &found, controller);
    if (code == -ENOENT)
        return 0; /* a kernel without cgroups, or no /proc */
    if (code != 0 || found.mount[0] == '\0')
        return code;
    return each_ancestor(walk, &found, visit);
}

int roma__cgroup_limits(const char *root, const size_t *page_sizes, size_t sizes_count,
                        int (*visit)(void *context, const roma__limit *limit), void *context)
{
    limit_walk walk = {root, page_sizes, sizes_count, visit, context};
    int code = walk_controller(&walk, "memory", visit_memory);
    return code != 0 ? code : walk_controller(&walk, "hugetlb", visit_hugetlb);
}
