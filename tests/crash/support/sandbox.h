/* sandbox.h - a store opened on a private copy of a live file, with the world as it would be after
 * the deaths of chosen sessions.
 *
 * The table of system calls is replaced. A shared mapping of the store's file becomes a private
 * one, so the copy costs only the pages that are written, and is dropped with the mapping; reads
 * and writes of the file go to that mapping; the file is not grown, cut or punched; and byte locks
 * are kept in a list: a session has its byte if the rules say that it lives, or if it was taken
 * inside. What runs inside is the shipped library from attach to close, and the file outside stays
 * as it is. One store at a time. */
#ifndef ROMA_TESTS_CRASH_SANDBOX_H
#define ROMA_TESTS_CRASH_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

/* Bit i: session i lives. May be changed inside. */
extern uint64_t sandbox_alive;

/* `fd` is the store's file. */
void sandbox_enter(int fd, uint64_t alive);
void sandbox_leave(void);

/* Called each time a byte that is held is asked for; it may change sandbox_alive. NULL: nothing. */
extern void (*sandbox_on_held)(uint32_t session);

#endif
