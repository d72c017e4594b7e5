/* lists.pml - the list that names a lane's slabs, where it is full.
 *
 * A lane's list is what recovery finds its slabs by. Entry 0 names a slab that a record is about to
 * adopt; it must stand in another entry before the next record is written. If there is none that is
 * 0, a unit becomes a page of more: its entry, CLAIMED, all its entries 0, LIST. One of a page's
 * entries may name another page. If there is no unit, a few entries are kept for what is adopted.
 * If they are used up as well, the slab is nobody's again, with PENDING still set: whoever adopts
 * it next looks at all of its blocks.
 *
 * A block is named by the process's local count alone, and names a block in each of NS slabs that
 * nobody owns. It is released, by its owner or, when that is killed, by who recovers the lane: one
 * record for each, which adopts the slab. Each slab has another block in use, so it stays listed
 * until the lane leaves. Lane, page and page in a page have one plain entry each, and one is kept
 * for adopted slabs. The lane leaves as in leave.c: what entry 0 names is listed, unless
 * PENDING is clear or it has a local count: a slab that was just adopted has PENDING and none, any
 * other one is listed already; blocks; slabs and CLAIMED units, until a pass meets no slab; pages,
 * those in pages first.
 *
 * Checked: a lane that has left owns nothing; no local count stays; a slab becomes nobody's only
 * where there is no entry and no unit for more, and if a block in it is dead, it has PENDING. MUT
 * as in README.md.
 *
 * Macros: NS slabs, NU units that can become pages. From the environment: UNITS, how many of them
 * are free; MAXK kills; START 1: slab 0 is the lane's already, has a local count, and is named by
 * both entry 0 and the plain one; slab 1 by the one that is kept. */

c_decl {
\#include <stdlib.h>
static int mut_v, units_v = 99, maxk_v = 2, start_v;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define UNITS c_expr { units_v }
#define MAXK c_expr { maxk_v }
#define START c_expr { start_v }

#ifndef NS
#define NS 4
#endif
#ifndef NU
#define NU 2
#endif

#define FREE 0
#define CLAIMED 1
#define LIST 2
#define USED 3                      /* by others */

/* where an entry is */
#define KEPT 1                      /* 0 is that of records */
#define IN_INNER 2
#define IN_PAGE 3
#define PLAIN 4
#define NOWHERE 5

/* ---- the file ---- */
bool owned[NS], pending[NS], rembit[NS];
bool used[NS], named[NS], loc[NS];  /* the block in it; by the parent's slot; a local count */
bool parent, parent_loc, parent_owned;
byte entry[5];                      /* slab + 1; those in pages stand in `plain` */
byte page;                          /* the entry for a page: unit + 1 */
byte kind[NU], plain[NU], inner[NU];    /* a page's plain entry, and that for a page: unit + 1 */
byte rd;                            /* the record: slab + 1 */
bool rd_valid, lane = 1;

/* ---- the kernel ---- */
bool dead, fin, audited;
byte kills;

#define IS_PAGE (page != 0 && kind[page - 1] == LIST)
#define PAGE (page - 1)
#define IS_INNER (IS_PAGE && inner[PAGE] != 0 && kind[inner[PAGE] - 1] == LIST)
#define INNER (inner[PAGE] - 1)

/* inside a d_step: v, what the entry at w says */
inline GET() {
    v = 0;
    if
    :: w == IN_INNER -> if :: IS_INNER -> v = plain[INNER] :: else fi
    :: w == IN_PAGE -> if :: IS_PAGE -> v = plain[PAGE] :: else fi
    :: else -> v = entry[w]
    fi
}

inline SET(value) {                     /* the same */
    if
    :: w == IN_INNER -> plain[INNER] = value
    :: w == IN_PAGE -> plain[PAGE] = value
    :: else -> entry[w] = value
    fi
}

/* v: a free unit, NU: none */
inline FIND_UNIT() {
    d_step { v = 0; do :: v < NU && kind[v] != FREE -> v++ :: else -> break od }
}

/* the unit v becomes a page; its name is stored by the caller */
inline MAKE_PAGE() {
    d_step { kind[v] = CLAIMED };
    d_step { plain[v] = 0; inner[v] = 0 };
    d_step { kind[v] = LIST; v = 0 }
}

/* w: where there is an entry for slab s, which is adopted */
inline TAKE_ENTRY() {
    d_step {
        if
        :: entry[PLAIN] == 0 -> w = PLAIN
        :: else ->
            if
            :: IS_PAGE && plain[PAGE] == 0 -> w = IN_PAGE
            :: else ->
                if
                :: IS_INNER && plain[INNER] == 0 -> w = IN_INNER
                :: else -> w = NOWHERE
                fi
            fi
        fi
    };
    FIND_UNIT();
    if
    :: w == NOWHERE && v < NU && MUT != 5 && !IS_PAGE &&
       (page == 0 || kind[page - 1] == FREE || MUT == 4) ->
        if :: MUT != 3 -> page = v + 1 :: else fi;
        if
        :: MUT == 3 -> d_step { kind[v] = CLAIMED }; page = v + 1
        :: else
        fi;
        MAKE_PAGE();
        w = IN_PAGE
    :: w == NOWHERE && v < NU && MUT != 5 && IS_PAGE &&
       (inner[PAGE] == 0 || kind[INNER] == FREE) ->
        inner[PAGE] = v + 1;
        MAKE_PAGE();
        w = IN_INNER
    :: else ->
        if :: w == NOWHERE && entry[KEPT] == 0 -> w = KEPT :: else fi
    fi;
    v = 0
}

/* the slab s is adopted */
inline TOLD() {
    TAKE_ENTRY();
    if
    :: w == NOWHERE ->                  /* not enough, or an unfinished page is in the way */
        d_step { assert(UNITS < NU || NS + kills > NU + 2 ||
                        (page != 0 && kind[page - 1] == CLAIMED) ||
                        (IS_PAGE && inner[PAGE] != 0 && kind[INNER] == CLAIMED));
                 owned[s] = 0 }
    :: w != NOWHERE && MUT != 1 -> d_step { SET(s + 1) }
    :: w != NOWHERE && MUT == 1
    fi;
    w = 0
}

inline APPLY() {
    d_step { named[rd - 1] = 0 };
    d_step { rembit[rd - 1] = 1 };
    d_step { pending[rd - 1] = 1; x = 1 - owned[rd - 1]; owned[rd - 1] = 1 };
    d_step { rd_valid = 0; rd = 0 }
}

/* the parent is dead: what it names is released, then it is free */
inline FINISH() {
    s = 0;
    do
    :: s < NS && named[s] ->
        d_step { entry[0] = s + 1; rd = s + 1 };
        d_step { rd_valid = 1 };
        APPLY();
        if :: x -> TOLD() :: else fi;
        s++
    :: s < NS && !named[s] -> s++
    :: else -> break
    od;
    skip;
    d_step { s = 0; x = 0 };
    d_step { parent = 0 }
}

inline DRAIN(q) {                       /* slab q */
    d_step { pending[q] = 0 };
    d_step { rembit[q] = 0; if :: !named[q] && !loc[q] -> used[q] = 0 :: else fi }
}

inline LEAVE() {
    if                                  /* just adopted: PENDING, no local count */
    :: entry[0] != 0 && owned[entry[0] - 1] &&
       ((pending[entry[0] - 1] && !loc[entry[0] - 1]) || MUT == 6) ->
        s = entry[0] - 1;
        TOLD();
        s = 0
    :: else
    fi;
    do                                  /* blocks, once */
    :: w < NOWHERE ->
        d_step { GET(); if :: v != 0 && !owned[v - 1] -> v = 0 :: else fi };
        if
        :: v != 0 -> d_step { loc[v - 1] = 0 }; DRAIN(v - 1)
        :: else
        fi;
        d_step { v = 0; w++ }
    :: else -> break
    od;
    w = 0;
    if
    :: parent -> d_step { parent_loc = 0 }; FINISH()
    :: else
    fi;
    if :: MUT == 2 -> GIVE_PAGES() :: else fi;
    do                                  /* slabs, until a pass meets none */
    :: w < NOWHERE ->
        d_step { GET(); if :: v != 0 && !owned[v - 1] -> v = 0 :: else fi };
        if
        :: v == 0 -> w++
        :: v != 0 && pending[v - 1] -> met = 1; DRAIN(v - 1)
        :: v != 0 && !pending[v - 1] ->
            met = 1;
            d_step { owned[v - 1] = 0 };
            d_step { SET(0); w++ }
        fi;
        v = 0
    :: w == NOWHERE && parent_owned -> d_step { parent_owned = 0 }; met = 1
    :: w == NOWHERE && !parent_owned && page != 0 && kind[page - 1] == CLAIMED ->
        d_step { kind[page - 1] = FREE };
        d_step { page = 0 }
    :: w == NOWHERE && !parent_owned && IS_PAGE && inner[PAGE] != 0 && kind[INNER] == CLAIMED ->
        d_step { kind[INNER] = FREE };
        d_step { inner[PAGE] = 0 }
    :: else ->
        if :: met -> d_step { met = 0; w = 0 } :: else -> break fi
    od;
    w = 0;
    GIVE_PAGES();
    d_step { entry[0] = 0; entry[KEPT] = 0; entry[PLAIN] = 0; page = 0 };
    d_step { lane = 0 }
}

inline GIVE_PAGES() {
    if
    :: MUT == 7 && IS_PAGE ->           /* the outer one first */
        d_step { v = inner[PAGE]; kind[PAGE] = FREE; page = 0 };
        if :: v != 0 -> d_step { kind[v - 1] = FREE; v = 0 } :: else fi
    :: else ->
        if :: IS_INNER -> d_step { kind[INNER] = FREE }; d_step { inner[PAGE] = 0 } :: else fi;
        if :: IS_PAGE -> d_step { kind[PAGE] = FREE }; d_step { page = 0 } :: else fi
    fi
}

proctype Owner() {
    byte s, v, w, x, met;
    {
        d_step { parent_loc = 0 };
        FINISH();
        do                              /* what was told is looked at */
        :: d_step { s < NS && owned[s] && pending[s] -> pending[s] = 0 };
            d_step { rembit[s] = 0; if :: !named[s] && !loc[s] -> used[s] = 0 :: else fi; s++ }
        :: s < NS && !(owned[s] && pending[s]) -> s++
        :: else -> break
        od;
        s = 0;
        if :: skip :: LEAVE() fi
    } unless { dead };
    d_step { s = 0; v = 0; w = 0; x = 0; met = 0; dead = 0; fin = 1 }
}

proctype Killer() {
    do
    :: d_step { kills < MAXK && !audited && !dead -> kills++; dead = 1 }
    :: break
    od
}

proctype Auditor() {                    /* recovers the lane, and may be killed as well */
    byte s, v, w, x, met;
    fin;
again:
    {
        if
        :: lane ->
            if :: rd_valid -> APPLY() :: else fi;
            x = 0;
            LEAVE()
        :: else
        fi;
        d_step {
            s = 0;
            do
            :: s < NS ->
                assert(!owned[s] && !loc[s]);
                assert(!named[s] || used[s]);
                assert(!used[s] || named[s] || pending[s]);
                s++
            :: else -> break
            od;
            s = 0;
            do
            :: s < NU -> assert(kind[s] == (s < UNITS -> FREE : USED)); s++
            :: else -> break
            od;
            s = 0;
            assert(!parent && !parent_owned && !rd_valid);
            audited = 1
        }
    } unless { dead };
    if
    :: d_step { !audited -> s = 0; v = 0; w = 0; x = 0; met = 0; dead = 0 }; goto again
    :: audited
    fi
}

init {
    byte q;
    atomic {
        c_code { env("MUT", &mut_v); env("UNITS", &units_v); env("MAXK", &maxk_v);
                 env("START", &start_v); };
        do :: q < NS -> used[q] = 1; named[q] = 1; q++ :: else -> break od;
        q = 0;
        do :: q < NU -> kind[q] = (q < UNITS -> FREE : USED); q++ :: else -> break od;
        parent = 1; parent_loc = 1; parent_owned = 1;
        if
        :: START == 1 ->
            owned[0] = 1; owned[1] = 1; loc[0] = 1; named[0] = 0;
            entry[0] = 1; entry[PLAIN] = 1; entry[KEPT] = 2
        :: else
        fi;
        run Owner(); run Killer(); run Auditor()
    }
}
