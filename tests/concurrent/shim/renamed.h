/* renamed.h - goes before each source of src/malloc: what these take over from the C library gets
 * names of its own, so that a program can have both mallocs.
 *
 * A sanitizer replaces malloc itself, and so cannot look at libroma_malloc.so. Here malloc of the
 * shim is shim_malloc, in these sources and in the C library's headers as they see them, and the
 * sanitizer's stays malloc. Structures of the same name are renamed with the functions. */
#ifndef ROMA_TESTS_SHIM_RENAMED_H
#define ROMA_TESTS_SHIM_RENAMED_H

#define malloc shim_malloc
#define calloc shim_calloc
#define realloc shim_realloc
#define reallocarray shim_reallocarray
#define free shim_free
#define free_sized shim_free_sized
#define free_aligned_sized shim_free_aligned_sized
#define cfree shim_cfree
#define aligned_alloc shim_aligned_alloc
#define posix_memalign shim_posix_memalign
#define memalign shim_memalign
#define valloc shim_valloc
#define pvalloc shim_pvalloc
#define malloc_usable_size shim_malloc_usable_size
#define malloc_trim shim_malloc_trim
#define malloc_stats shim_malloc_stats
#define mallinfo shim_mallinfo
#define mallinfo2 shim_mallinfo2
#define mallopt shim_mallopt

#define __libc_malloc shim_libc_malloc
#define __libc_calloc shim_libc_calloc
#define __libc_realloc shim_libc_realloc
#define __libc_free shim_libc_free
#define __libc_cfree shim_libc_cfree
#define __libc_memalign shim_libc_memalign
#define __libc_valloc shim_libc_valloc
#define __libc_pvalloc shim_libc_pvalloc
#define __posix_memalign shim_libc_posix_memalign
#define __register_atfork shim_libc_register_atfork

/* The second names of a function are aliases of the first, which an attribute has as a string. */
#define alias(name) alias("shim_" name)

#endif
