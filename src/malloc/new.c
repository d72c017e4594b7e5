/* new.c - operator new and delete in all their forms, in C, under the names that the Itanium C++
 * ABI gives them where size_t is `unsigned long`.
 *
 * A program's operators are these, also those of its C++ libraries, so that what one module news
 * another may delete. When memory is short, new does what the standard says: it calls the program's
 * new handler until there is memory or the handler throws, and without a handler it throws
 * std::bad_alloc. The C++ library that knows the handler and how to throw is not linked: what is
 * needed of it is looked up when that happens, in the program's own library where that has been
 * loaded with it, else in one that came with dlopen(). Where there is none, nobody could catch: a
 * message and abort.
 *
 * An alignment beyond the greatest is no want of memory: no handler could help, none is called, and
 * a handler that only returns does not keep new in its loop for ever.
 *
 * A nothrow form returns NULL where new would throw. Handlers that throw are caught by the C++
 * library's own nothrow form, which calls our new; we are in C and cannot.
 *
 * Exceptions pass through this file: it is compiled with -fexceptions. */
#include "malloc/fast.h"

#include <dlfcn.h>
#include <stdlib.h>

typedef void handler(void);
typedef handler *get_handler(void);
typedef void thrower(void);
typedef void *nothrow_new(size_t bytes, const void *tag);
typedef void *nothrow_new_aligned(size_t bytes, size_t align, const void *tag);

/* ---- what the C++ library knows -------------------------------------------------------------- */

typedef void any_function(void);

union found {
    void *object; /* what dlsym() returns ... */
    any_function *function;
    get_handler *get_handler;
    thrower *thrower;
    nothrow_new *nothrow;
    nothrow_new_aligned *nothrow_aligned;
};

/* libstdc++'s name and libc++'s. Libraries that came with dlopen() are not in the global scope. */
static union found look_up(const char *gnu_name, const char *llvm_name)
{
    static const struct {
        const char *file;
        bool is_llvm;
    } libraries[] = {{"libstdc++.so.6", false}, {"libc++.so.1", true}, {"libc++abi.so.1", true}};
    union found found = {.object = dlsym(RTLD_DEFAULT, gnu_name)};
    if (found.object == NULL)
        found.object = dlsym(RTLD_DEFAULT, llvm_name);
    for (unsigned i = 0; found.object == NULL && i < sizeof libraries / sizeof libraries[0]; i++) {
        void *library = dlopen(libraries[i].file, RTLD_LAZY | RTLD_NOLOAD);
        if (library == NULL)
            continue;
        found.object = dlsym(library, libraries[i].is_llvm ? llvm_name : gnu_name);
        (void)dlclose(library); /* whoever loaded it keeps it */
    }
    return found;
}

static handler *current_handler(void)
{
    static const char name[] = "_ZSt15get_new_handlerv";
    union found found = look_up(name, name);
    return found.object == NULL ? NULL : found.get_handler();
}

static __attribute__((noreturn)) void throw_bad_alloc(void)
{
    union found found = look_up("_ZSt17__throw_bad_allocv", "_ZNSt3__117__throw_bad_allocEv");
    if (found.object != NULL)
        found.thrower();
    roma__shim_tell("operator new found no memory, and no C++ library to throw std::bad_alloc");
    abort();
}

/* ---- when the hot path has nothing ----------------------------------------------------------- */

static __attribute__((noinline)) void *new_slow(size_t bytes, size_t align)
{
    while (align <= ROMA__ALIGN_MAX) {
        void *block = roma__take_slow(bytes, align, false);
        if (block != NULL)
            return block;
        handler *handle = current_handler();
        if (handle == NULL)
            break;
        handle();
    }
    throw_bad_alloc();
}

static __attribute__((noinline)) void *nothrow_slow(size_t bytes, const char *name, const void *tag)
{
    void *block = roma__take_slow(bytes, ROMA__ALIGN_MIN, false);
    if (block != NULL || current_handler() == NULL)
        return block;
    union found library = {.object = dlsym(RTLD_NEXT, name)};
    return library.object == NULL ? NULL : library.nothrow(bytes, tag);
}

static __attribute__((noinline)) void *nothrow_aligned_slow(size_t bytes, size_t align,
                                                            const char *name, const void *tag)
{
    void *block = align <= ROMA__ALIGN_MAX ? roma__take_slow(bytes, align, false) : NULL;
    if (block != NULL || align > ROMA__ALIGN_MAX || current_handler() == NULL)
        return block;
    union found library = {.object = dlsym(RTLD_NEXT, name)};
    return library.object == NULL ? NULL : library.nothrow_aligned(bytes, align, tag);
}

/* align: a power of two, as the compiler passes it. */
static inline void *take_aligned_fast(size_t bytes, size_t align)
{
    size_t length = roma__aligned_length(bytes, align);
    return length == 0 ? NULL : roma__take_fast(length);
}

static inline size_t at_least_min(size_t align)
{
    return align < ROMA__ALIGN_MIN ? ROMA__ALIGN_MIN : align;
}

/* ---- the operators --------------------------------------------------------------------------- */

/* _Znwm is operator new(unsigned long), _Zna is new[], _Zdl is delete, _Zda is delete[]. */
#define NEW(name)                                                                                  \
    ROMA__EXPORT void *name(size_t bytes);                                                         \
    void *name(size_t bytes)                                                                       \
    {                                                                                              \
        void *block = roma__take_fast(bytes);                                                      \
        return __builtin_expect(block != NULL, 1) ? block : new_slow(bytes, ROMA__ALIGN_MIN);      \
    }

#define NEW_NOTHROW(name)                                                                          \
    ROMA__EXPORT void *name(size_t bytes, const void *tag);                                        \
    void *name(size_t bytes, const void *tag)                                                      \
    {                                                                                              \
        void *block = roma__take_fast(bytes);                                                      \
        return __builtin_expect(block != NULL, 1) ? block : nothrow_slow(bytes, #name, tag);       \
    }

#define NEW_ALIGNED(name)                                                                          \
    ROMA__EXPORT void *name(size_t bytes, size_t align);                                           \
    void *name(size_t bytes, size_t align)                                                         \
    {                                                                                              \
        void *block = take_aligned_fast(bytes, at_least_min(align));                               \
        return __builtin_expect(block != NULL, 1) ? block : new_slow(bytes, at_least_min(align));  \
    }

#define NEW_ALIGNED_NOTHROW(name)                                                                  \
    ROMA__EXPORT void *name(size_t bytes, size_t align, const void *tag);                          \
    void *name(size_t bytes, size_t align, const void *tag)                                        \
    {                                                                                              \
        void *block = take_aligned_fast(bytes, at_least_min(align));                               \
        return __builtin_expect(block != NULL, 1)                                                  \
                   ? block                                                                         \
                   : nothrow_aligned_slow(bytes, at_least_min(align), #name, tag);                 \
    }

/* Lengths, alignments and tags say nothing that the page map does not know. */
#define DELETE(name, ...)                                                                          \
    ROMA__EXPORT void name(void *block, ##__VA_ARGS__);                                            \
    void name(void *block, ##__VA_ARGS__)                                                          \
    {                                                                                              \
        roma__free(block);                                                                         \
    }

_Static_assert(sizeof(size_t) == sizeof(unsigned long), "the mangled names say unsigned long");

NEW(_Znwm)
NEW(_Znam)
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
NEW_NOTHROW(_ZnamRKSt9nothrow_t)
NEW_ALIGNED(_ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_t)
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)

#define UNUSED __attribute__((unused))

DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm, UNUSED size_t bytes)
DELETE(_ZdaPvm, UNUSED size_t bytes)
DELETE(_ZdlPvRKSt9nothrow_t, UNUSED const void *tag)
DELETE(_ZdaPvRKSt9nothrow_t, UNUSED const void *tag)
DELETE(_ZdlPvSt11align_val_t, UNUSED size_t align)
DELETE(_ZdaPvSt11align_val_t, UNUSED size_t align)
DELETE(_ZdlPvmSt11align_val_t, UNUSED size_t bytes, UNUSED size_t align)
DELETE(_ZdaPvmSt11align_val_t, UNUSED size_t bytes, UNUSED size_t align)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, UNUSED size_t align, UNUSED const void *tag)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, UNUSED size_t align, UNUSED const void *tag)
