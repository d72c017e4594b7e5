/* roma/cache.h - a thread's own cache of free blocks, with the hottest paths inline.
 *
 * Every thread that allocates from a manager has a cache of free blocks there, and the plain calls
 * (roma_alloc, roma_free) use it. A loop that knows its thread can hold the cache itself:
 *
 *     roma_cache *cache = roma_cache_of(manager);
 *     void *block = roma_cache_alloc(cache, 64);
 *     roma_cache_free(cache, block, 64);
 *
 * That leaves out the way to the cache (thread-local storage of a shared library) and the call: the
 * path below compiles to some twenty instructions, without a locked one.
 *
 * A cache is its thread's alone: another thread that uses it is misuse, not reported. It is there
 * until its thread ends or its manager is destroyed, whatever comes first. Blocks are the same
 * blocks: any thread may free one by any call.
 *
 * Requests go where roma_alloc() goes. A manager whose default placement is LOCAL has a cache for
 * each node; roma_cache_of() gives that of the node where the thread runs now.
 *
 * The first section is the interface. What follows it is layout that the inline functions need: it
 * may change with any version before 1.0, and a program is compiled anew then. */
#ifndef ROMA_CACHE_H
#define ROMA_CACHE_H

#include <roma/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct roma_manager;

typedef struct roma_cache roma_cache;

/** The calling thread's cache of a manager's blocks.
 *
 *  manager  NULL is EINVAL
 *  Returns it, or NULL with errno ENOMEM, EINVAL. A manager that looks at every block (debug
 *  options, AddressSanitizer, Valgrind's memcheck) gives a cache, too, that calls on it at each
 *  block. Threads: any; the cache is for the caller's alone.  Signals: no.  Cost: some ns; a lock
 *                                                             at a
 *  thread's first call.  Since: 0.1 */
ROMA_API roma_cache *roma_cache_of(struct roma_manager *manager);

/** roma_alloc() from a cache.
 *
 *  Returns the address, or NULL with errno as roma_alloc().
 *  Threads: the cache's own.  Signals: no.  Cost: about a ns; some tens where the cache is empty.
 *  Since: 0.1 */
static inline ROMA_MUST_USE void *roma_cache_alloc(roma_cache *cache, size_t bytes);

/** Give up one reference, as roma_free_sized(): `bytes` must be the block's length, else it is
 *  misuse. In a manager without counts the length must be of the block's size class, and a double
 *  free is found when the block goes back to its slab. NULL is a no-op.
 *
 *  Threads: the cache's own; the block may be any thread's.  Signals: no.  Cost: as alloc.
 *  Since: 0.1 */
static inline void roma_cache_free(roma_cache *cache, void *block, size_t bytes);

/** roma_alloc_batch() from a cache.  Since: 0.1 */
ROMA_API int roma_cache_alloc_batch(roma_cache *cache, size_t bytes, void **blocks, size_t count);

/** roma_cache_free() for `count` blocks of `bytes` each, NULLs skipped. In a manager without counts
 *  this copies addresses: whether each is a block of that size class is found when it goes back to
 *  its slab.  Since: 0.1 */
ROMA_API void roma_cache_free_batch(roma_cache *cache, size_t bytes, void *const *blocks,
                                    size_t count);

/* ---- layout: private, and here for the inline functions alone ------------------------------- */

/* Size classes: 16 bytes apart up to 128, then four to each doubling up to 256 KiB. */
enum {
    ROMA__CLASS_LINEAR = 8,
    ROMA__CLASS_COUNT = ROMA__CLASS_LINEAR + 4 * 11,
    ROMA__CLASS_MAX_BYTES = 128 << 11
};

/* The classes of the lengths up to 4096, in steps of 16; for longer ones they are computed. */
#define ROMA__4(k) k, k, k, k
#define ROMA__8(k) ROMA__4(k), ROMA__4(k)
#define ROMA__16(k) ROMA__8(k), ROMA__8(k)
#define ROMA__32(k) ROMA__16(k), ROMA__16(k)
static const uint8_t roma__classes_by_16[257] = {
    0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, ROMA__4(12), ROMA__4(13), ROMA__4(14),
    ROMA__4(15), ROMA__8(16), ROMA__8(17), ROMA__8(18), ROMA__8(19), ROMA__16(20), ROMA__16(21),
    ROMA__16(22), ROMA__16(23), ROMA__32(24), ROMA__32(25), ROMA__32(26), ROMA__32(27)};
#undef ROMA__4
#undef ROMA__8
#undef ROMA__16
#undef ROMA__32

/* The class of a length up to ROMA__CLASS_MAX_BYTES. */
static inline unsigned roma__class_of(size_t bytes)
{
    if (__builtin_expect(bytes <= 4096, 1))
        return roma__classes_by_16[(bytes + 15) / 16];
    /* 2^log2 < bytes <= 2^(log2 + 1): which quarter of this doubling? */
    unsigned log2 = 63u - (unsigned)__builtin_clzll((unsigned long long)(bytes - 1));
    unsigned quarter = (unsigned)((bytes - 1) >> (log2 - 2)) & 3;
    return ROMA__CLASS_LINEAR + (log2 - 7) * 4 + quarter;
}

/* Free blocks of one class: addresses from a NULL up to `top`. The state of the block at top[-1]
 * is at top[-1 + ROMA__MAGAZINE_STRIDE]: a second array, which managers without counts do not
 * have. The distance is more than all magazines together, and keeps the two out of one another's
 * way in a cache that looks at the low 12 bits of an address first. */
enum { ROMA__MAGAZINE_STRIDE = 18640 };

struct roma__magazine {
    void **top;
    void **limit;
    /* Figures: `given` is written by the cache's thread alone, `moved` under the cache's lock.
     * Takes are not counted one by one: what came in by other ways than a release, less what went
     * out by other ways than a take and what is here now, plus releases, is what was taken. */
    uint64_t given;
    uint64_t moved;
};

/* What is known of one cell: word (generation << 10 | references) and tail (length << 3 | flags).
 * Little-endian: the word is the lower half of the 64 bits, which a new life writes at once. */
struct roma__state {
    uint32_t word __attribute__((__aligned__(8)));
    uint32_t tail;
};

typedef uint64_t __attribute__((__may_alias__)) roma__state_bits;

enum {
    ROMA__WORD_COUNT_BITS = 10,
    ROMA__WORD_COUNT_MASK = (1 << ROMA__WORD_COUNT_BITS) - 1,
    ROMA__FLAG_BITS = 3,
    ROMA__FLAG_MASK = (1 << ROMA__FLAG_BITS) - 1
};

/* The first line of a slab's descriptor. */
struct roma__slab_head {
    char *base;
    uint64_t inverse;    /* of cell_bytes without its factors of 2, modulo 2^64                   */
    const void *key;     /* equal to the key of the cache that may take its cells in by a store:
                            the owner's where words are OWNED, any of the heap's without words    */
    struct roma__state *states; /* NULL in a heap without words                                   */
    void *heap;          /* NULL while no slab stands here                                        */
    size_t cell_bytes;   /* of a large slab: the cell's usable bytes                              */
    uint32_t cells_count;
    uint16_t class_index; /* or ROMA__CLASS_LARGE                                                 */
    uint16_t shift;       /* log2 of the factors of 2                                             */
};

enum { ROMA__GRANULE_SHIFT = 16, ROMA__MAP_LEAF_BITS = 16 };

/* What words a heap keeps. */
enum { ROMA__WORDS_NONE = 0, ROMA__WORDS_OWNED = 1, ROMA__WORDS_EXACT = 2 };

struct roma_cache {
    uint32_t closed; /* claimed by another thread since its own was last on a slow path          */
    uint32_t words;  /* ROMA__WORDS_*                                                             */
    const void *key; /* see struct roma__slab_head                                                */
    struct roma__slab_head **const *map; /* root of the page map                                  */
    void *heap;                          /* whose blocks it caches                               */
    struct roma__magazine magazines[ROMA__CLASS_COUNT]; /* of a cache on which every call is to be
                                                           slow: each empty and full at once     */
};

ROMA_API ROMA_MUST_USE void *roma__cache_alloc_slow(roma_cache *cache, size_t bytes);
ROMA_API void roma__cache_free_slow(roma_cache *cache, void *block, size_t bytes);

/* The cache was claimed by another thread around the time that its own stored `top`: open it again,
 * and say whether that store came in time; the second begins the life of the block that was taken
 * then, or returns NULL. */
ROMA_API bool roma__cache_settle(roma_cache *cache, unsigned class_index, void **top);
ROMA_API void *roma__cache_take_settled(roma_cache *cache, unsigned class_index, void **top,
                                        size_t bytes);

#if defined(__SANITIZE_THREAD__)
#define ROMA__UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ROMA__UNDER_TSAN 1
#endif
#endif

/* A fast path ends with a store of `top`, and then looks whether the cache was claimed meanwhile.
 * What makes a plain store and a plain load enough is explained in src/heap/claim.h. Returns false
 * where it was: then roma__cache_settle() is to be called. */
static inline bool roma__cache_commit(roma_cache *cache, unsigned class_index, void **top)
{
    void ***place = &cache->magazines[class_index].top;
#ifdef ROMA__UNDER_TSAN /* which does not know the system call that orders the two sides */
    __atomic_store_n(place, top, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&cache->closed, __ATOMIC_SEQ_CST) == 0;
#else
    __atomic_store_n(place, top, __ATOMIC_RELEASE);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return __builtin_expect(__atomic_load_n(&cache->closed, __ATOMIC_RELAXED) == 0, 1);
#endif
}

/* Figures have one writer, so they need no locked instruction; readers may be other threads. */
static inline void roma__figure_add(uint64_t *figure, uint64_t more)
{
    __atomic_store_n(figure, __atomic_load_n(figure, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

/* The slab that covers an address, by the root of the page map; NULL: none. */
static inline struct roma__slab_head *roma__slab_at(struct roma__slab_head **const *map,
                                                    const void *address)
{
    /* Addresses of more than 48 bits meet another's slab here, and are no multiple of its cells. */
    uintptr_t granule = (uintptr_t)address >> ROMA__GRANULE_SHIFT;
    size_t leaf_index = (uint16_t)(granule >> ROMA__MAP_LEAF_BITS);
    struct roma__slab_head **leaf = __atomic_load_n(&map[leaf_index], __ATOMIC_ACQUIRE);
    if (__builtin_expect(leaf == NULL, 0))
        return NULL;
    return __atomic_load_n(&leaf[(uint16_t)granule], __ATOMIC_ACQUIRE);
}

/* The index of the cell that starts at an address of the slab; if none does, a number that is not
 * below its cells_count. Exact division: with cell_bytes = odd * 2^shift, a multiple of it times
 * the inverse of odd is index * 2^shift, and rotating brings the index down. What is no multiple of
 * odd becomes more than 2^64 / odd, what is none of 2^shift has its low bits rotated to the top.
 * (H. S. Warren, Hacker's Delight, 10-17.) */
static inline uint64_t roma__slab_index_at(const struct roma__slab_head *slab, const void *address)
{
    uint64_t offset = (uint64_t)((uintptr_t)address -
                                 (uintptr_t)__atomic_load_n(&slab->base, __ATOMIC_RELAXED));
    uint64_t product = offset * __atomic_load_n(&slab->inverse, __ATOMIC_RELAXED);
    unsigned shift = __atomic_load_n(&slab->shift, __ATOMIC_RELAXED) & 63u;
    return product >> shift | product << (-shift & 63u);
}

static inline bool roma__slab_has_index(const struct roma__slab_head *slab, uint64_t index)
{
    return __builtin_expect(index < __atomic_load_n(&slab->cells_count, __ATOMIC_RELAXED), 1);
}

/* Begin a life: one reference, no flags. The word of a free cell changes for nobody else. */
static inline void roma__state_begin(struct roma__state *state, size_t bytes)
{
    uint64_t word = __atomic_load_n(&state->word, __ATOMIC_RELAXED);
    __atomic_store_n((roma__state_bits *)state,
                     (word + 1) | (uint64_t)bytes << (32 + ROMA__FLAG_BITS), __ATOMIC_RELEASE);
}

/* A block from the cache's magazine; NULL: there is none. bytes <= ROMA__CLASS_MAX_BYTES. */
static inline void *roma__cache_take(roma_cache *cache, size_t bytes)
{
    unsigned class_index = roma__class_of(bytes);
    void **top = cache->magazines[class_index].top - 1;
    void *block = *top;
    if (__builtin_expect(block == NULL, 0))
        return NULL;
    if (!roma__cache_commit(cache, class_index, top))
        return roma__cache_take_settled(cache, class_index, top, bytes);
    if (cache->words != ROMA__WORDS_NONE)
        roma__state_begin((struct roma__state *)top[ROMA__MAGAZINE_STRIDE], bytes);
    return block;
}

/* A plain block into the magazine of its class, whoever owns its slab. Returns whether that had
 * room. What is put holds, whoever claims the cache meanwhile. */
static inline bool roma__cache_put_plain(roma_cache *cache, unsigned class_index, void *block)
{
    struct roma__magazine *magazine = &cache->magazines[class_index];
    void **top = magazine->top;
    if (__builtin_expect(top == magazine->limit, 0))
        return false;
    *top = block;
    roma__figure_add(&magazine->given, 1);
    if (!roma__cache_commit(cache, class_index, top + 1))
        (void)roma__cache_settle(cache, class_index, top + 1);
    return true;
}

/* End the life of a counted block of that class: one reference left, in a slab that this cache
 * owns, without flags, and of the length that `tail` says (ROMA__TAIL_ANY: whatever length).
 * Returns whether all that is so and the magazine had room; else nothing is changed. A generation
 * that wraps is for the slow path, too, which notes it. */
#define ROMA__TAIL_ANY UINT32_MAX

static inline bool roma__cache_put_counted(roma_cache *cache, unsigned class_index,
                                           const struct roma__slab_head *slab, uint64_t index,
                                           void *block, uint32_t tail)
{
    const uint64_t count_bits = ROMA__WORD_COUNT_MASK, flag_bits = (uint64_t)ROMA__FLAG_MASK << 32;
    const uint64_t tail_bits = (uint64_t)UINT32_MAX << 32;
    struct roma__state *state = &__atomic_load_n(&slab->states, __ATOMIC_RELAXED)[index];
    struct roma__magazine *magazine = &cache->magazines[class_index];
    uint64_t bits = __atomic_load_n((roma__state_bits *)state, __ATOMIC_ACQUIRE);
    bool is_sole = tail == ROMA__TAIL_ANY
                       ? (bits & (flag_bits | count_bits)) == 1
                       : (bits & (tail_bits | count_bits)) == ((uint64_t)tail << 32 | 1);
    void **top = magazine->top;
    uint32_t next;
    if (__builtin_expect(
            !is_sole || top == magazine->limit ||
                __builtin_add_overflow((uint32_t)bits, (uint32_t)ROMA__WORD_COUNT_MASK, &next),
            0))
        return false;
    __atomic_store_n(&state->word, next, __ATOMIC_RELEASE);
    *top = block;
    top[ROMA__MAGAZINE_STRIDE] = state;
    roma__figure_add(&magazine->given, 1);
    if (!roma__cache_commit(cache, class_index, top + 1))
        (void)roma__cache_settle(cache, class_index, top + 1);
    return true;
}

/* The two that follow are always inlined: with a length that the compiler knows, so is the
 * class. */
static inline __attribute__((__always_inline__)) void *roma_cache_alloc(roma_cache *cache,
                                                                        size_t bytes)
{
    void *block = NULL;
    if (__builtin_expect(bytes <= ROMA__CLASS_MAX_BYTES, 1))
        block = roma__cache_take(cache, bytes);
    return __builtin_expect(block != NULL, 1) ? block : roma__cache_alloc_slow(cache, bytes);
}

static inline __attribute__((__always_inline__)) void roma_cache_free(roma_cache *cache,
                                                                      void *block, size_t bytes)
{
    struct roma__slab_head *slab = roma__slab_at(cache->map, block);
    bool is_done = false;
    if (__builtin_expect(slab != NULL && bytes <= ROMA__CLASS_MAX_BYTES, 1)) {
        uint64_t index = roma__slab_index_at(slab, block);
        unsigned class_index = roma__class_of(bytes);
        if (__builtin_expect(__atomic_load_n(&slab->key, __ATOMIC_RELAXED) == cache->key, 1) &&
            __atomic_load_n(&slab->class_index, __ATOMIC_RELAXED) == class_index &&
            roma__slab_has_index(slab, index))
            is_done = cache->words != ROMA__WORDS_NONE
                          ? roma__cache_put_counted(cache, class_index, slab, index, block,
                                                    (uint32_t)bytes << ROMA__FLAG_BITS)
                          : roma__cache_put_plain(cache, class_index, block);
    }
    if (__builtin_expect(!is_done, 0))
        roma__cache_free_slow(cache, block, bytes);
}

#ifdef __cplusplus
}
#endif
#endif
