/* birth.h - when a file's inode was made (statx(), Linux 4.11): what tells a file from a later one
 * that got its inode number. */
#ifndef ROMA_SYS_BIRTH_H
#define ROMA_SYS_BIRTH_H

#include <stdint.h>

/* Since 1970, in ns; 0: it is not known. */
uint64_t roma__birth_ns(int fd);

#endif
