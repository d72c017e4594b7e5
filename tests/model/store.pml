/* store.pml - the store's crash-safe protocol, for the model checker spin.
 *
 * The heap in a file that many processes map, at the size where everything can be tried: 2 or 3
 * processes of one lane each, 1 to 4 blocks, 1 or 2 slots. Every store, compare-and-swap or
 * fetch-and-op to the file is one step (one d_step). A process may be killed before any of its
 * steps (Killer); the kernel then drops its byte locks. Any living lane may recover a dead one, and
 * at the end the Auditor does; both may be killed while they do it. Step names (R1, A1, B1) are
 * those of docs/store-protocol.md, which this file is kept in step with.
 *
 * Checked: the assertions here (a block handed out twice, freed while named or held, flags or
 * generation overwritten by a stale record), the final audit of every block, slot, cell, stripe,
 * record and lane, and that no state is a deadlock.
 *
 * Sizes are macros of the build: NP workers, NB blocks, BPS blocks a slab, NSLOT slots, NC cells a
 * lane, NSS and NBS stripes for slots and blocks, GENS for generations. What is below is read from
 * the environment at the start of the run, so that one build serves all sets and mutants:
 *   MAXOPS   operations a worker        MAXK  kills      MAXR  killed workers that start again
 *   OPS      a mask of the op_ names: what a worker may do
 *   CHILD    1: the last slot lies inside block 0; 2: inside the last block. Released with it
 *   PRELINK  1: the parent (or block 0) starts linked from slot 0, its slab an orphan; 2: and the
 *            block at the other end starts linked from the last slot
 *   MUT      0 the protocol, n the mutant n of README.md
 * tests/model/run has the configurations. Sequential consistency is assumed. */

c_decl {
\#include <stdlib.h>
static int mut_v, ops_v = 511, maxops_v = 2, maxk_v = 2, maxr_v, child_v, prelink_v;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define OPS c_expr { ops_v }
#define MAXOPS c_expr { maxops_v }
#define MAXK c_expr { maxk_v }
#define MAXR c_expr { maxr_v }
#define CHILD c_expr { child_v }
#define PRELINK c_expr { prelink_v }

#ifndef NP
#define NP 2
#endif
#ifndef NB
#define NB 2
#endif
#ifndef BPS
#define BPS 1
#endif
#ifndef NSLOT
#define NSLOT 1
#endif
#ifndef NC
#define NC 1
#endif
#ifndef NSS
#define NSS NSLOT
#endif
#ifndef GENS
#define GENS 0
#endif

#define op_alloc        1
#define op_retain       2
#define op_release      4
#define op_alloc_into   8
#define op_release_from 16
#define op_load         32
#define op_link         64
#define op_drain        128
#define op_recover      256
#define op_take         512         /* a slot's reference becomes the process's */
#define op_relink       1024        /* a slot names a held block instead of another */
#define op_inner        2048        /* the slot inside a block that the caller holds is used, too */

#define NSLAB (NB / BPS)
#ifndef NBS
#define NBS NSLAB
#endif
#define NL NP                       /* one lane a worker; the auditor has none */
#define AUD NP
#define SLAB(b) ((b) / BPS)
#define SS(s) ((s) % NSS)           /* slot stripes come first in the order */
#define BS(b) (NSS + (SLAB(b) % NBS))   /* block stripes second, by slab */
#define NST (NSS + NBS)
#define INNER (NSLOT - 1)
#define PARENT ((CHILD == 2) * (NB - 1))
#define KIDS(bb) (CHILD != 0 && (bb) == PARENT && slot[INNER] != 0)
#define CELL0 (id * NC)             /* an own lane's first and last cell */
#define CELLX (id * NC + NC - 1)
#define SHARED 1
#define UF 2                        /* a flag of the user's, to see the second word overwritten */
#define TAG(l) ((l) + 1)
#define MINE(b) (slab_owner[SLAB(b)] == TAG(id))

/* ---- the file ---- */
byte own[NB], cnt[NB];              /* first word: owner tag (0: free), local count */
byte shr[NB], flg[NB];              /* second word: shared count, flags */
bool freebit[NB];                   /* the owner's hint */
bool rembit[NB];                    /* anyone's hint */
byte slab_owner[NSLAB]; bool slab_pending[NSLAB];  /* one word: owner tag (0: orphan), PENDING */
byte slot[NSLOT];                   /* 0 or block + 1 */
byte cell[NL * NC];                 /* 0 or block + 1 */
byte stripe[NST];                   /* 0 or lane tag */
bool live[NL];
#if NC > 1
byte cell_n[NL * NC];               /* in one word with the cell: references it stands for */
#define CELLN(j) cell_n[j]
#else
#define CELLN(j) 1
#endif
#if GENS
byte gen[NB];                       /* in the first word */
byte lives[NB];                     /* ghost: how often the block was freed */
#endif
/* a lane's redo record, its pairs by kind */
bool rd_valid[NL];
byte rd_slot[NL], rd_slot_v[NL];    /* slot + 1, value */
byte rd_cell[NL], rd_cell_v[NL];    /* cell + 1, value */
#if NC > 1
byte rd_cell_n[NL];
#endif
byte rd_block[NL], rd_shr[NL], rd_flg[NL];  /* block + 1, its second word */
byte rd_first[NL];                  /* its first word: 0 none, 1 in use, 2 free, 2 + local count */
bool rd_tell[NL];
#if NB > 1
byte rd_two[NL], rd_two_shr[NL], rd_two_flg[NL];    /* another block's second word */
#endif

/* ---- the kernel ---- */
byte lk[NL];                        /* byte lock of a lane: 0 or process + 1 */
bool dead[NP + 1];
byte kills, restarts;
bool fin[NP + 1], audited;

/* ---- ghosts ---- */
byte hold[NP * NB];                 /* references a living process believes it has */
byte flg_expected[NB];
byte gh, gp;

/* inside a d_step: nobody names or holds the block */
inline UNREACHABLE(bb) {
    gh = 0;
    do :: gh < NSLOT -> assert(slot[gh] != bb + 1); gh++ :: else -> break od;
    gh = 0;
    do :: gh < NL * NC -> assert(cell[gh] != bb + 1); gh++ :: else -> break od;
    gh = 0;
    do :: gh < NP -> assert(hold[gh * NB + bb] == 0); gh++ :: else -> break od;
    gh = 0
}

/* inside a d_step: store the free word */
inline FREE_WORD(bb) {
    assert(own[bb] != 0);
    UNREACHABLE(bb);
    own[bb] = 0;
    cnt[bb] = 0;
#if GENS
    if :: MUT == 22 && md == 2 -> skip :: else -> gen[bb] = (gen[bb] + 1) % 8 fi;
    lives[bb] = (lives[bb] + 1) % 8
#endif
}

/* R3 to R5 for lane l, the own one or a dead one */
inline APPLY(l) {
    d_step {
        if
        :: rd_block[l] != 0 -> shr[rd_block[l] - 1] = rd_shr[l]; flg[rd_block[l] - 1] = rd_flg[l]
        :: else
        fi
    };
#if NB > 1
    d_step {
        if
        :: rd_two[l] != 0 -> shr[rd_two[l] - 1] = rd_two_shr[l]; flg[rd_two[l] - 1] = rd_two_flg[l]
        :: else
        fi
    };
#endif
    d_step {
        if
        :: rd_first[l] == 1 ->
            own[rd_block[l] - 1] = TAG(l);
            cnt[rd_block[l] - 1] = 0;
            flg_expected[rd_block[l] - 1] = 0
        :: rd_first[l] > 2 ->
            own[rd_block[l] - 1] = TAG(l);
            cnt[rd_block[l] - 1] = rd_first[l] - 2
        :: else
        fi
    };
    d_step { if :: rd_slot[l] != 0 -> slot[rd_slot[l] - 1] = rd_slot_v[l] :: else fi };
    d_step {
        if
        :: rd_cell[l] != 0 ->
            cell[rd_cell[l] - 1] = rd_cell_v[l];
#if NC > 1
            cell_n[rd_cell[l] - 1] = rd_cell_n[l]
#endif
        :: else
        fi
    };
    d_step {
        if
        :: rd_first[l] == 2 && own[rd_block[l] - 1] != 0 -> FREE_WORD(rd_block[l] - 1)
#if GENS
        :: rd_first[l] == 2 && own[rd_block[l] - 1] == 0 && MUT == 23 ->
            gen[rd_block[l] - 1] = (gen[rd_block[l] - 1] + 1) % 8
#endif
        :: else                         /* the same value again */
        fi
    };
    if
    :: rd_tell[l] && !(MUT == 3 && l != id) ->
        d_step { rembit[rd_block[l] - 1] = 1 };
        d_step {                        /* one compare-and-swap on {owner, PENDING} */
            slab_pending[SLAB(rd_block[l] - 1)] = 1;
            if
            :: slab_owner[SLAB(rd_block[l] - 1)] == 0 && MUT != 4 ->
                slab_owner[SLAB(rd_block[l] - 1)] = TAG(l)
            :: else
            fi
        }
    :: else
    fi;
    if :: MUT == 2 -> UNLOCK_ALL(l) :: else fi;
    d_step { rd_valid[l] = 0; CLEAR_RECORD(l) }
}

/* the record's bytes once it is not valid do not matter: forgotten, to have fewer states */
inline CLEAR_RECORD(l) {
    rd_slot[l] = 0; rd_slot_v[l] = 0; rd_cell[l] = 0; rd_cell_v[l] = 0;
#if NC > 1
    rd_cell_n[l] = 0;
#endif
#if NB > 1
    rd_two[l] = 0; rd_two_shr[l] = 0; rd_two_flg[l] = 0;
#endif
    rd_block[l] = 0; rd_shr[l] = 0; rd_flg[l] = 0; rd_first[l] = 0; rd_tell[l] = 0
}

inline UNLOCK_ALL(l) {
    pk = 0;
    do
    :: d_step { pk < NST && stripe[pk] != TAG(l) -> pk++ }
    :: d_step { pk < NST && stripe[pk] == TAG(l) -> stripe[pk] = 0; pk++ }
    :: pk == NST -> break
    od;
    pk = 0
}

/* A1, A2: the caller has the byte of lane pj, and may have stripes: this takes none */
inline FIRST_HALF() {
    if :: MUT == 5 -> UNLOCK_ALL(pj) :: else fi;
    if :: rd_valid[pj] && MUT != 6 -> APPLY(pj) :: else fi;
    UNLOCK_ALL(pj)
}

inline LOCK(k) {
    do
    :: atomic { stripe[k] == 0 -> stripe[k] = TAG(id) }; break
    :: atomic { stripe[k] != 0 && lk[stripe[k] - 1] == 0 ->
                pj = stripe[k] - 1; lk[pj] = me + 1 };
       FIRST_HALF();
       d_step { lk[pj] = 0; pj = 0 }
    od;
    skip
}

inline UNLOCK(k) { d_step { assert(stripe[k] == TAG(id) || MUT == 2); stripe[k] = 0 } }

/* R1, inside a d_step: a dead lane's record may hold a part of another operation */
inline NEW_RECORD() {
    if :: MUT != 15 -> CLEAR_RECORD(id) :: else fi
}

inline COMMIT() {
    d_step { rd_valid[id] = 1 };        /* R2 */
    APPLY(id)
}

/* inside a d_step, under the block's stripe: one name fewer, and what that means */
inline DROP(bb) {
    assert(own[bb] != 0 && shr[bb] > 0 && (flg[bb] & UF) == flg_expected[bb]);
    rd_block[id] = bb + 1; rd_shr[id] = shr[bb] - 1; rd_flg[id] = flg[bb];
    if
    :: shr[bb] == 1 && MINE(bb) && cnt[bb] == 0 && !KIDS(bb) -> rd_first[id] = 2
    :: shr[bb] == 1 && (!MINE(bb) || (cnt[bb] == 0 && KIDS(bb))) -> rd_tell[id] = 1
    :: else
    fi
}

/* after a drop: the bit of a block freed here, or the slab that this lane must look at now */
inline DROPPED(bb, freed) {
    d_step {
        if
        :: freed -> freebit[bb] = 1
        :: !freed && MINE(bb) -> todo = SLAB(bb) + 1
        :: else
        fi
    }
}

/* release_from(slot s_): the caller has no stripe */
inline UNLINK(s_) {
    LOCK(SS(s_));
    if
    :: slot[s_] == 0 -> UNLOCK(SS(s_))
    :: else ->
        b = slot[s_] - 1;
        LOCK(BS(b));
        d_step {
            NEW_RECORD(); rd_slot[id] = s_ + 1; rd_slot_v[id] = 0;
            DROP(b);
            x = (rd_first[id] == 2 -> 1 : 0)
        };
        if
        :: MUT == 7 ->                  /* no redo: two plain stores */
            d_step { slot[s_] = 0 };
            d_step { rd_slot[id] = 0; rd_valid[id] = 1 };
            APPLY(id)
        :: else -> COMMIT()
        fi;
        UNLOCK(BS(b));
        UNLOCK(SS(s_));
        DROPPED(b, x)
    fi
}

/* release of the last reference of cell i */
inline UNCELL() {
    b = cell[i] - 1;
    LOCK(BS(b));
    d_step {
        NEW_RECORD(); rd_cell[id] = i + 1; rd_cell_v[id] = 0;
        DROP(b);
        x = (rd_first[id] == 2 -> 1 : 0)
    };
    COMMIT();
    UNLOCK(BS(b));
    DROPPED(b, x)
}

/* the parent is dead, still in use, and unreachable: its inner ref is released, then it is free */
inline FREE_PARENT() {
    if :: MUT == 19 -> d_step { gp = PARENT; FREE_WORD(gp); gp = 0 } :: else fi;
    LOCK(SS(INNER));
    c = slot[INNER] - 1;
    LOCK(BS(c));
    d_step {
        NEW_RECORD(); rd_slot[id] = INNER + 1; rd_slot_v[id] = 0;
        DROP(c);
        y = (rd_first[id] == 2 -> 1 : 0)
    };
    COMMIT();
    UNLOCK(BS(c));
    UNLOCK(SS(INNER));
    if :: MUT == 25 && md < 2 -> skip :: else -> DROPPED(c, y) fi;
    if
    :: MUT == 19 -> skip
    :: else -> d_step { gp = PARENT; FREE_WORD(gp); gp = 0 }
    fi;
    d_step { c = 0; y = 0 }
}

/* look at the blocks of the own slab g. md 0: those with a remote bit; 1: all (adoption); 2: all,
 * and drop the local counts (the lane leaves, or is recovered); 3: as 0, free bits do not matter */
inline SCAN() {
    b = g * BPS;
    do
    :: b < (g + 1) * BPS ->
        d_step { x = (rembit[b] || md == 1 || md == 2 -> 1 : 0); rembit[b] = 0 };
        if
        :: x && own[b] != 0 && (flg[b] & SHARED) &&
           (cnt[b] == 0 || md == 2) && (cnt[b] != 0 || shr[b] == 0 || md != 2) ->
            LOCK(BS(b));
            d_step { assert((flg[b] & UF) == flg_expected[b]);
                     x = (shr[b] == 0 -> 1 : 0) };
            if
            :: x == 1 && !KIDS(b) -> d_step { FREE_WORD(b) }; UNLOCK(BS(b))
            :: x == 1 && KIDS(b) ->
                d_step { cnt[b] = 0 };
                UNLOCK(BS(b));
                FREE_PARENT()
            :: x == 0 && md == 2 -> d_step { cnt[b] = 0 }; UNLOCK(BS(b))
            :: else -> UNLOCK(BS(b))
            fi
        :: x && own[b] != 0 && md == 2 && !(flg[b] & SHARED) ->
            if
            :: KIDS(b) -> FREE_PARENT()
            :: else -> d_step { FREE_WORD(b) }
            fi
        :: else
        fi;
        if
        :: md < 2 -> d_step { freebit[b] = (own[b] == 0 -> 1 : 0) }
        :: else
        fi;
        b++
    :: else -> break
    od;
    skip;
    d_step { b = 0; x = 0 }
}

/* the own slab g, in mode md; then slabs that the release of inner refs brought to this lane */
inline DRAIN() {
    do
    :: d_step { slab_pending[g] = 0 };
       SCAN();
       if
       :: todo != 0 -> d_step { g = todo - 1; todo = 0; md = 1 }
       :: else -> break
       fi
    od;
    skip;
    d_step { g = 0; md = 0 }
}

/* drop all that lane id has, and give up its slabs (detach; B1) */
inline LEAVE() {
    i = CELL0;
    do
    :: i <= CELLX ->
        if
        :: cell[i] != 0 && !(MUT == 21 && i != CELL0) -> UNCELL()
        :: else
        fi;
        i++
    :: else -> break
    od;
    skip;
    d_step { g = 0; todo = 0; i = 0; b = 0; x = 0 };
    md = 2;
    do                                  /* md 2: all blocks of all slabs, once */
    :: g < NSLAB && slab_owner[g] == TAG(id) ->
        if
        :: md == 2 -> d_step { slab_pending[g] = 0; x = 1 }
        :: md == 3 && MUT == 8 ->       /* a plain store, whatever PENDING says */
            slab_owner[g] = 0
        :: md == 3 && MUT == 9 ->       /* give up, then look at the bits again */
            slab_owner[g] = 0;
            d_step { b = g * BPS;
                     do
                     :: b < (g + 1) * BPS -> x = (rembit[b] -> 1 : x); b++
                     :: else -> break
                     od; b = 0 };
            d_step { if :: x && slab_owner[g] == 0 -> slab_owner[g] = TAG(id) :: else -> x = 0 fi }
        :: md == 3 && MUT != 8 && MUT != 9 ->
            if                          /* one compare-and-swap each */
            :: d_step { slab_pending[g] -> slab_pending[g] = 0; x = 1 }
            :: d_step { !slab_pending[g] -> slab_owner[g] = 0 }
            fi
        fi;
        if
        :: x -> SCAN(); if :: md == 2 -> g++ :: else -> met = 1 fi
        :: else -> met = 1
        fi
    :: g < NSLAB && slab_owner[g] != TAG(id) -> g++
    :: g == NSLAB && md == 2 -> d_step { g = 0; md = 3; met = 0 }
    :: g == NSLAB && md == 3 && met && MUT != 24 -> d_step { g = 0; met = 0 }
    :: g == NSLAB && md == 3 && (!met || MUT == 24) -> break    /* a pass found none */
    od;
    skip;
    d_step { g = 0; x = 0; md = 0; b = 0; todo = 0; met = 0 };
    if
    :: MUT == 18 -> skip
    :: else -> d_step { live[id] = 0 }
    fi
}

/* whole recovery of lane j; the caller has its byte and no stripe */
inline RECOVER(j_) {
    d_step { pj = j_ };
    if :: MUT == 10 -> skip :: else -> FIRST_HALF() fi;
    d_step { pj = 0; id = j_ };
    LEAVE()
}

/* inside a d_step: i, the cell for block bb, x if it names it already */
inline FIND_CELL(bb) {
    if
    :: cell[CELL0] == bb + 1 -> i = CELL0; x = NC - 1
    :: cell[CELLX] == bb + 1 -> i = CELLX; x = NC - 1
    :: else -> i = (cell[CELL0] == 0 -> CELL0 : CELLX)
    fi
}

/* inside a d_step: into the record, what take does to block b beside emptying the slot */
inline TAKEN() {
    assert(own[b] != 0 && shr[b] > 0 && (flg[b] & UF) == flg_expected[b]);
    rd_block[id] = b + 1; rd_shr[id] = shr[b]; rd_flg[id] = flg[b];
    if
    :: MINE(b) -> rd_shr[id] = shr[b] - 1; rd_first[id] = 3 + cnt[b]
    :: else ->
        FIND_CELL(b);
        rd_cell[id] = i + 1; rd_cell_v[id] = b + 1;
#if NC > 1
        rd_cell_n[id] = (x -> cell_n[i] + 1 : 1);
#endif
        rd_shr[id] = shr[b] - (x -> 1 : 0)      /* a cell counts once, so the slot's goes */
    fi;
    x = 0
}

/* a free block of an own slab into b, x = 1; adopts orphans; may find none */
#define BN(n) ((NB > n) * n)
#define GN(n) ((NSLAB > n) * n)
#define TAKE(n) d_step { NB > n && MINE(BN(n)) && freebit[BN(n)] -> b = BN(n); x = 1 }
#define ADOPT(n) d_step { NSLAB > n && slab_owner[GN(n)] == 0 -> \
                          slab_owner[GN(n)] = TAG(id); g = GN(n); md = 1 }
inline PICK() {
    x = 0;
    do
    :: TAKE(0); break
    :: TAKE(1); break
    :: TAKE(2); break
    :: TAKE(3); break
    :: if
       :: ADOPT(0)
       :: ADOPT(1)
       :: ADOPT(2)
       fi;
       DRAIN()
    :: break
    od;
    skip
}

/* the slot of this operation: an inner one only while its block is held */
inline PICK_SLOT() {
    if
    :: s = 0
    :: NSLOT > 1 && (CHILD == 0 || ((OPS & op_inner) && hold[me * NB + PARENT] != 0)) -> s = INNER
    fi
}

proctype Worker(byte me) {
    byte id, b, c, s, g, i, md, x, y, todo, met, ops, pj, pk;
again:
    {
        d_step { lk[me] == 0 -> lk[me] = me + 1; id = me };     /* attach: the byte first */
        if :: live[me] -> RECOVER(me) :: else fi;
        d_step { live[me] = 1; id = me };

        do
        :: ops < MAXOPS -> ops++;
            if
            :: (OPS & op_alloc) ->
                PICK();
                if
                :: x ->
                    d_step { freebit[b] = 0 };
                    d_step { assert(own[b] == 0); shr[b] = 0; flg[b] = UF };
                    d_step { assert(own[b] == 0); UNREACHABLE(b);
#if GENS
                             assert(gen[b] == lives[b]);
#endif
                             own[b] = TAG(id); cnt[b] = 1; flg_expected[b] = UF;
                             hold[me * NB + b]++ }
                :: else
                fi
            :: (OPS & op_retain) ->
                if
                :: d_step { MINE(0) && cnt[0] == 1 -> b = 0; x = 1 }
                :: d_step { MINE(NB - 1) && cnt[NB - 1] == 1 -> b = NB - 1; x = 1 }
#if NC > 1
                :: d_step { cell[CELL0] != 0 && cell_n[CELL0] == 1 -> b = cell[CELL0] - 1; x = 2 }
#endif
                :: else
                fi;
                if
                :: x == 1 -> d_step { assert(hold[me * NB + b]); cnt[b]++; hold[me * NB + b]++ }
#if NC > 1
                :: x == 2 ->
                    LOCK(BS(b));
                    d_step { cell_n[CELL0]++; hold[me * NB + b]++ };
                    UNLOCK(BS(b))
#endif
                :: else
                fi
            :: (OPS & op_release) ->    /* of a local reference, or of a cell's */
                if
                :: d_step { MINE(0) && cnt[0] > 0 -> b = 0; x = 1 }
                :: d_step { NB > 1 && MINE(BN(1)) && cnt[BN(1)] > 0 -> b = BN(1); x = 1 }
                :: d_step { NB > 2 && MINE(BN(2)) && cnt[BN(2)] > 0 -> b = BN(2); x = 1 }
                :: d_step { cell[CELL0] != 0 -> i = CELL0; x = 2 }
                :: d_step { NC > 1 && cell[CELLX] != 0 -> i = CELLX; x = 2 }
                :: else
                fi;
                if
                :: x == 1 ->
                    d_step { assert(hold[me * NB + b]); hold[me * NB + b]-- };
                    if
                    :: cnt[b] > 1 -> d_step { cnt[b]-- }
                    :: cnt[b] == 1 && !(flg[b] & SHARED) && !KIDS(b) ->
                        d_step { FREE_WORD(b) };
                        d_step { freebit[b] = 1 }
                    :: cnt[b] == 1 && !(flg[b] & SHARED) && KIDS(b) ->
                        FREE_PARENT();
                        d_step { freebit[b] = 1 }
                    :: else ->
                        if :: MUT == 1 -> skip :: else -> LOCK(BS(b)) fi;
                        if
                        :: shr[b] != 0 ->
                            d_step { cnt[b] = 0 };
                            if :: MUT != 1 -> UNLOCK(BS(b)) :: else fi
                        :: else ->
                            if
                            :: KIDS(b) ->
                                if :: MUT != 1 -> UNLOCK(BS(b)) :: else fi;
                                FREE_PARENT()
                            :: else ->
                                d_step { FREE_WORD(b) };
                                if :: MUT != 1 -> UNLOCK(BS(b)) :: else fi
                            fi;
                            d_step { freebit[b] = 1 }
                        fi
                    fi
                :: x == 2 ->
                    d_step { assert(hold[me * NB + cell[i] - 1]);
                             hold[me * NB + cell[i] - 1]--; x = 0 };
                    if
#if NC > 1
                    :: CELLN(i) > 1 && MUT != 20 ->
                        b = cell[i] - 1;
                        LOCK(BS(b));
                        d_step { cell_n[i]-- };
                        UNLOCK(BS(b))
#endif
                    :: CELLN(i) == 1 || MUT == 20 -> UNCELL()
                    fi
                :: else
                fi
            :: (OPS & op_alloc_into) ->
                PICK();
                if
                :: x ->
                    PICK_SLOT();
                    if
                    :: s == INNER && CHILD != 0 && b == PARENT -> s = 0
                    :: else
                    fi;
                    d_step { freebit[b] = 0 };
                    LOCK(SS(s));
                    if
                    :: slot[s] != 0 -> UNLOCK(SS(s)); d_step { freebit[b] = 1 }
                    :: else ->
                        if
                        :: MUT == 11 ->         /* no redo: the block, then the link */
                            d_step { shr[b] = 1; flg[b] = SHARED; flg_expected[b] = 0 };
                            d_step { own[b] = TAG(id); cnt[b] = 0 };
                            d_step { slot[s] = b + 1 }
                        :: MUT == 12 ->         /* valid before the last pair */
                            d_step { rd_block[id] = b + 1; rd_shr[id] = 1; rd_flg[id] = SHARED;
                                     rd_first[id] = 1 };
                            d_step { rd_valid[id] = 1 };
                            d_step { rd_slot[id] = s + 1; rd_slot_v[id] = b + 1 };
                            APPLY(id)
                        :: else ->
                            d_step { assert(own[b] == 0); UNREACHABLE(b); NEW_RECORD();
#if GENS
                                     assert(gen[b] == lives[b]);
#endif
                                     rd_block[id] = b + 1; rd_shr[id] = 1; rd_flg[id] = SHARED;
                                     rd_first[id] = 1;
                                     rd_slot[id] = s + 1; rd_slot_v[id] = b + 1 };
                            COMMIT()
                        fi;
                        UNLOCK(SS(s))
                    fi
                :: else
                fi
            :: (OPS & op_release_from) ->
                PICK_SLOT();
                UNLINK(s)
            :: (OPS & op_load) && (cell[CELL0] == 0 || cell[CELLX] == 0) ->
                PICK_SLOT();
                if :: MUT == 13 -> skip :: else -> LOCK(SS(s)) fi;
                if
                :: slot[s] == 0 -> if :: MUT != 13 -> UNLOCK(SS(s)) :: else fi
                :: else ->
                    d_step { b = slot[s] - (slot[s] != 0 -> 1 : 0) };
                    if
                    :: MINE(b) ->
                        d_step { own[b] = TAG(id); cnt[b]++; hold[me * NB + b]++ }
                    :: else ->
                        LOCK(BS(b));
                        d_step { FIND_CELL(b) };
                        if
#if NC > 1
                        :: x != 0 -> d_step { cell_n[i]++; hold[me * NB + b]++ }
#endif
                        :: x == 0 ->
                            d_step { assert(own[b] != 0 && shr[b] > 0 &&
                                            (flg[b] & UF) == flg_expected[b]);
                                     NEW_RECORD(); rd_cell[id] = i + 1; rd_cell_v[id] = b + 1;
#if NC > 1
                                     rd_cell_n[id] = 1;
#endif
                                     rd_block[id] = b + 1; rd_shr[id] = shr[b] + 1;
                                     rd_flg[id] = flg[b] };
                            COMMIT();
                            hold[me * NB + b]++
                        fi;
                        UNLOCK(BS(b))
                    fi;
                    if :: MUT != 13 -> UNLOCK(SS(s)) :: else fi
                fi
            :: (OPS & op_link) ->       /* a block that this process holds */
                if
                :: d_step { hold[me * NB] -> b = 0; x = 1 }
                :: d_step { hold[me * NB + NB - 1] -> b = NB - 1; x = 1 }
                :: else
                fi;
                PICK_SLOT();
                if
                :: x && !(CHILD != 0 && s == INNER && b == PARENT) ->
                    LOCK(SS(s));
                    if
                    :: slot[s] != 0 -> UNLOCK(SS(s))
                    :: else ->
                        if :: MUT == 14 -> skip :: else -> LOCK(BS(b)) fi;
                        d_step { assert(own[b] != 0 && (flg[b] & UF) == flg_expected[b]);
                                 NEW_RECORD(); rd_slot[id] = s + 1; rd_slot_v[id] = b + 1;
                                 rd_block[id] = b + 1; rd_shr[id] = shr[b] + 1;
                                 rd_flg[id] = flg[b] | SHARED };
                        COMMIT();
                        if :: MUT == 14 -> skip :: else -> UNLOCK(BS(b)) fi;
                        UNLOCK(SS(s))
                    fi
                :: else
                fi
            :: (OPS & op_take) && (cell[CELL0] == 0 || cell[CELLX] == 0) ->
                PICK_SLOT();
                LOCK(SS(s));
                if
                :: slot[s] == 0 -> UNLOCK(SS(s))
                :: else ->
                    b = slot[s] - 1;
                    LOCK(BS(b));
                    d_step { if :: MUT == 26 -> slot[s] = 0 :: else fi };   /* no redo */
                    d_step { NEW_RECORD();
                             if :: MUT != 26 -> rd_slot[id] = s + 1 :: else fi;
                             TAKEN() };
                    COMMIT();
                    hold[me * NB + b]++;
                    UNLOCK(BS(b));
                    UNLOCK(SS(s))
                fi
#if NB > 1
            :: (OPS & op_relink) ->     /* the slot names the held b, not c */
                if
                :: d_step { hold[me * NB] -> b = 0; x = 1 }
                :: d_step { hold[me * NB + NB - 1] -> b = NB - 1; x = 1 }
                :: else
                fi;
                PICK_SLOT();
                if
                :: x && !(CHILD != 0 && s == INNER && b == PARENT) ->
                    x = 0;
                    LOCK(SS(s));
                    if
                    :: slot[s] == 0 || slot[s] == b + 1 -> UNLOCK(SS(s))
                    :: else ->
                        d_step { c = slot[s] - 1;
                                 i = (BS(c) < BS(b) && MUT != 27 -> c : b); y = b + c - i };
                        LOCK(BS(i));
                        if :: BS(i) != BS(y) || MUT == 28 -> LOCK(BS(y)) :: else fi;
                        d_step { if :: MUT == 29 -> slot[s] = b + 1 :: else fi };   /* no redo */
                        d_step { NEW_RECORD();
                                 if
                                 :: MUT != 29 -> rd_slot[id] = s + 1; rd_slot_v[id] = b + 1
                                 :: else
                                 fi;
                                 rd_two[id] = b + 1; rd_two_shr[id] = shr[b] + 1;
                                 rd_two_flg[id] = flg[b] | SHARED;
                                 DROP(c);
                                 x = (rd_first[id] == 2 -> 1 : 0) };
                        COMMIT();
                        if :: BS(i) != BS(y) || MUT == 28 -> UNLOCK(BS(y)) :: else fi;
                        UNLOCK(BS(i));
                        UNLOCK(SS(s));
                        y = 0;
                        DROPPED(c, x)
                    fi
                :: else
                fi
#endif
            :: (OPS & op_drain) ->
                if
                :: d_step { slab_owner[0] == TAG(id) -> todo = 1; y = 1 }
                :: d_step { slab_owner[NSLAB - 1] == TAG(id) -> todo = NSLAB; y = 1 }
                :: else
                fi
            :: (OPS & op_recover) ->
                if
                :: d_step { lk[0] == 0 && live[0] -> lk[0] = me + 1; s = 0; x = 1 }
                :: d_step { lk[1] == 0 && live[1] -> lk[1] = me + 1; s = 1; x = 1 }
                :: d_step { lk[NP - 1] == 0 && live[NP - 1] ->
                            lk[NP - 1] = me + 1; s = NP - 1; x = 1 }
                :: else
                fi;
                if
                :: x -> x = 0; RECOVER(s); d_step { lk[s] = 0; id = me }
                :: else
                fi
            :: else
            fi;
            if
            :: todo != 0 ->
                d_step { g = todo - 1; todo = 0; md = (y == 1 -> 0 : 1); y = 0 };
                DRAIN()
            :: else
            fi;
            d_step { b = 0; s = 0; g = 0; i = 0; md = 0; x = 0; y = 0; c = 0 }
        :: break
        od;
        ops = MAXOPS;
        if
        :: skip                         /* parked, alive: still holds what it holds */
        :: d_step { gh = 0;
                    do :: gh < NB -> hold[me * NB + gh] = 0; gh++ :: else -> break od; gh = 0 };
           LEAVE();
           d_step { lk[me] = 0 }
        fi
    } unless {
        dead[me];
        d_step { id = 0; b = 0; c = 0; s = 0; g = 0; i = 0; md = 0; x = 0; y = 0; todo = 0;
                 met = 0; pj = 0; pk = 0 };
        if
        :: d_step { restarts < MAXR -> restarts++; dead[me] = 0 }; goto again
        :: skip
        fi
    };
    d_step { ops = 0; fin[me] = 1 }
}

proctype Killer() {
    byte p, l;
    do
    :: d_step { kills < MAXK && !audited -> kills++ };
       if
       :: !fin[0] && !dead[0] -> p = 0
       :: !fin[1] && !dead[1] -> p = 1
       :: NP > 2 && !fin[NP - 1] && !dead[NP - 1] -> p = NP - 1
       :: (fin[0] && fin[1] && fin[NP - 1]) && !dead[AUD] && !audited -> p = AUD
       :: else -> break
       fi;
       d_step {
           if
           :: (p == AUD && !audited) || (p < AUD && !fin[p]) ->
               dead[p] = 1;
               l = 0;
               do :: l < NL -> if :: lk[l] == p + 1 -> lk[l] = 0 :: else fi; l++
                  :: else -> break od;
               l = 0;
               do :: p < AUD && l < NB -> hold[p * NB + l] = 0; l++ :: else -> break od
           :: else
           fi;
           p = 0; l = 0
       }
    :: break
    od
}

/* the invariants at rest: all workers have ended or are parked, all dead lanes are recovered */
inline AUDIT() {
    d_step {
        b = 0;
        do
        :: b < NB ->
            s = 0; x = 0;               /* x: names in slots and cells */
            do :: s < NSLOT -> if :: slot[s] == b + 1 -> x++ :: else fi; s++ :: else -> break od;
            s = 0;
            do :: s < NL * NC -> if :: cell[s] == b + 1 -> x++ :: else fi; s++
               :: else -> break od;
#if GENS
            assert(gen[b] == lives[b]);
#endif
            if
            :: own[b] == 0 ->
                UNREACHABLE(b);
                assert(!KIDS(b))
            :: else ->
                assert(shr[b] == x);
                assert((flg[b] & UF) == flg_expected[b]);
                if
                :: x == 0 && cnt[b] == 0 ->     /* a living owner will drain it */
                    assert(slab_owner[SLAB(b)] != 0 && rembit[b] && slab_pending[SLAB(b)])
                :: else
                fi;
                if
                :: cnt[b] != 0 -> assert(slab_owner[SLAB(b)] != 0 && own[b] == slab_owner[SLAB(b)])
                :: else
                fi
            fi;
            if
            :: slab_owner[SLAB(b)] != 0 ->
                assert(lk[slab_owner[SLAB(b)] - 1] != 0 && live[slab_owner[SLAB(b)] - 1])
            :: else -> assert(cnt[b] == 0)
            fi;
            g = 0;                      /* what each process believes is what the file says */
            do
            :: g < NP ->
                y = (slab_owner[SLAB(b)] == TAG(g) -> cnt[b] : 0);
                s = g * NC;
                do
                :: s < (g + 1) * NC -> y = y + (cell[s] == b + 1 -> CELLN(s) : 0); s++
                :: else -> break
                od;
                assert(hold[g * NB + b] == y);
                g++
            :: else -> break
            od;
            g = 0; y = 0;
            b++
        :: else -> break
        od;
        s = 0;
        do :: s < NST -> assert(stripe[s] == 0); s++ :: else -> break od;
        s = 0;
        do
        :: s < NL -> assert(!rd_valid[s]); assert(!live[s] || lk[s] != 0); s++
        :: else -> break
        od;
        s = 0;
        do :: s < NL * NC -> assert(cell[s] == 0 || lk[s / NC] != 0); s++ :: else -> break od;
        b = 0; s = 0; x = 0;
        audited = 1
    }
}

proctype Auditor() {
    byte me, id, b, c, s, g, i, md, x, y, todo, met, pj, pk;
again:
    {
        d_step { fin[0] && fin[1] && fin[NP - 1] -> me = AUD };
        s = 0;
        do
        :: s < NL ->
            if
            :: d_step { lk[s] == 0 && live[s] -> lk[s] = me + 1 };
               RECOVER(s);
               d_step { lk[s] = 0; id = 0 }
            :: else
            fi;
            s++
        :: else -> break
        od;
        AUDIT()
    } unless {
        dead[AUD];
        d_step { id = 0; b = 0; c = 0; s = 0; g = 0; i = 0; md = 0; x = 0; y = 0; todo = 0;
                 met = 0; pj = 0; pk = 0; dead[AUD] = 0 };
        goto again
    }
}

init {
    byte b0;
    atomic {
        c_code { env("MUT", &mut_v); env("OPS", &ops_v); env("MAXOPS", &maxops_v);
                 env("MAXK", &maxk_v); env("MAXR", &maxr_v); env("CHILD", &child_v);
                 env("PRELINK", &prelink_v); };
        do :: b0 < NB -> freebit[b0] = 1; b0++ :: else -> break od; /* stale, as an orphan's are */
        if
        :: PRELINK > 0 ->
            own[PARENT] = TAG(0); shr[PARENT] = 1; flg[PARENT] = SHARED; slot[0] = PARENT + 1
        :: else
        fi;
        if
        :: PRELINK > 1 ->
            b0 = NB - 1 - PARENT;
            own[b0] = TAG(0); shr[b0] = 1; flg[b0] = SHARED; slot[NSLOT - 1] = b0 + 1
        :: else
        fi;
        run Worker(0); run Worker(1);
        if :: NP > 2 -> run Worker(NP - 1) :: else fi;
        run Killer(); run Auditor()
    }
}
