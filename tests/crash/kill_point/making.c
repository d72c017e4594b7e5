/* making.c - a kill at every point of making a store.
 *
 * Killed before it is there: the path is free, or what is there says that it is no store, and can
 * be removed and made again. Killed after: it is a store. */
#include "kill.h"

#include "../support/exam.h"
#include "../support/stall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char new_path[64];

static void make_store(int fd, void *context)
{
    roma_store_options made = roma_store_options_default();
    made.bytes = 1 << 20;
    made.max_bytes = 4 << 20;
    made.unsynced = true;
    roma_store *store = NULL;
    points_arm(*(const uint64_t *)context);
    int code = roma_store_create(new_path, &made, &store, NULL);
    if (code == 0)
        code = roma_store_close(store);
    points_disarm();
    process_report(fd, &(struct report){.kind = REPORT_DONE, .code = code});
}

void kill_makings(void)
{
    (void)snprintf(new_path, sizeof new_path, "%s/roma-crash-new-%d",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
    for (uint64_t at = 1;; at++) {
        (void)snprintf(stall_in, sizeof stall_in, "making a store, point %llu",
                       (unsigned long long)at);
        struct process process = process_start(make_store, &at);
        struct report report = process_listen(&process);
        process_kill(&process);
        bool has_died = report.kind == REPORT_DEAD;
        int fd = open(new_path, O_RDWR | O_CLOEXEC);
        roma_store *store = NULL;
        int code = fd < 0 ? -ENOENT : roma_store_attach(fd, NULL, &store, NULL);
        if (code == 0) {
            struct exam exam;
            (void)roma_store_close(store);
            if (!exam_file(fd, &exam))
                kill_violation(exam.text);
        } else if (!has_died) {
            kill_violation("a store that was made cannot be opened");
        }
        if (fd >= 0)
            (void)close(fd);
        (void)unlink(new_path);
        if (!has_died) {
            if (report.code != 0)
                kill_violation("a store cannot be made");
            return;
        }
        points_count_kill(points_name(at - 1));
        kill_figures.kills++;
    }
}
