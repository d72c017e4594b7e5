/* named.c - see named.h. */
#include "numa/arena/named.h"

#include <string.h>

/* The number of a node behind "node", at most four digits without needless zeroes; -1: none. */
static int node_in(const char *name)
{
    static const char before[] = "node";
    enum { BEFORE = sizeof before - 1, DIGITS_MAX = 4 };
    if (strncmp(name, before, BEFORE) != 0)
        return -1;
    const char *digits = name + BEFORE;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > DIGITS_MAX || digits[count] != '\0' ||
        (digits[0] == '0' && count > 1))
        return -1;
    int node = 0;
    for (; *digits != '\0'; digits++)
        node = 10 * node + (*digits - '0');
    return node;
}

roma_provider *roma__provider_named(const char *name)
{
    if (strcmp(name, "anonymous") == 0)
        return roma_provider_anonymous();
    int node = node_in(name);
    return node < 0 ? NULL : roma_provider_node((unsigned)node);
}
