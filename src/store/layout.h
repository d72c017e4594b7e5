/* layout.h - the format: how a store lies in its file, and who writes what.
 *
 * All numbers are little-endian, all offsets count from the file's start. A *ref* is an offset. The
 * file is mapped once and whole, up to its largest size, so an offset is an index into the mapping.
 *
 *   0           superblock A            4096   two copies, written in turn, checksummed
 *   4096        superblock B            4096
 *   8192        live state              4096   what changes while the store is in use
 *   12288       root slots              4096   64 of them; the rest is 0
 *   16384       user area               4096
 *   65536       name slots             65536   8192 slots: heads of the directory's chains
 *   131072      stripes               131072   the locks, 64 bytes each
 *   262144      maps                   32768   where the slots of blocks are: 4096 words
 *   294912      sessions         128 a piece   as many as the superblock says
 *   ...         lanes           8192 a piece   the same; the first ones are backed from the start,
 *                                              each other when it is first used
 *   ...         unit maps   3 * max_units / 8  bits: free, orphan, punched; backed by growth
 *   ...         unit table     64 * max_units  a description of every unit; backed by growth
 *   ...         units                          64 KiB each, from `first_unit` on, to the end
 *
 * The places of the regions follow from (sessions, lanes, max_units) by roma__regions_of(), and the
 * superblock repeats them. `max_units` counts units of the whole file: a unit's number is its
 * offset >> 16, and the description of unit u is entry u. What lies before `first_unit` has
 * descriptions that are never used. Tables are sized for the largest file, as holes: open costs the
 * same however large the file is, and growth needs no move. Growing backs the new units and the
 * part of the maps and of the table that describes them with fallocate() before they are published,
 * so a full disk is an error there and nowhere else.
 *
 * ---- units, slabs, large blocks
 *
 * Every unit is free, the head of something, or covered by a head before it. The *word* of a head
 * is the only truth: {kind, owner lane tag, PENDING, class, length in units}. A unit whose word
 * says FREE and which no head covers is free; the words of covered units say FREE as well and are
 * not looked at. So taking and giving back a run of any length commits with one store of one word.
 *   SLAB   blocks of one size class, from the slab's start on; at its end stand two words for each
 *          block, and the remote bits. Everything's place follows from the class alone
 *          (geometry.h), so only class and length need validation.
 *   LARGE  one block of whole units: the same two words and remote bit stand in its description.
 *   CELLS  more cells of a lane.        LIST   more entries of a lane's list of slabs.
 *   CLAIMED  being made into one of these.
 * `back` of a covered unit is the way to its head: a hint, and validated by the head's length.
 * Free bits, orphan bits and the order of everything are hints that can be derived from the words.
 * A set punched bit says that the file may have no space there: it is set before punching and
 * cleared after the space was taken again, so it errs on the safe side.
 *
 * Who writes. The word: by compare-and-swap, as units.c and slab.c tell; FREE -> CLAIMED and
 * -> FREE only under the units stripe. Maps and `back`: under the units stripe (orphan bits:
 * anybody, atomically). A kill in the middle of a change of the free bits is repaired by the
 * `intent` in the live state: the bits of that range are derived again before the stripe is let go.
 *
 * ---- blocks
 *
 * First word: {owner lane tag 16, local count 24, generation 24}. Owner 0 is free; this alone
 * decides. Written by the lane that owns the slab, or whoever recovers that lane, and by the redo
 * record of that lane. Second word: {shared count 24, flags 4, map 12, slack 24}: slack is usable
 * less asked length. Written under the block's stripe; by the slab's owner while the block is free
 * or not SHARED.
 *
 * ---- references
 *
 * Of the lane that owns the slab, and of all threads of its session that were handed the pointer:
 * the local count. Of other sessions: a cell, a word {ref / 16, count}, counted once in the shared
 * count whatever its count. Of slots: each counted in the shared count.
 * A cell is written under the stripe of the block that it names (or is to name), by any lane of its
 * session: as a pair of a redo record, but a change of its count from n > 0 to m > 0 by itself.
 *
 * ---- lanes
 *
 * {session + 1} in a lane's word says that it is in use, and whose: 0 -> tag by compare-and-swap.
 * A lane's list names each unit that the lane may own: it is entered before it becomes the lane's
 * and removed after, so it may name too many and never too few. Entry 0 is for units that a redo
 * record is about to adopt. What a LIST unit that it names holds belongs to the list, and what a
 * LIST unit named there holds, but no deeper. A lane's tag is its index + 1.
 *
 * ---- redo records
 *
 * {location, value} pairs, then tells: {location of a word of remote bits, bits}, all of one slab.
 * The head word holds both counts, the slab's unit and VALID, so storing it commits and the record
 * is whole by construction: pairs first, then head. Locations are offsets, validated before use. */
#ifndef ROMA_STORE_LAYOUT_H
#define ROMA_STORE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __cplusplus
#define ROMA__LAYOUT_IS(condition, text) static_assert(condition, text)
#else
#define ROMA__LAYOUT_IS(condition, text) _Static_assert(condition, text)
#endif

/* ---- the superblock -------------------------------------------------------------------------- */

enum {
    ROMA__STORE_VERSION = 1,
    ROMA__UNIT_SHIFT = 16,
    ROMA__UNIT_BYTES = 1 << ROMA__UNIT_SHIFT,
    ROMA__SUPER_BYTES = 4096,
    ROMA__STORE_BYTE_ORDER = 0x0102,
    ROMA__LANES_MAX = 32768,
    ROMA__SESSIONS_MAX = 4096
};
#define ROMA__STORE_MAGIC UINT64_C(0x0a0d65726f74736d) /* "mstore\r\n": notices text transfers */
#define ROMA__STORE_UNITS_MAX ((UINT64_C(1) << 44) >> ROMA__UNIT_SHIFT) /* refs / 16 fit 40 bits */

/* Feature bits. An unknown bit of `features` forbids opening, of `features_write` opening for
 * writing; those of `features_hint` are for anybody who knows them. */
enum {
    ROMA__FEATURE_LITTLE_ENDIAN = 1u << 0, /* always set                        */
    ROMA__FEATURE_LONG_LISTS = 1u << 1,    /* pages of lists may name more pages */
    ROMA__FEATURES_KNOWN = ROMA__FEATURE_LITTLE_ENDIAN | ROMA__FEATURE_LONG_LISTS
};

/* The state of the whole file at its last change, for opening. */
enum {
    ROMA__SUPER_CLEAN = 1u << 0,   /* closed by its last session, and written out if asked    */
    ROMA__SUPER_VOLATILE = 1u << 1 /* in memory: a boot id says nothing                       */
};

/* Both copies. The one with a right checksum and the higher generation counts; the other one is
 * written next. Written under the file lock (byte ROMA__LOCK_FILE). */
typedef struct roma__super {
    uint64_t magic;
    uint32_t version;
    uint16_t byte_order;
    uint16_t super_bytes;          /* sizeof this: checksummed are the bytes before `checksum` */
    uint64_t features, features_write, features_hint;
    uint64_t generation;           /* of the superblock: + 1 a write                           */
    uint8_t uuid[16];
    char boot_id[40];              /* of the machine's run that has it open, or had last       */
    uint64_t incarnation;          /* + 1 when a first session opens it                        */
    uint32_t flags;                /* ROMA__SUPER_*                                            */
    uint32_t page_bytes;           /* multiple in which the file is committed and punched      */
    uint32_t sessions, lanes;      /* sizes of their tables                                    */
    uint64_t max_units;            /* of the whole file                                        */
    uint64_t committed_units;      /* backed when this was written; live state says more       */
    uint64_t sessions_at, lanes_at, unit_maps_at, unit_map_bytes, unit_table_at; /* offsets    */
    uint64_t first_unit;
    uint64_t device, inode;        /* where it was opened last: tells a copy of a live store   */
    uint64_t reserved[24];         /* 0                                                        */
    uint64_t checksum;             /* of all before: roma__checksum()                          */
} roma__super;

/* ---- fixed places ---------------------------------------------------------------------------- */

enum {
    ROMA__AT_SUPER_A = 0,
    ROMA__AT_SUPER_B = 4096,
    ROMA__AT_LIVE = 8192,
    ROMA__AT_ROOTS = 12288,
    ROMA__AT_USER = 16384,
    ROMA__AT_NAMES = 65536,
    ROMA__AT_STRIPES = 131072,
    ROMA__AT_MAPS = 262144,
    ROMA__AT_SESSIONS = 294912,

    ROMA__ROOTS_COUNT = 64,
    ROMA__NAMES_COUNT = 8192,
    ROMA__MAPS_COUNT = 4096, /* number 0 is no map */
    ROMA__CLASSES_COUNT = 44 /* size classes of slabs: up to 64 KiB, as heap/classes.h has them */
};

/* ---- live state ------------------------------------------------------------------------------ */

/* A lane in the middle of an operation stores 1 in its `busy` first and 0 last. While `park` is not
 * 0, nobody begins one. It holds the tag of a session (index + 1), and is taken by compare-and-
 * swap; that of a dead session is taken back by anybody (park.c). */
typedef struct roma__live {
    uint64_t committed_units;      /* backed: published last of all, under the units stripe    */
    uint32_t park;
    uint32_t reserved_1;
    uint64_t lanes_used;           /* lanes that have space are below; grows by swap           */
    uint64_t reserved_2[5];        /* what every operation reads is a line of its own          */
    uint64_t intent;               /* under the units stripe: first unit << 32 | units, or 0   */
    uint64_t units_cursor;         /* hint: where the search for free units goes on            */
    uint64_t reserved_3[54];
    uint64_t orphan_cursor[ROMA__CLASSES_COUNT + 1]; /* hints: where to look for the next one  */
} roma__live;

/* ---- stripes --------------------------------------------------------------------------------- */

/* Locks: 0 or the tag of the lane that holds it. Order of taking: names, then slots, then blocks
 * (two of a kind in the order of their numbers), then units. */
typedef struct roma__stripe {
    uint32_t holder;
    uint32_t reserved[15];
} roma__stripe;

enum {
    ROMA__STRIPE_NAMES = 0, /* the directory is changed */
    ROMA__STRIPE_SLOTS = 1,
    ROMA__STRIPE_SLOTS_COUNT = 512,
    ROMA__STRIPE_BLOCKS = ROMA__STRIPE_SLOTS + ROMA__STRIPE_SLOTS_COUNT,
    ROMA__STRIPE_BLOCKS_COUNT = 512,
    ROMA__STRIPE_UNITS = ROMA__STRIPE_BLOCKS + ROMA__STRIPE_BLOCKS_COUNT, /* the map of units */
    ROMA__STRIPES_COUNT = ROMA__STRIPE_UNITS + 1
};

/* ---- maps of slots --------------------------------------------------------------------------- */

/* One word {count 24, stride / 8 20, offset / 8 20}, 0: not yet. An entry is set once, by
 * compare-and-swap, and never changed. It stands in the first empty place from the one that its
 * hash says, so it is found without a list. Block words hold its index. */
typedef uint64_t roma__map;

/* ---- sessions -------------------------------------------------------------------------------- */

/* A session's life is its byte lock (ROMA__LOCK_SESSIONS + index); all else is for reading by
 * people, but `state`: 0 free, 1 in use. In use with a free byte is dead. Written by the holder of
 * the byte. */
typedef struct roma__session {
    uint32_t state;
    uint32_t generation;           /* + 1 when it ends                                         */
    int64_t pid;
    uint64_t start_ns;             /* CLOCK_REALTIME                                           */
    char label[32];
    uint64_t reserved[9];
} roma__session;

/* Byte locks, far behind what any file system can hold. */
#define ROMA__LOCK_FILE (INT64_C(1) << 62)     /* exclusive: superblock, opening, closing      */
#define ROMA__LOCK_OPEN (ROMA__LOCK_FILE + 1)  /* shared by read-only openings, exclusive while
                                                  the file is made or cut                      */
#define ROMA__LOCK_SESSIONS (ROMA__LOCK_FILE + 4096) /* + index: exclusive, by the session     */

/* ---- lanes ----------------------------------------------------------------------------------- */

enum {
    ROMA__REDO_PAIRS = 96,
    ROMA__LANES_BACKED = 16, /* by who makes the store */
    ROMA__LANE_LIST = 512,
    ROMA__LIST_LEVELS = 2, /* of LIST units */
    ROMA__LANE_MAIL = 32,
    ROMA__LANE_CELLS = 512
};

typedef struct roma__pair {
    uint64_t location; /* offset, multiple of 8   */
    uint64_t value;    /* to store; tells: to OR  */
} roma__pair;

/* Head of a redo record: 0, or {VALID, pairs, tells, unit of the tells}. */
#define ROMA__REDO_VALID (UINT64_C(1) << 63)
enum { ROMA__REDO_PAIRS_SHIFT = 40, ROMA__REDO_TELLS_SHIFT = 48, ROMA__REDO_COUNT_MASK = 0xff };
#define ROMA__REDO_UNIT_MASK ((UINT64_C(1) << 40) - 1)

typedef struct roma__lane {
    uint32_t word;                 /* 0 free, else session + 1                                 */
    uint32_t busy;                 /* see roma__live                                           */
    uint32_t reserved_1;
    uint32_t poke;                 /* set by others: there is mail                             */
    uint32_t mail_lost;            /* set by others: look at all slabs instead                 */
    uint32_t reserved[11];
    uint32_t mail[ROMA__LANE_MAIL]; /* units whose PENDING was set; hints, overwritten         */
    uint64_t redo;                 /* the record's head                                        */
    uint64_t reserved_2[7];
    roma__pair pairs[ROMA__REDO_PAIRS];
    uint32_t list[ROMA__LANE_LIST]; /* units + 1 that may be this lane's; 0: none              */
    uint64_t cells[ROMA__LANE_CELLS];
    uint64_t reserved_3[32];
} roma__lane;

/* A cell: ref / 16 << 24 | count. */
#define ROMA__CELL_COUNT_MASK UINT64_C(0xffffff)
enum { ROMA__CELL_REF_SHIFT = 24, ROMA__CELLS_IN_UNIT = ROMA__UNIT_BYTES / 8,
       ROMA__LIST_IN_UNIT = ROMA__UNIT_BYTES / 4 };

/* ---- units ----------------------------------------------------------------------------------- */

/* The word of a unit: kind 0..3, PENDING 4, class 8..15, owner tag 16..31, length 32..63. */
enum roma__unit_kind {
    ROMA__UNIT_FREE = 0,
    ROMA__UNIT_CLAIMED = 1,
    ROMA__UNIT_SLAB = 2,
    ROMA__UNIT_LARGE = 3,
    ROMA__UNIT_CELLS = 4,
    ROMA__UNIT_LIST = 5,
    ROMA__UNIT_KINDS_COUNT
};
#define ROMA__UNIT_KIND_MASK UINT64_C(0xf)
#define ROMA__UNIT_PENDING UINT64_C(0x10)
#define ROMA__UNIT_OWNER_MASK UINT64_C(0xffff0000)
enum { ROMA__UNIT_CLASS_SHIFT = 8, ROMA__UNIT_OWNER_SHIFT = 16, ROMA__UNIT_LENGTH_SHIFT = 32 };

typedef struct roma__unit {
    uint64_t word;
    uint32_t back;                 /* covered units: distance to the head                      */
    uint32_t generation;           /* least that blocks here begin with: at least that of every
                                      block that ever was here                                 */
    uint64_t words[2];             /* LARGE: of its block                                      */
    uint64_t remote;               /* LARGE: bit 0                                             */
    uint64_t reserved[3];
} roma__unit;

/* ---- block words ----------------------------------------------------------------------------- */

/* First word: owner 0..15, local count 16..39, generation 40..63. */
#define ROMA__FIRST_OWNER_MASK UINT64_C(0xffff)
#define ROMA__FIRST_LOCAL_ONE (UINT64_C(1) << 16)
#define ROMA__FIRST_LOCAL_MASK (UINT64_C(0xffffff) << 16)
#define ROMA__FIRST_GENERATION_ONE (UINT64_C(1) << 40)
enum { ROMA__FIRST_LOCAL_SHIFT = 16, ROMA__FIRST_GENERATION_SHIFT = 40,
       ROMA__LOCAL_MAX = 0xffffff, ROMA__GENERATION_MAX = 0xffffff };

/* Second word: shared count 0..23, flags 24..27, map 28..39, slack 40..63. */
#define ROMA__SECOND_SHARED_MASK UINT64_C(0xffffff)
#define ROMA__SECOND_IS_SHARED (UINT64_C(1) << 24) /* was linked, or held elsewhere, in this life */
enum { ROMA__SECOND_MAP_SHIFT = 28, ROMA__SECOND_MAP_MASK = 0xfff, ROMA__SECOND_SLACK_SHIFT = 40,
       ROMA__SHARED_MAX = 0xffffff, ROMA__SLACK_MAX = 0xffffff };

ROMA__LAYOUT_IS(offsetof(roma__super, generation) == 40 && sizeof(roma__super) == 408,
                "superblock");
ROMA__LAYOUT_IS(offsetof(roma__super, checksum) == 400, "superblock");
ROMA__LAYOUT_IS(sizeof(roma__super) <= ROMA__SUPER_BYTES, "superblock");
ROMA__LAYOUT_IS(sizeof(roma__live) <= 4096, "live state");
ROMA__LAYOUT_IS(offsetof(roma__live, intent) == 64, "live state");
ROMA__LAYOUT_IS(offsetof(roma__live, orphan_cursor) == 512, "live state");
ROMA__LAYOUT_IS(sizeof(roma__stripe) == 64, "stripe");
ROMA__LAYOUT_IS(ROMA__AT_STRIPES + ROMA__STRIPES_COUNT * 64 <= ROMA__AT_MAPS, "stripes");
ROMA__LAYOUT_IS(ROMA__AT_MAPS + ROMA__MAPS_COUNT * 8 == ROMA__AT_SESSIONS, "maps");
ROMA__LAYOUT_IS(sizeof(roma__session) == 128, "session");
ROMA__LAYOUT_IS(sizeof(roma__unit) == 64, "unit");
ROMA__LAYOUT_IS(offsetof(roma__lane, redo) == 192, "lane");
ROMA__LAYOUT_IS(offsetof(roma__lane, pairs) == 256, "lane");
ROMA__LAYOUT_IS(offsetof(roma__lane, list) == 256 + ROMA__REDO_PAIRS * 16, "lane");
ROMA__LAYOUT_IS(offsetof(roma__lane, cells) == 3840, "lane");
ROMA__LAYOUT_IS(sizeof(roma__lane) == 8192, "lane");

#ifdef __cplusplus
}
#endif
#endif
