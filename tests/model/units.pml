/* units.pml - units of space: taken, given back, resized, punched, grown into, by whoever may die.
 *
 * A unit's word is {kind, owner tag, PENDING, length}, one word: that of a run's head counts, those
 * of covered units say FREE and are not looked at. Kinds:
 *     FREE      or covered               SLAB1   one unit of one block
 *     CLAIMED   being made into one      SLAB2   two units of two blocks, one in each
 *                                        LARGE   one block of one or two units
 * Free bits and punched bits, the intent and the committed size are changed under the units stripe
 * alone; the word goes FREE -> CLAIMED and -> FREE under it, too, and all else by the owner, or by
 * compare-and-swap (PENDING, adopting, giving up). In these orders:
 *     take     the space of punched units, then their punched bits cleared; the list names the
 *              unit; intent; `back`; CLAIMED; free bits cleared; no intent. Then, without the
 *              stripe, its block words are written, and the word says SLAB or LARGE
 *     give     every first word is free: intent; {me, clear} -> FREE; free bits set; no intent; the
 *              stripe let go; the list forgets it
 *     resize   of a run in place. Longer: the units behind are free, or the file grows; their
 *              space; intent; `back`; the length by one swap; free bits; no intent
 *     grow     space; free bits; committed
 *     trim     of a free unit: punched bit, then the space goes
 *     adopt    list; {0, p, kind} -> {me, p, kind}, the kind that was read compared with it
 * Who recovers, having the units stripe of a dead lane to let go: derives the free bits of the
 * intent's range from the words; no intent; the stripe. Then, as the dead lane, what its list
 * names: CLAIMED is given back, blocks lose their local counts, then each slab is given back if it
 * has no block, and becomes an orphan if it has, once PENDING is clear; until a pass finds none.
 *
 * What block words say in a unit that is not a slab or run is anything (ANY). A block stands at the
 * start of a unit, has a local count of 0 or 1, and one slot names at most one; link is one step
 * here, the order of its stores is store.pml's matter. One block stripe.
 *
 * Checked: only units that are free, committed and have space are claimed; only free ones are
 * punched; blocks are used only in a slab or run that has its space; a named block is found from
 * its unit. At the end, with the dead recovered, a free bit says what the words say (nothing is
 * lost, nothing is there twice), what is not punched has space, no unit is CLAIMED, an owned one is
 * a living lane's and in its list. With GENS, a block's generation is never one that it had before.
 * MUT as in README.md.
 *
 * Macros: NU units, GENS. From the environment: MAXOPS operations a worker, MAXK kills, OPS; START:
 * 1 the slot names a block of an orphan SLAB2, 2 an orphan LARGE of two units, 3 there is an orphan
 * SLAB1 without blocks; COMMITTED units at the start; PUNCHED, a mask of units. */

c_decl {
\#include <stdlib.h>
static int mut_v, ops_v = 4095, maxops_v = 2, maxk_v = 1, start_v, committed_v = 99, punched_v;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define OPS c_expr { ops_v }
#define MAXOPS c_expr { maxops_v }
#define MAXK c_expr { maxk_v }
#define START c_expr { start_v }
#define COMMITTED c_expr { committed_v }
#define PUNCHED c_expr { punched_v }

#ifndef NU
#define NU 3
#endif
#ifndef GENS
#define GENS 0
#endif

#define op_alloc        1           /* of either class */
#define op_large        2
#define op_release      4           /* and perhaps the units go back */
#define op_link         8
#define op_release_from 16
#define op_drain        32          /* the same */
#define op_adopt        64
#define op_recover      128
#define op_trim         256
#define op_resize       512

#define FREE 0
#define CLAIMED 1
#define SLAB1 2
#define SLAB2 3
#define LARGE 4

#define USED 1                      /* first words: 0 free, */
#define ANY 2                       /* or whatever a user wrote there */

#define NP 2
#define AUD NP
#define TAG (id + 1)
#define BLOCKS(k) ((k) == SLAB2 -> 2 : ((k) > CLAIMED -> 1 : 0))
#define IS_SLAB(k) ((k) == SLAB1 || (k) == SLAB2)
#define LISTED(v) listed[id * NU + (v)]
/* a unit's head, by its own word or the way back */
#define HEAD(v) (kind[v] != FREE || back[v] > (v) -> (v) : (v) - back[v])
#define IS_BLOCK(b) ((b) < HEAD(b) + BLOCKS(kind[HEAD(b)]))
/* what the words say, all of them */
#define COVERED(v) (kind[v] != FREE || ((v) >= 1 && kind[(v) - 1] != FREE && length[(v) - 1] > 1))

/* ---- the file ---- */
byte kind[NU], owner[NU], length[NU]; bool pending[NU];    /* one word */
byte back[NU];
bool freebit[NU], punchbit[NU];
byte committed, intent, intent_n;   /* the intent: unit + 1, units */
byte us, bs;                        /* stripes, of units and of blocks: 0 or lane tag */
byte first[NU];                     /* block words: free, in use, ANY; local count */
bool loc[NU];
bool shr[NU], linked[NU];           /* shared count, the flag SHARED */
bool rembit[NU];
byte slot;                          /* 0 or block + 1 */
bool live[NP];
bool listed[NP * NU];               /* the lane's list names the unit */
byte entry0[NP];                    /* its entry for what a record adopts: unit + 1 */
bool rd_valid[NP], rd_free[NP];
byte rd_b[NP];                      /* the record of release_from: block + 1 */
#if GENS
byte gen[NU];                       /* in the unit's description */
byte first_gen[NU];                 /* in the first word */
byte lives[NU];                     /* ghost: how often a block here was freed */
#endif

/* ---- the kernel ---- */
bool space[NU];
byte lk[NP];
bool dead[NP + 1], fin[NP], audited;
byte kills;

inline FREE_WORD(b_) {                  /* inside a d_step */
    assert(first[b_] == USED && slot != b_ + 1 && IS_BLOCK(b_));
    first[b_] = 0; loc[b_] = 0;
#if GENS
    first_gen[b_]++; lives[b_]++
#endif
}

inline APPLY(l) {
    d_step { assert(IS_BLOCK(rd_b[l] - 1)); slot = 0; shr[rd_b[l] - 1] = 0 };
    if
    :: rd_free[l] ->
        d_step { if :: first[rd_b[l] - 1] != 0 -> FREE_WORD(rd_b[l] - 1) :: else fi }
    :: else ->
        d_step { rembit[rd_b[l] - 1] = 1 };
        d_step { assert(kind[HEAD(rd_b[l] - 1)] > CLAIMED);
                 pending[HEAD(rd_b[l] - 1)] = 1;
                 if
                 :: owner[HEAD(rd_b[l] - 1)] == 0 -> owner[HEAD(rd_b[l] - 1)] = l + 1
                 :: else
                 fi }
    fi;
    d_step { rd_valid[l] = 0; rd_b[l] = 0; rd_free[l] = 0 }
}

/* the free bits of the intent's range follow from the words */
inline REPAIR() {
    r = intent - (intent != 0 -> 1 : 0);
    do
    :: d_step {
        intent != 0 && MUT != 10 && r < intent - 1 + intent_n && kind[r] != FREE ->
            freebit[r] = 0;
            if :: length[r] > 1 -> freebit[r + 1] = 0 :: else fi;
            r = r + length[r] }
    :: d_step {
        intent != 0 && MUT != 10 && r < intent - 1 + intent_n && kind[r] == FREE ->
            freebit[r] = 1;
            r++ }
    :: else -> break
    od;
    r = 0
}

/* A1, A2 of dead lane l: takes no stripe */
inline FIRST_HALF(l) {
    if :: rd_valid[l] -> APPLY(l) :: else fi;
    d_step { if :: bs == l + 1 -> bs = 0 :: else fi };
    if
    :: us == l + 1 ->
        d_step { if :: MUT == 11 -> us = 0 :: else fi };
        REPAIR();
        d_step { intent = 0; intent_n = 0 };
        d_step { if :: us == l + 1 -> us = 0 :: else fi }
    :: else
    fi
}

inline LOCK(stripe) {
    do
    :: atomic { stripe == 0 -> stripe = TAG }; break
    :: atomic { stripe != 0 && lk[stripe - 1] == 0 -> j = stripe - 1; lk[j] = me + 1 };
       FIRST_HALF(j);
       d_step { lk[j] = 0; j = 0 }
    od;
    skip
}

inline UNLOCK(stripe) { d_step { assert(stripe == TAG); stripe = 0 } }

/* ---- units ---- */

/* one unit more, under the stripe */
inline GROW() {
    d_step {
        assert(committed < NU && !COVERED(committed));
        if
        :: MUT == 14 -> freebit[committed] = 1
        :: else -> space[committed] = 1
        fi
    };
    d_step {
        if
        :: MUT == 13 -> committed++
        :: MUT == 14 -> committed++
        :: else -> freebit[committed] = 1
        fi
    };
    d_step {
        if
        :: MUT == 13 -> freebit[committed - 1] = 1
        :: MUT == 14 -> space[committed - 1] = 1
        :: else -> committed++
        fi
    }
}

/* the space of [from_, to_) is there again */
inline UNPUNCH(from_, to_) {
    v = from_;
    do
    :: v < to_ && punchbit[v] && MUT != 20 ->
        d_step { if :: MUT == 7 -> punchbit[v] = 0 :: else -> space[v] = 1 fi };
        d_step { if :: MUT == 7 -> space[v] = 1 :: else -> punchbit[v] = 0 fi; v++ }
    :: v < to_ && (!punchbit[v] || MUT == 20) -> v++
    :: else -> break
    od;
    v = 0
}

#define FITS(v) ((v) + n <= committed && freebit[v] && (n == 1 || freebit[((v) + 1) % NU]))

/* claim n units: from u on, x: 1; else x: 0 */
inline TAKE() {
    x = 0;
    LOCK(us);
    do
    :: d_step { FITS(0) -> u = 0; x = 1 }; break
    :: d_step { !FITS(0) && FITS(1) -> u = 1; x = 1 }; break
    :: d_step { !FITS(0) && !FITS(1) && FITS(NU - 1) -> u = NU - 1; x = 1 }; break
    :: !FITS(0) && !FITS(1) && !FITS(NU - 1) && committed < NU -> GROW()
    :: !FITS(0) && !FITS(1) && !FITS(NU - 1) -> break
    od;
    if
    :: x ->
        UNPUNCH(u, u + n);
        d_step { if :: MUT != 8 -> LISTED(u) = 1 :: else fi };
        d_step { if :: MUT != 5 -> intent = u + 1; intent_n = n :: else fi };
        d_step { if :: n > 1 && MUT != 18 -> back[u + 1] = 1 :: else fi };
        d_step {
            v = u;
            do
            :: v < u + n -> assert(!COVERED(v) && v < committed && space[v]); v++
            :: else -> break
            od;
            v = 0;
            kind[u] = CLAIMED; owner[u] = TAG; length[u] = n
        };
        d_step { freebit[u] = 0 };
        d_step { if :: n > 1 -> freebit[u + 1] = 0 :: else fi };
        d_step { if :: MUT == 8 -> LISTED(u) = 1 :: else fi; intent = 0; intent_n = 0 }
    :: else
    fi;
    UNLOCK(us)
}

/* the claimed run u becomes a slab or a large block of kind k */
inline MAKE() {
    d_step { if :: MUT == 3 -> kind[u] = k :: else -> FORMAT() fi };
    d_step { if :: MUT == 3 -> FORMAT() :: else -> kind[u] = k fi }
}

inline FORMAT() {                       /* inside a d_step */
    v = u;
    do
    :: v < u + BLOCKS(k) ->
        assert(space[v]);
        first[v] = 0; loc[v] = 0; shr[v] = 0; linked[v] = 0; rembit[v] = 0;
#if GENS
        first_gen[v] = (k != LARGE && length[u] > 1 && gen[(u + 1) % NU] > gen[u] ->
                        gen[(u + 1) % NU] : gen[u]);
#endif
        v++
    :: else -> break
    od;
    v = 0
}

/* give back the own run u, that has no block; x: 1. PENDING in between: x: 0 */
inline GIVE() {
#if GENS
    d_step { if :: MUT != 21 -> KEEP(u, u + BLOCKS(kind[u]), u + length[u]) :: else fi };
#endif
    d_step { n = length[u]; k = BLOCKS(kind[u]); if :: MUT == 9 -> LISTED(u) = 0 :: else fi };
    LOCK(us);
    d_step { if :: MUT != 19 -> intent = u + 1; intent_n = n :: else fi };
    d_step {
        x = 0;
        if
        :: !pending[u] ->
            v = u;
            do
            :: v < u + n -> first[v] = ANY; loc[v] = 0; shr[v] = 0; linked[v] = 0; rembit[v] = 0;
                            v++
            :: else -> break
            od;
            v = 0; x = 1;
            kind[u] = FREE; owner[u] = 0; length[u] = 0
        :: else
        fi
    };
    d_step { if :: x -> freebit[u] = 1 :: else fi };
    d_step { if :: x && n > 1 -> freebit[u + 1] = 1 :: else fi };
#if GENS
    d_step { if :: MUT == 21 -> KEEP(u, u + k, u + n) :: else fi };
#endif
    d_step { intent = 0; intent_n = 0 };
    UNLOCK(us);
    d_step { if :: x -> LISTED(u) = 0 :: else fi; n = 0; k = 0 }
}

#if GENS
/* inside a d_step: what stands in these units next does not begin lower */
inline KEEP(from_, blocks_, end_) {
    y = 0; v = from_;
    do
    :: v < blocks_ -> y = (first_gen[v] > y -> first_gen[v] : y); v++
    :: else -> break
    od;
    v = from_;
    do
    :: v < end_ -> gen[v] = (y > gen[v] -> y : gen[v]); v++
    :: else -> break
    od;
    v = 0; y = 0
}
#endif

/* punch a free unit */
inline TRIM() {
    d_step { v = NU; if :: MUT == 12 -> FIND_TRIM() :: else fi };
    LOCK(us);
    d_step { if :: MUT != 12 -> FIND_TRIM() :: else fi };
    if
    :: v < NU ->
        d_step { if :: MUT == 2 -> GONE() :: else -> punchbit[v] = 1 fi };
        d_step { if :: MUT == 2 -> punchbit[v] = 1 :: else -> GONE() fi }
    :: else
    fi;
    v = 0;
    UNLOCK(us)
}

inline FIND_TRIM() {                    /* inside a d_step */
    v = 0;
    do
    :: v < committed && (!freebit[v] || punchbit[v]) -> v++
    :: v >= committed -> v = NU; break
    :: v < committed && freebit[v] && !punchbit[v] -> break
    od
}

inline GONE() { assert(!COVERED(v)); space[v] = 0 }

/* the own LARGE u, of one unit, grows into the next one; or of two, loses one */
inline RESIZE() {
    if
    :: length[u] == 1 && u + 1 < NU ->
        d_step { x = 0; if :: MUT == 16 -> BEHIND() :: else fi };
        LOCK(us);
        if :: u + 1 == committed -> GROW() :: else fi;
        d_step { if :: MUT != 16 -> BEHIND() :: else fi };
        if
        :: x ->
            UNPUNCH(u + 1, u + 2);
            d_step { if :: MUT != 15 -> intent = u + 1; intent_n = 2 :: else fi };
            d_step { back[u + 1] = 1 };
            d_step { assert(!COVERED(u + 1) && u + 1 < committed && space[u + 1]);
                     length[u] = 2 };
            d_step { freebit[u + 1] = 0 };
            d_step { intent = 0; intent_n = 0 }
        :: else
        fi;
        UNLOCK(us)
    :: length[u] == 2 ->
        LOCK(us);
        d_step { intent = u + 1; intent_n = 2 };
        d_step { length[u] = 1; first[u + 1] = ANY };
        d_step { freebit[u + 1] = 1 };
        d_step { intent = 0; intent_n = 0 };
        UNLOCK(us)
    :: else
    fi
}

inline BEHIND() { x = (u + 1 < committed && freebit[(u + 1) % NU] -> 1 : 0) }  /* in a d_step */

/* ---- slabs ---- */

/* blocks of the own u without a count are freed: all 0: those with a remote bit; 1: all; 2: all,
 * and their local counts are dropped first */
inline SCAN(all) {
    d_step { b = u; y = u + BLOCKS(kind[u]) };
    do
    :: b < y ->
        d_step { x = (rembit[b] || all -> 1 : 0); rembit[b] = 0 };
        if
        :: x && first[b] != 0 && linked[b] && (all == 2 || loc[b] == 0) ->
            LOCK(bs);
            d_step { loc[b] = 0; if :: !shr[b] -> FREE_WORD(b) :: else fi };
            UNLOCK(bs)
        :: x && first[b] != 0 && !linked[b] && all == 2 -> d_step { FREE_WORD(b) }
        :: else
        fi;
        b++
    :: else -> break
    od;
    skip;
    d_step { b = 0; x = 0; y = 0 }
}

/* x: the own u has no block in use */
inline LOOK() {
    d_step { x = 1; b = u; y = u + BLOCKS(kind[u]) };
    do
    :: d_step { b < y ->
                if :: first[b] != 0 && !(MUT == 1 && loc[b] == 0) -> x = 0 :: else fi;
                b++ }
    :: else -> break
    od;
    skip;
    d_step { b = 0; y = 0 }
}

/* the own u goes back if it has no block and PENDING is clear */
inline RETURN() {
    LOOK();
    if :: x && !pending[u] -> GIVE() :: else fi
}

/* B1 of lane id */
inline LEAVE() {
    d_step {
        if
        :: entry0[id] != 0 && owner[entry0[id] - 1] == TAG -> LISTED(entry0[id] - 1) = 1
        :: else
        fi
    };
    u = 0;
    do
    :: u < NU && LISTED(u) && owner[u] == TAG && kind[u] > CLAIMED ->
        d_step { pending[u] = 0 };
        SCAN(2);
        u++
    :: u < NU && !(LISTED(u) && owner[u] == TAG && kind[u] > CLAIMED) -> u++
    :: else -> break
    od;
    skip;
    d_step { u = 0; met = 0 };
    do
    :: u < NU && LISTED(u) && owner[u] == TAG && kind[u] == CLAIMED ->
        if
        :: d_step { MUT == 4 -> owner[u] = 0; kind[u] = SLAB1 }
        :: MUT != 4 -> GIVE()
        fi
    :: u < NU && LISTED(u) && owner[u] == TAG && kind[u] > CLAIMED ->
        met = 1;
        if
        :: d_step { pending[u] -> pending[u] = 0 }; SCAN(0)
        :: else ->
            LOOK();
            if
            :: x -> GIVE()
            :: d_step { !x && !pending[u] -> owner[u] = 0 }; d_step { LISTED(u) = 0 }
            :: else
            fi
        fi
    :: u < NU && !(LISTED(u) && owner[u] == TAG) -> u++
    :: u == NU && met -> d_step { u = 0; met = 0 }
    :: u == NU && !met -> break
    od;
    skip;
    d_step {
        u = 0; x = 0;
        do :: u < NU -> LISTED(u) = 0; u++ :: else -> break od;
        u = 0; entry0[id] = 0
    };
    d_step { live[id] = 0 }
}

inline RECOVER(l_) {
    FIRST_HALF(l_);
    id = l_;
    LEAVE()
}

inline ALLOC_BLOCK() {                  /* block b, found free, of an own unit */
    d_step { assert(first[b] == 0); shr[b] = 0; linked[b] = 0 };
    d_step { assert(first[b] == 0 && slot != b + 1 && space[b] && space[HEAD(b)]);
             assert(IS_BLOCK(b) && owner[HEAD(b)] == TAG);
#if GENS
             assert(first_gen[b] >= lives[b]);
#endif
             first[b] = USED; loc[b] = 1 }
}

/* blocks of own slabs are found by what the process knows, not by the way back */
#define BY_WORD(v) (kind[v] == FREE && (v) >= 1 && kind[(v) - 1] == SLAB2 -> (v) - 1 : (v))
#define OWN_BLOCK(v) ((v) < BY_WORD(v) + BLOCKS(kind[BY_WORD(v)]) && owner[BY_WORD(v)] == TAG)
#define OWN_FREE(v) d_step { OWN_BLOCK(v) && kind[BY_WORD(v)] == k && first[v] == 0 -> \
                             b = v; x = 1 }
#define OWN_HELD(v) d_step { OWN_BLOCK(v) && loc[v] -> b = v; x = 1 }
#define OWN(v) d_step { owner[v] == TAG && kind[v] > CLAIMED -> u = v; x = 1 }
#define OWN_LARGE(v) d_step { kind[v] == LARGE && owner[v] == TAG && loc[v] && !shr[v] -> \
                              u = v; x = 1 }
#define ORPHAN(v) d_step { owner[v] == 0 && IS_SLAB(kind[v]) -> u = v; k = kind[v]; x = 1 }

proctype Worker(byte me) {
    byte id, b, u, k, j, x, y, n, v, r, met, ops;
    {
        d_step { lk[me] = me + 1; id = me };
        d_step { live[me] = 1 };
        do
        :: ops < MAXOPS -> ops++;
            if
            :: (OPS & op_alloc) ->
                if :: d_step { k = SLAB1; n = 1 } :: d_step { k = SLAB2; n = 2 } fi;
                if
                :: OWN_FREE(0)
                :: OWN_FREE(1)
                :: OWN_FREE(NU - 1)
                :: else -> TAKE(); if :: x -> MAKE(); b = u :: else fi
                fi;
                if :: x -> ALLOC_BLOCK() :: else fi
            :: (OPS & op_large) ->
                k = LARGE;
                if :: n = 1 :: n = 2 fi;
                TAKE();
                if :: x -> MAKE(); b = u; ALLOC_BLOCK() :: else fi
            :: (OPS & op_adopt) ->      /* the word is read, then compared and swapped */
                if
                :: ORPHAN(0)
                :: ORPHAN(NU - 1)
                :: else
                fi;
                if
                :: x ->
                    d_step { LISTED(u) = 1 };
                    d_step { x = 0;
                             if
                             :: owner[u] == 0 && (kind[u] == k || (MUT == 6 && IS_SLAB(kind[u]))) ->
                                 owner[u] = TAG; x = 1
                             :: else
                             fi };
                    if
                    :: x ->
                        d_step { assert(kind[u] == k); pending[u] = 0 };
                        SCAN(1);
                        if :: RETURN() :: skip fi
                    :: else -> d_step { LISTED(u) = 0 }
                    fi
                :: else
                fi
            :: (OPS & op_release) ->
                if
                :: OWN_HELD(0)
                :: OWN_HELD(1)
                :: OWN_HELD(NU - 1)
                :: else
                fi;
                if
                :: x && !linked[b] -> d_step { u = HEAD(b); FREE_WORD(b) }
                :: x && linked[b] ->
                    LOCK(bs);
                    d_step { u = HEAD(b); loc[b] = 0;
                             if :: !shr[b] -> FREE_WORD(b) :: else fi };
                    UNLOCK(bs)
                :: else
                fi;
                if :: x -> RETURN() :: skip fi
            :: (OPS & op_link) ->
                if
                :: OWN_HELD(0)
                :: OWN_HELD(1)
                :: OWN_HELD(NU - 1)
                :: else
                fi;
                if
                :: x ->
                    LOCK(bs);
                    d_step { if
                             :: slot == 0 -> slot = b + 1; shr[b] = 1; linked[b] = 1
                             :: else
                             fi };
                    UNLOCK(bs)
                :: else
                fi
            :: (OPS & op_release_from) ->
                LOCK(bs);
                if
                :: slot != 0 ->
                    d_step { assert(IS_BLOCK(slot - 1));
                             u = HEAD(slot - 1); rd_b[id] = slot;
                             rd_free[id] = (owner[u] == TAG && !loc[slot - 1] -> 1 : 0) };
                    d_step { if :: MUT != 17 -> entry0[id] = u + 1 :: else fi };
                    d_step { rd_valid[id] = 1 };
                    APPLY(id);
                    UNLOCK(bs);
                    if
                    :: owner[u] == TAG ->
                        d_step { LISTED(u) = 1 };
                        d_step { pending[u] = 0 };
                        SCAN(1);
                        if :: RETURN() :: skip fi
                    :: else
                    fi
                :: else -> UNLOCK(bs)
                fi
            :: (OPS & op_drain) ->
                if
                :: OWN(0)
                :: OWN(NU - 1)
                :: else
                fi;
                if
                :: x ->
                    d_step { pending[u] = 0 };
                    SCAN(0);
                    if :: RETURN() :: skip fi
                :: else
                fi
            :: (OPS & op_trim) -> TRIM()
            :: (OPS & op_resize) ->
                if
                :: OWN_LARGE(0)
                :: OWN_LARGE(1)
                :: else
                fi;
                if :: x -> RESIZE() :: else fi
            :: (OPS & op_recover) ->
                if
                :: atomic { lk[1 - me] == 0 && live[1 - me] -> lk[1 - me] = me + 1; x = 1 }
                :: else
                fi;
                if
                :: x -> x = 0; RECOVER(1 - me); d_step { lk[1 - me] = 0; id = me }
                :: else
                fi
            :: else
            fi;
            d_step { b = 0; u = 0; k = 0; x = 0; y = 0; n = 0; v = 0; met = 0 }
        :: break
        od;
        ops = MAXOPS;
        if
        :: skip                         /* parked, alive */
        :: LEAVE(); d_step { lk[me] = 0 }
        fi
    } unless { dead[me] };
    d_step { id = 0; b = 0; u = 0; k = 0; j = 0; x = 0; y = 0; n = 0; v = 0; r = 0; met = 0;
             ops = 0; fin[me] = 1 }
}

proctype Killer() {
    byte p, l;
    do
    :: d_step { kills < MAXK && !audited -> kills++ };
       if
       :: !fin[0] && !dead[0] -> p = 0
       :: !fin[1] && !dead[1] -> p = 1
       :: fin[0] && fin[1] && !dead[AUD] && !audited -> p = AUD
       :: else -> break
       fi;
       d_step {
           if
           :: (p == AUD && !audited) || (p < AUD && !fin[p]) ->
               dead[p] = 1;
               l = 0;
               do :: l < NP -> if :: lk[l] == p + 1 -> lk[l] = 0 :: else fi; l++
                  :: else -> break od
           :: else
           fi;
           p = 0; l = 0
       }
    :: break
    od
}

proctype Auditor() {
    byte me, id, b, u, k, j, x, y, n, v, r, met, s;
again:
    {
        d_step { fin[0] && fin[1] -> me = AUD };
        s = 0;
        do
        :: s < NP ->
            if
            :: atomic { lk[s] == 0 && live[s] -> lk[s] = me + 1 };
               RECOVER(s);
               d_step { lk[s] = 0; id = 0 }
            :: else
            fi;
            s++
        :: else -> break
        od;
        skip;
        d_step {
            s = 0;
            assert(us == 0 && bs == 0 && intent == 0 && !rd_valid[0] && !rd_valid[1]);
            assert(slot == 0 || IS_BLOCK(slot - 1));
            u = 0;
            do
            :: u < NU ->
                assert(u < committed || !COVERED(u));
                assert(u >= committed || freebit[u] == (COVERED(u) -> 0 : 1));
                assert(u >= committed || punchbit[u] || space[u]);
                assert(!COVERED(u) || space[u]);
                assert(kind[u] != CLAIMED);
                if
                :: owner[u] != 0 ->
                    id = owner[u] - 1;
                    assert(kind[u] > CLAIMED && live[id] && lk[id] != 0 && LISTED(u));
                    id = 0
                :: else
                fi;
                b = u;
                do
                :: b < u + BLOCKS(kind[u]) ->
                    assert(first[b] != ANY);
                    if
                    :: first[b] == USED ->
                        assert(IS_BLOCK(b));
                        assert(shr[b] == (slot == b + 1));
                        assert(!loc[b] || owner[u] != 0);
                        assert(loc[b] || shr[b] || (owner[u] != 0 && rembit[b] && pending[u]))
                    :: else -> assert(slot != b + 1 && !loc[b])
                    fi;
                    b++
                :: else -> break
                od;
                u++
            :: else -> break
            od;
            b = 0; u = 0;
            audited = 1
        }
    } unless {
        dead[AUD];
        d_step { id = 0; b = 0; u = 0; k = 0; j = 0; x = 0; y = 0; n = 0; v = 0; r = 0; met = 0;
                 s = 0; dead[AUD] = 0 };
        goto again
    }
}

init {
    byte q;
    atomic {
        c_code { env("MUT", &mut_v); env("OPS", &ops_v); env("MAXOPS", &maxops_v);
                 env("MAXK", &maxk_v); env("START", &start_v);
                 env("COMMITTED", &committed_v); env("PUNCHED", &punched_v); };
        committed = (COMMITTED < NU -> COMMITTED : NU);
        do
        :: q < NU ->
            first[q] = ANY;
            if
            :: q < committed ->
                freebit[q] = 1;
                punchbit[q] = ((PUNCHED >> q) & 1);
                space[q] = 1 - punchbit[q]
            :: else
            fi;
            q++
        :: else -> break
        od;
        if
        :: START == 1 -> kind[0] = SLAB2; length[0] = 2; back[1] = 1; first[1] = 0
        :: START == 2 -> kind[0] = LARGE; length[0] = 2; back[1] = 1
        :: START == 3 -> kind[0] = SLAB1; length[0] = 1
        :: else
        fi;
        if
        :: START != 0 -> freebit[0] = 0; freebit[1] = (length[0] > 1 -> 0 : 1); first[0] = 0
        :: else
        fi;
        if
        :: START == 1 -> first[1] = USED; shr[1] = 1; linked[1] = 1; slot = 2
        :: START == 2 -> first[0] = USED; shr[0] = 1; linked[0] = 1; slot = 1
        :: else
        fi;
        run Worker(0); run Worker(1); run Killer(); run Auditor()
    }
}
