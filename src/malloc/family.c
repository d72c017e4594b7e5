/* family.c - the rest of the C family: zeroed, resized, aligned, and what old programs call.
 *
 * Where the standards leave a choice, it is that of glibc, which programs were tested with:
 *
 *   malloc(0)             a block of its own
 *   realloc(p, 0)         frees p and returns NULL; errno stays
 *   aligned_alloc(a, n)   EINVAL unless a is a power of two; n need not be a multiple of a
 *   memalign(a, n)        a is rounded up to a power of two
 *   more than PTRDIFF_MAX ENOMEM
 *
 * realloc keeps the block where it is as long as the new length fits it and is more than half of
 * it; large blocks grow and shrink in place, or move by their page tables; copying is last. Where a
 * policy has routes that part (routes.c), it stays only while its new length leads to the heap that
 * it is of, and is copied else. Where there is no memory for a shorter copy, the block stays as it
 * is: that is no failure, and errno and the policy hear nothing of it. */
#include "malloc/fast.h"

#include "numa/machine.h"

#include <errno.h>
#include <string.h>

ROMA__EXPORT void *calloc(size_t count, size_t bytes);
ROMA__EXPORT void *realloc(void *block, size_t bytes);
ROMA__EXPORT void *reallocarray(void *block, size_t count, size_t bytes);
ROMA__EXPORT void free_sized(void *block, size_t bytes);
ROMA__EXPORT void free_aligned_sized(void *block, size_t align, size_t bytes);
ROMA__EXPORT void *aligned_alloc(size_t align, size_t bytes);
ROMA__EXPORT int posix_memalign(void **block, size_t align, size_t bytes);
ROMA__EXPORT void *memalign(size_t align, size_t bytes);
ROMA__EXPORT void *valloc(size_t bytes);
ROMA__EXPORT void *pvalloc(size_t bytes);
ROMA__EXPORT size_t malloc_usable_size(void *block);

/* By these names old programs call glibc's own. */
#define ALSO(name) __attribute__((visibility("default"), alias(name)))
ALSO("calloc") void *__libc_calloc(size_t count, size_t bytes);
ALSO("realloc") void *__libc_realloc(void *block, size_t bytes);
ALSO("memalign") void *__libc_memalign(size_t align, size_t bytes);
ALSO("valloc") void *__libc_valloc(size_t bytes);
ALSO("pvalloc") void *__libc_pvalloc(size_t bytes);
ALSO("posix_memalign") int __posix_memalign(void **block, size_t align, size_t bytes);

static void *fails(int code)
{
    errno = code;
    return NULL;
}

/* ---- zeroed ---------------------------------------------------------------------------------- */

void *calloc(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_expect(__builtin_mul_overflow(count, bytes, &total), 0))
        return fails(ENOMEM);
    void *block = roma__take_fast(total);
    if (__builtin_expect(block == NULL, 0))
        return roma__take_slow(total, ROMA__ALIGN_MIN, true);
    return memset(block, 0, total);
}

/* ---- resized --------------------------------------------------------------------------------- */

static void *hand_over(void *block, void *old, size_t usable, size_t bytes)
{
    if (block == NULL)
        return NULL;
    memcpy(block, old, usable < bytes ? usable : bytes);
    roma__free(old);
    return block;
}

/* The last resort, and the way of small blocks. */
static void *copy(void *old, size_t usable, size_t bytes)
{
    return hand_over(roma__malloc(bytes), old, usable, bytes);
}

/* The same where without it the block may stay. */
static __attribute__((noinline)) void *copy_if_it_can(void *old, size_t usable, size_t bytes)
{
    int saved = errno;
    roma__mine.may_fail = true;
    void *block = roma__malloc(bytes);
    roma__mine.may_fail = false;
    errno = saved;
    return hand_over(block, old, usable, bytes);
}

/* Worth a shorter block of a class. */
static bool is_wasteful(size_t usable, size_t bytes)
{
    return bytes < usable / 2;
}

/* Large blocks, all blocks of a hardened heap, and what is no block. */
static __attribute__((noinline)) void *realloc_slow(void *old, size_t bytes)
{
    int saved = errno;
    roma__cell cell;
    int code = roma__cell_find(old, &cell);
    if (code == 0 && cell.count == 0)
        code = -ESTALE;
    if (code < 0) {
        roma__shim_misuse("realloc", old, code, &cell);
        return fails(EINVAL);
    }
    if (bytes > PTRDIFF_MAX)
        return fails(ENOMEM);
    size_t usable = cell.usable;
    bool may_stay = roma__routes_allow(bytes, cell.heap);
    bool is_to_go = !may_stay || (bytes <= ROMA__CLASS_MAX_BYTES && is_wasteful(usable, bytes));
    void *block = NULL;
    if (is_to_go)
        block = copy_if_it_can(old, usable, bytes); /* where there is no memory for it: stay */
    if (block == NULL && (may_stay || bytes <= usable) && roma__cell_resize(&cell, bytes) == 0)
        block = cell.address;
    if (block == NULL && may_stay && roma__cell_move(&cell, bytes) == 0)
        block = cell.address;
    if (block == NULL)
        block = copy(old, usable, bytes);
    errno = block != NULL ? saved : ENOMEM;
    return block;
}

void *realloc(void *old, size_t bytes)
{
    if (old == NULL)
        return roma__malloc(bytes);
    if (bytes == 0) {
        roma__free(old);
        return NULL;
    }
    const struct roma__slab_head *slab = roma__slab_of(old);
    if (slab == NULL || slab->states != NULL || slab->class_index >= ROMA__CLASS_COUNT)
        return realloc_slow(old, bytes);
    size_t usable = slab->cell_bytes;
    if (bytes <= usable && !is_wasteful(usable, bytes) && roma__routes_allow(bytes, slab->heap))
        return old;
    if (bytes > usable)
        return copy(old, usable, bytes);
    void *block = copy_if_it_can(old, usable, bytes);
    return block != NULL ? block : old;
}

void *reallocarray(void *old, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return fails(ENOMEM);
    return realloc(old, total);
}

/* ---- given back ------------------------------------------------------------------------------ */

/* The lengths are not trusted: programs that get them wrong run on other mallocs. */
void free_sized(void *block, size_t bytes)
{
    (void)bytes;
    roma__free(block);
}

void free_aligned_sized(void *block, size_t align, size_t bytes)
{
    (void)align;
    (void)bytes;
    roma__free(block);
}

/* ---- aligned --------------------------------------------------------------------------------- */

static bool is_power_of_two(size_t align)
{
    return align != 0 && (align & (align - 1)) == 0;
}

/* align: a power of two. NULL with errno ENOMEM. */
static void *take_aligned(size_t align, size_t bytes)
{
    if (align <= ROMA__ALIGN_MIN)
        return roma__malloc(bytes);
    size_t length = roma__aligned_length(bytes, align);
    void *block = length != 0 ? roma__take_fast(length) : NULL;
    if (__builtin_expect(block != NULL, 1))
        return block;
    if (align > ROMA__ALIGN_MAX)
        return fails(ENOMEM);
    return roma__take_slow(bytes, align, false);
}

void *aligned_alloc(size_t align, size_t bytes)
{
    return is_power_of_two(align) ? take_aligned(align, bytes) : fails(EINVAL);
}

int posix_memalign(void **block, size_t align, size_t bytes)
{
    if (!is_power_of_two(align) || align % sizeof(void *) != 0)
        return EINVAL;
    int saved = errno;
    void *taken = take_aligned(align, bytes);
    errno = saved;
    if (taken == NULL)
        return ENOMEM;
    *block = taken;
    return 0;
}

void *memalign(size_t align, size_t bytes)
{
    size_t power = ROMA__ALIGN_MIN;
    while (power < align) {
        if (power > SIZE_MAX / 2)
            return fails(EINVAL);
        power *= 2;
    }
    return take_aligned(power, bytes);
}

void *valloc(size_t bytes)
{
    return take_aligned(roma__machine_base_bytes(), bytes);
}

void *pvalloc(size_t bytes)
{
    size_t page_bytes = roma__machine_base_bytes(), rounded;
    if (__builtin_add_overflow(bytes, page_bytes - 1, &rounded))
        return fails(ENOMEM);
    return take_aligned(page_bytes, rounded & ~(page_bytes - 1));
}

/* ---- asked ----------------------------------------------------------------------------------- */

size_t malloc_usable_size(void *block)
{
    if (block == NULL)
        return 0;
    roma__cell cell;
    int code = roma__cell_find(block, &cell);
    if (code == 0 && cell.count == 0)
        code = -ESTALE;
    if (code < 0) {
        roma__shim_misuse("malloc_usable_size", block, code, &cell);
        return 0;
    }
    return cell.usable;
}
