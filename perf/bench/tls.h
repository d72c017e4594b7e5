/* tls.h - a thread-local variable behind the border of a shared library. */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

void *bench_tls_address(void);

#endif
