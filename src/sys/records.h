/* records.h - memory for roma's own rare records: topologies, providers, managers.
 *
 * It comes from the kernel in whole pages and never from malloc: a program's malloc may one day be
 * roma itself. Pages that a record never touches cost no memory, so a record may be sized for the
 * worst case. */
#ifndef ROMA_SYS_RECORDS_H
#define ROMA_SYS_RECORDS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A zeroed record, aligned to a page; NULL with errno when there is no memory. `bytes` > 0. */
void *roma__record_new(size_t bytes);

/* Give it back; `bytes` as at its making. NULL is fine. Keeps errno. */
void roma__record_free(void *record, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
