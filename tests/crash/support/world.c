/* world.c - see world.h. The peer's table of system calls differs in one entry: a byte of another
 * session that is held makes it stop, so that a leader decides who goes on. */
#include "world.h"

#include "child.h"

#include "store/internal.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

bool world_renews_peer, world_peer_reports_held;

/* ---- processes ------------------------------------------------------------------------------- */

struct life {
    int ends[2]; /* of the socket: the leader's, and the child's */
    void (*run)(int fd, void *context);
    void *context;
};

static void live_as_told(void *context)
{
    const struct life *life = context;
    (void)close(life->ends[0]);
    (void)alarm(0);
    life->run(life->ends[1], life->context);
}

struct process process_start(void (*run)(int fd, void *context), void *context)
{
    struct life life = {.run = run, .context = context};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, life.ends) != 0)
        abort();
    pid_t pid = child_start(live_as_told, &life);
    (void)close(life.ends[1]);
    return (struct process){.pid = pid, .fd = life.ends[0]};
}

void process_kill(struct process *process)
{
    if (process->pid == 0)
        return;
    (void)kill(process->pid, SIGKILL);
    (void)waitpid(process->pid, NULL, 0);
    (void)close(process->fd);
    process->pid = 0;
}

void process_order(const struct process *process, int call)
{
    struct order order = {call};
    (void)send(process->fd, &order, sizeof order, MSG_NOSIGNAL);
}

struct report process_listen(const struct process *process)
{
    struct report report = {.kind = REPORT_DEAD};
    ssize_t bytes;
    do
        bytes = read(process->fd, &report, sizeof report);
    while (bytes < 0 && errno == EINTR);
    if (bytes != (ssize_t)sizeof report)
        report.kind = REPORT_DEAD;
    return report;
}

void process_report(int fd, const struct report *report)
{
    if (send(fd, report, sizeof *report, MSG_NOSIGNAL) != (ssize_t)sizeof *report)
        _exit(0);
}

struct order process_obey(int fd)
{
    struct order order = {0};
    ssize_t bytes;
    do
        bytes = read(fd, &order, sizeof order);
    while (bytes < 0 && errno == EINTR);
    if (bytes != (ssize_t)sizeof order)
        _exit(0); /* the leader is gone */
    return order;
}

/* ---- setups ---------------------------------------------------------------------------------- */

#define TREE "small node link-inner link large put "

const struct setup setups[] = {
    {.name = "empty"},
    {.name = "orphans", .past = TREE "close"},
    {.name = "dead", .past = TREE "small node retain take", .past_died = true},
    {.name = "owner-lives", .peer = TREE "release-batch small node"},
    {.name = "holder-lives", .past = TREE "close", .peer = "load get", .self = "small"},
    {.name = "both", .past = TREE "close", .peer = "load small replace", .self = "load node"},
    {.name = "wrap", .past = TREE "close", .self = "small release node", .generation = 0xfffffe},
};
const unsigned setups_count = sizeof setups / sizeof setups[0];

const struct setup setup_many = {.name = "many", .past = "make-many close"};
const struct setup setup_shrinks = {.name = "shrinks", .past = TREE "grow close", .shrinks = true};

/* ---- the peer -------------------------------------------------------------------------------- */

static int peer_fd = -1;
static uint32_t peer_session;

static int peer_lock(int fd, int command, struct flock *range)
{
    int64_t from = range->l_start;
    bool asks = command == F_OFD_GETLK || range->l_type != F_UNLCK;
    bool is_session = from >= ROMA__LOCK_SESSIONS && range->l_len == 1;
    int code = roma__sys_kernel.lock(fd, command, range), number = errno;
    bool is_held = command == F_OFD_GETLK ? code == 0 && range->l_type != F_UNLCK : code < 0;
    uint32_t session = is_session ? (uint32_t)(from - ROMA__LOCK_SESSIONS) : 0;
    if (is_session && asks && is_held && session != peer_session) {
        process_report(peer_fd, &(struct report){.kind = REPORT_HELD, .session = session});
        (void)process_obey(peer_fd);
    }
    errno = number;
    return code;
}

static void live(int fd, void *context)
{
    const struct world *world = context;
    struct scene scene = {.fd = world->fd, .process = 1};
    int code = scene_attach(&scene);
    if (code == 0)
        code = scene_run(&scene, world->setup->peer);
    struct report report = {.kind = REPORT_DONE, .code = code};
    if (scene.store != NULL)
        report.session = scene.store->session;
    if (world_peer_reports_held) {
        static struct roma__sys table;
        table = roma__sys_kernel;
        table.lock = peer_lock;
        peer_fd = fd;
        peer_session = report.session;
        (void)roma__sys_replace(&table);
    }
    for (;;) {
        process_report(fd, &report);
        struct order order = process_obey(fd);
        report.code = order.call < 0 ? 0 : scene_calls[order.call].run(&scene);
    }
}

static int start_peer(struct world *world)
{
    if (world->setup->peer == NULL)
        return 0;
    world->peer = process_start(live, world);
    struct report report = process_listen(&world->peer);
    if (report.kind != REPORT_DONE || report.code != 0) {
        (void)fprintf(stderr, "world %s: the peer failed: %d\n", world->setup->name, report.code);
        return report.kind == REPORT_DONE ? report.code : -ECHILD;
    }
    world->peer.session = report.session;
    return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

enum {
    SESSIONS = 6,
    LANES = 8,
    ROOM_BYTES = 8 * ROMA__UNIT_BYTES,
    MAX_BYTES = 24 * ROMA__UNIT_BYTES
};

static int make_file(int *fd, bool has_name)
{
    roma_store_options options = roma_store_options_default();
    options.bytes = ROOM_BYTES;
    options.max_bytes = MAX_BYTES;
    options.sessions = SESSIONS;
    options.lanes = LANES;
    options.unsynced = true;
    roma_store *store = NULL;
    roma_error error = {0};
    char path[64];
    (void)snprintf(path, sizeof path, "%s/roma-crash-%d",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
    int code = has_name ? roma_store_create(path, &options, &store, &error)
                        : roma_store_create_memory("roma-crash", &options, &store, &error);
    if (code < 0) {
        (void)roma_error_print(stderr, &error);
        return code;
    }
    *fd = fcntl(roma_store_fd(store), F_DUPFD_CLOEXEC, 3);
    if (has_name)
        (void)unlink(path);
    return roma_store_close(store);
}

/* As if blocks had lived in all units so often already. */
static void age(struct world *world)
{
    if (world->setup->generation == 0)
        return;
    roma_store *store = NULL;
    if (roma_store_attach(world->fd, NULL, &store, NULL) < 0)
        abort();
    for (uint64_t i = 0; i < roma__view_units(&store->view); i++)
        store->view.units[i].generation = world->setup->generation;
    (void)roma_store_close(store);
}

static void live_in_the_past(int fd, void *context)
{
    const struct world *world = context;
    struct scene scene = {.fd = world->fd, .process = 2};
    int code = scene_attach(&scene);
    if (code == 0)
        code = scene_run(&scene, world->setup->past);
    process_report(fd, &(struct report){.kind = REPORT_DONE, .code = code});
}

static int make_past(struct world *world)
{
    if (world->setup->past == NULL)
        return 0;
    struct process past = process_start(live_in_the_past, world);
    struct report report = process_listen(&past);
    process_kill(&past);
    if (report.kind == REPORT_DONE && report.code == 0)
        return 0;
    (void)fprintf(stderr, "world %s: its past failed: %d\n", world->setup->name, report.code);
    return report.kind == REPORT_DONE ? report.code : -ECHILD;
}

static size_t file_bytes(const struct world *world)
{
    struct stat status;
    if (fstat(world->fd, &status) != 0)
        abort();
    return (size_t)status.st_size;
}

static void take_image(struct world *world)
{
    free(world->image);
    world->image_bytes = file_bytes(world);
    world->image = malloc(world->image_bytes);
    if (world->image == NULL ||
        pread(world->fd, world->image, world->image_bytes, 0) != (ssize_t)world->image_bytes)
        abort();
}

/* Only the pages that differ are written. */
void world_restore(struct world *world)
{
    static char now[65536];
    size_t grown = file_bytes(world);
    if (grown < world->image_bytes && ftruncate(world->fd, (off_t)world->image_bytes) != 0)
        abort();
    /* It is sealed against shrinking: what it has grown by becomes a hole. */
    if (grown > world->image_bytes &&
        fallocate(world->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)world->image_bytes,
                  (off_t)(grown - world->image_bytes)) != 0)
        abort();
    for (size_t at = 0; at < world->image_bytes; at += sizeof now) {
        size_t bytes = world->image_bytes - at;
        bytes = bytes < sizeof now ? bytes : sizeof now;
        if (pread(world->fd, now, bytes, (off_t)at) != (ssize_t)bytes)
            abort();
        for (size_t page = 0; page < bytes; page += 4096)
            if (memcmp(now + page, world->image + at + page, 4096) != 0 &&
                pwrite(world->fd, world->image + at + page, 4096, (off_t)(at + page)) != 4096)
                abort();
    }
}

int world_make(struct world *world, const struct setup *setup)
{
    memset(world, 0, sizeof *world);
    world->setup = setup;
    int code = make_file(&world->fd, setup->shrinks);
    if (code < 0)
        return code;
    age(world);
    code = make_past(world);
    if (code == 0)
        take_image(world);
    if (code == 0 && !world_renews_peer) {
        code = start_peer(world);
        take_image(world);
    }
    return code;
}

int world_renew(struct world *world)
{
    process_kill(&world->peer);
    world_restore(world);
    return start_peer(world);
}

uint64_t world_peer_bit(const struct world *world)
{
    return world->peer.pid != 0 ? UINT64_C(1) << world->peer.session : 0;
}

void world_end(struct world *world)
{
    process_kill(&world->peer);
    (void)close(world->fd);
    free(world->image);
    world->image = NULL;
}
