/* claim.h - using another thread's cache while that thread is away.
 *
 * The fast paths of a cache are plain loads and stores of its own thread. Who wants to empty the
 * cache of an idle thread (trim, a background thread, a sender whose batches pile up) must know
 * that the thread is not on a fast path, and that it will not begin one.
 *
 *   owner, fast path                        claimer, holding the cache's lock
 *   1  busy = 1                             a  magazines = closed ones
 *   2  m = magazines                        b  membarrier()
 *   3  ... use m ...                        c  busy == 0 ?  yes: the cache is the claimer's
 *   4  busy = 0  (release)                                  no: wait, or put back and go away
 *                                           d  ... use the real magazines ...
 *                                           e  magazines = real ones; unlock
 *
 * Why it holds. It is Dekker's pattern: each side writes its flag and then reads the other's. On
 * the owner's side only the compiler is kept from swapping 1 and 2; the processor may. The system
 * call b makes every running thread of the process pass a full barrier, at some instant between its
 * begin and end; threads that do not run have passed one when they were taken off. Take the owner's
 * barrier. If 1 came before it in program order, the claimer sees busy == 1 at c, unless 4 has come
 * too. If 1 came after it, so does 2, which then sees the closed magazines, written before b. So
 * when c reads 0 the owner either is done, and 4, a release that c acquires, shows all it did; or it
 * will find closed magazines: every one is empty and full, so the inline functions go the slow way,
 * where the owner waits for the lock. What the claimer did is shown to it by that lock.
 *
 * The stores of e need no barrier: an owner that still sees the closed magazines only goes the slow
 * way once more.
 *
 * Costs the owner two stores a fast path and no branch. Needs membarrier's PRIVATE_EXPEDITED (Linux
 * 4.14): where it is refused, as some filters for containers do, no cache is claimed, and what idle
 * threads hold stays with them. Under ThreadSanitizer, which does not know the system call, 1, 2, a
 * and c are sequentially consistent instead.
 *
 * The four steps of the owner and the five of a claimer are run in every order in
 * tests/concurrent/claim_interleaved.c. */
#ifndef ROMA_HEAP_CLAIM_H
#define ROMA_HEAP_CLAIM_H

#include <stdbool.h>

struct roma__cache;

/* Claim a cache whose lock the caller holds. Returns whether it is the caller's now; a cache of no
 * living thread always is. */
bool roma__claim(struct roma__cache *cache);

/* Give it back to its thread; still under the lock. */
void roma__claim_end(struct roma__cache *cache);

#endif
