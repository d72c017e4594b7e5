/* word_interleaved.h - runs word.c's operations under every interleaving of their atomic steps. */
#ifndef ROMA_TESTS_WORD_INTERLEAVED_H
#define ROMA_TESTS_WORD_INTERLEAVED_H

#include "interleave.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { INTERLEAVED_THREADS_MAX = 3, INTERLEAVED_OPS_MAX = 3 };

typedef enum interleaved_op {
    OP_NONE,
    OP_RETAIN,
    OP_DROP,
    OP_DROP_ANY,
    OP_END_SOLE
} interleaved_op;

/* Each thread does its operations in order; `generation` is that of the word at the start. */
typedef struct interleaved_scenario {
    uint32_t count;      /* references at the start             */
    uint32_t generation; /* at the start                        */
    unsigned threads;
    interleaved_op ops[INTERLEAVED_THREADS_MAX][INTERLEAVED_OPS_MAX];
} interleaved_scenario;

typedef struct interleaved_outcome {
    int results[INTERLEAVED_THREADS_MAX][INTERLEAVED_OPS_MAX];
    int references;      /* at the end                          */
    uint32_t generation; /* at the end                          */
    unsigned table_used; /* entries left in the side table      */
} interleaved_outcome;

/* Run all interleavings; `judge` is called with each outcome and returns 0, or a message that ends
 * the run. */
interleave_result interleaved_run(const interleaved_scenario *scenario,
                                  const char *(*judge)(const interleaved_scenario *scenario,
                                                       const interleaved_outcome *outcome));

#ifdef __cplusplus
}
#endif
#endif
