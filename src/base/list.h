/* list.h - the kernel's lists of numbers, as of nodes and CPUs: "0-3,8". */
#ifndef ROMA_BASE_LIST_H
#define ROMA_BASE_LIST_H

#ifdef __cplusplus
extern "C" {
#endif

/* Read the next range of a list at *at, which moves on. Numbers above `most` (9 at least) are read
 * as `most`. Returns 1 with *first and *last, 0 at the text's end, -EINVAL where it is no list. */
int roma__list_next(const char **at, unsigned most, unsigned *first, unsigned *last);

#ifdef __cplusplus
}
#endif
#endif
