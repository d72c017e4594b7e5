/* word_interleaved.c - word.c compiled once more, with every atomic access and lock a point where
 * another thread may go on (interleave.h); every interleaving is run.
 *
 * A compare-and-swap that may fail spuriously is the strong one here; its failure path is taken
 * when the word did change. */
#include "word_interleaved.h"

#include <string.h>

#define roma__word_references interleaved_word_references
#define roma__word_retain interleaved_word_retain
#define roma__word_drop interleaved_word_drop
#define roma__word_drop_shared interleaved_word_drop_shared
#define roma__word_end_sole interleaved_word_end_sole
#define roma__word_next_generation interleaved_word_next_generation
#define roma__word_kill interleaved_word_kill
#define roma__counts_fork_hold interleaved_counts_fork_hold
#define roma__counts_fork_free interleaved_counts_fork_free
#include "interleave_points.h"

#include "heap/word.c"

/* ---- one run --------------------------------------------------------------------------------- */

static struct {
    const interleaved_scenario *scenario;
    const char *(*judge)(const interleaved_scenario *scenario, const interleaved_outcome *outcome);
    interleaved_outcome outcome;
    uint32_t word;
} now;

static int perform(interleaved_op op)
{
    uint32_t had;
    switch (op) {
    case OP_RETAIN: return interleaved_word_retain(&now.word, now.scenario->generation);
    case OP_DROP: return interleaved_word_drop(&now.word, now.scenario->generation);
    case OP_DROP_ANY: return interleaved_word_drop(&now.word, UINT32_MAX);
    case OP_END_SOLE: return interleaved_word_end_sole(&now.word, &had);
    default: return 0;
    }
}

static void act(void *context, unsigned number)
{
    (void)context;
    for (unsigned i = 0; i < INTERLEAVED_OPS_MAX; i++)
        now.outcome.results[number][i] = perform(now.scenario->ops[number][i]);
}

static void begin(void *context)
{
    (void)context;
    memset(&now.outcome, 0, sizeof now.outcome);
    now.word = roma__word_make(now.scenario->generation, now.scenario->count);
}

static const char *settle(void *context)
{
    (void)context;
    now.outcome.generation = roma__word_generation(now.word);
    now.outcome.references = (int)roma__word_count(now.word);
    if (roma__word_count(now.word) == ROMA__WORD_SATURATED)
        now.outcome.references = table_find(&now.word)->count;
    now.outcome.table_used = (unsigned)table.used;
    while (table.used > 0)
        table_remove(table_find(&now.word));
    return now.judge(now.scenario, &now.outcome);
}

interleave_result interleaved_run(const interleaved_scenario *scenario,
                                  const char *(*judge)(const interleaved_scenario *scenario,
                                                       const interleaved_outcome *outcome))
{
    now.scenario = scenario;
    now.judge = judge;
    const interleave_plan plan = {
        .threads = scenario->threads, .begin = begin, .thread = act, .judge = settle};
    return interleave_run(&plan);
}
