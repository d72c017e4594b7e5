/* clock.h - what time it is, for everything under perf that measures. */
#ifndef PERF_SUPPORT_CLOCK_H
#define PERF_SUPPORT_CLOCK_H

#include <time.h>

static inline double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* through the vDSO: no system call */
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

#endif
