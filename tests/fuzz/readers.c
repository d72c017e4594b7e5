/* readers.c - fuzzes what reads /sys and /proc: the topology and the pre-flight checks, over a tree
 * of files that the input makes up.
 *
 * The input is text. A line "=== /path" starts a file, which goes on to the next such line:
 *
 *     === /sys/devices/system/node/online
 *     0-1
 *     === /proc/self/cgroup
 *     0::/job
 *
 * The table of system calls is replaced, so that open, read and getdents serve these files and no
 * folder is made. A folder is there when a file's path goes through it. Reads give few bytes at a
 * time, so that every reader has to go on. */
#include "numa/machine.h"
#include "sys/sys.h"

#include <roma/topology.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* ---- the files ------------------------------------------------------------------------------ */

enum { OPEN_MAX_COUNT = 16, FIRST_FD = 1000, READ_BYTES = 61, ENTRY_HEAD = 19 };

static const char root[] = "/made-up";
static const char mark[] = "=== ";

static const char *input, *input_end;

struct open_file {
    bool used;
    const char *at, *end; /* of a file's text; of the input for a folder */
    char folder[1100];    /* "" for a file                               */
} files[OPEN_MAX_COUNT];

static const char *line_end(const char *at)
{
    const char *newline = memchr(at, '\n', (size_t)(input_end - at));
    return newline != NULL ? newline : input_end;
}

static bool is_mark(const char *at)
{
    size_t length = sizeof mark - 1;
    return (size_t)(input_end - at) >= length && memcmp(at, mark, length) == 0;
}

/* The next file's path from `*at` on: [*path, *path_end), its text starts at *at. */
static bool next_file(const char **at, const char **path, const char **path_end)
{
    while (*at < input_end) {
        const char *line = *at, *end = line_end(line);
        *at = end < input_end ? end + 1 : end;
        if (is_mark(line)) {
            *path = line + sizeof mark - 1;
            *path_end = end;
            return true;
        }
    }
    return false;
}

static int free_slot(void)
{
    for (int i = 0; i < OPEN_MAX_COUNT; i++)
        if (!files[i].used)
            return i;
    return -1;
}

static int made_up_open(const char *path, int flags)
{
    (void)flags;
    int slot = free_slot();
    size_t root_length = sizeof root - 1, length = strlen(path) - root_length;
    if (slot < 0 || strncmp(path, root, root_length) != 0)
        abort(); /* a leak of descriptors, or a read outside the root */
    path += root_length;
    const char *at = input, *name, *name_end;
    while (next_file(&at, &name, &name_end)) {
        size_t name_length = (size_t)(name_end - name);
        if (name_length < length || memcmp(name, path, length) != 0)
            continue;
        if (name_length > length && name[length] != '/')
            continue;
        struct open_file *file = &files[slot];
        *file = (struct open_file){.used = true, .at = at, .end = at};
        while (file->end < input_end && !is_mark(file->end)) {
            const char *end = line_end(file->end);
            file->end = end < input_end ? end + 1 : end;
        }
        if (name_length > length) {
            file->at = input;
            memcpy(file->folder, path, length + 1);
        }
        return FIRST_FD + slot;
    }
    errno = ENOENT;
    return -1;
}

static ssize_t made_up_read(int fd, void *buffer, size_t bytes)
{
    struct open_file *file = &files[fd - FIRST_FD];
    if (file->folder[0] != '\0') {
        errno = EISDIR;
        return -1;
    }
    size_t count = (size_t)(file->end - file->at);
    count = count < bytes ? count : bytes;
    count = count < READ_BYTES ? count : READ_BYTES;
    memcpy(buffer, file->at, count);
    file->at += count;
    return (ssize_t)count;
}

/* One entry a call, as getdents64 writes it: inode and offset 8 bytes each, length 2, type 1, name.
 * Names may come twice, as the files below them do. */
static ssize_t made_up_getdents(int fd, void *buffer, size_t bytes)
{
    struct open_file *file = &files[fd - FIRST_FD];
    size_t length = strlen(file->folder);
    const char *name, *name_end;
    if (length == 0) {
        errno = ENOTDIR;
        return -1;
    }
    while (next_file(&file->at, &name, &name_end)) {
        if ((size_t)(name_end - name) <= length + 1 || name[length] != '/' ||
            memcmp(name, file->folder, length) != 0)
            continue;
        name += length + 1;
        const char *slash = memchr(name, '/', (size_t)(name_end - name));
        size_t name_length = (size_t)((slash != NULL ? slash : name_end) - name);
        uint16_t entry_bytes = (uint16_t)((ENTRY_HEAD + name_length + 1 + 7) / 8 * 8);
        if (name_length == 0 || name_length > 255 || entry_bytes > bytes)
            continue;
        memset(buffer, 0, entry_bytes);
        memcpy((char *)buffer + 16, &entry_bytes, sizeof entry_bytes);
        memcpy((char *)buffer + ENTRY_HEAD, name, name_length);
        return entry_bytes;
    }
    return 0;
}

static int made_up_close(int fd)
{
    files[fd - FIRST_FD].used = false;
    return 0;
}

/* ---- the questions -------------------------------------------------------------------------- */

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void check_topology(const roma_topology *topology)
{
    roma_nodes online = roma_topology_nodes(topology);
    roma_nodes memory = roma_topology_memory_nodes(topology);
    roma_nodes allowed = roma_topology_allowed_nodes(topology);
    roma_nodes odd = roma_nodes_without(&memory, &online);
    expect(!roma_nodes_is_empty(&online) && roma_nodes_is_empty(&odd));
    odd = roma_nodes_without(&allowed, &online);
    expect(roma_nodes_is_empty(&odd));
    for (int node = roma_nodes_next(&online, 0); node >= 0;
         node = roma_nodes_next(&online, (unsigned)node + 1)) {
        roma_node_info info;
        expect(roma_topology_node(topology, (unsigned)node, &info) == 0 && info.node == node);
        expect(memchr(info.cpus, '\0', sizeof info.cpus) != NULL);
        expect(roma_topology_distance(topology, (unsigned)node, (unsigned)node) <= UINT16_MAX);
    }
    roma_kind_info kind;
    for (unsigned i = 0; roma_topology_kind(topology, i, &kind) == 0; i++)
        expect(roma_topology_resolve(topology, kind.pages) == kind.pages &&
               roma_page_bytes(kind.pages) >= 1024);
    roma_limit_info limit;
    for (unsigned i = 0; roma_topology_limit(topology, i, &limit) == 0; i++)
        expect(limit.max_bytes < UINT64_MAX / 4 + 1 && limit.cgroup[0] != '\0' &&
               memchr(limit.cgroup, '\0', sizeof limit.cgroup) != NULL);
}

static void check_answer(int code, const roma_error *error)
{
    char sentence[256];
    expect(code <= 0);
    expect(code == 0 || error->code == code);
    expect(code == 0 || strlen(roma_error_text(error, sentence, sizeof sentence)) > 0);
    expect(code == 0 || strlen(sentence) < sizeof sentence - 1);
}

static void ask(void)
{
    roma_error error = {0};
    roma_topology *topology = NULL;
    int code = roma_topology_read(root, &topology, &error);
    check_answer(code, &error);
    expect((code == 0) == (topology != NULL));
    if (topology == NULL)
        return;
    check_topology(topology);
    roma_topology_free(topology);

    roma_nodes none = roma_nodes_none(), some = roma_nodes_one(0);
    roma_nodes_add(&some, 5);
    const roma_nodes *wishes[] = {&none, &some};
    for (int i = 0; i < 2; i++) {
        check_answer(roma__machine_hugetlb_ready((size_t)2 << 20, 4, wishes[i], &error), &error);
        check_answer(roma__machine_memory_ready((uint64_t)1 << 30, wishes[i], &error), &error);
        check_answer(roma__machine_nodes_usable(wishes[i], i == 0, &error), &error);
    }
    check_answer(roma__machine_thp_ready(ROMA_PAGES_THP, &error), &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct roma__sys table = roma__sys_kernel;
    table.open = made_up_open;
    table.read = made_up_read;
    table.getdents = made_up_getdents;
    table.close = made_up_close;
    input = (const char *)data;
    input_end = input + bytes;
    const struct roma__sys *before = roma__sys_replace(&table);
    roma__machine_root(root);
    ask();
    roma__machine_root(NULL);
    for (int i = 0; i < OPEN_MAX_COUNT; i++)
        expect(!files[i].used);
    (void)roma__sys_replace(before);
    return 0;
}
