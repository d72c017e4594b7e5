/* executor.h - parts of files that providers and the façade have mapped: advised, through an engine
 * or without one. */
#ifndef ROMA_PREFETCH_EXECUTOR_H
#define ROMA_PREFETCH_EXECUTOR_H

#include <roma/prefetch.h>
#include <roma/provider.h>

/* Tell the kernel of a mapped part that it will be needed (an engine reads it, behind the caller's
 * back; without one the kernel reads what it likes), is cold, or is to be paged out. Returns 0 or
 * -errno with *error; -EOPNOTSUPP for any other advice. */
int roma__part_advise(roma_prefetch_engine *engine, const roma_file_part *part, roma_advice advice,
                      roma_error *error);

/* Read a long part of a file before it is populated, and wait for it; short ones are left to who
 * populates them. Returns 0 or -errno with *error. */
int roma__part_read(roma_prefetch_engine *engine, const roma_file_part *part, roma_error *error);

#endif
