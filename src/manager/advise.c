/* advise.c - a block's pages are made present, needed, cold, paged out; and the engine that does it
 * where a file stands behind them.
 *
 * The engine of a manager is held by it, so that it cannot be destroyed before. Providers get it as
 * an executor (roma_prefetch_executor()); for blocks of stores, which have no provider, it is used
 * from here. A child of fork() has no engine: there all is as for a manager without one. */
#include "manager/manager.h"

#include "base/error.h"
#include "prefetch/engine.h"

#include <errno.h>

/* ---- the engine ------------------------------------------------------------------------------ */

roma_prefetch_engine *roma__manager_engine(const roma_manager *manager)
{
    roma_prefetch_engine *engine = manager->engine;
    return engine == NULL || roma__engine_is_gone(engine) ? NULL : engine;
}

void roma__manager_let_engine(roma_manager *manager)
{
    if (manager->engine != NULL)
        roma__engine_let(manager->engine);
    manager->engine = NULL;
}

int roma_manager_engine(roma_manager *manager, struct roma_prefetch_engine *engine,
                        roma_error *error)
{
    if (manager == NULL)
        return roma__error_invalid(error, "manager");
    if (engine != NULL && roma__engine_is_gone(engine))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an engine of the parent");
    int code = engine != NULL ? roma__engine_hold(engine, error) : 0;
    if (code < 0)
        return code;
    roma__manager_let_engine(manager);
    manager->engine = engine;
    return 0;
}

/* NULL where there is none. */
static const roma_executor *executor_of(const roma_manager *manager, roma_executor *executor)
{
    roma_prefetch_engine *engine = roma__manager_engine(manager);
    return engine != NULL && roma_prefetch_executor(engine, executor) == 0 ? executor : NULL;
}

/* ---- parts of blocks ------------------------------------------------------------------------- */

static int check_part(size_t offset, size_t bytes, size_t usable, roma_error *error)
{
    if (offset > usable)
        return roma__error_invalid(error, "offset");
    return bytes > usable - offset ? roma__error_invalid(error, "bytes") : 0;
}

static int check_stored(const roma__stored_part *part, size_t offset, size_t bytes,
                        roma_error *error)
{
    if (part->code < 0)
        return roma__error_subject(error, part->code, ROMA_WHY_INVALID, "block");
    return check_part(offset, bytes, part->usable_bytes, error);
}

/* The block of a manager with heaps. Returns 0, or -errno with *error. */
static int find(const void *block, size_t offset, size_t bytes, roma__cell *cell, roma_error *error)
{
    int code = roma__life_at(block, cell);
    if (code < 0)
        return roma__error_subject(error, code, ROMA_WHY_INVALID, "block");
    return check_part(offset, bytes, roma__usable_of(cell), error);
}

int roma_populate(void *block, size_t offset, size_t bytes, unsigned threads, roma_error *error)
{
    roma__cell cell;
    roma_executor executor;
    roma_error ignored = {0};
    roma__stored_part part;
    error = error != NULL ? error : &ignored;
    (void)roma__error(error, 0, ROMA_WHY_NONE);
    if (roma__stored_part_of(block, &part)) {
        int code = check_stored(&part, offset, bytes, error);
        return code < 0 ? code : roma__stored_populate(&part, offset, bytes, threads, error);
    }
    int code = find(block, offset, bytes, &cell, error);
    if (code < 0)
        return code;
    return roma__cell_populate(&cell, offset, bytes, threads, executor_of(cell.owner, &executor),
                               error);
}

static int check_advice(roma_advice advice, roma_error *error)
{
    switch (advice) {
    case ROMA_ADVICE_NEED:
    case ROMA_ADVICE_COLD:
    case ROMA_ADVICE_PAGEOUT: return 0;
    case ROMA_ADVICE_DISCARD:
    case ROMA_ADVICE_NODUMP:
    case ROMA_ADVICE_NOFORK:
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "advice that would outlive a block");
    default: return roma__error_invalid(error, "advice");
    }
}

int roma_advise(void *block, size_t offset, size_t bytes, roma_advice advice, roma_error *error)
{
    roma__cell cell;
    roma_executor executor;
    roma_error ignored = {0};
    roma__stored_part part;
    error = error != NULL ? error : &ignored;
    (void)roma__error(error, 0, ROMA_WHY_NONE);
    int code = check_advice(advice, error);
    if (code < 0)
        return code;
    if (roma__stored_part_of(block, &part)) {
        code = check_stored(&part, offset, bytes, error);
        return code < 0 ? code : roma__stored_advise(&part, offset, bytes, advice, error);
    }
    code = find(block, offset, bytes, &cell, error);
    if (code < 0)
        return code;
    if (advice != ROMA_ADVICE_NEED && (cell.flags & ROMA__CELL_REGISTERED) != 0)
        return roma__error_subject(error, -EBUSY, ROMA_WHY_UNSUPPORTED,
                                   "taking the pages of a block that is registered");
    return roma__cell_advise(&cell, offset, bytes, advice, executor_of(cell.owner, &executor),
                             error);
}
