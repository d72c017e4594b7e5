/* executor.c - an engine as what a provider hands its ranges to (roma_executor).
 *
 * A file provider knows its file, and no engine: it stands on a floor below. So it is handed a
 * table of functions. Populating a long part first has the engine read it, in huge pages and at
 * the device's speed, and makes the pages present afterwards, which then are minor faults. That a
 * part will be needed is a submission that nobody waits for. What is cold or to be paged out is
 * evicted.
 *
 * A part that nobody waits for is read through a descriptor of its own, a duplicate that is closed
 * with its job: the provider's may be closed by then, and so may its mapping, which is not used.
 *
 * Waiting: populating waits for the engine, so it is refused in a callback, whose thread may be the
 * one that is waited for. While it waits the engine is held: it cannot be destroyed. */
#include "prefetch/executor.h"

#include "base/error.h"
#include "base/text.h"
#include "prefetch/engine.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

static roma_file_range range_of(const roma_file_part *part, void *address)
{
    return roma_file_range_own(part->fd, part->offset, address, part->bytes);
}

/* ---- reading -------------------------------------------------------------------------------- */

static int read_and_wait(roma_prefetch_engine *engine, const roma_file_range *range,
                         roma_error *error)
{
    roma_prefetch_handle *handle = NULL;
    int code = roma_prefetch_submit(engine, range, 1, ROMA_PREFETCH_RESIDENT, &handle, error);
    if (code < 0)
        return code;
    code = roma_prefetch_wait(handle, ROMA_FOREVER);
    if (code < 0)
        (void)roma_prefetch_range_error(handle, 0, error);
    roma_prefetch_close(handle);
    return code;
}

int roma__part_read(roma_prefetch_engine *engine, const roma_file_part *part, roma_error *error)
{
    if (part->bytes < ROMA__DENSE_LEAST_BYTES)
        return 0;
    if (roma__calling != NULL)
        return roma__error_subject(error, -EDEADLK, ROMA_WHY_UNSUPPORTED, "waiting in a callback");
    if (roma__engine_is_gone(engine))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an engine of the parent");
    roma_file_range range = range_of(part, NULL);
    int code = roma__engine_hold(engine, error);
    if (code < 0)
        return code;
    code = read_and_wait(engine, &range, error);
    roma__engine_let(engine);
    return code;
}

/* ---- advice --------------------------------------------------------------------------------- */

static int need_without(const roma_file_part *part, roma_error *error)
{
    if (roma__sys->madvise(part->address, part->bytes, MADV_WILLNEED) == 0)
        return 0;
    int code = roma__error_call(error, "madvise", errno);
    if (error != NULL)
        roma__text_copy(error->subject, sizeof error->subject, "MADV_WILLNEED");
    return code;
}

static int need(roma_prefetch_engine *engine, const roma_file_part *part, roma_error *error)
{
    roma_file_range range = range_of(part, NULL);
    if (engine == NULL)
        return need_without(part, error);
    return roma__submit_by_itself(engine, &range, ROMA_PREFETCH_ISSUED, error);
}

int roma__part_advise(roma_prefetch_engine *engine, const roma_file_part *part, roma_advice advice,
                      roma_error *error)
{
    roma_file_range mapped = range_of(part, part->address);
    switch (advice) {
    case ROMA_ADVICE_NEED: return need(engine, part, error);
    case ROMA_ADVICE_COLD: return roma_evict(&mapped, 1, ROMA_EVICT_COLD, error);
    case ROMA_ADVICE_PAGEOUT: return roma_evict(&mapped, 1, ROMA_EVICT_PAGEOUT, error);
    default: break;
    }
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                               "this advice for a part of a file");
}

/* ---- the table ------------------------------------------------------------------------------ */

/* The engine's threads are for calls that wait for a device; other work would keep those
 * waiting. */
static int refuse_work(void *self, void (*work)(void *argument), void *argument)
{
    (void)self;
    (void)work;
    (void)argument;
    return -EOPNOTSUPP;
}

static int file_populate(void *self, const roma_file_part *part, roma_error *error)
{
    return roma__part_read(self, part, error);
}

static int file_advise(void *self, const roma_file_part *part, roma_advice advice,
                       roma_error *error)
{
    return roma__part_advise(self, part, advice, error);
}

int roma_prefetch_executor(roma_prefetch_engine *engine, roma_executor *executor)
{
    if (engine == NULL || executor == NULL)
        return -EINVAL;
    if (roma__engine_is_gone(engine))
        return -ESTALE;
    *executor = (roma_executor){
        .size = sizeof *executor,
        .self = engine,
        .submit = refuse_work,
        .file_populate = file_populate,
        .file_advise = file_advise,
    };
    return 0;
}
