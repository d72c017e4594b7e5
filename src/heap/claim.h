/* claim.h - using another thread's cache while that thread is away.
 *
 * The fast paths of a cache are plain loads and stores of its own thread, and nothing but the block
 * itself is written for the sake of others. Who wants to empty the cache of a thread that may be
 * idle (a trim, a background thread, a sender whose batches pile up) must know what that thread has
 * taken out and put in, although it may be in the middle of either.
 *
 *   owner, fast path                         claimer, holding the cache's lock
 *   1  read top; take the cell below it,     a  closed = 1
 *      or write one above it                 b  membarrier()
 *   2  top = one less, or one more           c  seen = top, for every magazine
 *   3  closed ?  no: done                    d  what is below `seen` is the claimer's
 *                yes: lock, and settle:      e  unlock; closed stays 1
 *      was it in time? closed = 0
 *
 * 2 is the commit of a fast path. The claimer owns what it saw at c, from then on and for good; the
 * owner keeps what is above. So of a store that the claimer saw, and of one above what it saw, the
 * owner's answer is *yes*; only a cell that was below `seen` and that the owner took out without
 * being seen (its top is less than `seen`) went to the claimer, and the owner goes without it. A
 * put always holds: its cell was seen, or is above and stays. To settle is to move what is above
 * `seen` down to the bottom, and to open the cache.
 *
 * Why it holds. It is Dekker's pattern: each side writes and then reads what the other writes. On
 * the owner's side only the compiler is kept from swapping 2 and 3; the processor may. The system
 * call b makes every running thread of the process pass a full barrier, at some instant between its
 * begin and end; threads that do not run passed one when they were taken off. Take the owner's
 * barrier. A fast path whose 3 came before it, in program order, has its 2 before it, too: so c
 * sees it, and what the owner believes is what the claimer saw. One whose 3 comes after it reads 1,
 * for a was before b, and settles: under the lock it compares its own top with what was seen, so
 * that both sides agree whatever c saw. There is at most one such fast path, since the next one
 * finds the cache opened by settling, and the claimer done.
 *
 * `closed` is taken back by the owner alone, at its next fast or slow path. Until then others may
 * claim the cache again, for nothing: all that they could take is taken. They put nothing into the
 * magazines, where a late store of the owner may still go; what comes in goes home to the slabs.
 * The batches that the owner has open (remote.h) are seen in the same way, and copied: a late store
 * may go into the one that the owner has, which stays its own.
 *
 * A claimer applies the releases in the inbox as the owner would. Where the owner releases the same
 * life at that very moment, which is a second last release, both may believe to have ended it; that
 * is found when the cell comes home, as in a heap without words.
 *
 * 2 is a release, which c acquires: the claimer sees the cell's address where it sees the top.
 *
 * Costs the owner a load and a branch, and no store. Needs membarrier's PRIVATE_EXPEDITED (Linux
 * 4.14): where it is refused, as some filters for containers do, no cache is claimed, and what idle
 * threads hold stays with them. Under ThreadSanitizer, which does not know the system call, 2, 3, a
 * and c are sequentially consistent instead.
 *
 * The owner's and a claimer's steps are run in every order, with every delay that a store buffer
 * allows, as a model in tests/concurrent/claim.cpp. */
#ifndef ROMA_HEAP_CLAIM_H
#define ROMA_HEAP_CLAIM_H

#include <stdbool.h>

struct roma__cache;

/* Claim a cache whose lock the caller holds: its magazines are empty then, what was in them is at
 * home or on its way. Returns whether it is the caller's, until it unlocks; a cache of no living
 * thread always is. */
bool roma__claim(struct roma__cache *cache);

/* Open a cache that was claimed: by its own thread, or where that cannot run. Under the lock. */
void roma__claim_settle(struct roma__cache *cache);

/* Lock the calling thread's own cache, and open it. */
void roma__cache_lock_own(struct roma__cache *cache);

#endif
