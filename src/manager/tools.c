/* tools.c - see tools.h.
 *
 * AddressSanitizer: its two functions are referred to weakly, so that the same library works in
 * programs built with it and without. Memcheck, Valgrind's tool for memory: client requests, a few
 * instructions that do nothing outside of it; left out where its header is missing when roma is
 * built. Valgrind's other tools do not know what is open or shut, and count as no tool here: under
 * callgrind the hot paths are those of any run.
 *
 * Each block is told to memcheck as if malloc had given it, so its reports name the stack that
 * allocated and the one that freed, and its leak check sees blocks. They are told without redzones:
 * memcheck would put one in front of the first cell of an extent too, where the memory is somebody
 * else's.
 *
 * Limit: LeakSanitizer does not look for pointers inside blocks, as in all memory from mmap. */
#include "manager/tools.h"

#include <stdatomic.h>

#if defined(__has_include)
#if __has_include(<valgrind/memcheck.h>)
#define HAS_VALGRIND 1
#endif
#endif

#ifdef HAS_VALGRIND
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/memcheck.h>
#pragma GCC diagnostic pop
#else
#define VALGRIND_MALLOCLIKE_BLOCK(address, bytes, redzone, is_zeroed) ((void)0)
#define VALGRIND_FREELIKE_BLOCK(address, redzone) ((void)0)
#define VALGRIND_RESIZEINPLACE_BLOCK(address, before, bytes, redzone) ((void)0)
#define VALGRIND_MAKE_MEM_NOACCESS(address, bytes) ((void)0)
#define VALGRIND_MAKE_MEM_DEFINED(address, bytes) ((void)(address), 0)
#endif

/* The names are AddressSanitizer's interface. */
__attribute__((weak)) void __asan_poison_memory_region(void const volatile *address, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(void const volatile *address,
                                                         size_t bytes);

enum { NOT_ASKED = 0, ABSENT, PRESENT };

static bool has_asan(void)
{
    return __asan_poison_memory_region != NULL && __asan_unpoison_memory_region != NULL;
}

/* Memcheck answers this request; no other tool does, and outside of Valgrind its answer is 0. */
static bool has_memcheck(void)
{
    char probe = 0;
    return VALGRIND_MAKE_MEM_DEFINED(&probe, sizeof probe) != 0;
}

bool roma__tools_present(void)
{
    static _Atomic(int) answer; /* relaxed: every thread that asks finds the same */
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == NOT_ASKED) {
        known = has_asan() || has_memcheck() ? PRESENT : ABSENT;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == PRESENT;
}

void roma__tools_open(const void *address, size_t bytes)
{
    if (!roma__tools_present())
        return;
    if (has_asan())
        __asan_unpoison_memory_region(address, bytes);
    (void)VALGRIND_MAKE_MEM_DEFINED(address, bytes);
}

void roma__tools_shut(const void *address, size_t bytes)
{
    if (!roma__tools_present())
        return;
    if (has_asan())
        __asan_poison_memory_region(address, bytes);
    (void)VALGRIND_MAKE_MEM_NOACCESS(address, bytes);
}

void roma__tools_begin(const void *address, size_t bytes, size_t usable, bool is_zeroed)
{
    if (!roma__tools_present())
        return;
    if (has_asan())
        __asan_unpoison_memory_region(address, bytes);
    roma__tools_shut((const char *)address + bytes, usable - bytes);
    VALGRIND_MALLOCLIKE_BLOCK(address, bytes, 0, is_zeroed);
    (void)is_zeroed;
}

void roma__tools_end(const void *address, size_t usable)
{
    if (!roma__tools_present())
        return;
    VALGRIND_FREELIKE_BLOCK(address, 0);
    roma__tools_shut(address, usable);
}

void roma__tools_resize(const void *address, size_t before, size_t bytes, size_t usable,
                        bool is_zeroed)
{
    if (!roma__tools_present())
        return;
    if (has_asan())
        __asan_unpoison_memory_region(address, bytes);
    if (bytes > 0) {
        VALGRIND_RESIZEINPLACE_BLOCK(address, before, bytes, 0);
    } else { /* a resize to nothing is a free for memcheck, but a block of length 0 lives */
        VALGRIND_FREELIKE_BLOCK(address, 0);
        VALGRIND_MALLOCLIKE_BLOCK(address, 0, 0, false);
    }
    if (is_zeroed && bytes > before)
        roma__tools_open((const char *)address + before, bytes - before);
    roma__tools_shut((const char *)address + bytes, usable - bytes);
}
