/* points.c - see points.h. Of a way that is very long only the beginning is recorded. A name is
 * where the string stands in the program: the same in the leader and in those that it forks. */
#include "points.h"

#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRACE_MAX = 1 << 16, NAMES_MAX = 512 };

/* Shared with the children. */
static struct shared {
    uint64_t count;               /* points passed since it was armed */
    const char *trace[TRACE_MAX]; /* the first of them                */
} * shared;

static bool is_armed;
static uint64_t kill_at; /* the kill_at-th point from now on; 0: none */

bool points_share(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared != MAP_FAILED;
}

void crash_point(const char *name)
{
    if (!is_armed)
        return;
    uint64_t number = shared->count++;
    if (number < TRACE_MAX)
        shared->trace[number] = name;
    if (number + 1 == kill_at)
        (void)kill(getpid(), SIGKILL);
}

void points_arm(uint64_t at)
{
    shared->count = 0;
    kill_at = at;
    is_armed = true;
}

void points_disarm(void)
{
    is_armed = false;
}

uint64_t points_count(void)
{
    return shared->count < TRACE_MAX ? shared->count : TRACE_MAX;
}

const char *points_name(uint64_t index)
{
    return shared->trace[index];
}

/* ---- the account ----------------------------------------------------------------------------- */

static struct {
    const char *name;
    uint64_t kills;
} names[NAMES_MAX];
static unsigned names_count;

void points_count_kill(const char *name)
{
    for (unsigned i = 0; i < names_count; i++)
        if (strcmp(names[i].name, name) == 0) {
            names[i].kills++;
            return;
        }
    if (names_count == NAMES_MAX)
        abort();
    names[names_count].name = name;
    names[names_count++].kills = 1;
}

bool points_has_hit(const char *name)
{
    for (unsigned i = 0; i < names_count; i++)
        if (strcmp(names[i].name, name) == 0)
            return true;
    return false;
}

/* ---- the sources ----------------------------------------------------------------------------- */

/* Every point that stands in a source; returns how many were never hit. */
static unsigned check_source(const char *path, unsigned *known)
{
    static const char *const marks[] = {"roma__step(\"", "ROMA__STORE_POINT(\""};
    FILE *file = fopen(path, "r");
    char line[256];
    unsigned missed = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        for (unsigned i = 0; i < 2; i++) {
            char *name = strstr(line, marks[i]);
            if (name == NULL)
                continue;
            name += strlen(marks[i]);
            name[strcspn(name, "\"")] = '\0';
            ++*known;
            if (!points_has_hit(name)) {
                (void)printf("NEVER HIT: %s of %s\n", name, path);
                missed++;
            }
        }
    if (file != NULL)
        (void)fclose(file);
    return missed;
}

unsigned points_check_sources(unsigned *known)
{
    glob_t found;
    unsigned missed = 0;
    *known = 0;
    if (glob(ROMA_SOURCE_DIR "/src/store/*.c", 0, NULL, &found) != 0)
        return 1;
    for (size_t i = 0; i < found.gl_pathc; i++)
        missed += check_source(found.gl_pathv[i], known);
    globfree(&found);
    return *known == 0 ? 1 : missed;
}
