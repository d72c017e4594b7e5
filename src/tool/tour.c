/* tour.c - `roma tour`: what the pages of this machine are worth, and that blocks on them work.
 *
 * Order of events: arguments; how much and on which node; the reservation, if asked for, while
 * there is but one thread; plain malloc, base pages, transparent huge pages, hugetlb pages, small
 * before large; the file; the file again, cold; the store; the reservation put back; the answer.
 * One working set is there at a time. */
#include "tour.h"

#include "progress.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MOST = 256, THREADS_DEFAULT_MOST = 8 };

static const uint64_t bytes_default_most = (uint64_t)4 << 30;
static const uint64_t bytes_quick = (uint64_t)256 << 20;
static const uint64_t bytes_least = (uint64_t)64 << 20; /* less would stay in the caches */

/* ---- arguments ------------------------------------------------------------------------------ */

static bool read_bytes(const char *command, const char *text, uint64_t *bytes)
{
    if (!read_size(command, "--bytes", text, bytes))
        return false;
    if (*bytes >= bytes_least)
        return true;
    complain_misuse(command, "--bytes: '%s' stays in the caches; at least 64M is needed", text);
    return false;
}

static bool read_file(const char *command, const char *path, tour_plan *plan)
{
    struct stat status;
    if (stat(path, &status) != 0 || access(path, R_OK) != 0) {
        complain_misuse(command, "FILE: '%s' cannot be read (%s)", path, strerror(errno));
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        complain_misuse(command, "FILE: '%s' is not a regular file", path);
        return false;
    }
    if (strlen(path) >= FILE_PATH_BYTES) {
        complain_misuse(command, "FILE: its path is longer than %d bytes", FILE_PATH_BYTES - 1);
        return false;
    }
    plan->file = path;
    return true;
}

static bool read_plan(int argc, char **argv, tour_plan *plan)
{
    static const struct option options[] = {
        {"bytes", required_argument, NULL, 'b'}, {"threads", required_argument, NULL, 't'},
        {"reserve", no_argument, NULL, 'r'},     {"quick", no_argument, NULL, 'q'},
        {"json", no_argument, NULL, 'j'},        {0}};
    *plan = (tour_plan){.node = -1};
    for (int option; (option = next_option(argc, argv, options)) != OPTIONS_END;) {
        bool good = option != OPTIONS_WRONG;
        if (option == 'b')
            good = read_bytes(argv[0], optarg, &plan->bytes);
        else if (option == 't')
            good = read_count(argv[0], "--threads", optarg, THREADS_MOST, &plan->threads);
        else if (option == 'r')
            plan->reserve = true;
        else if (option == 'q')
            plan->quick = true;
        else if (option == 'j')
            plan->as_json = true;
        if (!good)
            return false;
    }
    if (optind < argc - 1) {
        complain_misuse(argv[0], "more than one FILE");
        return false;
    }
    return optind == argc || read_file(argv[0], argv[optind], plan);
}

/* ---- where to stay -------------------------------------------------------------------------- */

/* Restrict this thread, and those it starts, to CPUs of a list such as "0-3,8". */
static void stay_on_cpus(const char *list)
{
    cpu_set_t allowed, wanted;
    CPU_ZERO(&wanted);
    for (const char *at = list; *at != '\0';) {
        char *end;
        unsigned long first = strtoul(at, &end, 10), last = first;
        if (end == at)
            return;
        if (*end == '-')
            last = strtoul(end + 1, &end, 10);
        for (unsigned long cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
            CPU_SET(cpu, &wanted);
        at = *end == ',' ? end + 1 : end;
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        CPU_AND(&wanted, &wanted, &allowed);
    (void)sched_setaffinity(0, sizeof wanted, &wanted); /* an empty set is refused: no matter */
}

/* With several nodes, figures mean something only when CPU and memory are those of one node. */
static void choose_node(const roma_topology *topology, tour_plan *plan)
{
    roma_nodes memory = roma_topology_memory_nodes(topology);
    roma_nodes allowed = roma_topology_allowed_nodes(topology);
    unsigned cpu, node;
    roma_node_info info;
    if (roma_nodes_count(&memory) < 2 || getcpu(&cpu, &node) != 0)
        return;
    if (!roma_nodes_has(&memory, node) || !roma_nodes_has(&allowed, node) ||
        roma_topology_node(topology, node, &info) != 0)
        return;
    plan->node = (int)node;
    plan->nodes = roma_nodes_one(node);
    stay_on_cpus(info.cpus);
}

static unsigned cpus_count(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 1;
    int count = CPU_COUNT(&allowed);
    return count < 1 ? 1 : (unsigned)count;
}

/* ---- how much ------------------------------------------------------------------------------- */

/* What this process may still take, on its node and within its cgroups. */
static uint64_t free_memory(const roma_topology *topology, const tour_plan *plan)
{
    roma_system_info system;
    roma_node_info node;
    roma_topology_system(topology, &system);
    uint64_t bytes = system.memory_available_bytes;
    if (plan->node >= 0 && roma_topology_node(topology, (unsigned)plan->node, &node) == 0 &&
        node.free_bytes < bytes)
        bytes = node.free_bytes;
    for (unsigned i = 0; i < roma_topology_limits_count(topology); i++) {
        roma_limit_info limit;
        if (roma_topology_limit(topology, i, &limit) != 0 || limit.kind != ROMA_LIMIT_MEMORY)
            continue;
        uint64_t rest = limit.max_bytes > limit.used_bytes ? limit.max_bytes - limit.used_bytes : 0;
        if (rest < bytes)
            bytes = rest;
    }
    return bytes;
}

static bool choose_bytes(const char *command, uint64_t available, tour_plan *plan)
{
    char asked[WORD_BYTES], there[WORD_BYTES];
    if (plan->bytes == 0) {
        uint64_t most = plan->quick ? bytes_quick : bytes_default_most;
        plan->bytes = available / 4 < most ? available / 4 : most;
        plan->bytes -= plan->bytes % bytes_least; /* a round figure */
        if (plan->bytes < bytes_least)
            plan->bytes = bytes_least;
    }
    if (plan->bytes <= available / 10 * 9)
        return true;
    complain_misuse(command, "a working set of %s is too much: %s of memory are free",
                    roma_size_text(plan->bytes, asked, sizeof asked),
                    roma_size_text(available, there, sizeof there));
    return false;
}

/* ---- the reservation ------------------------------------------------------------------------ */

/* The machine's default hugetlb size; gigantic pages, which are best reserved at boot, are left as
 * they are, so then it is the largest size below. 0: none. */
static size_t size_to_reserve(const roma_topology *topology)
{
    const size_t gigantic = (size_t)1 << 30;
    size_t bytes = roma_topology_page_bytes(topology, (roma_page_kind)ROMA_PAGES_HUGETLB);
    for (unsigned i = 0; bytes >= gigantic && i < roma_topology_kinds_count(topology); i++) {
        roma_kind_info kind;
        if (roma_topology_kind(topology, i, &kind) == 0 &&
            roma_page_class(kind.pages) == ROMA_PAGE_CLASS_HUGETLB)
            bytes = roma_page_bytes(kind.pages); /* from large to small */
    }
    return bytes < gigantic ? bytes : 0;
}

/* Leave room for the working set of the other kinds, which are there one at a time. */
static void make_reservation(const roma_topology *topology, const tour_plan *plan,
                             uint64_t available, reservation *r)
{
    char text[SENTENCE_BYTES], page[WORD_BYTES];
    size_t page_bytes = size_to_reserve(topology);
    *r = (reservation){.wanted = true, .node = plan->node};
    if (page_bytes == 0)
        return;
    uint64_t most = (available - plan->bytes) / 10 * 9 / page_bytes;
    uint64_t needed = (plan->bytes + page_bytes - 1) / page_bytes;
    progress("reserving pages of %s", roma_size_text(page_bytes, page, sizeof page));
    reserve_pages(r, page_bytes, plan->node, needed < most ? needed : most);
    if (r->code == 0 && r->during > r->before)
        remark("reserved: nr_hugepages of %s pages went from %llu to %llu, until the tour ends",
               page, (unsigned long long)r->before, (unsigned long long)r->during);
    else
        remark("%s", reservation_text(r, text, sizeof text));
}

static void end_reservation(reservation *r)
{
    bool changed = r->code == 0 && r->during > r->before;
    reserve_put_back(r);
    if (changed && r->put_back)
        remark("put back: nr_hugepages is %llu again", (unsigned long long)r->after);
    else if (changed)
        remark("nr_hugepages could NOT be put back: it is %llu and was %llu",
               (unsigned long long)r->after, (unsigned long long)r->before);
}

/* ---- the tour ------------------------------------------------------------------------------- */

/* Base pages, then transparent huge pages, then hugetlb pages, each from small to large: the other
 * way round than the topology lists them. */
static void tour_kinds(const roma_topology *topology, tour_answer *answer)
{
    measure_malloc(&answer->plan, &answer->kinds[answer->kinds_count++]);
    for (unsigned i = roma_topology_kinds_count(topology); i-- > 0;) {
        roma_kind_info kind;
        if (roma_topology_kind(topology, i, &kind) == 0 && answer->kinds_count < TOUR_KINDS_MAX)
            measure_kind(&answer->plan, &kind, &answer->kinds[answer->kinds_count++]);
    }
}

static void tour_one_file(tour_answer *answer)
{
    char found[FILE_PATH_BYTES];
    const char *path = answer->plan.file;
    if (path == NULL) {
        progress("file: looking for the largest shared library");
        if (find_largest_library(found, sizeof found))
            path = found;
    }
    if (path == NULL) {
        snprintf(answer->file.reason, sizeof answer->file.reason,
                 "no shared library was found; name a FILE");
        return;
    }
    tour_file(&answer->plan, path, &answer->file);
    tour_cold(&answer->plan, path, &answer->cold);
    tour_store(path, &answer->store);
}

static bool all_verified(const tour_answer *answer)
{
    bool good = answer->file.path[0] == '\0' || file_is_good(&answer->file);
    good = good && !answer->cold.failed;
    good = good && (!answer->store.ran || store_is_good(&answer->store));
    for (unsigned i = 0; i < answer->kinds_count; i++)
        if (answer->kinds[i].pages != 0 && answer->kinds[i].given)
            good = good && answer->kinds[i].proof.result != PROOF_WRONG;
    if (answer->reserved.wanted && answer->reserved.during > answer->reserved.before)
        good = good && answer->reserved.put_back;
    return good;
}

int tour_command(int argc, char **argv)
{
    static tour_answer answer; /* large for a stack */
    tour_plan *plan = &answer.plan;
    if (!read_plan(argc, argv, plan))
        return EXIT_MISUSE;

    const roma_topology *topology = roma_topology_get();
    if (topology == NULL)
        return complain(argv[0], "the machine's topology cannot be read: is /proc there?");
    roma_system_info system;
    roma_topology_system(topology, &system);
    plan->base_bytes = system.base_page_bytes;
    plan->thp_bytes = system.thp_bytes;
    choose_node(topology, plan);
    uint64_t available = free_memory(topology, plan);
    if (!choose_bytes(argv[0], available, plan))
        return EXIT_MISUSE;
    plan->passes = plan->quick ? 1 : TOUR_PASSES_MAX;
    plan->cpus = cpus_count();
    if (plan->threads == 0)
        plan->threads = plan->cpus < THREADS_DEFAULT_MOST ? plan->cpus : THREADS_DEFAULT_MOST;
    if (getloadavg(&plan->load, 1) != 1)
        plan->load = -1;

    if (plan->reserve)
        make_reservation(topology, plan, available, &answer.reserved);
    tour_kinds(topology, &answer);
    tour_one_file(&answer);
    if (plan->reserve)
        end_reservation(&answer.reserved);
    progress_clear();

    answer.verified = all_verified(&answer);
    if (plan->as_json)
        json_print(tour_json(&answer), stdout);
    else
        tour_print(&answer, stdout);
    return finish_output(argv[0], answer.verified ? EXIT_GOOD : EXIT_FAULT);
}
