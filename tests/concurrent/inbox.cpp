/* inbox.cpp - cells on their way between threads, under every interleaving of senders that push
 * batches and a receiver that takes them.
 *
 * A batch that the receiver is done with is spare, and the next sender's: so a sender that has read
 * the inbox's head may find the same batch there again, with other cells in it (ABA). */
#include "interleave.hpp"
#include "scenes_interleaved.h"

TEST_CASE("what is pushed onto an inbox arrives once, and its batches are used again, in every "
          "interleaving",
          "[inbox]")
{
    NEEDS_COROUTINES();
    CHECK(runs_of(inbox_run(2, 1, 1)) > 100);
    CHECK(runs_of(inbox_run(2, 2, 1)) > 1000);
    CHECK(runs_of(inbox_run(2, 2, 2)) > 1000);
    CHECK(runs_of(inbox_run(3, 1, 2)) > 1000);
}

TEST_CASE("an inbox whose head is not swapped at once is found to lose cells", "[inbox]")
{
    NEEDS_COROUTINES();
    check_is_noticed(torn("interleaved_inbox_take"), [] { return inbox_run(2, 2, 2); });
    check_is_noticed(torn("push"), [] { return inbox_run(2, 1, 1); });
}
