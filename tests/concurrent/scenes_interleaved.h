/* scenes_interleaved.h - what threads do in the world of heap_interleaved.h, each scene under every
 * interleaving. */
#ifndef ROMA_TESTS_SCENES_INTERLEAVED_H
#define ROMA_TESTS_SCENES_INTERLEAVED_H

#include "interleave.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Senders that push batches of one cell onto an inbox, reused as soon as they are free, and a
 * receiver that takes all there is, some times. Each cell arrives once; no batch is lost. */
interleave_result inbox_run(unsigned senders, unsigned sends, unsigned takes);

/* What a thread does next, with a cell where it needs one. */
typedef enum handover_act {
    ACT_NONE,
    ACT_RELEASE,      /* the last reference of the life that the cell has at the start */
    ACT_RELEASE_FAST, /* the same without a lock, where that can be                    */
    ACT_TAKE,         /* any cell                                                      */
    ACT_SERVE,        /* look for an orphan's slab                                     */
    ACT_DRAIN,        /* look into its inbox                                           */
    ACT_FLUSH,        /* push its open batches                                         */
    ACT_TRIM,         /* empty all caches of the heap                                  */
    ACT_LEAVE,        /* end                                                           */
    ACT_ADOPT         /* first of all: the thread has no cache yet, and gets one       */
} handover_act;

enum { HANDOVER_THREADS_MAX = 3, HANDOVER_ACTS_MAX = 4, HANDOVER_ORPHAN = 8, HANDOVER_COMMON = 9 };

typedef struct handover_step {
    handover_act act;
    unsigned cell;
} handover_step;

/* A slab of four cells whose first `live` live, kept by a thread's cache, by that of a thread that
 * has ended (HANDOVER_ORPHAN), or by the heap's common one. Of the releases of one life one ends
 * it, the others say that it is stale or are told of later; the store that ends it saw its last
 * word; what is taken stays taken. */
typedef struct handover_scenario {
    uint32_t words; /* ROMA__WORDS_* */
    bool has_magazines;
    unsigned keeper;
    unsigned live;
    unsigned threads;
    bool are_ending; /* the threads have no caches, and use the common one */
    handover_step steps[HANDOVER_THREADS_MAX][HANDOVER_ACTS_MAX];
} handover_scenario;

interleave_result handover_run(const handover_scenario *scenario);

/* A function that ends lives takes the word for what it was at the start, whatever it is now. */
interleave_mutant handover_without_comparing(const char *function);

/* The orphan does not know that its slab went to another cache. */
interleave_mutant handover_without_note(void);

/* What a thread does next, with a heap where it needs one. */
typedef enum ending_act {
    END_NONE,
    END_LEAVE,        /* end: the thread's caches of all heaps are given up */
    END_ATTACH,       /* get a cache of a heap                              */
    END_USE,          /* use it                                             */
    END_TELL,         /* the thread is done with its calls                  */
    END_AWAIT,        /* wait until another has told so                     */
    END_CHECK,        /* prove a heap                                       */
    END_CLEAR,        /* free all its cells                                 */
    END_CLOSE_CACHES, /* take all caches of a heap; it is gone then         */
    END_CLOSE         /* close a heap altogether                            */
} ending_act;

enum { ENDING_THREADS_MAX = 3, ENDING_ACTS_MAX = 4, ENDING_HEAPS = 2 };

typedef struct ending_step {
    ending_act act;
    unsigned heap;
} ending_step;

/* Threads end while heaps are closed that they have used. A heap is not looked at after it is gone,
 * and each cache is in the end in the list of one heap that is there, or among the spare ones. */
typedef struct ending_scenario {
    bool has_magazines;
    unsigned threads;
    bool has_cache[ENDING_THREADS_MAX][ENDING_HEAPS]; /* at the start                      */
    unsigned live; /* cells of a slab that the first thread's cache of the first heap keeps */
    bool sends;    /* the second thread's is about to send the release of one of them to it */
    ending_step steps[ENDING_THREADS_MAX][ENDING_ACTS_MAX];
} ending_scenario;

interleave_result ending_run(const ending_scenario *scenario);

/* Who leaves does not look whether the cache is still his. */
interleave_mutant ending_without_look(void);

#ifdef __cplusplus
}
#endif
#endif
