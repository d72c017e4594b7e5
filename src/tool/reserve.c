/* reserve.c - huge pages reserved for the length of a tour, and given back whatever ends it.
 *
 * A second process, the guardian, changes the page pool, so that it knows what to undo however the
 * tour ends. It is forked before anything is changed, leads a session of its own (a terminal's
 * Ctrl-C does not reach it), ignores the signals that end programs, and waits at a pipe whose other
 * end only the tour holds. The kernel closes that end when the tour is gone, by exit, by a signal,
 * by SIGKILL, and it does so after the tour's memory is freed; then the guardian puts the pool
 * back.
 *
 *     tour                         guardian
 *     fork
 *     waits for the report         raises nr_hugepages, reports before and during
 *     works ...                    waits at the pipe
 *     closes the pipe, or dies     lowers nr_hugepages, reports after, ends
 *     reads the report, waits
 *
 * On INT, TERM, HUP and QUIT a handler does the last step before it lets the signal end the
 * program, so that the pool is back when the shell prompts again. Pages that blocks still hold
 * become surplus then, and go with them.
 *
 * What is taken back is what was added, not all above the old value: another program may have
 * raised the pool meanwhile. Not covered: both processes killed at once (the end of a cgroup or a
 * container), and a halt of the machine, which forgets the pool anyway. */
#include "reserve.h"

#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the guardian tells the tour, first when the pool is raised, then when it is put back. */
typedef struct report {
    int code;
    bool enough; /* free pages were there already */
    uint64_t before, now;
} report;

/* Shared with the signal handler; changed while its signals are blocked. */
static struct {
    volatile sig_atomic_t active;
    int hold_fd;   /* closing it makes the guardian put back */
    int report_fd; /* its reports come from here             */
    pid_t guardian;
} link_to;

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { ENDING_SIGNALS_COUNT = sizeof ending_signals / sizeof ending_signals[0] };

/* ---- the pool's files ----------------------------------------------------------------------- */

typedef struct pool {
    char folder[128];
} pool;

static pool pool_of(size_t page_bytes, int node)
{
    pool p;
    if (node < 0)
        snprintf(p.folder, sizeof p.folder, "/sys/kernel/mm/hugepages/hugepages-%zukB",
                 page_bytes / 1024);
    else
        snprintf(p.folder, sizeof p.folder,
                 "/sys/devices/system/node/node%d/hugepages/hugepages-%zukB", node,
                 page_bytes / 1024);
    return p;
}

static int open_figure(const pool *p, const char *name, int flags)
{
    char path[192];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    int fd = open(path, flags | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static int read_figure(const pool *p, const char *name, uint64_t *value)
{
    char text[32];
    int fd = open_figure(p, name, O_RDONLY);
    if (fd < 0)
        return fd;
    ssize_t length = read(fd, text, sizeof text - 1);
    int code = length < 0 ? -errno : 0;
    close(fd);
    if (code != 0)
        return code;
    text[length] = '\0';
    *value = strtoull(text, NULL, 10);
    return 0;
}

static int write_figure(const pool *p, const char *name, uint64_t value)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%" PRIu64, value);
    int fd = open_figure(p, name, O_WRONLY);
    if (fd < 0)
        return fd;
    int code = write(fd, text, (size_t)length) == length ? 0 : -errno;
    close(fd);
    return code;
}

/* What nr_hugepages was last set to, as far as the kernel could: the total without the surplus,
 * which comes and goes by itself. */
static int read_persistent(const pool *p, uint64_t *pages)
{
    uint64_t total = 0, surplus = 0;
    int code = read_figure(p, "nr_hugepages", &total);
    if (code == 0)
        code = read_figure(p, "surplus_hugepages", &surplus);
    *pages = total > surplus ? total - surplus : 0;
    return code;
}

/* Free pages that nobody has been promised. A node's part does not tell promises. */
static int read_unpromised(const pool *p, uint64_t *pages)
{
    uint64_t available = 0, promised = 0;
    int code = read_figure(p, "free_hugepages", &available);
    (void)read_figure(p, "resv_hugepages", &promised);
    *pages = available > promised ? available - promised : 0;
    return code;
}

/* ---- the guardian --------------------------------------------------------------------------- */

static void raise_pool(const pool *p, uint64_t needed_pages, report *r)
{
    uint64_t available = 0;
    r->code = read_persistent(p, &r->before);
    if (r->code == 0)
        r->code = read_unpromised(p, &available);
    r->now = r->before;
    r->enough = available >= needed_pages;
    if (r->code != 0 || r->enough)
        return;
    r->code = write_figure(p, "nr_hugepages", r->before + (needed_pages - available));
    if (r->code == 0)
        r->code = read_persistent(p, &r->now);
}

static void lower_pool(const pool *p, uint64_t added_pages, report *r)
{
    uint64_t now = 0;
    r->code = read_persistent(p, &now);
    uint64_t target = now > added_pages ? now - added_pages : 0;
    if (r->code == 0 && added_pages > 0)
        r->code = write_figure(p, "nr_hugepages", target);
    if (r->code == 0)
        r->code = read_persistent(p, &r->now);
    if (r->code == 0 && r->now != target)
        r->code = -EBUSY;
}

/* Nobody may be left to read a report: SIGPIPE is ignored, a failed write is no matter. */
static void send_report(int fd, const report *r)
{
    ssize_t written = write(fd, r, sizeof *r);
    (void)written;
}

/* The guardian dies last: not by the terminal, not by a broken pipe, not for lack of memory. */
static void outlive_the_tour(void)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGTSTP};
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
        signal(ignored[i], SIG_IGN);
    setsid();
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t written = write(fd, "-1000", 5);
        (void)written;
        close(fd);
    }
}

/* Who reads the tour's answer through a pipe must not wait for the guardian. */
static void let_go_of_streams(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        dup2(fd, STDIN_FILENO);
        dup2(fd, STDOUT_FILENO);
    }
}

_Noreturn static void guardian_main(const pool *p, uint64_t needed_pages, int hold_fd,
                                    int report_fd)
{
    report r = {0};
    char nothing;
    outlive_the_tour();
    let_go_of_streams();
    raise_pool(p, needed_pages, &r);
    uint64_t added_pages = r.now > r.before ? r.now - r.before : 0;
    send_report(report_fd, &r);
    while (read(hold_fd, &nothing, 1) < 0 && errno == EINTR)
        continue;
    lower_pool(p, added_pages, &r);
    send_report(report_fd, &r);
    _exit(r.code == 0 ? EXIT_GOOD : EXIT_FAULT);
}

/* ---- the tour's side ------------------------------------------------------------------------ */

static void block_ending(sigset_t *before)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < ENDING_SIGNALS_COUNT; i++)
        sigaddset(&set, ending_signals[i]);
    sigprocmask(SIG_BLOCK, &set, before);
}

/* Read the guardian's next report. Returns false when there is none. */
static bool read_report(report *r)
{
    ssize_t length;
    do
        length = read(link_to.report_fd, r, sizeof *r);
    while (length < 0 && errno == EINTR);
    return length == (ssize_t)sizeof *r;
}

/* Let the guardian put back, keep its last report, wait for its end. Safe in a signal handler; the
 * first report may still be there when the signal came early. */
static void dismiss_guardian(report *last)
{
    bool any = false;
    link_to.active = 0;
    close(link_to.hold_fd);
    while (read_report(last))
        any = true;
    if (!any)
        last->code = -EPIPE;
    close(link_to.report_fd);
    while (waitpid(link_to.guardian, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static void on_ending_signal(int number)
{
    static const char said[] = "\nroma tour: stopped; the reservation of huge pages is put back\n";
    static const char unsaid[] = "\nroma tour: stopped; the reservation could not be put back\n";
    int kept_errno = errno;
    if (link_to.active) {
        report r = {0};
        dismiss_guardian(&r);
        ssize_t written = r.code == 0 ? write(STDERR_FILENO, said, sizeof said - 1)
                                      : write(STDERR_FILENO, unsaid, sizeof unsaid - 1);
        (void)written;
    }
    /* SA_RESETHAND has made the signal deadly again; it waits until this handler returns. */
    kill(getpid(), number);
    errno = kept_errno;
}

static void catch_ending_signals(void)
{
    struct sigaction action = {.sa_handler = on_ending_signal};
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < ENDING_SIGNALS_COUNT; i++)
        sigaddset(&action.sa_mask, ending_signals[i]);
    for (int i = 0; i < ENDING_SIGNALS_COUNT; i++) {
        struct sigaction old;
        if (sigaction(ending_signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ending_signals[i], &action, NULL);
    }
}

/* Start the guardian and connect to it. Returns 0 or -errno. */
static int call_guardian(const pool *p, uint64_t needed_pages)
{
    int hold[2], reports[2];
    if (pipe2(hold, O_CLOEXEC) != 0)
        return -errno;
    if (pipe2(reports, O_CLOEXEC) != 0) {
        int code = -errno;
        close(hold[0]);
        close(hold[1]);
        return code;
    }
    fflush(NULL);
    pid_t guardian = fork();
    if (guardian == 0) {
        close(hold[1]);
        close(reports[0]);
        guardian_main(p, needed_pages, hold[0], reports[1]);
    }
    int code = guardian < 0 ? -errno : 0;
    close(hold[0]);
    close(reports[1]);
    if (code != 0) {
        close(hold[1]);
        close(reports[0]);
        return code;
    }
    link_to.hold_fd = hold[1];
    link_to.report_fd = reports[0];
    link_to.guardian = guardian;
    link_to.active = 1;
    return 0;
}

void reserve_pages(reservation *r, size_t page_bytes, int node, uint64_t needed_pages)
{
    *r = (reservation){
        .wanted = true, .page_bytes = page_bytes, .node = node, .needed_pages = needed_pages};
    pool p = pool_of(page_bytes, node);
    int fd = open_figure(&p, "nr_hugepages", O_WRONLY); /* permitted at all? */
    if (fd < 0) {
        r->code = fd;
        return;
    }
    close(fd);

    sigset_t before;
    block_ending(&before);
    r->code = call_guardian(&p, needed_pages);
    if (r->code == 0)
        catch_ending_signals();
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (r->code != 0)
        return;

    report first = {0};
    r->code = read_report(&first) ? first.code : -EPIPE;
    r->before = first.before;
    r->during = first.now;
    r->added_nothing = first.enough;
}

void reserve_put_back(reservation *r)
{
    sigset_t before;
    report last = {0};
    block_ending(&before);
    if (link_to.active) {
        dismiss_guardian(&last);
        r->after = last.now;
        r->put_back = last.code == 0;
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
}
