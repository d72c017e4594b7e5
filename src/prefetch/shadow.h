/* shadow.h - mappings of a file that the engine makes for itself, and nobody reads through.
 *
 * The page cache is one for all mappings of a file, but how a fault fills it is told by the advice
 * of the mapping that it comes through. So pages are populated through a shadow with the advice
 * that reads best, and the program's own mapping keeps its own. */
#ifndef ROMA_PREFETCH_SHADOW_H
#define ROMA_PREFETCH_SHADOW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum roma__shadow_kind {
    ROMA__SHADOW_PLAIN = 0, /* no advice                                                         */
    ROMA__SHADOW_HUGE,      /* faults read whole huge pages, whatever the read-ahead             */
    ROMA__SHADOW_RANDOM     /* faults read what is touched, and nothing around it                */
} roma__shadow_kind;

typedef struct roma__shadow {
    char *address; /* NULL: none */
    size_t bytes;
} roma__shadow;

/* Map whole pages of a file. Returns 0 or -errno. */
int roma__shadow_map(roma__shadow *shadow, int fd, uint64_t offset, size_t bytes,
                     roma__shadow_kind kind);

/* None is fine. */
void roma__shadow_unmap(roma__shadow *shadow);

/* Which alignment lets the kernel map a file's huge folios as a whole, in a mapping of so many
 * bytes whose addresses lie as their offsets do; 0: there is no use in any. */
size_t roma__folio_align(size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
