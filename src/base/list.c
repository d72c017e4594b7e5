/* list.c - see list.h. */
#include "base/list.h"

#include <errno.h>
#include <stdbool.h>

/* Numbers too large are read to their end. */
static bool read_number(const char **at, unsigned most, unsigned *number)
{
    const char *digit = *at;
    unsigned value = 0;
    while (*digit >= '0' && *digit <= '9') {
        const unsigned more = (unsigned)(*digit++ - '0');
        value = value > (most - more) / 10 ? most : value * 10 + more;
    }
    bool any = digit != *at;
    *at = digit;
    *number = value;
    return any;
}

int roma__list_next(const char **at, unsigned most, unsigned *first, unsigned *last)
{
    if (**at == '\0')
        return 0;
    if (!read_number(at, most, first))
        return -EINVAL;
    *last = *first;
    if (**at == '-') {
        (*at)++;
        if (!read_number(at, most, last) || *last < *first)
            return -EINVAL;
    }
    if (**at == ',' && (*at)[1] != '\0')
        (*at)++;
    else if (**at != '\0')
        return -EINVAL;
    return 1;
}
