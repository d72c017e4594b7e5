/* warm.c - `roma warm`: files into memory before they are asked for, or out of it, or how much of
 * them is there.
 *
 * Order of events: arguments; which files; what of them is in memory; reading or evicting; what is
 * in memory then; the answer. Each file is opened for each of these, so that any number of files
 * needs few descriptors. */
#include "warm.h"

#include "progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- arguments ------------------------------------------------------------------------------ */

static void add_part(warm_plan *plan, uint64_t from, uint64_t to)
{
    plan->parts = need_memory(realloc(plan->parts, (plan->parts_count + 1) * sizeof *plan->parts));
    plan->parts[plan->parts_count++] = (warm_part){from, to};
}

/* FROM:TO, of which either may be left out. */
static bool read_range(warm_plan *plan, const char *text)
{
    const char *colon = strchr(text, ':');
    uint64_t from = 0, to = UINT64_MAX;
    if (colon == NULL) {
        complain_misuse(plan->command, "--range: '%s' is not FROM:TO, such as 1G:2G or 4M:", text);
        return false;
    }
    char *first = need_memory(strndup(text, (size_t)(colon - text)));
    bool good = (first[0] == '\0' || read_size(plan->command, "--range", first, &from)) &&
                (colon[1] == '\0' || read_size(plan->command, "--range", colon + 1, &to));
    free(first);
    if (good && from > to) {
        complain_misuse(plan->command, "--range: '%s' ends before it begins", text);
        good = false;
    }
    if (good)
        add_part(plan, from, to);
    return good;
}

/* The place of a word in a list that ends with NULL. */
static bool read_word(const warm_plan *plan, const char *option, const char *text,
                      const char *const *words, unsigned *index)
{
    char all[SENTENCE_BYTES] = "";
    for (unsigned i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], text) == 0) {
            *index = i;
            return true;
        }
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", words[i]);
    }
    complain_misuse(plan->command, "%s: '%s' is not one of %s", option, text, all);
    return false;
}

static bool read_level(warm_plan *plan, const char *text)
{
    static const char *const words[] = {"issued", "resident", NULL};
    unsigned index;
    if (!read_word(plan, "--level", text, words, &index))
        return false;
    plan->level = index == 0 ? ROMA_PREFETCH_ISSUED : ROMA_PREFETCH_RESIDENT;
    return true;
}

static bool read_way(warm_plan *plan, const char *text)
{
    static const char *const words[] = {"auto", "io_uring", "threads", "plain", NULL};
    static const roma_prefetch_way ways[] = {ROMA_PREFETCH_AUTO, ROMA_PREFETCH_URING,
                                             ROMA_PREFETCH_POOL, ROMA_PREFETCH_PLAIN};
    unsigned index;
    if (!read_word(plan, "--way", text, words, &index))
        return false;
    plan->way = ways[index];
    return true;
}

static bool read_task(warm_plan *plan, warm_task task)
{
    if (plan->task != WARM_READ && plan->task != task) {
        complain_misuse(plan->command, "--evict and --status are one or the other");
        return false;
    }
    plan->task = task;
    return true;
}

static bool read_plan(int argc, char **argv, warm_plan *plan)
{
    static const struct option options[] = {
        {"range", required_argument, NULL, 'r'}, {"list", required_argument, NULL, 'l'},
        {"evict", no_argument, NULL, 'e'},       {"status", no_argument, NULL, 's'},
        {"level", required_argument, NULL, 'v'}, {"way", required_argument, NULL, 'w'},
        {"json", no_argument, NULL, 'j'},        {0}};
    *plan = (warm_plan){.command = argv[0],
                        .level = ROMA_PREFETCH_RESIDENT,
                        .page_bytes = (size_t)sysconf(_SC_PAGESIZE)};
    for (int option; (option = next_option(argc, argv, options)) != OPTIONS_END;) {
        bool good = option != OPTIONS_WRONG;
        switch (option) {
        case 'r': good = read_range(plan, optarg); break;
        case 'l': good = warm_read_list(plan, optarg); break;
        case 'e': good = read_task(plan, WARM_EVICT); break;
        case 's': good = read_task(plan, WARM_STATUS); break;
        case 'v': good = read_level(plan, optarg); break;
        case 'w': good = read_way(plan, optarg); break;
        case 'j': plan->as_json = true; break;
        default: break;
        }
        if (!good)
            return false;
    }
    if (optind == argc) {
        complain_misuse(argv[0], "FILE is missing");
        return false;
    }
    warm_join_parts(plan);
    return true;
}

/* ---- the command ---------------------------------------------------------------------------- */

/* The most of files that can be in memory: what is available, and no more than a cgroup may have.
 * What it uses already is not taken off, since most of that may be older files, which give way. */
static uint64_t room_of(const roma_topology *topology)
{
    roma_system_info system;
    roma_limit_info limit;
    roma_topology_system(topology, &system);
    uint64_t bytes = system.memory_available_bytes;
    for (unsigned i = 0; i < roma_topology_limits_count(topology); i++)
        if (roma_topology_limit(topology, i, &limit) == 0 && limit.kind == ROMA_LIMIT_MEMORY &&
            limit.max_bytes < bytes)
            bytes = limit.max_bytes;
    return bytes;
}

/* Files that are larger than memory are read, and the first of them are gone again at the end. */
static void warn_of_size(const warm_answer *answer)
{
    char asked[WORD_BYTES], there[WORD_BYTES];
    uint64_t missing = warm_missing_bytes(&answer->total.before);
    if (roma_topology_get() == NULL)
        return;
    uint64_t room = room_of(roma_topology_get());
    if (missing > room)
        remark("%s are to be read and %s of memory are available: not all of it will stay",
               roma_size_text(missing, asked, sizeof asked),
               roma_size_text(room, there, sizeof there));
}

static bool work(warm_answer *answer)
{
    bool good = true;
    warm_look(answer, false);
    if (answer->plan.task == WARM_READ) {
        warn_of_size(answer);
        good = warm_read(answer);
    } else if (answer->plan.task == WARM_EVICT) {
        good = warm_evict(answer);
    }
    if (good && answer->plan.task != WARM_STATUS)
        warm_look(answer, true);
    progress_clear();
    return good;
}

int warm_command(int argc, char **argv)
{
    static warm_answer answer; /* large for a stack */
    if (!read_plan(argc, argv, &answer.plan)) {
        free(answer.plan.parts);
        return EXIT_MISUSE;
    }
    progress_for(argv[0]);
    warm_find(&answer, argv + optind, (size_t)(argc - optind));
    int code = EXIT_FAULT;
    if (work(&answer)) {
        if (answer.plan.as_json)
            json_print(warm_json(&answer), stdout);
        else
            warm_print(&answer, stdout);
        code = finish_output(argv[0], warm_is_done(&answer) ? EXIT_GOOD : EXIT_FAULT);
    }
    warm_forget(&answer);
    return code;
}
