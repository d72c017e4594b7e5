/* consumer.c - a C11 program as a user writes one, built against the installed library alone. */
#include <roma.h>

#include <stdio.h>

static int fail(const char *what)
{
    fprintf(stderr, "consumer: %s\n", what);
    return 1;
}

int main(void)
{
    enum { COUNT = 1000 };
    double *items = roma_alloc(roma_default(), COUNT * sizeof *items);
    if (items == NULL)
        return fail("roma_alloc");
    for (int i = 0; i < COUNT; i++)
        items[i] = i;
    if (roma_retain(items) != 2 || roma_release(items) != 1 || items[COUNT - 1] != COUNT - 1)
        return fail("retain and release");
    if (roma_bytes(items) != COUNT * sizeof *items || roma_usable(items) < roma_bytes(items))
        return fail("roma_bytes");
    printf("%zu bytes asked, %zu usable, ", roma_bytes(items), roma_usable(items));
    if (roma_release(items) != 0)
        return fail("the last release");

    roma_request want = roma_request_default();
    want.bytes = 100000;
    want.label = "consumer";
    want.pages = roma_pages_then(ROMA_PAGES_HUGETLB, ROMA_PAGES_BASE);
    roma_grant got;
    void *block = roma_alloc_with(roma_default(), &want, &got);
    if (block == NULL) {
        roma_grant_print(stderr, &got);
        return fail("roma_alloc_with");
    }
    char kind[64];
    printf("%zu bytes on %s pages\n", got.bytes, roma_page_kind_text(got.pages, kind, sizeof kind));
    if (got.code != 0 || got.bytes < want.bytes)
        return fail("the grant");
    roma_free(block);
    return 0;
}
