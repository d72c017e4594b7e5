/* prefetch_shim.c - see prefetch_shim.h. */
#include "prefetch_shim.h"

#include "prefetch/engine.h"

bool prefetch_is_valid(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    bool is_valid = roma__engine_is_valid(engine);
    roma__engine_unlock(engine);
    return is_valid;
}
