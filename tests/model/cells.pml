/* cells.pml - one cell for all references that the threads of a session have to a block of another.
 *
 * A cell is one word {ref, n}. It counts as one in the block's shared count whatever n is. All of
 * it is done under the block's stripe, by whichever thread of the session: between n > 0 and m > 0
 * that word alone changes, by a plain store; between n = 0 and n > 0 the shared count changes, too,
 * through the record of that thread's lane. Recovery of the session drops the cell with whatever n
 * it has. So, with the stripe held:
 *     load     the session has a cell for the block: n + 1; else redo {cell -> {ref, 1},
 *              shared + 1} in an empty cell of the own lane
 *     retain   n + 1; the caller has a reference, so n > 0 and stays so
 *     release  n > 1: n - 1; else redo {cell -> 0, shared - 1}
 *
 * One block, named by a slot and by the sessions' cells; NT threads of the session S, and another
 * process that loads and releases with a cell of its own and takes the slot's name away. Only S is
 * killed.
 *
 * Checked: while a thread of S has a reference there is a cell with n of them; the shared count is
 * the number of names; the block is freed when and only when the last name goes. MUT as in
 * README.md. From the environment: MAXOPS operations a thread, MAXK kills. */

c_decl {
\#include <stdlib.h>
static int mut_v, maxops_v = 2, maxk_v = 1;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define MAXOPS c_expr { maxops_v }
#define MAXK c_expr { maxk_v }

#ifndef NT
#define NT 2
#endif

#define OTHER NT                    /* the lane of the other process */
#define SLOT (NT + 1)               /* the slot is one more name that a record can change */

byte shr = 1, n[NT + 2];            /* the shared count; cells, a lane each, and the slot */
byte stripe;                        /* 0 or lane + 1 */
bool used = 1;                      /* the block is not free */
bool rd_valid[NT + 1];
byte rd_shr[NT + 1], rd_name[NT + 1], rd_n[NT + 1];     /* name + 1 */
bool dead;
byte running;
byte bag;                           /* ghost: references that threads of S have */

inline APPLY(l) {
    d_step { shr = rd_shr[l] };
    d_step { if :: rd_name[l] != 0 -> n[rd_name[l] - 1] = rd_n[l] :: else fi };
    d_step { if :: shr == 0 -> used = 0 :: else fi };
    d_step { rd_valid[l] = 0; rd_shr[l] = 0; rd_name[l] = 0; rd_n[l] = 0 }
}

/* under the stripe */
inline REDO(name, value, count) {
    d_step { assert(used); rd_name[l] = name + 1; rd_n[l] = value; rd_shr[l] = count };
    d_step { rd_valid[l] = 1 };
    APPLY(l)
}

inline FIRST_HALF() {                   /* for all lanes of S */
    f = 0;
    do
    :: f < NT ->
        if :: rd_valid[f] -> APPLY(f) :: else fi;
        d_step { if :: stripe == f + 1 -> stripe = 0 :: else fi };
        f++
    :: else -> break
    od;
    f = 0
}

inline LOCK() {
    do
    :: atomic { stripe == 0 -> stripe = l + 1 }; break
    :: stripe != 0 && stripe <= NT && dead && l == OTHER -> FIRST_HALF()
    od;
    skip
}

inline UNLOCK() { d_step { assert(stripe == l + 1); stripe = 0 } }

/* one more in cell c, by a load and a store */
inline MORE() {
    v = n[c];
    d_step { n[c] = v + 1; v = 0 }
}

inline LOAD() {
    LOCK();
    if
    :: n[SLOT] == 0 -> skip             /* the slot is empty: nothing to load */
    :: n[SLOT] != 0 && (n[0] != 0 || n[1] != 0) ->
        c = (n[0] != 0 -> 0 : 1);
        if :: MUT == 2 -> UNLOCK() :: else fi;
        MORE();
        if :: MUT == 2 -> LOCK() :: else fi;
        d_step { bag++ }
    :: else ->
        REDO(l, 1, shr + 1);
        d_step { bag++ }
    fi;
    UNLOCK()
}

inline RETAIN() {                       /* the caller's reference is not in the bag meanwhile */
    if :: MUT != 1 -> LOCK() :: else fi;
    d_step { c = (n[0] != 0 -> 0 : 1); assert(n[c] != 0 || dead) };
    MORE();
    d_step { bag = bag + 2 };
    if :: MUT != 1 -> UNLOCK() :: else fi
}

inline RELEASE() {                      /* the reference is no longer the caller's: bag is less */
    LOCK();
    d_step { c = (n[0] != 0 -> 0 : 1); assert(n[c] != 0 || dead) };
    if
    :: n[c] > 1 ->
        if :: MUT == 3 -> UNLOCK() :: else fi;
        v = n[c];
        d_step { n[c] = v - 1; v = 0 };
        if :: MUT == 3 -> LOCK() :: else fi
    :: n[c] <= 1 && MUT == 4 ->         /* no redo: two plain stores */
        d_step { n[c] = 0 };
        d_step { shr = shr - 1; if :: shr == 0 -> used = 0 :: else fi }
    :: n[c] <= 1 && MUT != 4 -> REDO(c, 0, shr - 1)
    fi;
    UNLOCK()
}

proctype Thread(byte l) {
    byte c, v, f, ops;
    {
        do
        :: ops < MAXOPS -> ops++;
            if
            :: LOAD()
            :: d_step { bag != 0 -> bag-- }; RETAIN()
            :: d_step { bag != 0 -> bag-- }; RELEASE()
            fi;
            d_step { c = 0; v = 0 };
            assert(dead || bag == 0 || n[0] != 0 || n[1] != 0)
        :: break
        od;
        skip
    } unless { dead };
    d_step { running--; c = 0; v = 0; f = 0; ops = 0 }
}

proctype Other() {
    byte l = OTHER, f;
    if
    :: skip ->                          /* release_from the slot */
        LOCK();
        REDO(SLOT, 0, shr - 1);
        UNLOCK()
    :: skip
    fi;
    if
    :: n[SLOT] != 0 ->                  /* load, release */
        LOCK();
        if :: n[SLOT] != 0 -> REDO(OTHER, 1, shr + 1) :: else fi;
        UNLOCK();
        if
        :: n[OTHER] != 0 -> LOCK(); REDO(OTHER, 0, shr - 1); UNLOCK()
        :: skip
        fi
    :: skip
    fi;
    d_step { running--; f = 0 }
}

proctype Killer() {
    if
    :: d_step { MAXK > 0 && running != 0 -> dead = 1; bag = 0 }
    :: skip
    fi
}

proctype Auditor() {
    byte l, f, c;
    running == 0;
    if
    :: dead ->
        FIRST_HALF();
        l = 0;                          /* as a lane of S: the cells, whatever they count */
        do
        :: c < NT ->
            if :: n[c] != 0 -> LOCK(); REDO(c, 0, shr - 1); UNLOCK() :: else fi;
            c++
        :: else -> break
        od
    :: else
    fi;
    skip;
    d_step {
        assert(stripe == 0);
        f = 0; c = 0;
        do
        :: c < NT + 2 -> f = f + (n[c] != 0 -> 1 : 0); c++
        :: else -> break
        od;
        assert(shr == f && used == (f != 0 -> 1 : 0));
        f = 0; c = 0;
        do
        :: c < NT -> f = f + n[c]; c++
        :: else -> break
        od;
        assert(f == bag);
        f = 0; c = 0; l = 0
    }
}

init {
    atomic {
        c_code { env("MUT", &mut_v); env("MAXOPS", &maxops_v); env("MAXK", &maxk_v); };
        n[SLOT] = 1;
        running = NT + 1;
        run Thread(0); run Thread(1); run Other();
        run Killer(); run Auditor()
    }
}
