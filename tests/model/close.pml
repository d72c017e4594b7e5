/* close.pml - who is the last to close a store, and makes it clean.
 *
 * Openings go one by one, under the file lock; so does the closing of the last session, but any
 * other one leaves without a lock. A session has a byte lock from attaching on until its mapping
 * goes, and a state in the file from attaching until it holds nothing any more. The steps:
 *     open    file lock; does anybody have a byte? with nobody, or if the file is clean: not clean
 *             any more; byte; state := 1; unlock
 *     close   state := 0; is there another with state 1 and its byte? then go. Else the file lock,
 *             and the same once more: go; or clean := 1. The byte goes, then the lock
 * Whoever is killed lets go of byte and lock. Recovery is session.pml's matter: a dead session's
 * state is set to 0 by the last one in one step.
 *
 * Checked: nobody but the last marks a file clean that a session is at work in; a file that all
 * have closed, none of them killed, is clean; one that is at work is not. MUT as in README.md.
 *
 * Macro: NP processes. From the environment: MAXK kills, AGAIN: how often all in all a process
 * opens it again after closing. */

c_decl {
\#include <stdlib.h>
static int mut_v, maxk_v = 1, again_v = 1;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define MAXK c_expr { maxk_v }
#define AGAIN c_expr { again_v }

#ifndef NP
#define NP 3
#endif

bool state[NP], byte_of[NP];       /* the file; the kernel */
bool clean = 1;
byte file_lock;                     /* 0 or process + 1 */
bool dead[NP], at_work[NP];
byte kills, again, running;

/* o: another one is active and alive */
inline OTHERS() {
    q = 0; o = 0;
    do
    :: q < NP && q != p ->
        s = state[q];
        if
        :: s && byte_of[q] -> o = 1; break
        :: else
        fi;
        q++
    :: q < NP && q == p -> q++
    :: q == NP -> break
    od;
    q = 0; s = 0
}

inline ALIVE() {
    d_step {
        q = 0; o = 0;
        do :: q < NP -> if :: q != p && byte_of[q] -> o = 1 :: else fi; q++ :: else -> break od;
        q = 0
    }
}

proctype Process(byte p) {
    byte q, o, s;
    {
        do
        :: true ->
            d_step { file_lock == 0 -> file_lock = p + 1 };
            ALIVE();
            if
            :: !o || (clean && MUT != 3) -> d_step { clean = 0 }
            :: else
            fi;
            d_step { byte_of[p] = 1 };
            d_step { state[p] = 1; at_work[p] = 1 };
            d_step { file_lock = 0; o = 0 };
            assert(!clean);
            d_step { at_work[p] = 0; if :: MUT != 1 -> state[p] = 0 :: else fi };
            OTHERS();
            d_step { state[p] = 0 };
            if
            :: !o ->
                d_step { file_lock == 0 -> file_lock = p + 1 };
                if :: MUT != 2 -> OTHERS() :: else fi;
                if
                :: !o ->
                    d_step {            /* who is dead is recovered */
                        q = 0;
                        do
                        :: q < NP ->
                            assert(!at_work[q] || dead[q]);
                            if :: !byte_of[q] -> state[q] = 0 :: else fi;
                            q++
                        :: else -> break
                        od;
                        q = 0;
                        clean = 1
                    }
                :: else
                fi
            :: else
            fi;
            d_step { byte_of[p] = 0 };
            d_step { if :: file_lock == p + 1 -> file_lock = 0 :: else fi; o = 0 };
            if
            :: d_step { again < AGAIN -> again++ }
            :: break
            fi
        od;
        skip
    } unless { dead[p] };
    d_step { running--; q = 0; o = 0; s = 0 }
}

proctype Killer() {
    byte p;
    do
    :: d_step { kills < MAXK -> kills++ };
       if
       :: p = 0
       :: p = 1
       :: p = NP - 1
       fi;
       d_step {
           dead[p] = 1; byte_of[p] = 0;
           if :: file_lock == p + 1 -> file_lock = 0 :: else fi;
           p = 0
       }
    :: break
    od
}

init {
    byte q;
    atomic {
        c_code { env("MUT", &mut_v); env("MAXK", &maxk_v); env("AGAIN", &again_v); };
        running = NP;
        do :: q < NP -> run Process(q); q++ :: else -> break od;
        run Killer()
    }
    running == 0;
    assert(clean || kills != 0)
}
