/* units.pml - slabs and runs out of units of space, and space given back, crash-safe.
 *
 * A unit's word is {owner tag, PENDING, kind}, one word, changed by compare-and-swap unless the
 * unit is PREP, which nobody but its owner looks at. Kinds:
 *     HOLE    free, no space behind it          SLAB1, SLAB2  a slab of a class of 1 or 2 blocks
 *     BACKED  free, the space is there          RUN, TAIL     a block of two units: head, tail
 *     PREP    its owner gives it space, or punches it
 * In a free unit every first word that any class could have says free. So a change of class writes
 * no words, and a word whose unit changes kind is never one that a record may still name: who takes
 * the last name away (release_from) has the block's stripe until its bit and PENDING are set, and
 * the block is freed under that stripe.
 *     take     {0, HOLE} -> {me, PREP}; allocate the space; -> {me, SLAB}
 *              {0, BACKED} -> {me, SLAB}
 *     return   read every first word, all free: {me, clear, SLAB} -> {0, BACKED}, or -> {me, PREP};
 *              punch; -> {0, HOLE}. Never punched after it is given away
 *     run      both units -> {me, PREP}, or what was got goes back; space; the head {me, RUN}, then
 *              the tail {0, TAIL}. Back: the tail -> {me, PREP}, then the head, then as above
 *     adopt    {0, p, kind} -> {me, p, kind}: the kind that was read is compared with it
 * Recovery: PREP behind a RUN that the dead lane owns -> TAIL, before the head is given up; any
 * other PREP -> punched, {0, HOLE}. Never an orphan slab: its space may be missing.
 *
 * Blocks have a local count of 0 or 1, and one slot names at most one of them; link is one step
 * here, the order of its stores is store.pml's matter. One stripe.
 *
 * Checked: a block is allocated only where there is space and no block is; free units have no block
 * and, if HOLE, no space; each tail has its head; nothing is left of the dead. MUT as in README.md.
 *
 * Macros: NU units. From the environment: MAXOPS operations a worker, MAXK kills, OPS, START: 1 the
 * slot names a block of an orphan SLAB1, 2 of an orphan RUN; 3 an orphan SLAB1 without blocks. */

c_decl {
\#include <stdlib.h>
static int mut_v, ops_v = 255, maxops_v = 2, maxk_v = 1, start_v;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define OPS c_expr { ops_v }
#define MAXOPS c_expr { maxops_v }
#define MAXK c_expr { maxk_v }
#define START c_expr { start_v }

#ifndef NU
#define NU 2
#endif

#define op_alloc        1           /* of either class */
#define op_run          2
#define op_release      4
#define op_link         8
#define op_release_from 16
#define op_drain        32
#define op_return       64
#define op_recover      128

#define HOLE 0
#define BACKED 1
#define PREP 2
#define SLAB1 3
#define SLAB2 4
#define RUN 5
#define TAIL 6

#define NP 2
#define AUD NP
#define NW (2 * NU)
#define UNIT(b) ((b) / 2)
#define TAG (id + 1)
#define BLOCKS(k) ((k) == SLAB2 -> 2 : 1)
#define IS_SLAB(k) ((k) == SLAB1 || (k) == SLAB2)

/* ---- the file ---- */
byte owner[NU], kind[NU]; bool pending[NU];     /* one word */
byte word[NW], loc[NW];             /* first word: owner tag (0: free), local count */
bool shr[NW], linked[NW];           /* second word: shared count, the flag SHARED */
bool rembit[NW];
byte slot;                          /* 0 or block + 1 */
byte stripe;                        /* 0 or lane tag */
bool live[NP], rd_valid[NP], rd_free[NP];
byte rd_b[NP];                      /* the record of release_from: block + 1 */
bool backed[NU];                    /* the file system: the unit has space */

/* ---- the kernel ---- */
byte lk[NP];
bool dead[NP + 1], fin[NP], audited;
byte kills;

inline FREE_WORD(b_) {                  /* inside a d_step */
    assert(word[b_] != 0 && slot != b_ + 1);
    assert(kind[UNIT(b_)] >= SLAB1 && kind[UNIT(b_)] <= RUN);
    word[b_] = 0; loc[b_] = 0
}

inline APPLY(l) {
    d_step { slot = 0; shr[rd_b[l] - 1] = 0 };
    if
    :: rd_free[l] -> d_step { if :: word[rd_b[l] - 1] != 0 -> FREE_WORD(rd_b[l] - 1) :: else fi }
    :: else ->
        d_step { rembit[rd_b[l] - 1] = 1 };
        d_step { pending[UNIT(rd_b[l] - 1)] = 1;
                 if
                 :: owner[UNIT(rd_b[l] - 1)] == 0 -> owner[UNIT(rd_b[l] - 1)] = l + 1
                 :: else
                 fi }
    fi;
    d_step { rd_valid[l] = 0; rd_b[l] = 0; rd_free[l] = 0 }
}

inline FIRST_HALF(l) {
    if :: rd_valid[l] -> APPLY(l) :: else fi;
    d_step { if :: stripe == l + 1 -> stripe = 0 :: else fi }
}

inline LOCK() {
    do
    :: atomic { stripe == 0 -> stripe = TAG }; break
    :: atomic { stripe != 0 && lk[stripe - 1] == 0 -> j = stripe - 1; lk[j] = me + 1 };
       FIRST_HALF(j);
       d_step { lk[j] = 0; j = 0 }
    od;
    skip
}

inline UNLOCK() { d_step { assert(stripe == TAG); stripe = 0 } }

/* the own slab or run u: blocks without a count are freed; all: local counts are dropped first */
inline SCAN(all) {
    d_step { b = u * 2; y = u * 2 + BLOCKS(kind[u]) };
    do
    :: b < y ->
        d_step { x = (rembit[b] || all -> 1 : 0); rembit[b] = 0 };
        if
        :: x && word[b] != 0 && linked[b] && (all == 2 || loc[b] == 0) ->
            LOCK();
            d_step { loc[b] = 0; if :: !shr[b] -> FREE_WORD(b) :: else fi };
            UNLOCK()
        :: x && word[b] != 0 && !linked[b] && all == 2 -> d_step { FREE_WORD(b) }
        :: else
        fi;
        b++
    :: else -> break
    od;
    skip;
    d_step { b = 0; x = 0; y = 0 }
}

/* x := 1 if the own slab or run u has no block */
inline LOOK() {
    d_step { x = 1; b = u * 2; y = u * 2 + BLOCKS(kind[u]) };
    do
    :: b < y -> d_step { if :: word[b] != 0 && !(MUT == 1 && loc[b] == 0) -> x = 0 :: else fi; b++ }
    :: else -> break
    od;
    skip;
    d_step { b = 0; y = 0 }
}

/* the unit v is PREP and mine */
inline PUNCH(v) {
    if
    :: MUT == 2 -> d_step { owner[v] = 0; kind[v] = HOLE }; d_step { backed[v] = 0 }
    :: MUT != 2 -> d_step { backed[v] = 0 }; d_step { owner[v] = 0; kind[v] = HOLE }
    fi
}

/* give back the own slab or run u, that has no block; PENDING in between: not now */
inline RETURN() {
    if
    :: kind[u] == RUN ->
        if
        :: d_step { !pending[u] && MUT == 7 -> kind[u] = PREP };
            PUNCH(u);
            d_step { owner[u + 1] = TAG; kind[u + 1] = PREP };
            PUNCH(u + 1)
        :: !pending[u] && MUT != 7 ->
            d_step { owner[u + 1] = TAG; kind[u + 1] = PREP };
            d_step { pending[u] = 0; kind[u] = PREP };
            PUNCH(u + 1);
            PUNCH(u)
        :: else
        fi
    :: kind[u] != RUN ->
        if
        :: d_step { !pending[u] -> owner[u] = 0; kind[u] = BACKED }
        :: d_step { !pending[u] -> kind[u] = PREP }; PUNCH(u)
        :: else
        fi
    fi
}

/* B1 of lane id: everything it owns */
inline LEAVE() {
    u = 0;
    do
    :: u < NU ->
        if
        :: owner[u] == TAG && kind[u] == PREP && MUT == 4 ->
            d_step { owner[u] = 0; kind[u] = SLAB1 }
        :: owner[u] == TAG && kind[u] == PREP && MUT != 4 -> PUNCH(u)
        :: owner[u] == TAG && kind[u] >= SLAB1 ->
            if
            :: kind[u] == RUN && owner[u + 1] == TAG && kind[u + 1] == PREP && MUT != 8 ->
                d_step { owner[u + 1] = 0; kind[u + 1] = TAIL }
            :: else
            fi;
            do
            :: d_step { pending[u] = 0 };
               SCAN(2);
               LOOK();
               if
               :: x -> x = 0; RETURN()
               :: d_step { !pending[u] -> owner[u] = 0 }
               :: else
               fi;
               x = 0;
               if :: owner[u] != TAG -> break :: else fi
            od
        :: else
        fi;
        u++
    :: else -> break
    od;
    u = 0;
    d_step { live[id] = 0 }
}

inline RECOVER(l_) {
    FIRST_HALF(l_);
    id = l_;
    LEAVE()
}

/* a unit becomes a slab of kind k */
inline TAKE_UNIT() {
    if
    :: d_step { kind[0] == HOLE -> u = 0; owner[0] = TAG; kind[0] = PREP; x = 1 }
    :: d_step { kind[NU - 1] == HOLE -> u = NU - 1; owner[u] = TAG; kind[u] = PREP; x = 1 }
    :: d_step { kind[0] == BACKED -> u = 0; owner[0] = TAG; kind[0] = k; x = 2 }
    :: d_step { kind[NU - 1] == BACKED -> u = NU - 1; owner[u] = TAG; kind[u] = k; x = 2 }
    :: else -> x = 0
    fi;
    if
    :: x == 1 && MUT == 3 -> d_step { kind[u] = k }; d_step { backed[u] = 1 }
    :: x == 1 && MUT != 3 -> d_step { backed[u] = 1 }; d_step { kind[u] = k }
    :: else
    fi
}

inline ALLOC_BLOCK() {                  /* block b, found free, of own unit */
    d_step { assert(word[b] == 0); shr[b] = 0; linked[b] = 0 };
    d_step { assert(word[b] == 0 && slot != b + 1 && backed[UNIT(b)]);
             assert(owner[UNIT(b)] == TAG && b % 2 < BLOCKS(kind[UNIT(b)]));
             assert(kind[UNIT(b)] >= SLAB1 && kind[UNIT(b)] <= RUN);
             assert(kind[UNIT(b)] != RUN || backed[UNIT(b) + 1]);
             word[b] = TAG; loc[b] = 1 }
}

#define OWN_FREE(n) d_step { owner[UNIT(n)] == TAG && kind[UNIT(n)] == k && \
                             (n) % 2 < BLOCKS(k) && word[n] == 0 -> b = n; x = 1 }
#define ORPHAN(n) d_step { owner[n] == 0 && IS_SLAB(kind[n]) -> u = n; k = kind[n]; x = 1 }

proctype Worker(byte me) {
    byte id, b, u, k, j, x, y, ops;
    {
        d_step { lk[me] = me + 1; id = me };
        d_step { live[me] = 1 };
        do
        :: ops < MAXOPS -> ops++;
            if
            :: (OPS & op_alloc) ->
                if :: k = SLAB1 :: k = SLAB2 fi;
                if
                :: OWN_FREE(0)
                :: OWN_FREE(1)
                :: OWN_FREE(NW - 2)
                :: OWN_FREE(NW - 1)
                :: else -> TAKE_UNIT(); d_step { b = u * 2 }
                fi;
                if :: x != 0 -> ALLOC_BLOCK() :: else fi
            :: (OPS & op_alloc) ->      /* adopt: the word is read, then compared and swapped */
                if
                :: ORPHAN(0)
                :: ORPHAN(NU - 1)
                :: else
                fi;
                if
                :: x != 0 ->
                    d_step { x = 0;
                             if
                             :: owner[u] == 0 && (kind[u] == k || (MUT == 6 && IS_SLAB(kind[u]))) ->
                                 owner[u] = TAG; x = 1
                             :: else
                             fi };
                    if
                    :: x != 0 -> assert(kind[u] == k); SCAN(1)
                    :: else
                    fi
                :: else
                fi
            :: (OPS & op_run) ->
                if
                :: d_step { kind[0] == HOLE -> u = 0; owner[u] = TAG; kind[u] = PREP; x = 1 }
                :: d_step { NU > 2 && kind[NU - 2] == HOLE ->
                            u = NU - 2; owner[u] = TAG; kind[u] = PREP; x = 1 }
                :: else
                fi;
                if
                :: x != 0 ->
                    d_step { x = 0;
                             if
                             :: kind[u + 1] == HOLE -> owner[u + 1] = TAG; kind[u + 1] = PREP; x = 1
                             :: else
                             fi };
                    if
                    :: x == 0 -> PUNCH(u)
                    :: else ->
                        d_step { backed[u] = 1 };
                        d_step { backed[u + 1] = 1 };
                        if
                        :: MUT == 5 ->
                            d_step { owner[u + 1] = 0; kind[u + 1] = TAIL };
                            d_step { kind[u] = RUN }
                        :: MUT != 5 ->
                            d_step { kind[u] = RUN };
                            d_step { owner[u + 1] = 0; kind[u + 1] = TAIL }
                        fi;
                        b = u * 2;
                        ALLOC_BLOCK()
                    fi
                :: else
                fi
            :: (OPS & op_release) ->
                if
                :: d_step { owner[0] == TAG && loc[0] != 0 -> b = 0; x = 1 }
                :: d_step { owner[NU - 1] == TAG && loc[NW - 2] != 0 -> b = NW - 2; x = 1 }
                :: d_step { owner[NU - 1] == TAG && loc[NW - 1] != 0 -> b = NW - 1; x = 1 }
                :: else
                fi;
                if
                :: x != 0 && !linked[b] -> d_step { FREE_WORD(b) }
                :: x != 0 && linked[b] ->
                    LOCK();
                    d_step { loc[b] = 0; if :: !shr[b] -> FREE_WORD(b) :: else fi };
                    UNLOCK()
                :: else
                fi
            :: (OPS & op_link) ->
                if
                :: d_step { owner[0] == TAG && loc[0] != 0 -> b = 0; x = 1 }
                :: d_step { owner[NU - 1] == TAG && loc[NW - 1] != 0 -> b = NW - 1; x = 1 }
                :: else
                fi;
                if
                :: x != 0 ->
                    LOCK();
                    d_step { if
                             :: slot == 0 -> slot = b + 1; shr[b] = 1; linked[b] = 1
                             :: else
                             fi };
                    UNLOCK()
                :: else
                fi
            :: (OPS & op_release_from) ->
                LOCK();
                if
                :: slot != 0 ->
                    d_step { u = UNIT(slot - 1); rd_b[id] = slot;
                             rd_free[id] = (owner[u] == TAG && loc[slot - 1] == 0 -> 1 : 0) };
                    d_step { rd_valid[id] = 1 };
                    APPLY(id);
                    UNLOCK();
                    if
                    :: owner[u] == TAG -> d_step { pending[u] = 0 }; SCAN(1)
                    :: else
                    fi
                :: else -> UNLOCK()
                fi
            :: (OPS & op_drain) ->
                if
                :: owner[0] == TAG -> u = 0; d_step { pending[u] = 0 }; SCAN(0)
                :: owner[NU - 1] == TAG -> u = NU - 1; d_step { pending[u] = 0 }; SCAN(0)
                :: else
                fi
            :: (OPS & op_return) ->
                if
                :: owner[0] == TAG -> u = 0; x = 1
                :: owner[NU - 1] == TAG -> u = NU - 1; x = 1
                :: else
                fi;
                if
                :: x != 0 ->
                    LOOK();
                    if
                    :: x != 0 ->
                        if :: MUT == 9 -> d_step { pending[u] = 0 } :: MUT != 9 fi;
                        RETURN()
                    :: else
                    fi
                :: else
                fi
            :: (OPS & op_recover) ->
                if
                :: atomic { lk[1 - me] == 0 && live[1 - me] -> lk[1 - me] = me + 1; x = 1 }
                :: else
                fi;
                if
                :: x != 0 -> x = 0; RECOVER(1 - me); d_step { lk[1 - me] = 0; id = me }
                :: else
                fi
            :: else
            fi;
            d_step { b = 0; u = 0; k = 0; x = 0; y = 0 }
        :: break
        od;
        ops = MAXOPS;
        if
        :: skip                         /* parked, alive */
        :: LEAVE(); d_step { lk[me] = 0 }
        fi
    } unless { dead[me] };
    d_step { id = 0; b = 0; u = 0; k = 0; j = 0; x = 0; y = 0; ops = 0; fin[me] = 1 }
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
    byte me, id, b, u, j, x, y, s;
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
            assert(stripe == 0 && !rd_valid[0] && !rd_valid[1]);
            u = 0;
            do
            :: u < NU ->
                assert(kind[u] != PREP);
                assert(kind[u] != HOLE || !backed[u]);
                assert(kind[u] == HOLE || backed[u]);
                assert(owner[u] == 0 || (kind[u] >= SLAB1 && kind[u] <= RUN &&
                                         live[owner[u] - 1] && lk[owner[u] - 1] != 0));
                assert(kind[u] != RUN || kind[u + 1] == TAIL);
                assert(kind[u] != TAIL || kind[u - 1] == RUN);
                b = u * 2;
                do
                :: b < u * 2 + 2 ->
                    if
                    :: word[b] != 0 ->
                        assert(kind[u] >= SLAB1 && kind[u] <= RUN && b % 2 < BLOCKS(kind[u]));
                        assert(shr[b] == (slot == b + 1));
                        assert(loc[b] == 0 || owner[u] == word[b]);
                        assert(loc[b] != 0 || shr[b] || (owner[u] != 0 && rembit[b] && pending[u]))
                    :: else -> assert(slot != b + 1 && loc[b] == 0)
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
        d_step { id = 0; b = 0; u = 0; j = 0; x = 0; y = 0; s = 0; dead[AUD] = 0 };
        goto again
    }
}

init {
    atomic {
        c_code { env("MUT", &mut_v); env("OPS", &ops_v); env("MAXOPS", &maxops_v);
                 env("MAXK", &maxk_v); env("START", &start_v); };
        if
        :: START == 1 || START == 3 -> kind[0] = SLAB1; backed[0] = 1
        :: START == 2 -> kind[0] = RUN; kind[1] = TAIL; backed[0] = 1; backed[1] = 1
        :: else
        fi;
        if
        :: START == 1 || START == 2 -> word[0] = 1; shr[0] = 1; linked[0] = 1; slot = 1
        :: else
        fi;
        run Worker(0); run Worker(1); run Killer(); run Auditor()
    }
}
