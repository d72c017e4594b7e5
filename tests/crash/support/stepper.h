/* stepper.h - runs a function one instruction at a time, and tells when an instruction has changed
 * the store's file.
 *
 * The processor's trap flag gives a signal after each instruction. The store's mapping is kept
 * read-only: an instruction that writes to it faults once, its page is opened for that one
 * instruction, compared with a copy from before, and closed again. So every change of the file is
 * seen right after the instruction that made it, and between two changes the file is the same
 * whichever instruction a kill hits. System calls that change the file count as one change.
 *
 * Only on x86-64, and not under sanitizers (they write the shadow of what they look at, and handle
 * SIGSEGV themselves). */
#ifndef ROMA_TESTS_CRASH_STEPPER_H
#define ROMA_TESTS_CRASH_STEPPER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct stepper_stop {
    uint64_t instructions; /* so far */
    uintptr_t at;          /* the next one */
} stepper_stop;

/* NULL, or why it cannot work here. */
const char *stepper_why_not(void);

/* Put the table of system calls in place, before the store is attached. `on_change` is called in a
 * signal handler. `on_held` (may be NULL): a session's byte was asked for and is held. */
void stepper_install(int fd, void (*on_change)(const stepper_stop *stop),
                     void (*on_held)(int64_t byte));

/* Let instructions go by that do not write to the store: nothing is counted but the faults. The
 * same changes are seen, in a hundredth of the time. */
extern bool stepper_only_stores;

/* Call `on_change` after every instruction, whether it changed the file or not. */
extern bool stepper_is_thorough;

/* Run it step by step. Returns what it returned; *instructions is how many there were. */
int stepper_run(int (*run)(void *context), void *context, uint64_t *instructions);

#endif
