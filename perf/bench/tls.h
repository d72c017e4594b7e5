/* tls.h - behind the border of a shared library: a thread-local variable, and a malloc and a free
 * with nothing in them. */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include <stddef.h>

void *bench_tls_address(void);

void *bench_empty_malloc(size_t bytes);
void bench_empty_free(void *block);

#endif
