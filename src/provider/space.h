/* space.h - ranges of address space: aligned reservations, mappings of one page kind in them, and
 * aligned mappings of files. */
#ifndef ROMA_PROVIDER_SPACE_H
#define ROMA_PROVIDER_SPACE_H

#include <roma/error.h>

#include <stdint.h>

/* What the mappings of an extent are made of. */
typedef struct roma__space_kind {
    roma_page_kind pages; /* with its size            */
    size_t page_bytes;    /* of that kind             */
    size_t align;         /* at least page_bytes      */
} roma__space_kind;

/* A part of a file that is to be mapped, shared. */
typedef struct roma__space_file {
    int fd;
    int protection;
    uint64_t offset;  /* whole pages                                                              */
    size_t align;     /* addresses are to lie as their offsets do, modulo this; 0: anywhere       */
    bool or_anywhere; /* if other threads keep taking such places                                 */
} roma__space_file;

/* Reserve inaccessible address space at a multiple of `align`.
 * Returns 0, or -ENOMEM (ADDRESS_SPACE), -errno, with *error filled. */
int roma__space_reserve(size_t bytes, size_t align, char **address, roma_error *error);

/* Map fresh pages of a kind anywhere, aligned as the kind says. `bytes` is whole pages. Returns 0,
 * or -ENOMEM, -EOPNOTSUPP (the kernel has no such hugetlb size), -errno, with *error filled. */
int roma__space_map(const roma__space_kind *kind, size_t bytes, char **address, roma_error *error);

/* The same over a part of a reservation, which on failure is the caller's no more: it is gone, or
 * where that is not sure left alone. */
int roma__space_map_within(const roma__space_kind *kind, char *address, size_t bytes,
                           roma_error *error);

/* The same at a free address; -ENOMEM (ADDRESS_SPACE) when something is mapped there. */
int roma__space_map_behind(const roma__space_kind *kind, char *address, size_t bytes,
                           roma_error *error);

/* Map `bytes` of a file, from its offset; they may reach beyond its end. Returns 0, or -ENOMEM
 * (ADDRESS_SPACE), -errno, with *error (may be NULL) filled: nothing is left behind then. */
int roma__space_map_file(const roma__space_file *file, size_t bytes, char **address,
                         roma_error *error);

/* Returns 0 or -errno with *error (may be NULL) filled. */
int roma__space_unmap(char *address, size_t bytes, roma_error *error);

/* Move the pages of [from, from + bytes) to a reservation of to_bytes at `to`; no byte is copied.
 * Where that is longer, the mapping becomes as long, if it is one. On failure all is where it was,
 * and the reservation is the caller's no more: it is gone, or where that is not sure left alone.
 * Returns 0, or -EOPNOTSUPP (hugetlb pages before Linux 5.16), -errno, with *error (may be NULL)
 * filled. */
int roma__space_move(const roma__space_kind *kind, char *from, size_t bytes, char *to,
                     size_t to_bytes, roma_error *error);

#endif
