/* points.h - the named places at which a crash test may kill.
 *
 * In the library a point is nothing. A test compiles the sources of this folder once more with
 * ROMA__STORE_POINT defined before them (as a call of its own with the point's name), so what it
 * kills is the code that is shipped, and that code pays nothing. Every step of the protocol has one
 * before it: a name says which operation and what has just been done. A point that no test reaches
 * fails the test. */
#ifndef ROMA_STORE_POINTS_H
#define ROMA_STORE_POINTS_H

#ifndef ROMA__STORE_POINT
#define ROMA__STORE_POINT(name) ((void)0)
#endif

/* The end of a step: what was stored before comes before what is stored after, in the program's
 * order. That is all that a kill needs; what other processes need is said at the stores. */
#define roma__step(name)                                                                           \
    do {                                                                                           \
        __atomic_signal_fence(__ATOMIC_SEQ_CST);                                                   \
        ROMA__STORE_POINT(name);                                                                   \
        __atomic_signal_fence(__ATOMIC_SEQ_CST);                                                   \
    } while (0)

#endif
