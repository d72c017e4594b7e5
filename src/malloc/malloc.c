/* malloc.c - malloc and free: nothing but their hot paths (fast.h), and the jump to the slow ones.
 *
 * This file is alone so that what it compiles to can be read in one go: some 25 instructions each
 * on the hot path, no frame, no spilled register, no locked instruction. */
#include "malloc/fast.h"

/* The second names are those by which old programs call glibc's own. */
#define ALSO(name) __attribute__((visibility("default"), alias(name)))

ROMA__EXPORT void *malloc(size_t bytes);
ROMA__EXPORT void free(void *block);
ALSO("malloc") void *__libc_malloc(size_t bytes);
ALSO("free") void __libc_free(void *block);
ALSO("free") void cfree(void *block); /* until glibc 2.26 */
ALSO("free") void __libc_cfree(void *block);

void *malloc(size_t bytes)
{
    return roma__malloc(bytes);
}

void free(void *block)
{
    roma__free(block);
}
