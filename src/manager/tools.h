/* tools.h - telling AddressSanitizer and Valgrind's memcheck what roma's blocks are.
 *
 * Protocol. A block's bytes [0, length) are open; the rest of its cell, at least a redzone behind
 * it, and all of a freed cell are shut: any access there is reported by the tool. roma opens what
 * it is about to look at itself and shuts it again. What goes back to a provider is open, whoever
 * uses those addresses next. Memory that never was part of a block is left as it came. */
#ifndef ROMA_MANAGER_TOOLS_H
#define ROMA_MANAGER_TOOLS_H

#include <stdbool.h>
#include <stddef.h>

enum { ROMA__REDZONE_BYTES = 16 };

/* Does this process run under one of them? Valgrind's other tools are none. The same answer always.
 * When it is no, the others do nothing. */
bool roma__tools_present(void);

/* A cell of `usable` bytes becomes a block of `bytes`; is_zeroed: its contents are defined. */
void roma__tools_begin(const void *address, size_t bytes, size_t usable, bool is_zeroed);
/* The block ends; the whole cell is shut. */
void roma__tools_end(const void *address, size_t usable);
/* The block has another length, its cell perhaps, too; is_zeroed: what is new is defined. */
void roma__tools_resize(const void *address, size_t before, size_t bytes, size_t usable,
                        bool is_zeroed);

/* roma looks at shut bytes; and is done. */
void roma__tools_open(const void *address, size_t bytes);
void roma__tools_shut(const void *address, size_t bytes);

#endif
