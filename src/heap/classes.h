/* classes.h - size classes and the geometry of their slabs. Pure arithmetic.
 *
 * Classes are 16 bytes apart up to 128 and then four to each doubling up to 256 KiB, so that at
 * most a fifth of a cell is unused. A class's size is divisible by every power of two that divides
 * a length which rounds up to it: cells in slabs that start on a granule are therefore aligned to
 * whatever power of two (up to 64 KiB) the asked length was a multiple of. */
#ifndef ROMA_HEAP_CLASSES_H
#define ROMA_HEAP_CLASSES_H

#include <roma/cache.h> /* the number of classes, and the class of a length */

/* Size of the class's cells. */
uint32_t roma__class_bytes(unsigned class_index);

/* How many granules a slab of the class has, 1 to 32: few enough to waste little on a class used
 * once, enough that the tail that fits no cell is at most a sixteenth and the descriptor is shared
 * by at least 16 cells where 2 MiB allow it (64 for cells of up to 4 KiB). */
uint32_t roma__class_granules(unsigned class_index);

#endif
