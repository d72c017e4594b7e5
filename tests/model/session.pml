/* session.pml - who is alive: byte locks, sessions of several lanes, threads, and recovery.
 *
 * store.pml takes a dead lane's byte in one step with reading its tag, and knows one lane a
 * process. Here are the steps of the code: a stripe's tag is read, the byte of its session is taken
 * and the first half done, whether the session is still dead or free by now. A process has several
 * threads, each a lane, all under the one byte of their session. That byte is an OFD lock, which
 * does not conflict with itself: every thread of the process would "get" any byte that the process
 * has already, its own session's included, and an unlock by one of them gives up the lock of all.
 * So a process keeps a private flag for every session slot (claim), set before the byte is tried
 * and cleared after it is given back; a slot whose flag is set is not tried. It is not a mutex:
 * nobody waits for it while holding a stripe.
 *
 * The heap is two words that a redo record changes together under two stripes, taken in order, and
 * for each lane a thing that must be dropped in the same way when the lane goes (keep).
 *
 * Checked: both words are equal when their stripes are taken; a stripe is let go by its holder;
 * afterwards nothing is left of the dead; no deadlock. MUT as in README.md.
 *
 * Macros: NP processes, NS session slots, TWO: processes below that have two threads, the others
 * one; ANY: a process attaches to any slot whose byte it gets, else to its own. From the
 * environment: MAXOPS operations a thread, MAXK kills, OPS 1 change, 2 take one stripe alone, 4
 * recover, 8 detach at the end; OPS0 those of process 0, if others; START 1: the last slot is dead
 * and its record half applied; 2: it is dead and has the second stripe, slot 1 is dead, too. */

c_decl {
\#include <stdlib.h>
static int mut_v, ops_v = 15, ops0_v, maxops_v = 1, maxk_v = 1, start_v;
static void env(const char *n, int *v) { const char *e = getenv(n); if (e) *v = atoi(e); }
}
#define MUT c_expr { mut_v }
#define OPS c_expr { ops_v }
#define OPS0 c_expr { ops0_v }
#define MY_OPS (p == 0 && OPS0 != 0 -> OPS0 : OPS)
#define MAXOPS c_expr { maxops_v }
#define MAXK c_expr { maxk_v }
#define START c_expr { start_v }

#ifndef NP
#define NP 2
#endif
#ifndef NS
#define NS 2
#endif
#ifndef TWO
#define TWO 1
#endif
#ifndef ANY
#define ANY 0
#endif

#define NL (2 * NS)                 /* two lanes a session slot */
#define SES(l) ((l) / 2)
#define AUD NP
#define CLAIM(s) claim[p * NS + (s)]
#define THREADS(q) (1 + ((q) < TWO))

/* ---- the file ---- */
byte w[2];                          /* equal at rest */
byte stripe[2];                     /* 0 or lane + 1 */
bool lane[NL], session[NS];         /* active */
bool keep[NL];
bool rd_valid[NL], rd_drop[NL];     /* the record: both words := rd_w, and keep := 0 */
byte rd_w[NL];

/* ---- the kernel ---- */
byte lk[NS];                        /* byte of a session slot: 0 or process + 1 */
bool dead[NP + 1];
byte kills;

/* ---- a process's own memory ---- */
bool claim[(NP + 1) * NS];
byte mutex[NP + 1];                 /* of mutant 4: 0 or thread + 1 */
byte at[NP];                        /* 0, or session slot + 1 */
byte running[NP + 1];               /* threads that have not ended */
bool audited;

/* the byte as the kernel gives it: also when this process has it already */
#define BYTE(s) (lk[s] == 0 || lk[s] == p + 1)
/* worth a try: no sibling of this thread has it */
#define MAY_TRY(s) (BYTE(s) && (!CLAIM(s) || MUT == 2 || MUT == 4) && \
                    (MUT == 1 || at[(p < NP -> p : 0)] != (s) + 1 || p == AUD) && \
                    (MUT != 4 || mutex[p] == 0 || mutex[p] == j + 1))

inline APPLY(l) {
    d_step { w[0] = rd_w[l] };
    d_step { w[1] = rd_w[l] };
    d_step { if :: rd_drop[l] -> keep[l] = 0 :: else fi };
    d_step { rd_valid[l] = 0; rd_w[l] = 0; rd_drop[l] = 0 }
}

/* A1, A2 for one lane of a dead session */
inline FIRST_HALF_OF(l) {
    if :: rd_valid[l] -> APPLY(l) :: else fi;
    d_step { if :: stripe[0] == l + 1 -> stripe[0] = 0 :: else fi };
    d_step { if :: stripe[1] == l + 1 -> stripe[1] = 0 :: else fi; f++ }
}

inline FIRST_HALF(s_) {
    f = (s_) * 2;
    do
    :: f < (s_) * 2 + 2 -> FIRST_HALF_OF(f)
    :: else -> break
    od;
    f = 0
}

/* waits as store.pml's LOCK, in the steps of the code */
inline LOCK(k) {
    do
    :: atomic { stripe[k] == 0 -> stripe[k] = id + 1 }; break
    :: atomic { stripe[k] != 0 && MAY_TRY(SES(stripe[k] - 1)) -> d = SES(stripe[k] - 1) + 1 };
       TAKE(d - 1);
       if
       :: got -> FIRST_HALF(d - 1); GIVE(d - 1)     /* free by now: there is nothing to do */
       :: else
       fi;
       d_step { d = 0; got = 0 }
    od;
    skip
}

inline UNLOCK(k) { d_step { assert(stripe[k] == id + 1); stripe[k] = 0 } }

/* try for the byte of session slot s_: got. With mutant 4 a mutex is held until GIVE instead */
inline TAKE(s_) {
    nested = 0;
    if
    :: MUT == 4 ->
        if
        :: atomic { mutex[p] == j + 1 -> nested = 1 }
        :: atomic { mutex[p] == 0 -> mutex[p] = j + 1 }
        fi
    :: MUT == 1 || MUT == 2
    :: else -> skip
    fi;
    if
    :: MUT == 2 || MUT == 4 -> got = 1
    :: else -> d_step { got = 0; if :: !CLAIM(s_) -> CLAIM(s_) = 1; got = 1 :: else fi }
    fi;
    if
    :: got ->
        d_step {
            if
            :: BYTE(s_) && !(MUT == 3 && d != 0) -> lk[s_] = p + 1
            :: BYTE(s_) && MUT == 3 && d != 0   /* probed by a waiter, not taken */
            :: else -> got = 0
            fi
        };
        if
        :: !got && MUT != 2 && MUT != 4 -> d_step { CLAIM(s_) = 0 }
        :: !got && MUT == 4 && !nested -> mutex[p] = 0
        :: else
        fi
    :: else
    fi
}

inline GIVE(s_) {
    d_step { if :: lk[s_] == p + 1 -> lk[s_] = 0 :: else fi };
    d_step { if :: MUT != 2 && MUT != 4 -> CLAIM(s_) = 0
                :: MUT == 4 && !nested && mutex[p] == j + 1 -> mutex[p] = 0
                :: else fi }
}

/* change both words, and drop what lane id keeps */
inline CHANGE(drop) {
    LOCK(0);
    LOCK(1);
    d_step { assert(w[0] == w[1]); rd_w[id] = 1 - w[0]; rd_drop[id] = drop };
    d_step { rd_valid[id] = 1 };
    APPLY(id);
    UNLOCK(1);
    UNLOCK(0)
}

/* B1, B2 for all lanes of session slot r - 1, as those lanes; the first half is done */
inline LEAVE(s_) {
    id = (s_) * 2;
    do
    :: id < (s_) * 2 + 2 ->
        if :: MUT == 5 -> FIRST_HALF_OF(id) :: else fi;
        if :: keep[id] -> CHANGE(1) :: else fi;
        d_step { lane[id] = 0 };
        if :: MUT == 6 -> break :: else fi;
        id++
    :: else -> break
    od;
    skip;
    d_step { session[s_] = 0 }
}

/* the byte of s_ is held, and no stripe */
inline RECOVER(s_) {
    if :: MUT == 5 -> skip :: else -> FIRST_HALF(s_) fi;
    LEAVE(s_)
}

proctype Thread(byte p; byte j) {
    byte id, d, f, r, ops;
    bool got, nested;
    {
        if
        :: j == 0 ->                    /* attach */
            do
            :: at[p] == 0 ->
                if
                :: atomic { !ANY && BYTE(p) -> r = p + 1 }
                :: atomic { ANY && BYTE(0) -> r = 1 }
                :: atomic { ANY && BYTE(NS - 1) -> r = NS }
                :: else -> break        /* no slot for it */
                fi;
                TAKE(r - 1);
                if
                :: got ->
                    if :: session[r - 1] -> RECOVER(r - 1) :: else fi;
                    d_step { session[r - 1] = 1 };
                    d_step { at[p] = r;
                             if :: MUT == 1 || MUT == 4 -> CLAIM(r - 1) = 0;
                                   mutex[p] = 0 :: else fi }
                :: else
                fi;
                d_step { r = 0; got = 0; nested = 0 }
            :: at[p] != 0 -> break
            od
        :: else -> at[p] != 0 || running[p] == 1
        fi;
        if
        :: at[p] != 0 ->
            id = (at[p] - 1) * 2 + j;
            d_step { lane[id] = 1; keep[id] = 1 }
        :: else
        fi;
        do
        :: ops < MAXOPS && at[p] != 0 -> ops++;
            if
            :: (MY_OPS & 1) -> CHANGE(0)
            :: (MY_OPS & 2) -> LOCK(1); UNLOCK(1)
            :: (MY_OPS & 4) ->
                if
                :: atomic { session[0] && MAY_TRY(0) -> r = 1 }
                :: atomic { session[NS - 1] && MAY_TRY(NS - 1) -> r = NS }
                :: else -> r = 0
                fi;
                if
                :: r != 0 ->
                    TAKE(r - 1);
                    if
                    :: got && session[r - 1] -> RECOVER(r - 1); nested = 0; GIVE(r - 1)
                    :: got && !session[r - 1] -> GIVE(r - 1)
                    :: else
                    fi
                :: else
                fi;
                d_step { r = 0; got = 0; nested = 0; id = (at[p] - 1) * 2 + j }
            :: else
            fi
        :: break
        od;
        ops = MAXOPS;
        if
        :: j == 0 && (MY_OPS & 8) && at[p] != 0 -> running[p] == 1;
            /* the siblings have ended: detach */
            r = at[p];
            LEAVE(r - 1);
            d_step { lk[r - 1] = 0; CLAIM(r - 1) = 0; at[p] = 0 }
        :: skip                         /* ended or parked: alive as long as the process is */
        fi
    } unless { dead[p] };
    d_step { id = 0; d = 0; f = 0; r = 0; ops = 0; got = 0; nested = 0; running[p]-- }
}

proctype Killer() {
    byte p, s;
    do
    :: d_step { kills < MAXK && !audited -> kills++ };
       if
       :: running[0] != 0 && !dead[0] -> p = 0
       :: running[1] != 0 && !dead[1] -> p = 1
       :: NP > 2 && running[NP - 1] != 0 && !dead[NP - 1] -> p = NP - 1
       :: else -> break
       fi;
       d_step {
           if
           :: running[p] != 0 ->
               dead[p] = 1;
               do :: s < NS -> if :: lk[s] == p + 1 -> lk[s] = 0 :: else fi; s++
                  :: else -> break od
           :: else
           fi;
           p = 0; s = 0
       }
    :: break
    od
}

proctype Auditor() {
    byte p, j, id, d, f, s;
    bool got, nested;
    d_step { running[0] == 0 && running[1] == 0 && running[NP - 1] == 0 -> p = AUD };
    do
    :: s < NS ->
        if
        :: lk[s] == 0 && session[s] -> TAKE(s); RECOVER(s); nested = 0; GIVE(s)
        :: else
        fi;
        s++
    :: else -> break
    od;
    skip;
    d_step {
        assert(w[0] == w[1] && stripe[0] == 0 && stripe[1] == 0);
        id = 0;
        do
        :: id < NL ->
            assert(!rd_valid[id]);
            assert(!lane[id] || session[SES(id)]);
            assert(!keep[id] || lane[id]);
            assert(!session[SES(id)] || lk[SES(id)] != 0);
            id++
        :: else -> break
        od;
        id = 0; s = 0;
        do                              /* a living process still has its byte */
        :: s < NP -> assert(dead[s] || at[s] == 0 || lk[at[s] - 1] == s + 1); s++
        :: else -> break
        od;
        s = 0;
        audited = 1
    }
}

init {
    byte q;
    atomic {
        c_code { env("MUT", &mut_v); env("OPS", &ops_v); env("OPS0", &ops0_v);
                 env("MAXOPS", &maxops_v);
                 env("MAXK", &maxk_v); env("START", &start_v); };
        if
        :: START != 0 ->
            session[NS - 1] = 1; lane[NL - 2] = 1; lane[NL - 1] = 1; keep[NL - 1] = 1;
            stripe[1] = NL - 1
        :: else
        fi;
        if
        :: START == 1 -> stripe[0] = NL - 1; rd_valid[NL - 2] = 1; rd_w[NL - 2] = 1; w[0] = 1
        :: START == 2 -> session[1] = 1; lane[2] = 1; keep[2] = 1
        :: else
        fi;
        do
        :: q < NP -> running[q] = THREADS(q); run Thread(q, 0);
            if :: THREADS(q) > 1 -> run Thread(q, 1) :: else fi;
            q++
        :: else -> break
        od;
        run Killer(); run Auditor()
    }
}
