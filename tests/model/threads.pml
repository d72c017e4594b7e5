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
 * State and inbox are one word, so that no lane becomes idle with something in its inbox:
 *     begin   {idle, n} -> {owned, n}, or a lane that is not active
 *     put     {s, n} -> {s, n + 1}; if s was idle: {idle, n} -> {owned, n}, empty, give back
 *     empty   {owned, n} -> {owned, 0}, then local count - 1 or cell - 1, n times
 *     end     {owned, 0} -> {idle, 0}, or empty and try again; with no local count left the lane
 *             is given up: not active in the file, {owned, 0} -> {none, 0}
 *
 * One block a lane, which a slot names throughout. `bag` are the references that the threads of the
 * process have, whoever has them. The process may be killed; recovery drops the local counts of all
 * active lanes, and the cells.
 *
 * Checked: who releases finds a count or a cell; the two less the inbox are what the bag says, an
 * idle lane has an empty inbox, at the end; nothing is left after a kill. MUT as in README.md.
 *
 * Macros: NT threads, NL lanes. From the environment: MAXOPS operations a thread, MAXK kills. */

c_decl {
\#include <stdlib.h>
static int mut_v, maxops_v = 2, maxk_v = 1;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
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
bool live[NL];                      /* the file */
byte state[NL], inbox[NL];          /* the process: one word */
byte bag[NL];                       /* ghost: references to the lane's block in the process */
bool dead;
byte running;

/* the thread has lane l and gives up a reference to its block */
inline OWN(l) {
    v = cnt[l];
    if
    :: v != 0 -> d_step { cnt[l] = v - 1; v = 0 }
    :: else -> d_step { assert(cell[l] != 0); cell[l]-- }       /* under the stripe */
    fi
}

/* the thread has lane l: what is in its inbox is given up */
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
    skip
}

/* the thread has lane l and lets it go */
inline LET_GO(l) {
    do
    :: EMPTY(l);
       if
       :: MUT == 3 -> state[l] = IDLE; break       /* a plain store, whatever came in */
       :: MUT == 4 -> d_step { live[l] = 0; state[l] = IDLE }; break
       :: MUT != 3 && MUT != 4 ->
          if
          :: atomic { cnt[l] == 0 && inbox[l] == 0 -> live[l] = 0; state[l] = NONE }; break
          :: atomic { cnt[l] != 0 && inbox[l] == 0 -> state[l] = IDLE }; break
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
        d_step { x = 0; if :: cell[k] != 0 -> cell[k]--; x = 1 :: else fi };
        if :: !x -> assert(cnt[k] != 0) :: else fi
    :: else ->
        d_step {                        /* under the stripe */
            x = 0;
            if :: cell[k] != 0 -> cell[k]--; x = 1 :: else -> assert(cnt[k] != 0) fi
        }
    fi;
    if :: !x -> PUT(k) :: else -> x = 0 fi
}

inline PUT(k) {
    if
    :: MUT == 1 ->                      /* straight into the file */
        v = cnt[k];
        d_step { cnt[k] = v - 1; v = 0 }
    :: MUT == 2 ->                      /* two words: looked at, then put */
        x = state[k];
        d_step { inbox[k]++ };
        if
        :: x == IDLE -> VISIT(k)
        :: else
        fi
    :: MUT != 1 && MUT != 2 ->
        d_step { inbox[k]++; x = state[k] };
        if
        :: x == IDLE -> VISIT(k)
        :: else
        fi
    fi;
    x = 0
}

inline VISIT(k) {
    d_step { x = 0; if :: state[k] == IDLE || MUT == 5 -> state[k] = OWNED; x = 1 :: else fi };
    if :: x -> LET_GO(k) :: else fi     /* else somebody else has taken it, and will empty it */
}

proctype Thread() {
    byte l, k, n, v, x, ops;
    {
        do                              /* begin */
        :: atomic { state[0] == IDLE -> state[0] = OWNED; l = 0 }; break
        :: atomic { state[1] == IDLE -> state[1] = OWNED; l = 1 }; break
        :: atomic { state[NL - 1] == IDLE -> state[NL - 1] = OWNED; l = NL - 1 }; break
        :: atomic { state[0] == NONE -> state[0] = OWNED; l = 0 }; break
        :: atomic { state[1] == NONE -> state[1] = OWNED; l = 1 }; break
        :: atomic { state[NL - 1] == NONE -> state[NL - 1] = OWNED; l = NL - 1 }; break
        od;
        skip;
        d_step { live[l] = 1 };
        do
        :: ops < MAXOPS -> ops++;
            if
            :: d_step { l != 0 && bag[0] < 2 -> cell[0]++; bag[0]++ }   /* load, by the cell */
            :: d_step { l != 1 && bag[1] < 2 -> cell[1]++; bag[1]++ }
            :: bag[l] < 2 ->            /* allocate, retain: a reference for whoever wants it */
                v = cnt[l];
                d_step { cnt[l] = v + 1; bag[l]++; v = 0 }
            :: d_step { bag[0] != 0 -> bag[0]--; k = 0; x = 1 }
            :: d_step { bag[1] != 0 -> bag[1]--; k = 1; x = 1 }
            :: d_step { bag[NL - 1] != 0 -> bag[NL - 1]--; k = NL - 1; x = 1 }
            :: EMPTY(l)
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
        :: LET_GO(l)
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
            d_step { cell[l] = 0; if :: live[l] -> cnt[l] = 0; live[l] = 0 :: else fi; l++ }
        :: else -> break
        od
    :: else
    fi;
    skip;
    d_step {
        l = 0;
        do
        :: l < NL ->
            if
            :: dead -> assert(cnt[l] == 0 && !live[l])
            :: else ->
                assert(cnt[l] + cell[l] - inbox[l] == bag[l]);
                assert(state[l] != IDLE || inbox[l] == 0);
                assert(cnt[l] == 0 || live[l])
            fi;
            l++
        :: else -> break
        od;
        l = 0
    }
}

init {
    atomic {
        c_code { env("MUT", &mut_v); env("MAXOPS", &maxops_v); env("MAXK", &maxk_v); };
        running = NT;
        run Thread(); run Thread();
        if :: NT > 2 -> run Thread() :: else fi;
        run Killer(); run Auditor()
    }
}
