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

#endif
