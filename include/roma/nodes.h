/* roma/nodes.h - sets of NUMA nodes.
 *
 * A value of 128 bytes: one bit for each node that a Linux kernel can have (at most 1024). Node
 * numbers may be sparse. The empty set means "no wish" where a set is a wish. All functions are
 * pure, safe in signal handlers and free of system calls; numbers beyond the last possible node
 * are in no set. */
#ifndef ROMA_NODES_H
#define ROMA_NODES_H

#include <roma/common.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ROMA_NODES_MAX = 1024 };

typedef struct roma_nodes {
    uint64_t words[ROMA_NODES_MAX / 64];
} roma_nodes;

static inline roma_nodes roma_nodes_none(void)
{
    roma_nodes set;
    for (unsigned i = 0; i < ROMA_NODES_MAX / 64; i++)
        set.words[i] = 0;
    return set;
}

static inline void roma_nodes_add(roma_nodes *set, unsigned node)
{
    if (node < ROMA_NODES_MAX)
        set->words[node / 64] |= (uint64_t)1 << node % 64;
}

static inline void roma_nodes_remove(roma_nodes *set, unsigned node)
{
    if (node < ROMA_NODES_MAX)
        set->words[node / 64] &= ~((uint64_t)1 << node % 64);
}

static inline roma_nodes roma_nodes_one(unsigned node)
{
    roma_nodes set = roma_nodes_none();
    roma_nodes_add(&set, node);
    return set;
}

static inline bool roma_nodes_has(const roma_nodes *set, unsigned node)
{
    return node < ROMA_NODES_MAX && (set->words[node / 64] >> node % 64 & 1) != 0;
}

/** The lowest node of the set that is not below `from`; -1 when there is none. */
static inline int roma_nodes_next(const roma_nodes *set, unsigned from)
{
    for (unsigned node = from; node < ROMA_NODES_MAX; node++) {
        if (node % 64 == 0 && set->words[node / 64] == 0)
            node += 63;
        else if (roma_nodes_has(set, node))
            return (int)node;
    }
    return -1;
}

static inline unsigned roma_nodes_count(const roma_nodes *set)
{
    unsigned count = 0;
    for (unsigned i = 0; i < ROMA_NODES_MAX / 64; i++)
        count += (unsigned)__builtin_popcountll(set->words[i]);
    return count;
}

static inline bool roma_nodes_is_empty(const roma_nodes *set)
{
    return roma_nodes_count(set) == 0;
}

static inline bool roma_nodes_equal(const roma_nodes *a, const roma_nodes *b)
{
    for (unsigned i = 0; i < ROMA_NODES_MAX / 64; i++)
        if (a->words[i] != b->words[i])
            return false;
    return true;
}

/** The nodes that are in both sets. */
static inline roma_nodes roma_nodes_both(const roma_nodes *a, const roma_nodes *b)
{
    roma_nodes set;
    for (unsigned i = 0; i < ROMA_NODES_MAX / 64; i++)
        set.words[i] = a->words[i] & b->words[i];
    return set;
}

/** The nodes that are in either set. */
static inline roma_nodes roma_nodes_either(const roma_nodes *a, const roma_nodes *b)
{
    roma_nodes set;
    for (unsigned i = 0; i < ROMA_NODES_MAX / 64; i++)
        set.words[i] = a->words[i] | b->words[i];
    return set;
}

/** The nodes of `a` that are not in `b`. */
static inline roma_nodes roma_nodes_without(const roma_nodes *a, const roma_nodes *b)
{
    roma_nodes set;
    for (unsigned i = 0; i < ROMA_NODES_MAX / 64; i++)
        set.words[i] = a->words[i] & ~b->words[i];
    return set;
}

/** Write a set as the kernel does: "0-3,8"; the empty set is "".
 *
 *  Returns `text`, always terminated when bytes > 0; cut when it does not fit.  Since: 0.1 */
ROMA_API char *roma_nodes_text(const roma_nodes *set, char *text, size_t bytes);

/** Read a set in the kernel's form ("0-3,8"), also empty.
 *
 *  Returns 0, or -EINVAL (not a list) or -ERANGE (a number beyond the last possible node); *set is
 *  then untouched.  Since: 0.1 */
ROMA_API int roma_nodes_parse(const char *text, roma_nodes *set);

#ifdef __cplusplus
}
#endif
#endif
