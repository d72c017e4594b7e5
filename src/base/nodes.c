/* nodes.c - node sets as text, in the kernel's list form: "0-3,8". */
#include <roma/nodes.h>

#include "base/text.h"

#include <errno.h>

char *roma_nodes_text(const roma_nodes *set, char *text, size_t bytes)
{
    roma__text out = roma__text_in(text, bytes);
    int first = roma_nodes_next(set, 0);
    while (first >= 0) {
        unsigned last = (unsigned)first;
        while (roma_nodes_has(set, last + 1))
            last++;
        if (out.used > 0)
            roma__text_put(&out, ",");
        roma__text_put_number(&out, (unsigned)first);
        if (last > (unsigned)first) {
            roma__text_put(&out, "-");
            roma__text_put_number(&out, last);
        }
        first = roma_nodes_next(set, last + 1);
    }
    return text;
}

/* One node number; numbers too large are read to their end as ROMA_NODES_MAX. */
static bool parse_node(const char **at, unsigned *node)
{
    const char *digit = *at;
    unsigned value = 0;
    while (*digit >= '0' && *digit <= '9') {
        value = value * 10 + (unsigned)(*digit++ - '0');
        if (value > ROMA_NODES_MAX)
            value = ROMA_NODES_MAX;
    }
    bool any = digit != *at;
    *at = digit;
    *node = value;
    return any;
}

int roma_nodes_parse(const char *text, roma_nodes *set)
{
    if (text == NULL || set == NULL)
        return -EINVAL;
    roma_nodes result = roma_nodes_none();
    bool beyond = false;
    while (*text != '\0') {
        unsigned first, last;
        if (!parse_node(&text, &first))
            return -EINVAL;
        last = first;
        if (*text == '-') {
            text++;
            if (!parse_node(&text, &last) || last < first)
                return -EINVAL;
        }
        beyond = beyond || last >= ROMA_NODES_MAX;
        for (unsigned node = first; node <= last; node++)
            roma_nodes_add(&result, node); /* which leaves out ROMA_NODES_MAX */
        if (*text == ',' && text[1] != '\0')
            text++;
        else if (*text != '\0')
            return -EINVAL;
    }
    if (beyond)
        return -ERANGE; /* only now: text that is no list is EINVAL however large its numbers */
    *set = result;
    return 0;
}
