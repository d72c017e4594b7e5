/* expect.h - what the programs of this folder share: expectations, and the proof that they run on
 * roma's malloc and not, unnoticed, on the C library's. For C and C++. */
#ifndef ROMA_TESTS_MALLOC_EXPECT_H
#define ROMA_TESTS_MALLOC_EXPECT_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks_count, faults_count; /* by the compiler's atomics: C++ has not C's */

/* A condition that must hold; told with its place where it does not. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        __atomic_fetch_add(&checks_count, 1, __ATOMIC_RELAXED);                                    \
        if (!(condition)) {                                                                        \
            __atomic_fetch_add(&faults_count, 1, __ATOMIC_RELAXED);                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
        }                                                                                          \
    } while (0)

/* Is this function the preloaded library's? */
static inline void expect_ours(const char *name)
{
    Dl_info info;
    void *address = dlsym(RTLD_DEFAULT, name);
    int is_ours = address != NULL && dladdr(address, &info) != 0 && info.dli_fname != NULL &&
                  strstr(info.dli_fname, "libroma_malloc.so") != NULL;
    if (!is_ours)
        fprintf(stderr, "%s is not of libroma_malloc.so\n", name);
    EXPECT(is_ours);
}

/* The last line of a program, and its exit status. */
static inline int finish(const char *name)
{
    int checks = __atomic_load_n(&checks_count, __ATOMIC_RELAXED);
    int faults = __atomic_load_n(&faults_count, __ATOMIC_RELAXED);
    printf("%s: %d checks, %d failed\n", name, checks, faults);
    return checks == 0 || faults != 0;
}

#endif
