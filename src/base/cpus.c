/* cpus.c - see cpus.h. */
#include "base/cpus.h"

#include "base/list.h"

int roma__cpus_add(roma__cpus *set, const char *list)
{
    unsigned first, last;
    int more;
    while ((more = roma__list_next(&list, ROMA__CPUS_MAX, &first, &last)) > 0)
        for (unsigned cpu = first; cpu <= last && cpu < ROMA__CPUS_MAX; cpu++)
            set->words[cpu / ROMA__CPUS_WORD_BITS] |= 1ul << cpu % ROMA__CPUS_WORD_BITS;
    return more;
}

bool roma__cpus_is_empty(const roma__cpus *set)
{
    for (size_t i = 0; i < sizeof set->words / sizeof set->words[0]; i++)
        if (set->words[i] != 0)
            return false;
    return true;
}
