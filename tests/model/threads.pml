/* threads.pml - the threads of one session: references that change hands, lanes whose thread ends.
 *
 * References of a session die with it, so handing a pointer to another thread needs nothing in the
 * file. But only the thread that has a lane writes the first words of its blocks, with plain loads
 * and stores. Other threads hold by the session's cell for the block, which is written under the
 * block's stripe. Whoever gives up a reference to another lane's block takes it from the cell; with
 * no cell, seen under the stripe, it is in the local count and is put into the inbox of that lane,
 * in the process's own memory. That lane's thread subtracts it, from the cell if by then it has
 * used up the local count for references that came by the cell.
 *
 * A thread that ends cannot give up a lane whose blocks others still hold: the lane stays active in
 * the file and becomes idle in the process. A new thread takes an idle lane rather than a new one,
 * and whoever puts something into the inbox of an idle lane takes it for the moment of emptying it.
 * State and inbox are changed under one mutex, each of these lines at once, so that nothing is put
 * into the inbox of an idle lane and left there:
 *     begin   {idle, n} -> {owned, n}, and empty; or a lane that is not active
 *     put     {s, n} -> {s, n + 1}; if s was idle: {owned, n + 1}, and empty and let go
 *     empty   {owned, n} -> {owned, 0}, then local count - 1 or cell - 1, n times
 *     let go  {owned, 0} -> {idle, 0}, or empty and try again
 *     end     {owned, n} -> {idle, n}: it waits for nobody, so what came before stays (late)
 *
 * One block a lane, which a slot names; that of lane 0 may be emptied, and the block then ends with
 * its last reference, local, in a cell, or in an inbox: by the lane that owns its slab, which
 * PENDING tells of cells that went. `bag` are the references that the threads of the process have,
 * whoever has them. The process may be killed; recovery drops the local counts of all active lanes,
 * and the cells. Records are store.pml's matter: what one changes is one step here.
 *
 * Checked: who releases or retains finds a count or a cell; a block that is held or named is in
 * use; at the end the two counts less the inbox are what the bag says, an idle lane has nothing in
 * its inbox but what is late, a block in use is held or named or its owner was told; nothing is
 * left after a kill. MUT as in README.md.
 *
 * Macros: NT threads, NL lanes. From the environment: MAXOPS operations a thread, MAXK kills, OPS:
 * 1 load, 2 allocate or retain, 4 release, 8 look at what was told, 16 empty the slot. */

c_decl {
\#include <stdlib.h>
static int mut_v, ops_v = 31, maxops_v = 2, maxk_v = 1;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define OPS c_expr { ops_v }
#define MAXOPS c_expr { maxops_v }
#define MAXK c_expr { maxk_v }

#ifndef NT
#define NT 3
#endif
#ifndef NL
#define NL NT
#endif

#define NONE 0
#define OWNED 1
#define IDLE 2

byte cnt[NL];                       /* the file: local count of the lane's block */
byte cell[NL];                      /* the file: count of the session's cell for it */
bool named[NL], used[NL];           /* the file: by a slot; the first word is not free */
bool linked[NL], pending[NL];       /* the file: the flag SHARED; remote bit and PENDING */
bool live[NL];                      /* the file */
bool late[NL];                      /* ghost: its thread ended with something in its inbox */
byte state[NL], inbox[NL];          /* the process: under one mutex */
byte bag[NL];                       /* ghost: references to the lane's block in the process */
bool dead;
byte running;

/* inside a d_step: the block of lane l is free */
inline END(l) {
    assert(used[l] && cell[l] == 0 && !named[l] && bag[l] == 0);
    used[l] = 0; cnt[l] = 0
}

/* inside a d_step, by the thread of lane l under the stripe: it ends if nobody has it */
inline END_IF(l) {
    if :: used[l] && cnt[l] == 0 && cell[l] == 0 && !named[l] -> END(l) :: else fi
}

/* the thread has lane l and gives up a reference to its block */
inline OWN(l) {
    v = cnt[l];
    if
    :: v > 1 -> d_step { cnt[l] = v - 1; v = 0 }
    :: v == 1 && linked[l] -> d_step { cnt[l] = 0; END_IF(l); v = 0 }       /* under the stripe */
    :: v == 1 && !linked[l] -> d_step { END(l); v = 0 }
    :: v == 0 -> d_step { assert(cell[l] != 0); cell[l]--; END_IF(l) }      /* under the stripe */
    fi
}

/* the thread has lane l: what is in its inbox is given up, and what it was told is looked at */
inline EMPTY(l) {
    d_step { n = inbox[l]; inbox[l] = 0 };
    do
    :: n != 0 ->
        n--;
        if
        :: MUT == 6 && cnt[l] == 0      /* not in the local count: dropped */
        :: else -> OWN(l)
        fi
    :: else -> break
    od;
    if
    :: d_step { pending[l] -> pending[l] = 0 }; d_step { END_IF(l) }    /* under the stripe */
    :: else
    fi
}

/* lane l was idle, and was taken to empty it: it is let go again */
inline LET_GO(l) {
    do
    :: EMPTY(l);
       if
       :: MUT == 3 -> d_step { state[l] = IDLE; late[l] = 0 }; break   /* whatever came in */
       :: MUT != 3 ->
          if
          :: d_step { inbox[l] == 0 -> state[l] = IDLE; late[l] = 0 }; break
          :: else
          fi
       fi
    od;
    skip
}

/* give up a reference to the block of another lane k; x: it was in the cell */
inline OTHER(k) {
    if
    :: MUT == 7 ->                      /* the local count is looked at without the stripe */
        d_step { x = 0; if :: cell[k] != 0 -> UNCELL(k) :: else fi };
        if :: !x -> assert(cnt[k] != 0) :: else fi
    :: else ->
        d_step {                        /* under the stripe */
            x = 0;
            if :: cell[k] != 0 -> UNCELL(k) :: else -> assert(cnt[k] != 0) fi
        }
    fi;
    if :: !x -> PUT(k) :: else -> x = 0 fi
}

/* inside a d_step */
inline UNCELL(k) {
    cell[k]--; x = 1;
    if :: cell[k] == 0 && !named[k] && MUT != 8 -> pending[k] = 1 :: else fi
}

inline PUT(k) {
    if
    :: MUT == 1 ->                      /* straight into the file */
        v = cnt[k];
        d_step { cnt[k] = v - 1; v = 0 }
    :: MUT == 2 ->                      /* looked at, then put */
        d_step { x = 0; if :: state[k] == IDLE -> state[k] = OWNED; x = 1 :: else fi };
        d_step { inbox[k]++ };
        if :: x -> LET_GO(k) :: else fi
    :: MUT == 5 ->                      /* put, then taken by a plain store */
        d_step { inbox[k]++; x = (state[k] == IDLE -> 1 : 0) };
        if :: x -> state[k] = OWNED; LET_GO(k) :: else fi
    :: MUT != 1 && MUT != 2 && MUT != 5 ->
        d_step { inbox[k]++; x = 0; if :: state[k] == IDLE -> state[k] = OWNED; x = 1 :: else fi };
        if :: x -> LET_GO(k) :: else fi /* else whoever has it will empty it */
    fi;
    x = 0
}

proctype Thread() {
    byte l, k, n, v, x, ops;
    {
        do                              /* begin */
        :: d_step { state[0] == IDLE -> state[0] = OWNED; l = 0 }; EMPTY(0); break
        :: d_step { state[1] == IDLE -> state[1] = OWNED; l = 1 }; EMPTY(1); break
        :: d_step { state[NL - 1] == IDLE -> state[NL - 1] = OWNED; l = NL - 1 }; EMPTY(l); break
        :: atomic { state[0] == NONE -> state[0] = OWNED; l = 0 }; break
        :: atomic { state[1] == NONE -> state[1] = OWNED; l = 1 }; break
        :: atomic { state[NL - 1] == NONE -> state[NL - 1] = OWNED; l = NL - 1 }; break
        od;
        skip;
        d_step { live[l] = 1 };
        do
        :: ops < MAXOPS -> ops++;
            if
            :: d_step { (OPS & 1) && l != 0 && named[0] && bag[0] < 2 ->   /* load, by the cell */
                        cell[0]++; bag[0]++ }
            :: d_step { (OPS & 1) && l != 1 && named[1] && bag[1] < 2 -> cell[1]++; bag[1]++ }
            :: (OPS & 1) && named[l] && bag[l] < 2 ->   /* load, by the local count */
                v = cnt[l];
                d_step { if :: named[l] -> cnt[l] = v + 1; bag[l]++ :: else fi; v = 0 }
            :: d_step { (OPS & 2) && !used[l] -> used[l] = 1; cnt[l] = 1; linked[l] = 0; bag[l]++ }
            :: d_step { (OPS & 2) && used[l] && bag[l] == 1 ->  /* another one, whoever has that */
                        if
                        :: cnt[l] != 0 -> cnt[l]++
                        :: else -> assert(cell[l] != 0); cell[l]++
                        fi;
                        bag[l]++ }
            :: d_step { (OPS & 2) && l != 0 && bag[0] == 1 ->
                        assert(cell[0] != 0 || cnt[0] != 0);
                        cell[0]++; linked[0] = 1; bag[0]++ }
            :: d_step { (OPS & 4) && bag[0] != 0 -> bag[0]--; k = 0; x = 1 }
            :: d_step { (OPS & 4) && bag[1] != 0 -> bag[1]--; k = 1; x = 1 }
            :: d_step { (OPS & 4) && bag[NL - 1] != 0 -> bag[NL - 1]--; k = NL - 1; x = 1 }
            :: (OPS & 8) -> EMPTY(l)
            :: d_step { (OPS & 16) && named[0] && state[0] != NONE ->
                        named[0] = 0;
                        if
                        :: cell[0] == 0 && l != 0 -> pending[0] = 1
                        :: cell[0] == 0 && l == 0 -> END_IF(0)
                        :: else
                        fi }
            :: else
            fi;
            if
            :: x && k == l ->           /* its own: no inbox */
                x = 0;
                OWN(l)
            :: x && k != l -> OTHER(k)
            :: else
            fi;
            d_step { k = 0; x = 0 }
        :: break
        od;
        ops = MAXOPS;
        if
        :: d_step { if :: MUT == 4 -> live[l] = 0 :: else fi;
                    state[l] = IDLE; late[l] = (inbox[l] != 0 -> 1 : 0) }
        :: skip                         /* does not end, and does nothing more */
        fi
    } unless { dead };
    d_step { running--; l = 0; k = 0; n = 0; v = 0; x = 0; ops = 0 }
}

proctype Killer() {
    if
    :: d_step { MAXK > 0 && running != 0 -> dead = 1 }
    :: skip
    fi
}

proctype Auditor() {
    byte l;
    running == 0;
    if
    :: dead ->                          /* recovery */
        do
        :: l < NL ->
            d_step { cell[l] = 0; if :: live[l] -> cnt[l] = 0; live[l] = 0 :: else fi;
                     if :: !named[l] && cnt[l] == 0 -> used[l] = 0 :: else fi; l++ }
        :: else -> break
        od
    :: else
    fi;
    skip;
    d_step {
        l = 0;
        do
        :: l < NL ->
            assert(used[l] || (cnt[l] == 0 && cell[l] == 0 && !named[l]));
            if
            :: dead -> assert(cnt[l] == 0 && !live[l] && used[l] == named[l])
            :: else ->
                assert(cnt[l] + cell[l] - inbox[l] == bag[l]);
                assert(!used[l] || cnt[l] != 0 || cell[l] != 0 || named[l] ||
                       (pending[l] && state[l] != NONE));
                assert(state[l] != IDLE || inbox[l] == 0 || late[l]);
                assert(cnt[l] == 0 || live[l])
            fi;
            l++
        :: else -> break
        od;
        l = 0
    }
}

init {
    byte l;
    atomic {
        c_code { env("MUT", &mut_v); env("OPS", &ops_v); env("MAXOPS", &maxops_v);
                 env("MAXK", &maxk_v); };
        do :: l < NL -> used[l] = 1; named[l] = 1; linked[l] = 1; l++ :: else -> break od;
        running = NT;
        run Thread(); run Thread();
        if :: NT > 2 -> run Thread() :: else fi;
        run Killer(); run Auditor()
    }
}
