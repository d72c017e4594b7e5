/* debug.h - fill patterns and guard bytes. */
#ifndef ROMA_MANAGER_DEBUG_H
#define ROMA_MANAGER_DEBUG_H

#include <stddef.h>

enum {
    ROMA__PATTERN_NEW = 0xA5,   /* a block nobody has written to    */
    ROMA__PATTERN_FREED = 0x5A, /* a block that is free             */
    ROMA__PATTERN_GUARD = 0xFD  /* the bytes behind a block         */
};

void roma__pattern_fill(void *address, size_t bytes, int pattern);

/* Index of the first byte that is not the pattern's; `bytes` when all are. */
size_t roma__pattern_check(const void *address, size_t bytes, int pattern);

#endif
