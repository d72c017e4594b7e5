/* roma/libnuma.h - for programs that use libnuma too: node sets to and from its bitmasks.
 *
 * Optional: roma.h does not include it, and it needs <numa.h> to be installed (libnuma's
 * development files). All is inline and touches only the fields of struct bitmask, so neither roma
 * nor, for this header, the program is linked with libnuma. Pure, any thread, safe in signal
 * handlers.
 * Since: 0.1 */
#ifndef ROMA_LIBNUMA_H
#define ROMA_LIBNUMA_H

#include <roma/nodes.h>

#include <errno.h>
#include <numa.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The nodes of a bitmask, as numa_parse_nodestring() or numa_get_mems_allowed() give it; numbers
 *  beyond roma's last possible node are left out. NULL gives the empty set. */
static inline roma_nodes roma_nodes_from_bitmask(const struct bitmask *mask)
{
    roma_nodes set = roma_nodes_none();
    unsigned long word_bits = 8 * sizeof(unsigned long);
    if (mask == NULL)
        return set;
    for (unsigned long node = 0; node < mask->size && node < ROMA_NODES_MAX; node++)
        if ((mask->maskp[node / word_bits] >> node % word_bits & 1) != 0)
            roma_nodes_add(&set, (unsigned)node);
    return set;
}

/** Make a bitmask, as numa_allocate_nodemask() gives it, hold exactly the nodes of a set.
 *
 *  Returns 0, or -ERANGE when a node is beyond the mask's size, -EINVAL for NULL; the mask is then
 *  untouched. */
static inline int roma_nodes_to_bitmask(const roma_nodes *set, struct bitmask *mask)
{
    unsigned long word_bits = 8 * sizeof(unsigned long);
    if (set == NULL || mask == NULL)
        return -EINVAL;
    if (mask->size < ROMA_NODES_MAX && roma_nodes_next(set, (unsigned)mask->size) >= 0)
        return -ERANGE;
    for (unsigned long at = 0; at < (mask->size + word_bits - 1) / word_bits; at++)
        mask->maskp[at] = 0;
    for (int node = roma_nodes_next(set, 0); node >= 0;
         node = roma_nodes_next(set, (unsigned)node + 1))
        mask->maskp[(unsigned long)node / word_bits] |= 1UL << (unsigned long)node % word_bits;
    return 0;
}

#ifdef __cplusplus
}
#endif
#endif
