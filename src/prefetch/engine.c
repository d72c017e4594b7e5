/* engine.c - making engines, choosing the way that one works, and ending it.
 *
 * Ways are tried in order: a ring of the entries that were asked for, a smaller ring (the kernel
 * charges a ring's memory to a limit that is often 64 KiB), threads, plain calls. What each step
 * before the one taken failed with is kept for the report. */
#include "prefetch/engine.h"

#include "base/bits.h"
#include "base/cpus.h"
#include "base/error.h"
#include "base/structs.h"
#include "prefetch/resident.h"
#include "provider/fork.h"
#include "sys/kernel.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_OPTIONS_BYTES = sizeof(roma_prefetch_options), SMALL_RING = 64 };

_Thread_local const roma_prefetch_engine *roma__calling;

/* ---- options -------------------------------------------------------------------------------- */

static bool is_cpus(const char *list)
{
    roma__cpus cpus = {{0}};
    return list == NULL || (roma__cpus_add(&cpus, list) == 0 && !roma__cpus_is_empty(&cpus));
}

static int read_options(roma_prefetch_options *own, const roma_prefetch_options *given,
                        roma_error *error)
{
    *own = roma_prefetch_options_default();
    int code = given == NULL
                   ? 0
                   : roma__struct_read(own, sizeof *own, given, FIRST_OPTIONS_BYTES, "size", error);
    if (code < 0)
        return code;
    if ((unsigned)own->way > ROMA_PREFETCH_PLAIN)
        return roma__error_invalid(error, "way");
    if (own->threads > ROMA__WORKERS_MOST)
        return roma__error_invalid(error, "threads");
    if (own->entries > 4 * ROMA__OPS_MOST || (own->entries != 0 && own->entries < 8))
        return roma__error_invalid(error, "entries");
    if (own->dense_depth > ROMA__OPS_MOST / 4)
        return roma__error_invalid(error, "dense_depth");
    if (own->sparse_depth > ROMA__OPS_MOST / 2)
        return roma__error_invalid(error, "sparse_depth");
    if (own->chunk_bytes > (size_t)1 << 30)
        return roma__error_invalid(error, "chunk_bytes"); /* a ring has 32 bits for a length */
    if (!is_cpus(own->cpus))
        return roma__error_invalid(error, "cpus");
    const size_t page_bytes = (size_t)getpagesize();
    own->dense_depth = own->dense_depth != 0 ? own->dense_depth : ROMA__DENSE_DEPTH;
    own->sparse_depth = own->sparse_depth != 0 ? own->sparse_depth : ROMA__SPARSE_DEPTH;
    own->threads = own->threads != 0 ? own->threads : ROMA__WORKERS;
    own->chunk_bytes = own->chunk_bytes != 0 ? own->chunk_bytes : (size_t)32 << 20;
    if (own->budget_bytes != 0) {
        own->budget_bytes = roma__max(roma__align_down(own->budget_bytes, page_bytes), page_bytes);
        /* As many as the depth says, but not less than is worth a call. */
        size_t share = roma__max(own->budget_bytes / own->dense_depth, ROMA__CHUNK_FIRST_BYTES);
        own->chunk_bytes = roma__min(own->chunk_bytes, roma__min(share, own->budget_bytes));
    }
    own->chunk_bytes = roma__max(roma__align_down(own->chunk_bytes, page_bytes), page_bytes);
    return 0;
}

/* Each op may be as many calls, and one entry is for waking the ring's thread. */
static void fit_depths(roma_prefetch_options *options, unsigned entries)
{
    unsigned ops = (entries - 1) / 2;
    if (options->dense_depth > ops / 2)
        options->dense_depth = ops / 2;
    if (options->sparse_depth > ops - options->dense_depth)
        options->sparse_depth = ops - options->dense_depth;
}

/* ---- ops ------------------------------------------------------------------------------------ */

/* As many as the way has in flight, and those that no depth counts. */
static int make_ops(roma_prefetch_engine *engine, roma_error *error)
{
    const roma_prefetch_options *options = &engine->options;
    engine->ops_count = (size_t)options->dense_depth + options->sparse_depth + ROMA__FOLLOWERS;
    if (options->way == ROMA_PREFETCH_PLAIN || engine->ops_count > ROMA__OPS_MOST)
        engine->ops_count = ROMA__OPS_MOST;
    engine->ops = roma__record_new(engine->ops_count * sizeof *engine->ops);
    if (engine->ops == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    for (size_t i = engine->ops_count; i-- > 0;) {
        engine->ops[i].next = engine->free_ops;
        engine->free_ops = &engine->ops[i];
    }
    return 0;
}

/* Of a way that did not start. */
static void free_ops(roma_prefetch_engine *engine)
{
    roma__record_free(engine->ops, engine->ops_count * sizeof *engine->ops);
    engine->ops = engine->free_ops = NULL;
    engine->ops_count = 0;
}

/* ---- ways ----------------------------------------------------------------------------------- */

static const roma__way *way_of(roma_prefetch_way way)
{
    switch (way) {
    case ROMA_PREFETCH_URING: return &roma__way_ring;
    case ROMA_PREFETCH_POOL: return &roma__way_pool;
    default: return &roma__way_plain;
    }
}

/* Of a ring the opcode was tried; what a thread calls a filter may refuse, and that is to be no
 * error of the file. */
static bool may_write_ranges(roma_prefetch_way way)
{
    return way == ROMA_PREFETCH_URING || roma__call_may_write();
}

/* One step; a step that fails is noted. */
static int try_way(roma_prefetch_engine *engine, roma_prefetch_way way, unsigned entries,
                   roma_error *error)
{
    const roma_prefetch_options wanted = engine->options;
    roma_prefetch_report *report = &engine->report;
    engine->options.way = way;
    engine->options.entries = entries;
    engine->way = way_of(way);
    if (way == ROMA_PREFETCH_URING)
        fit_depths(&engine->options, entries);
    else if (way == ROMA_PREFETCH_PLAIN) /* as many as there are callers */
        engine->options.dense_depth = engine->options.sparse_depth = ROMA__OPS_MOST / 4;
    /* Before its thread starts, which may have other news. */
    report->way = way;
    report->entries = entries;
    report->threads = way == ROMA_PREFETCH_PLAIN ? 0 : engine->options.threads;
    engine->may_write_ranges = may_write_ranges(way);
    int code = make_ops(engine, error); /* before it starts, too: it looks for work at once */
    if (code == 0)
        code = engine->way->start(engine, error);
    if (code == 0)
        return 0;
    free_ops(engine);
    engine->options = wanted;
    if (report->steps_count < ROMA_PREFETCH_STEPS)
        report->steps[report->steps_count++] = (struct roma_prefetch_step){way, entries, *error};
    return code;
}

static int try_rings(roma_prefetch_engine *engine, roma_error *error)
{
    unsigned asked = engine->options.entries;
    int code = try_way(engine, ROMA_PREFETCH_URING, asked != 0 ? asked : 256, error);
    /* What a smaller ring can mend: memory that counts against a limit. */
    if (code == -ENOMEM && asked == 0)
        code = try_way(engine, ROMA_PREFETCH_URING, SMALL_RING, error);
    return code;
}

static int choose_way(roma_prefetch_engine *engine, roma_error *error)
{
    roma_prefetch_way wanted = engine->options.way;
    engine->report.forced = wanted != ROMA_PREFETCH_AUTO;
    switch (wanted) {
    case ROMA_PREFETCH_URING: return try_rings(engine, error);
    case ROMA_PREFETCH_POOL:
    case ROMA_PREFETCH_PLAIN: return try_way(engine, wanted, 0, error);
    default: break;
    }
    int code = try_rings(engine, error);
    if (code < 0 && !engine->is_misplaced)
        code = try_way(engine, ROMA_PREFETCH_POOL, 0, error);
    if (code < 0 && !engine->is_misplaced)
        code = try_way(engine, ROMA_PREFETCH_PLAIN, 0, error);
    return code;
}

/* ---- making --------------------------------------------------------------------------------- */

static bool has_populate(void)
{
    /* Of nothing: a kernel that knows the advice has nothing against it; one that knows any advice
     * is an emulator, and its word is worth nothing. */
    const int unknown_advice = 0x6e6f6e65;
    return roma__sys->madvise(NULL, 0, MADV_POPULATE_READ) == 0 &&
           roma__sys->madvise(NULL, 0, unknown_advice) != 0;
}

static void init_locks(roma_prefetch_engine *engine)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&engine->lock, NULL);
    (void)pthread_cond_init(&engine->changed, &monotonic);
    (void)pthread_cond_init(&engine->work, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

int roma_prefetch_create(roma_prefetch_engine **engine, const roma_prefetch_options *options,
                         roma_error *error)
{
    roma_error ignored = {.node = -1};
    error = error != NULL ? error : &ignored;
    if (engine == NULL)
        return roma__error_invalid(error, "engine");
    roma_prefetch_options own;
    int code = read_options(&own, options, error);
    if (code < 0)
        return code;
    roma_prefetch_engine *made = roma__record_new(sizeof *made);
    if (made == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    init_locks(made);
    made->options = own;
    made->generation = roma__fork_generation();
    made->references = 1;
    made->wake_fd = -1;
    made->report.cachestat = roma__resident_is_quick();
    made->report.populate = has_populate();
    code = choose_way(made, error);
    made->options.cpus = NULL; /* the caller's */
    if (code < 0) {
        roma__engine_free(made);
        return code;
    }
    roma__engine_register(made);
    *engine = made;
    return 0;
}

/* ---- ending --------------------------------------------------------------------------------- */

int roma_prefetch_destroy(roma_prefetch_engine *engine)
{
    if (engine == NULL)
        return 0;
    if (roma__calling != NULL)
        return -EDEADLK;
    if (roma__engine_is_gone(engine)) {
        roma__engine_forget(engine);
        return 0;
    }
    roma__engine_lock(engine);
    if (engine->users > 0) {
        roma__engine_unlock(engine);
        return -EBUSY;
    }
    engine->stopping = true; /* submissions and users, of callbacks, are refused from here on */
    roma__engine_unlock(engine);
    (void)roma_prefetch_cancel_all(engine);
    roma__engine_lock(engine);
    while (engine->first != NULL || engine->settling != NULL || engine->calls_running > 0) {
        roma__engine_unlock(engine);
        engine->way->kick(engine);
        roma__engine_lock(engine);
        if (engine->first != NULL || engine->settling != NULL || engine->calls_running > 0)
            (void)pthread_cond_wait(&engine->changed, &engine->lock);
    }
    roma__engine_unlock(engine);
    engine->way->stop(engine);
    roma__engine_lock(engine);
    engine->references--;
    engine->over = engine->references > 0; /* else it is until its record goes, with this */
    roma__engine_unlock(engine);
    return 0;
}

/* ---- questions ------------------------------------------------------------------------------ */

int roma_prefetch_backend(const roma_prefetch_engine *engine, roma_prefetch_report *report)
{
    if (engine == NULL || report == NULL || report->size < sizeof *report)
        return -EINVAL;
    if (roma__engine_is_gone(engine))
        return -ESTALE;
    union {
        const roma_prefetch_engine *given;
        roma_prefetch_engine *locked;
    } pointer = {engine}; /* a lock is no part of what it is */
    size_t size = report->size;
    roma__engine_lock(pointer.locked);
    *report = engine->report;
    roma__engine_unlock(pointer.locked);
    report->size = size;
    return 0;
}

const char *roma_prefetch_way_text(roma_prefetch_way way)
{
    switch (way) {
    case ROMA_PREFETCH_AUTO: return "auto";
    case ROMA_PREFETCH_URING: return "io_uring";
    case ROMA_PREFETCH_POOL: return "threads";
    case ROMA_PREFETCH_PLAIN: return "plain calls";
    }
    return "";
}

int roma_prefetch_stats(roma_prefetch_engine *engine, roma_visit visit, void *context)
{
    if (engine == NULL || visit == NULL)
        return -EINVAL;
    if (roma__engine_is_gone(engine))
        return -ESTALE;
    roma__engine_lock(engine);
    const struct {
        const char *key;
        roma_value_type type;
        uint64_t number;
    } figures[] = {
        {"handles.live", ROMA_VALUE_COUNT, engine->live_count},
        {"submits.count", ROMA_VALUE_COUNT, engine->figures.submits},
        {"requested.bytes", ROMA_VALUE_BYTES, engine->figures.requested},
        {"read.bytes", ROMA_VALUE_BYTES, engine->figures.read},
        {"resident.bytes", ROMA_VALUE_BYTES, engine->figures.resident},
        {"joined.bytes", ROMA_VALUE_BYTES, engine->figures.joined},
        {"flushed.bytes", ROMA_VALUE_BYTES, engine->figures.flushed},
        {"failed.bytes", ROMA_VALUE_BYTES, engine->figures.failed},
        {"cancelled.bytes", ROMA_VALUE_BYTES, engine->figures.cancelled},
        {"flying.bytes", ROMA_VALUE_BYTES, engine->flying_bytes},
        {"calls.count", ROMA_VALUE_COUNT, engine->figures.calls},
        {"flying.peak_bytes", ROMA_VALUE_BYTES, engine->figures.peak},
    };
    roma_value way = {ROMA_VALUE_TEXT, 0, roma_prefetch_way_text(engine->report.way)};
    roma__engine_unlock(engine);
    int code = visit(context, "way", &way);
    for (size_t i = 0; code == 0 && i < sizeof figures / sizeof figures[0]; i++) {
        roma_value value = {figures[i].type, figures[i].number, NULL};
        code = visit(context, figures[i].key, &value);
    }
    return code;
}
