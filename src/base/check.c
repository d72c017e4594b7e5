/* check.c - the end of the road for roma's own bugs. */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void roma__check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "roma: internal check failed: %s (%s:%d); please report this\n", condition,
            file, line);
    abort();
}
