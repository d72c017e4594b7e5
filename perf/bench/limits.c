/* limits.c - what the machine allows: the least that an allocator could do, without one.
 *
 *   limit-freelist  pop a block from a list through the blocks and push it back
 *   limit-array     the same with a thread's arrays of addresses, one a size class, the class not
 *                   known to the compiler
 *   limit-tls       the address of a thread-local variable of a shared library, through a call
 *   limit-calls     a pair of calls into a shared library in which nothing is done: no malloc that
 *                   is a library can be faster
 *   limit-locked    one locked instruction on a line that nobody else uses
 *   limit-remote    the test remote-64 (remote.c) with nothing allocated: its ring alone */
#include "bench.h"
#include "tls.h"

/* ---- free list ------------------------------------------------------------------------------ */

enum { BLOCKS = 64, BLOCK_BYTES = 64, CLASSES = 52 };

static void *freelist_head;

static void freelist_work(void *context, uint64_t rounds)
{
    (void)context;
    for (uint64_t i = 0; i < rounds; i++) {
        void **block = freelist_head;
        freelist_head = *block;
        block = keep(block);
        *block = freelist_head;
        freelist_head = block;
        (void)keep(block);
    }
}

void run_freelist(const struct test *test)
{
    static _Alignas(LINE_BYTES) char blocks[BLOCKS][BLOCK_BYTES];
    for (unsigned i = 0; i < BLOCKS; i++) {
        *(void **)(void *)blocks[i] = freelist_head;
        freelist_head = blocks[i];
    }
    measure(test->name, freelist_work, NULL, 1, 1);
}

/* ---- arrays of addresses -------------------------------------------------------------------- */

struct stack {
    void **top;
    void *blocks[BLOCKS];
};

static _Thread_local struct stack stacks[CLASSES];

static void array_work(void *context, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        size_t class_index = *(volatile size_t *)context;
        struct stack *from = &stacks[class_index];
        void *block = *--from->top;
        block = keep(block);
        class_index = *(volatile size_t *)context;
        struct stack *to = &stacks[class_index];
        *to->top++ = block;
        (void)keep(block);
    }
}

void run_array(const struct test *test)
{
    static char blocks[BLOCKS / 2][BLOCK_BYTES];
    size_t class_index = 3;
    struct stack *stack = &stacks[class_index];
    stack->top = stack->blocks;
    for (unsigned i = 0; i < BLOCKS / 2; i++)
        *stack->top++ = blocks[i];
    measure(test->name, array_work, &class_index, 1, 1);
}

/* ---- thread-local storage ------------------------------------------------------------------- */

static void tls_work(void *context, uint64_t rounds)
{
    (void)context;
    for (uint64_t i = 0; i < rounds; i++)
        (void)keep(bench_tls_address());
}

void run_tls(const struct test *test)
{
    measure(test->name, tls_work, NULL, 1, 1);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void calls_work(void *context, uint64_t rounds)
{
    (void)context;
    for (uint64_t i = 0; i < rounds; i++)
        bench_empty_free(keep(bench_empty_malloc(64)));
}

void run_calls(const struct test *test)
{
    measure(test->name, calls_work, NULL, 1, 1);
}

/* ---- a locked instruction ------------------------------------------------------------------- */

static void locked_work(void *context, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++)
        (void)__atomic_fetch_add((uint64_t *)context, 1, __ATOMIC_SEQ_CST);
}

void run_locked(const struct test *test)
{
    static _Alignas(LINE_BYTES) uint64_t line[LINE_BYTES / sizeof(uint64_t)];
    measure(test->name, locked_work, line, 1, 1);
}
