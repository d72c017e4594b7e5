/* run_sample.c - watches the memory of a program and all processes below it, from outside.
 *
 * A look walks the tree (/proc/PID/task/TID/children) and adds up what status says of each process,
 * which costs microseconds. When that is more than at the last close look, it becomes a close look:
 * smaps_rollup and numa_maps tell what pages these are. The kernel walks page tables for those,
 * which takes the longer the more memory there is. Looks come fast at first, for programs that end
 * soon, then every 50 ms. Either kind waits for 200 times the CPU time that the last one of its
 * kind took: watching costs at most 1 % of one CPU, and mostly far less.
 *
 * Limits: what happens between two looks is not seen; pages that processes share count once for
 * each; a process that has left the tree (a daemon) is no longer met; numbers of another user's
 * processes need the right to read them. */
#include "run.h"

#include "parallel.h"

#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    USUAL_GAP_NS = 50 * 1000 * 1000,
    FIRST_GAP_NS = 1000 * 1000,
    COST_FACTOR = 200, /* a look that took t is followed by 200 t without one of its kind */
    KIB = 1024
};

__attribute__((format(printf, 1, 2))) static FILE *open_proc(const char *format, ...)
{
    char path[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof path, format, arguments);
    va_end(arguments);
    return fopen(path, "re");
}

/* ---- one process ---------------------------------------------------------------------------- */

/* Add what a process has and read its name; false when it is gone or has ended. hugetlb pages are
 * accounted apart from resident ones by the kernel. */
static bool add_status(pid_t pid, run_memory *sum, char name[64])
{
    char line[256];
    unsigned long long kib;
    bool has_memory = false;
    FILE *file = open_proc("/proc/%d/status", (int)pid);
    if (file == NULL)
        return false;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Name: %63[^\n]", name) == 1)
            continue;
        if (sscanf(line, "VmRSS: %llu kB", &kib) == 1) {
            has_memory = true;
            sum->resident += kib * KIB;
        } else if (sscanf(line, "HugetlbPages: %llu kB", &kib) == 1) {
            sum->hugetlb += kib * KIB;
        }
    }
    fclose(file);
    sum->processes_count += has_memory;
    return has_memory;
}

static void add_rollup(pid_t pid, run_memory *sum)
{
    const struct {
        const char *key;
        uint64_t *bytes;
    } figures[] = {{"Anonymous:", &sum->anonymous},
                   {"AnonHugePages:", &sum->anonymous_huge},
                   {"FilePmdMapped:", &sum->file_huge},
                   {"ShmemPmdMapped:", &sum->file_huge},
                   {"Swap:", &sum->swapped}};
    char line[256], key[64];
    unsigned long long kib;
    FILE *file = open_proc("/proc/%d/smaps_rollup", (int)pid);
    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "%63s %llu kB", key, &kib) != 2)
            continue;
        sum->knows_rollup = true;
        for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
            if (strcmp(key, figures[i].key) == 0)
                *figures[i].bytes += kib * KIB;
    }
    fclose(file);
}

/* The sum for pages of this size. NULL: there are more sizes than we tell apart. */
static run_placed *placed_of(run_memory *sum, uint64_t page_bytes)
{
    unsigned at = 0;
    while (at < sum->placed_count && sum->placed[at].page_bytes < page_bytes)
        at++;
    if (at < sum->placed_count && sum->placed[at].page_bytes == page_bytes)
        return &sum->placed[at];
    if (sum->placed_count == RUN_PAGE_SIZES_MAX)
        return NULL;
    memmove(&sum->placed[at + 1], &sum->placed[at],
            (sum->placed_count - at) * sizeof sum->placed[0]);
    sum->placed_count++;
    sum->placed[at] = (run_placed){.page_bytes = page_bytes};
    return &sum->placed[at];
}

/* A line is: address policy [file=.. anon=.. N0=COUNT N1=COUNT ..] kernelpagesize_kB=SIZE. A file's
 * name has no spaces in it, but may look like one of these words: its word starts with "file=". */
static void add_nodes(pid_t pid, run_memory *sum)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = open_proc("/proc/%d/numa_maps", (int)pid);
    if (file == NULL)
        return;
    while (getline(&line, &room, file) > 0) {
        const char *size = strstr(line, " kernelpagesize_kB=");
        uint64_t page_bytes = size != NULL ? strtoull(size + 19, NULL, 10) * KIB : 0;
        for (const char *word = strstr(line, " N"); word != NULL; word = strstr(word + 1, " N")) {
            char *end;
            unsigned long node = strtoul(word + 2, &end, 10);
            if (*end != '=' || !isdigit((unsigned char)word[2]))
                continue;
            run_placed *placed = page_bytes > 0 ? placed_of(sum, page_bytes) : NULL;
            uint64_t bytes = strtoull(end + 1, NULL, 10) * page_bytes;
            if (placed != NULL)
                *(node < RUN_NODES_MAX ? &placed->node[node] : &placed->other_nodes) += bytes;
        }
    }
    free(line);
    fclose(file);
}

/* ---- the tree ------------------------------------------------------------------------------- */

/* A process keeps its number and changes its name when it executes another program. */
static void note_process(run_sampler *s, pid_t pid, const char *name)
{
    size_t index = 0;
    while (index < s->seen_count && s->seen[index].pid != pid)
        index++;
    if (index == s->seen_room) {
        s->seen_room = s->seen_room == 0 ? 16 : 2 * s->seen_room;
        s->seen = need_memory(realloc(s->seen, s->seen_room * sizeof *s->seen));
    }
    s->seen_count += index == s->seen_count;
    s->seen[index].pid = pid;
    snprintf(s->seen[index].program, sizeof s->seen[index].program, "%s", name);
}

/* Append the children of one thread of a process. */
static size_t add_children(pid_t pid, const char *thread, pid_t *pids, size_t count)
{
    int child;
    FILE *file = open_proc("/proc/%d/task/%s/children", (int)pid, thread);
    if (file == NULL)
        return count;
    while (count < RUN_PROCESSES_MAX && fscanf(file, "%d", &child) == 1)
        pids[count++] = child;
    fclose(file);
    return count;
}

/* All processes from `root` down, breadth first. */
static size_t walk_tree(pid_t root, pid_t *pids)
{
    size_t count = 1;
    pids[0] = root;
    for (size_t i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", (int)pids[i]);
        DIR *threads = opendir(path);
        if (threads == NULL)
            continue;
        for (const struct dirent *entry; (entry = readdir(threads)) != NULL;)
            if (isdigit((unsigned char)entry->d_name[0]))
                count = add_children(pids[i], entry->d_name, pids, count);
        closedir(threads);
    }
    return count;
}

/* ---- looks ---------------------------------------------------------------------------------- */

static uint64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

static void look_closely(run_sampler *s, run_memory *sum, const pid_t *pids, size_t count)
{
    uint64_t before_ns = cpu_ns();
    for (size_t i = 0; i < count; i++) {
        add_rollup(pids[i], sum);
        add_nodes(pids[i], sum);
    }
    s->peak = *sum;
    s->close_looks_count++;
    s->next_close_ns = now_ns() + COST_FACTOR * (cpu_ns() - before_ns);
}

static void look(run_sampler *s, uint64_t now)
{
    pid_t pids[RUN_PROCESSES_MAX];
    char name[64] = "?";
    run_memory sum = {.seconds = (double)(now - s->start_ns) / 1e9};
    size_t count = walk_tree(s->root, pids);
    for (size_t i = 0; i < count; i++)
        if (add_status(pids[i], &sum, name))
            note_process(s, pids[i], name);
    s->looks_count++;
    if (sum.resident + sum.hugetlb > s->most_bytes)
        s->most_bytes = sum.resident + sum.hugetlb;
    if (sum.resident + sum.hugetlb > s->peak.resident + s->peak.hugetlb && now >= s->next_close_ns)
        look_closely(s, &sum, pids, count);
}

void run_sampler_start(run_sampler *s, pid_t root)
{
    *s = (run_sampler){.root = root, .start_ns = now_ns()};
    s->next_ns = s->start_ns + FIRST_GAP_NS;
}

/* An eighth of the time that the program has run, from 1 to 50 ms. */
static uint64_t usual_gap_ns(uint64_t elapsed_ns)
{
    uint64_t gap_ns = elapsed_ns / 8;
    if (gap_ns < FIRST_GAP_NS)
        return FIRST_GAP_NS;
    return gap_ns < USUAL_GAP_NS ? gap_ns : USUAL_GAP_NS;
}

uint64_t run_sampler_look(run_sampler *s)
{
    uint64_t begin_ns = now_ns();
    if (begin_ns < s->next_ns)
        return s->next_ns - begin_ns;
    unsigned close_looks_count = s->close_looks_count;
    uint64_t before_ns = cpu_ns();
    look(s, begin_ns);
    uint64_t cost_ns = cpu_ns() - before_ns, end_ns = now_ns();
    uint64_t gap_ns = usual_gap_ns(end_ns - s->start_ns);
    s->spent_ns += cost_ns;
    if (s->close_looks_count == close_looks_count && gap_ns < COST_FACTOR * cost_ns)
        gap_ns = COST_FACTOR * cost_ns;
    s->next_ns = end_ns + gap_ns;
    return gap_ns;
}

void run_sampler_free(run_sampler *s)
{
    free(s->seen);
    s->seen = NULL;
    s->seen_count = s->seen_room = 0;
}
