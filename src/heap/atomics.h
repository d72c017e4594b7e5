/* atomics.h - short names for the atomic accesses of this folder.
 *
 * Compiler builtins on ordinary types rather than C11's _Atomic: the layout of caches, slabs and
 * states is shared with <roma/cache.h>, which C++ includes too, and C++ does not take _Atomic.
 * What is not written through these is not shared between threads, or is under a lock. */
#ifndef ROMA_HEAP_ATOMICS_H
#define ROMA_HEAP_ATOMICS_H

#include <stdbool.h>

#define roma__load(place) __atomic_load_n((place), __ATOMIC_RELAXED)
#define roma__load_acquire(place) __atomic_load_n((place), __ATOMIC_ACQUIRE)
#define roma__store(place, value) __atomic_store_n((place), (value), __ATOMIC_RELAXED)
#define roma__store_release(place, value) __atomic_store_n((place), (value), __ATOMIC_RELEASE)
/* Strong, acquire and release; acquire on failure, with what is there in *expected. */
#define roma__compare_exchange(place, expected, desired)                                           \
    __atomic_compare_exchange_n((place), (expected), (desired), false, __ATOMIC_ACQ_REL,           \
                                __ATOMIC_ACQUIRE)
#define roma__exchange(place, value) __atomic_exchange_n((place), (value), __ATOMIC_ACQ_REL)
#define roma__add(place, value) __atomic_fetch_add((place), (value), __ATOMIC_RELAXED)
#define roma__subtract(place, value) __atomic_fetch_sub((place), (value), __ATOMIC_RELAXED)

#endif
