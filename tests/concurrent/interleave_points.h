/* interleave_points.h - atomics and locks as points of interleave.h, for a source that is included
 * behind it.
 *
 * Inline functions of headers that come before keep the real ones, and so make no points. */
#ifndef ROMA_TESTS_INTERLEAVE_POINTS_H
#define ROMA_TESTS_INTERLEAVE_POINTS_H

#include "interleave.h"

#include "base/check.h"
#include "heap/atomics.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>

/* ---- atomics --------------------------------------------------------------------------------- */

#undef roma__load
#undef roma__load_acquire
#undef roma__store
#undef roma__store_release
#undef roma__compare_exchange
#undef roma__exchange
#undef roma__add
#undef roma__subtract

#define roma__load(place) (interleave_point((place), __func__), *(place))
#define roma__load_acquire(place) roma__load(place)
#define roma__store(place, value)                                                                  \
    __extension__({                                                                                \
        __typeof__(*(place)) value_ = (value);                                                     \
        interleave_point((place), __func__);                                                       \
        interleave_storing((place), (unsigned long)(uintptr_t)value_, __func__);                   \
        *(place) = value_;                                                                         \
    })
#define roma__store_release(place, value) roma__store(place, value)
#define roma__add(place, value) (interleave_point((place), __func__), *(place) += (value))
#define roma__subtract(place, value) (interleave_point((place), __func__), *(place) -= (value))

/* As they stand in <roma/cache.h>. No macro is expanded within itself: these call the builtins. */
#define __atomic_load_n(place, order)                                                              \
    (interleave_point((place), __func__), __atomic_load_n((place), (order)))
#define __atomic_store_n(place, value, order)                                                      \
    __extension__({                                                                                \
        __typeof__(*(place)) value_ = (value);                                                     \
        interleave_point((place), __func__);                                                       \
        interleave_storing((place), (unsigned long)(uintptr_t)value_, __func__);                   \
        __atomic_store_n((place), value_, (order));                                                \
    })

/* A mutant has a point between what it sees and what it writes. */
#define roma__compare_exchange(place, expected, desired)                                           \
    __extension__({                                                                                \
        interleave_point((place), __func__);                                                       \
        __typeof__(*(place)) was_ = *(place);                                                      \
        bool swaps_ = was_ == *(expected);                                                         \
        if (swaps_ && interleave_is_torn(__func__))                                                \
            interleave_point((place), __func__);                                                   \
        if (swaps_)                                                                                \
            *(place) = (desired);                                                                  \
        else                                                                                       \
            *(expected) = was_;                                                                    \
        swaps_;                                                                                    \
    })
#define roma__exchange(place, value)                                                               \
    __extension__({                                                                                \
        interleave_point((place), __func__);                                                       \
        __typeof__(*(place)) was_ = *(place);                                                      \
        if (interleave_is_torn(__func__))                                                          \
            interleave_point((place), __func__);                                                   \
        *(place) = (value);                                                                        \
        was_;                                                                                      \
    })

/* ---- locks ----------------------------------------------------------------------------------- */

#define pthread_mutex_lock(which) interleave_lock((which), __func__)
#define pthread_mutex_trylock(which) interleave_trylock((which), __func__)
#define pthread_mutex_unlock(which) interleave_unlock((which), __func__)
#define pthread_mutex_init(which, attributes) ((void)(which), (void)(attributes))
#define pthread_mutex_destroy(which)                                                               \
    (interleave_is_locked(which) ? interleave_fail("a lock is destroyed while it is held")         \
                                 : (void)0)
#define sched_yield() (interleave_yield(__func__), 0)

#define roma__check_failed(condition, file, line) interleave_fail(condition)

#endif
