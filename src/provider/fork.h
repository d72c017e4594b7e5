/* fork.h - what providers need to know of fork(). */
#ifndef ROMA_PROVIDER_FORK_H
#define ROMA_PROVIDER_FORK_H

/* How many forks lie between the first process and this one: an extent that is not inherited is
 * there only in the generation that acquired it. */
unsigned roma__fork_generation(void);

/* One lock for the records of all regions; held over fork, so that a child finds them whole. */
void roma__regions_lock(void);
void roma__regions_unlock(void);

#endif
