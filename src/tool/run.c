/* run.c - `roma run`: a program on roma's malloc.
 *
 * The program gets libroma_malloc.so by LD_PRELOAD and its settings by ROMA_* variables. Without a
 * report the command becomes the program (exec): no process stays behind. With one it stays as the
 * parent, hands the program's end on as its own, and tells about it on stderr, since stdout is the
 * program's.
 *
 * The report file is made in a folder of its own that nobody can list: the file itself may be
 * written by all, because a program may change its user before it ends, and the kernel's protection
 * of files in sticky folders would keep such a process out of one in /tmp. */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DELAY_MS_MAX = 3600 * 1000,
    REPORT_PATH_BYTES = 1024 /* the longest that the library takes */
};

void run_remark(run_remarks *remarks, const char *format, ...)
{
    if (remarks->count == RUN_REMARKS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(remarks->text[remarks->count++], SENTENCE_BYTES, format, arguments);
    va_end(arguments);
}

/* ---- arguments ------------------------------------------------------------------------------ */

static void need_variable(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0)
        (void)need_memory(NULL);
}

static bool set_huge(const char *command, const char *text)
{
    static const char *const words[] = {"auto", "thp", "off", "hugetlb"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0) {
            need_variable("ROMA_HUGE", text);
            return true;
        }
    complain_misuse(command, "--huge: '%s' is not one of auto, thp, off, hugetlb", text);
    return false;
}

static bool set_delay(const char *command, const char *text)
{
    char *end;
    errno = 0;
    unsigned long delay_ms = strtoul(text, &end, 10);
    bool is_number = text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0;
    if (strcmp(text, "-1") != 0 && (!is_number || delay_ms > DELAY_MS_MAX)) {
        complain_misuse(command,
                        "--delay: '%s' is not a number of milliseconds from 0 to %d, nor -1", text,
                        (int)DELAY_MS_MAX);
        return false;
    }
    need_variable("ROMA_RETURN_DELAY", text);
    return true;
}

static bool set_limit(const char *command, const char *text)
{
    uint64_t limit_bytes;
    char number[24];
    if (!read_size(command, "--limit", text, &limit_bytes))
        return false;
    snprintf(number, sizeof number, "%" PRIu64, limit_bytes);
    need_variable("ROMA_LIMIT", number);
    return true;
}

/* By its whole path: the program may go to another folder and run others there. */
static bool set_policy_file(const char *command, const char *path)
{
    char *whole = realpath(path, NULL), *given = NULL;
    if (whole == NULL) {
        complain_misuse(command, "--policy: %s: %s", path, strerror(errno));
        return false;
    }
    need_memory(asprintf(&given, "@%s", whole) < 0 ? NULL : given);
    need_variable("ROMA_POLICY", given);
    free(given);
    free(whole);
    return true;
}

static bool set_policy(const char *command, const char *given)
{
    roma_policy *policy = read_policy(command, given);
    if (policy == NULL)
        return false;
    roma_policy_destroy(policy);
    if (given[0] == '@')
        return set_policy_file(command, given + 1);
    need_variable("ROMA_POLICY", given);
    return true;
}

static bool read_option(run_plan *plan, int option)
{
    switch (option) {
    case 'r': plan->report = true; return true;
    case 'j': plan->report = plan->as_json = true; return true;
    case 'o':
        plan->report = true;
        plan->output = optarg;
        return true;
    case 'l': plan->library_option = optarg; return true;
    case 'h': need_variable("ROMA_HARDENED", "1"); return true;
    case 'b': need_variable("ROMA_BACKGROUND", "1"); return true;
    case 'p': return set_huge(plan->command, optarg);
    case 'd': return set_delay(plan->command, optarg);
    case 'm': return set_limit(plan->command, optarg);
    case 'y': return set_policy(plan->command, optarg);
    default: return false; /* next_option() has complained */
    }
}

/* The index of `--`, which keeps the program's own options apart from ours; argc without one. */
static int find_divider(int argc, char **argv)
{
    int index = 1;
    while (index < argc && strcmp(argv[index], "--") != 0)
        index++;
    return index;
}

static bool read_plan(int argc, char **argv, run_plan *plan)
{
    static const struct option options[] = {{"report", no_argument, NULL, 'r'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"output", required_argument, NULL, 'o'},
                                            {"huge", required_argument, NULL, 'p'},
                                            {"hardened", no_argument, NULL, 'h'},
                                            {"background", no_argument, NULL, 'b'},
                                            {"delay", required_argument, NULL, 'd'},
                                            {"limit", required_argument, NULL, 'm'},
                                            {"lib", required_argument, NULL, 'l'},
                                            {"policy", required_argument, NULL, 'y'},
                                            {0}};
    int divider = find_divider(argc, argv);
    *plan = (run_plan){.command = argv[0], .program = argv + divider + 1};
    if (divider == argc) {
        complain_misuse(argv[0], "'--' and the program after it are missing");
        return false;
    }
    argv[divider] = NULL; /* getopt sees our part alone, and moves nothing of the program's */
    for (int option; (option = next_option(divider, argv, options)) != OPTIONS_END;)
        if (!read_option(plan, option))
            return false;
    if (optind < divider) {
        complain_misuse(argv[0], "'%s' is one argument too many before '--'", argv[optind]);
        return false;
    }
    if (divider + 1 == argc) {
        complain_misuse(argv[0], "no program after '--'");
        return false;
    }
    return true;
}

/* ---- the program's environment -------------------------------------------------------------- */

/* Ours first, so that ours is the malloc that counts; what was there stays behind it. */
static void preload(const char *library)
{
    const char *others = getenv("LD_PRELOAD");
    size_t length = strlen(library);
    if (others == NULL || others[0] == '\0') {
        need_variable("LD_PRELOAD", library);
    } else if (strncmp(others, library, length) != 0 || strchr(": ", others[length]) == NULL) {
        char *all = NULL;
        need_memory(asprintf(&all, "%s:%s", library, others) < 0 ? NULL : all);
        need_variable("LD_PRELOAD", all);
        free(all);
    }
}

static int become_program(const run_plan *plan)
{
    execvp(plan->program[0], plan->program);
    int code = errno;
    complain(plan->command, "%s: %s", plan->program[0], strerror(code));
    return code == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}

/* ---- the report ----------------------------------------------------------------------------- */

typedef struct report_file {
    char folder[REPORT_PATH_BYTES - 16];
    char path[REPORT_PATH_BYTES];
} report_file;

static bool make_report_file(const run_plan *plan, report_file *file)
{
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] != '/')
        parent = "/tmp";
    int length = snprintf(file->folder, sizeof file->folder, "%s/roma-run-XXXXXX", parent);
    if (length >= (int)sizeof file->folder || mkdtemp(file->folder) == NULL) {
        complain(plan->command, "no folder for the report in %s (%s)", parent, strerror(errno));
        return false;
    }
    snprintf(file->path, sizeof file->path, "%s/report", file->folder);
    FILE *made = fopen(file->path, "we");
    bool good = made != NULL && fchmod(fileno(made), 0666) == 0 && chmod(file->folder, 0711) == 0;
    if (!good)
        complain(plan->command, "%s could not be made (%s)", file->path, strerror(errno));
    if (made != NULL)
        fclose(made);
    if (!good)
        rmdir(file->folder);
    return good;
}

static void remove_report_file(const report_file *file)
{
    unlink(file->path);
    rmdir(file->folder);
}

const run_line *run_main_line(const run_answer *answer)
{
    const run_line *found = NULL;
    for (size_t i = 0; i < answer->lines.count; i++)
        if (answer->lines.lines[i].pid == answer->pid)
            found = &answer->lines.lines[i];
    return found;
}

bool run_is_silent(const run_answer *answer, pid_t pid)
{
    for (size_t i = 0; i < answer->lines.count; i++)
        if (answer->lines.lines[i].pid == pid)
            return false;
    return true;
}

static bool tell(const run_answer *answer)
{
    const run_plan *plan = answer->plan;
    FILE *stream = plan->output != NULL ? fopen(plan->output, "we") : stderr;
    if (stream == NULL) {
        complain(plan->command, "%s cannot be written (%s)", plan->output, strerror(errno));
        return false;
    }
    if (plan->as_json)
        json_print(run_answer_json(answer), stream);
    else
        run_print(answer, stream);
    bool written = fflush(stream) == 0 && ferror(stream) == 0;
    if (stream != stderr && fclose(stream) != 0)
        written = false;
    if (!written)
        complain(plan->command, "the report could not be written (%s)", strerror(errno));
    return written;
}

/* End as the program did, so that a caller sees no difference; its core is the one that counts. */
static int end_likewise(int status, int number)
{
    if (number == 0)
        return status;
    const struct rlimit none = {0};
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    raise(number);
    return 128 + number; /* a signal that ends nothing by default: there is none that ended it */
}

static int run_with_report(const run_plan *plan)
{
    report_file file = {.path = ""};
    if (!make_report_file(plan, &file))
        return EXIT_FAULT;
    need_variable("ROMA_REPORT", file.path);
    run_answer *answer = need_memory(calloc(1, sizeof *answer));
    answer->plan = plan;
    run_check_program(plan->program[0], &answer->remarks);
    int code = run_child(answer);
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of writing, and not our end */
    bool told = false;
    if (code == 0) {
        run_lines_read(&answer->lines, file.path);
        told = tell(answer);
    }
    int status = answer->status, number = answer->signal;
    remove_report_file(&file);
    run_lines_free(&answer->lines);
    run_sampler_free(&answer->sampler);
    free(answer);
    if (code != 0)
        return code;
    return !told && status == 0 ? EXIT_FAULT : end_likewise(status, number);
}

int run_command(int argc, char **argv)
{
    run_plan plan;
    if (!read_plan(argc, argv, &plan))
        return EXIT_MISUSE;
    if (!run_find_library(&plan))
        return EXIT_FAULT;
    preload(plan.library);
    if (plan.report)
        return run_with_report(&plan);
    run_remarks remarks = {.count = 0};
    run_check_program(plan.program[0], &remarks);
    for (unsigned i = 0; i < remarks.count; i++)
        complain(plan.command, "%s", remarks.text[i]);
    return become_program(&plan);
}
