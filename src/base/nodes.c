/* nodes.c - node sets as text, in the kernel's list form: "0-3,8". */
#include <roma/nodes.h>

#include "base/list.h"
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

int roma_nodes_parse(const char *text, roma_nodes *set)
{
    if (text == NULL || set == NULL)
        return -EINVAL;
    roma_nodes result = roma_nodes_none();
    bool beyond = false;
    unsigned first, last;
    int more;
    while ((more = roma__list_next(&text, ROMA_NODES_MAX, &first, &last)) > 0) {
        beyond = beyond || last >= ROMA_NODES_MAX;
        for (unsigned node = first; node <= last; node++)
            roma_nodes_add(&result, node); /* which leaves out ROMA_NODES_MAX */
    }
    if (more < 0)
        return more;
    if (beyond)
        return -ERANGE; /* only now: text that is no list is EINVAL however large its numbers */
    *set = result;
    return 0;
}
