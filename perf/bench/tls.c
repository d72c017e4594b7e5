/* tls.c - a shared library whose only content is a thread-local variable, reached as any library's
 * that may be loaded at run time: by a call for the address of its thread-local storage. */
#include "tls.h"

static _Thread_local long variable;

void *bench_tls_address(void)
{
    return &variable;
}
