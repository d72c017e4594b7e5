/* family.c - every function of the C family does what its manual page says. */
#include "expect.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <unistd.h>

extern void *__libc_malloc(size_t bytes);

/* C23's, which a C library may not have: looked up. */
static void (*free_sized_of)(void *block, size_t bytes);
static void (*free_aligned_sized_of)(void *block, size_t align, size_t bytes);

enum { OLD_ERRNO = 4711 }; /* what no call sets */

static int is_aligned(const void *block, size_t align)
{
    return (uintptr_t)block % align == 0;
}

static int is_filled(const unsigned char *block, unsigned char byte, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (block[i] != byte)
            return 0;
    return 1;
}

static void names_are_ours(void)
{
    static const char *const names[] = {"malloc",
                                        "calloc",
                                        "realloc",
                                        "reallocarray",
                                        "free",
                                        "free_sized",
                                        "free_aligned_sized",
                                        "cfree",
                                        "aligned_alloc",
                                        "posix_memalign",
                                        "memalign",
                                        "valloc",
                                        "pvalloc",
                                        "malloc_usable_size",
                                        "malloc_trim",
                                        "malloc_stats",
                                        "mallinfo",
                                        "mallinfo2",
                                        "mallopt",
                                        "__libc_malloc",
                                        "__libc_free",
                                        "_Znwm",
                                        "_ZdlPv"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect_ours(names[i]);
    *(void **)&free_sized_of = dlsym(RTLD_DEFAULT, "free_sized");
    *(void **)&free_aligned_sized_of = dlsym(RTLD_DEFAULT, "free_aligned_sized");
}

/* Every length that is near a size class, and some beyond them all. */
static void lengths(void)
{
    for (size_t base = 1; base <= (size_t)64 << 20; base += base < 4096 ? 1 : base / 5) {
        unsigned char *block = malloc(base);
        EXPECT(block != NULL && is_aligned(block, 16));
        EXPECT(malloc_usable_size(block) >= base);
        block[0] = block[base / 2] = block[base - 1] = 7;
        free(block);
    }
}

/* Different at once, or the second is in the first. */
static void malloc_of_nothing(void)
{
    void *a = malloc(0), *b = malloc(0);
    EXPECT(a != NULL && b != NULL && a != b);
    free(a);
    free(b);
    free(NULL);
}

static void too_much(void)
{
    void *volatile block;
    volatile size_t most = SIZE_MAX, half = (size_t)PTRDIFF_MAX + 1;
    errno = 0;
    block = malloc(most);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = malloc(half);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = calloc(half, 2);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = calloc(most, 1);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = reallocarray(NULL, half, 2);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = aligned_alloc(4096, most - 100);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = pvalloc(most);
    EXPECT(block == NULL && errno == ENOMEM);
    errno = 0;
    block = memalign(half + 1, 1);
    EXPECT(block == NULL && errno == EINVAL);
    char *old = malloc(100);
    memset(old, 5, 100);
    errno = 0;
    block = realloc(old, half);
    EXPECT(block == NULL && errno == ENOMEM);
    EXPECT(is_filled((unsigned char *)old, 5, 100)); /* still there, still whole */
    void *untouched = old;
    void *given = untouched;
    errno = OLD_ERRNO;
    EXPECT(posix_memalign(&given, 64, half) == ENOMEM);
    EXPECT(errno == OLD_ERRNO && given == untouched);
    free(old);
}

static void errno_is_kept(void)
{
    for (size_t bytes = 1; bytes <= (size_t)256 << 20; bytes *= 4) {
        void *block = malloc(bytes);
        errno = OLD_ERRNO;
        free(block);
        EXPECT(errno == OLD_ERRNO);
    }
}

/* Memory that held something before. */
static void calloc_is_zero(void)
{
    for (size_t bytes = 1; bytes <= (size_t)32 << 20; bytes *= 3) {
        for (int round = 0; round < 3; round++) {
            void *dirty = malloc(bytes);
            memset(dirty, 0xA5, bytes);
            free(dirty);
            unsigned char *block = calloc(1, bytes);
            EXPECT(block != NULL && is_filled(block, 0, bytes));
            free(block);
        }
    }
    unsigned char *table = calloc(100, 33);
    EXPECT(table != NULL && is_filled(table, 0, 3300));
    free(table);
}

/* The alignment table: each power of two up to 1 GiB, by each call that takes one. */
static void alignments(void)
{
    static const size_t lengths_of[] = {0, 1, 24, 1000, 5000, 70000, 300000, 3 << 20};
    for (size_t align = 1; align <= (size_t)1 << 30; align *= 2)
        for (size_t i = 0; i < sizeof lengths_of / sizeof lengths_of[0]; i++) {
            size_t bytes = lengths_of[i];
            unsigned char *block = aligned_alloc(align, bytes);
            EXPECT(block != NULL && is_aligned(block, align));
            EXPECT(malloc_usable_size(block) >= bytes);
            if (bytes > 0)
                block[0] = block[bytes - 1] = 1;
            free_aligned_sized_of(block, align, bytes);
            block = memalign(align, bytes);
            EXPECT(block != NULL && is_aligned(block, align));
            free_sized_of(block, bytes);
            void *given = NULL;
            int code = posix_memalign(&given, align, bytes);
            if (align < sizeof(void *)) {
                EXPECT(code == EINVAL && given == NULL);
            } else {
                EXPECT(code == 0 && given != NULL && is_aligned(given, align));
                free(given);
            }
        }
    volatile size_t odd = 48;
    void *volatile block;
    errno = 0;
    block = aligned_alloc(odd, 100);
    EXPECT(block == NULL && errno == EINVAL);
    block = memalign(odd, 100); /* rounded up */
    EXPECT(block != NULL && is_aligned(block, 64));
    free(block);
    void *given = NULL;
    EXPECT(posix_memalign(&given, odd, 100) == EINVAL && given == NULL);
}

/* Many at once: neighbours do not touch. */
static void aligned_neighbours(void)
{
    enum { COUNT = 200 };
    unsigned char *blocks[COUNT];
    for (size_t align = 16; align <= 65536; align *= 2) {
        for (size_t i = 0; i < COUNT; i++) {
            blocks[i] = aligned_alloc(align, 100 + i);
            EXPECT(blocks[i] != NULL && is_aligned(blocks[i], align));
            memset(blocks[i], (int)i, malloc_usable_size(blocks[i]));
        }
        for (size_t i = 0; i < COUNT; i++) {
            EXPECT(is_filled(blocks[i], (unsigned char)i, 100 + i));
            free(blocks[i]);
        }
    }
}

static void pages(void)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *block = valloc(100);
    EXPECT(block != NULL && is_aligned(block, page_bytes));
    free(block);
    block = pvalloc(page_bytes + 1);
    EXPECT(block != NULL && is_aligned(block, page_bytes));
    EXPECT(malloc_usable_size(block) >= 2 * page_bytes);
    free(block);
    block = pvalloc(0);
    EXPECT(block != NULL);
    free(block);
}

static void realloc_of_nothing(void)
{
    void *volatile block = realloc(NULL, 100);
    EXPECT(block != NULL);
    errno = OLD_ERRNO;
    block = realloc(block, 0); /* frees it */
    EXPECT(block == NULL && errno == OLD_ERRNO);
    block = reallocarray(NULL, 10, 10);
    EXPECT(block != NULL && malloc_usable_size(block) >= 100);
    free(block);
    EXPECT(malloc_usable_size(NULL) == 0);
}

/* What a program may use beyond what it asked for survives a move. */
static void usable_is_kept(void)
{
    for (size_t bytes = 1; bytes < (size_t)8 << 20; bytes = bytes * 2 + 1) {
        unsigned char *block = malloc(bytes);
        size_t usable = malloc_usable_size(block);
        memset(block, 0x3C, usable);
        block = realloc(block, usable * 3);
        EXPECT(block != NULL && is_filled(block, 0x3C, usable));
        free(block);
    }
}

static void figures(void)
{
    struct mallinfo2 before = mallinfo2();
    void *block = malloc(10 << 20);
    struct mallinfo2 after = mallinfo2();
    EXPECT(after.uordblks >= before.uordblks + (10u << 20));
    EXPECT(after.arena >= after.uordblks);
    free(block);
    EXPECT(mallinfo2().uordblks < after.uordblks);
    EXPECT(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    void *many[1000];
    for (int i = 0; i < 1000; i++)
        memset(many[i] = malloc(20000), 1, 20000);
    for (int i = 0; i < 1000; i++)
        free(many[i]);
    EXPECT(malloc_trim(0) == 1); /* there was something to give back */
    EXPECT(mallinfo2().arena < (8u << 20));
}

static void old_names(void)
{
    void *block = __libc_malloc(100);
    EXPECT(block != NULL);
    free(block); /* would be a foreign block if that were glibc's */
}

int main(void)
{
    names_are_ours();
    lengths();
    malloc_of_nothing();
    too_much();
    errno_is_kept();
    calloc_is_zero();
    alignments();
    aligned_neighbours();
    pages();
    realloc_of_nothing();
    usable_is_kept();
    figures();
    old_names();
    return finish("family");
}
