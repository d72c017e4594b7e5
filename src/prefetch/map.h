/* map.h - a file mapped through roma: what the engine, scans and eviction see of it. */
#ifndef ROMA_PREFETCH_MAP_H
#define ROMA_PREFETCH_MAP_H

#include <roma/prefetch.h>

#include "prefetch/file.h"

#include <stdatomic.h>

struct roma_map {
    roma__file file;        /* with the map's own descriptor; `bytes` as at opening            */
    char *address;
    size_t reserved_bytes;  /* of addresses, whole pages                                       */
    size_t most_bytes;      /* that the segment may have: as asked, or what is reserved        */
    uint64_t offset;        /* of `address` in the file                                        */
    _Atomic(size_t) bytes;  /* of the segment: written by refresh, relaxed; a length stands alone */
    atomic_uint scans;      /* open on it: closing it is refused                               */
};

/* A scan begins or ends to use a map. */
void roma__map_hold(const roma_map *map);
void roma__map_drop(const roma_map *map);

#endif
