/* prefetch_shim.c - see prefetch_shim.h. */
#include "prefetch_shim.h"

#include "prefetch/work.h"

bool prefetch_is_valid(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    bool is_valid = roma__engine_is_valid(engine);
    roma__engine_unlock(engine);
    return is_valid;
}

unsigned prefetch_pieces_before_a_long_one(unsigned most)
{
    enum { BUDGET = 8, LONG = 5, SHORT = 1 };
    static roma_prefetch_engine engine;
    static roma__job many, one;
    engine = (roma_prefetch_engine){
        .options = {.budget_bytes = BUDGET, .dense_depth = 2, .sparse_depth = BUDGET}};
    roma__op ops[BUDGET] = {{.job = &many}}, large = {.job = &one, .bytes = LONG, .dense = true};
    unsigned count = 0, flying = 0;
    for (; flying < BUDGET && roma__work_may_fly(&engine, &many, false, SHORT); flying++) {
        ops[flying] = (roma__op){.job = &many, .bytes = SHORT};
        roma__work_add_flying(&engine, &ops[flying]);
    }
    while (count < most && !roma__work_may_fly(&engine, &one, true, LONG)) {
        roma__work_remove_flying(&engine, &ops[--flying]);
        if (!roma__work_may_fly(&engine, &many, false, SHORT))
            continue;
        roma__work_add_flying(&engine, &ops[flying++]);
        count++;
    }
    roma__work_add_flying(&engine, &large);
    return count;
}
