/* tls.c - a shared library for the limits: a thread-local variable, reached as any library's that
 * may be loaded at run time, by a call for the address of its thread-local storage; and calls that
 * do nothing. */
#include "tls.h"

static _Thread_local long variable;

void *bench_tls_address(void)
{
    return &variable;
}

void *bench_empty_malloc(size_t bytes)
{
    static _Alignas(64) char block[64];
    (void)bytes;
    return block;
}

void bench_empty_free(void *block)
{
    (void)block;
}
