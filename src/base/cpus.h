/* cpus.h - sets of CPUs, as the kernel has them: the affinity of threads. */
#ifndef ROMA_BASE_CPUS_H
#define ROMA_BASE_CPUS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As many as Linux can be built for. */
enum { ROMA__CPUS_MAX = 8192, ROMA__CPUS_WORD_BITS = sizeof(unsigned long) * CHAR_BIT };

typedef struct roma__cpus {
    unsigned long words[ROMA__CPUS_MAX / ROMA__CPUS_WORD_BITS];
} roma__cpus;

/* Add those of a list such as "0-3,8", but for numbers that no CPU has.
 * Returns 0, or -EINVAL where the text is no list; the ranges before the wrong one are added. */
int roma__cpus_add(roma__cpus *set, const char *list);

bool roma__cpus_is_empty(const roma__cpus *set);

#ifdef __cplusplus
}
#endif
#endif
