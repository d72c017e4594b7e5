/* view.h - a store's bytes in memory, and what stands where in them: the places of regions, the
 * geometry of slabs, and from a ref to its block's words. Reads alone, no lock; a system call only
 * where the file has grown.
 *
 * A view may be a live mapping, a file mapped for reading, or a private copy of an image: recovery,
 * check and the tests' oracles look at all of them through it. Nothing in a file is trusted: places
 * come from the figures that were validated when the view was made, a unit's word is read once,
 * judged, and only then used. What another process writes meanwhile can make an answer wrong, but
 * never lead outside the view. */
#ifndef ROMA_STORE_VIEW_H
#define ROMA_STORE_VIEW_H

#include "heap/atomics.h"
#include "store/layout.h"

#include <roma/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- regions --------------------------------------------------------------------------------- */

typedef struct roma__regions {
    uint32_t sessions, lanes;
    uint64_t max_units; /* of the whole file */
    uint64_t lanes_at, unit_maps_at, unit_map_bytes, unit_table_at, first_unit;
} roma__regions;

/* Where everything lies in a store of that size. Returns 0, or -EINVAL (beyond the limits of
 * layout.h). `room_units` counts units for blocks. */
int roma__regions_of(uint32_t sessions, uint32_t lanes, uint64_t room_units,
                     roma__regions *regions);

uint64_t roma__checksum(const void *bytes, size_t count);

/* Is that a whole superblock of this version, and do its places follow from its figures?
 * Returns 0, -EMEDIUMTYPE (no store, other architecture), -EPROTONOSUPPORT (newer), -EUCLEAN. */
int roma__super_judge(const roma__super *super, roma__regions *regions);

/* Of the two copies in `first_bytes` (8192) the one that counts. Returns 0 with *out and *index (0
 * A, 1 B), or as roma__super_judge() does of the better one. */
int roma__super_choose(const void *first_bytes, roma__super *out, unsigned *index,
                       roma__regions *regions);

typedef struct roma__view {
    char *base;
    uint64_t bytes;        /* that are mapped                                                  */
    uint64_t backed_units; /* the file was seen to have: what it says of itself is not enough  */
    int fd;                /* to ask how long it is now; -1: an image, all of it is there      */
    roma__regions regions;
    roma__live *live;
    uint64_t *roots, *names, *maps;
    roma__stripe *stripes;
    roma__session *sessions;
    roma__lane *lanes;
    uint64_t *free_bits, *orphan_bits, *punched_bits; /* bit u & 63 of word u / 64 */
    roma__unit *units;
} roma__view;

/* The view of a mapping of the file behind fd, or of a whole image (-1). */
void roma__view_fill(roma__view *view, char *base, uint64_t bytes, int fd,
                     const roma__regions *regions);

/* Units that are backed now: never beyond the view, whatever the file says. */
uint64_t roma__view_look_at_length(const roma__view *view);
static inline uint64_t roma__view_units(const roma__view *view)
{
    uint64_t units = roma__load_acquire(&view->live->committed_units);
    uint64_t backed = roma__load(&view->backed_units);
    if (__builtin_expect(units <= backed, 1))
        return units;
    backed = roma__view_look_at_length(view);
    return units < backed ? units : backed;
}

static inline roma_ref roma__view_ref(const roma__view *view, const void *address)
{
    return (roma_ref)((const char *)address - view->base);
}

static inline void *roma__view_at(const roma__view *view, roma_ref ref)
{
    return view->base + ref;
}

/* ---- slabs ----------------------------------------------------------------------------------- */

/* What follows from a class: how a slab of it lies. The words of block i are at words_at + 16 * i
 * from the slab's start, its remote bit is bit i & 63 of the word at remote_at + i / 64 * 8. */
typedef struct roma__geometry {
    uint32_t bytes;   /* of a block */
    uint32_t units;   /* of the slab */
    uint32_t count;   /* of blocks */
    uint32_t words_at, remote_at, remote_words;
    uint64_t reciprocal; /* offset * reciprocal >> 40 is offset / bytes within a slab */
} roma__geometry;

extern const roma__geometry roma__geometry_table[ROMA__CLASSES_COUNT];

static inline const roma__geometry *roma__geometries(void)
{
    return roma__geometry_table;
}

/* The class for blocks of that length and alignment; ROMA__CLASSES_COUNT: whole units. align is 0
 * or a power of two. */
unsigned roma__store_class(uint64_t bytes, uint64_t align);

/* ---- unit words ------------------------------------------------------------------------------ */

static inline unsigned roma__unit_kind(uint64_t word)
{
    return (unsigned)(word & ROMA__UNIT_KIND_MASK);
}
static inline uint32_t roma__unit_owner(uint64_t word) /* lane tag; 0: orphan */
{
    return (uint32_t)(word >> ROMA__UNIT_OWNER_SHIFT) & 0xffff;
}
static inline unsigned roma__unit_class(uint64_t word)
{
    return (unsigned)(word >> ROMA__UNIT_CLASS_SHIFT) & 0xff;
}
static inline uint64_t roma__unit_length(uint64_t word)
{
    return word >> ROMA__UNIT_LENGTH_SHIFT;
}
static inline uint64_t roma__unit_make(unsigned kind, unsigned class_index, uint32_t owner,
                                       uint64_t length)
{
    return kind | (uint64_t)class_index << ROMA__UNIT_CLASS_SHIFT |
           (uint64_t)owner << ROMA__UNIT_OWNER_SHIFT | length << ROMA__UNIT_LENGTH_SHIFT;
}

/* Can this be the word of a head at `unit`, all of whose units are backed? */
bool roma__unit_word_is_valid(const roma__view *view, uint64_t unit, uint64_t word);

/* Read the word of the head that covers a unit; 0 when none does. *head is set. */
uint64_t roma__unit_head(const roma__view *view, uint64_t unit, uint64_t *head);

/* ---- block words ----------------------------------------------------------------------------- */

static inline uint32_t roma__first_owner(uint64_t first)
{
    return (uint32_t)(first & ROMA__FIRST_OWNER_MASK);
}
static inline uint32_t roma__first_local(uint64_t first)
{
    return (uint32_t)(first >> ROMA__FIRST_LOCAL_SHIFT) & ROMA__LOCAL_MAX;
}
static inline uint32_t roma__first_generation(uint64_t first)
{
    return (uint32_t)(first >> ROMA__FIRST_GENERATION_SHIFT);
}
static inline uint64_t roma__first_make(uint32_t owner, uint32_t local, uint64_t generation)
{
    return owner | (uint64_t)local << ROMA__FIRST_LOCAL_SHIFT |
           generation << ROMA__FIRST_GENERATION_SHIFT;
}
/* The free word after this one. */
static inline uint64_t roma__first_free(uint64_t first)
{
    return (first & ~(ROMA__FIRST_OWNER_MASK | ROMA__FIRST_LOCAL_MASK)) +
           ROMA__FIRST_GENERATION_ONE;
}
static inline uint32_t roma__second_shared(uint64_t second)
{
    return (uint32_t)(second & ROMA__SECOND_SHARED_MASK);
}
static inline unsigned roma__second_map(uint64_t second)
{
    return (unsigned)(second >> ROMA__SECOND_MAP_SHIFT) & ROMA__SECOND_MAP_MASK;
}
static inline uint32_t roma__second_slack(uint64_t second)
{
    return (uint32_t)(second >> ROMA__SECOND_SLACK_SHIFT);
}

/* A block's place. It says nothing of whether the block is in use: *first does. */
typedef struct roma__block {
    roma_ref ref;
    uint64_t unit;         /* head of its slab, or its first unit       */
    uint64_t word;         /* of that unit, as it was read              */
    uint32_t index;        /* in its slab                               */
    uint64_t usable_bytes;
    uint64_t *first, *second;
    uint64_t *remote;      /* the word of its remote bit                */
    uint64_t remote_bit;
} roma__block;

/* The block that starts at a ref. Returns 0, or -EINVAL when none can. */
int roma__block_find(const roma__view *view, roma_ref ref, roma__block *block);

/* Block `index` of the slab or large block at `unit`, whose valid word is given. */
static inline void roma__block_of_slab(const roma__view *view, uint64_t unit, uint64_t word,
                                       uint32_t index, roma__block *block)
{
    block->unit = unit;
    block->word = word;
    block->index = index;
    block->ref = unit << ROMA__UNIT_SHIFT;
    if (roma__unit_kind(word) == ROMA__UNIT_LARGE) {
        roma__unit *entry = &view->units[unit];
        block->usable_bytes = roma__unit_length(word) << ROMA__UNIT_SHIFT;
        block->first = &entry->words[0];
        block->second = &entry->words[1];
        block->remote = &entry->remote;
        block->remote_bit = 1;
        return;
    }
    const roma__geometry *geometry = &roma__geometries()[roma__unit_class(word)];
    char *slab = view->base + block->ref;
    uint64_t *words = (uint64_t *)(void *)(slab + geometry->words_at) + 2 * (uint64_t)index;
    block->ref += (uint64_t)index * geometry->bytes;
    block->usable_bytes = geometry->bytes;
    block->first = &words[0];
    block->second = &words[1];
    block->remote = (uint64_t *)(void *)(slab + geometry->remote_at) + index / 64;
    block->remote_bit = UINT64_C(1) << index % 64;
}

/* How many blocks a slab (or a large block: 1) with that word has. */
uint32_t roma__block_count(uint64_t word);

/* The slots of a block, by its second word: the i-th is at offset + i * stride from its start, and
 * all are inside it whatever the file says. */
typedef struct roma__slots {
    uint32_t offset, stride, count;
} roma__slots;
roma__slots roma__block_slots(const roma__view *view, const roma__block *block, uint64_t second);

static inline roma__map roma__map_make(uint32_t offset, uint32_t stride, uint32_t count)
{
    return (uint64_t)(offset / 8) | (uint64_t)(stride / 8) << 20 | (uint64_t)count << 40;
}

#ifdef __cplusplus
}
#endif
#endif
