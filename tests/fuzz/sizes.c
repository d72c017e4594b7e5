/* sizes.c - fuzzes the readers of text that people write: sizes, page kinds, node lists.
 *
 * Beside crashes it looks for broken promises: a refused text leaves the result alone; an accepted
 * node list prints as one that reads back as the same set; an accepted list of kinds has only kinds
 * that print as such. */
#include <roma/nodes.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void expect(bool condition)
{
    if (!condition)
        abort();
}

static void try_size(const char *text)
{
    uint64_t size = 77;
    char printed[32];
    int code = roma_size_parse(text, &size);
    expect(code == 0 || code == -EINVAL || code == -ERANGE);
    expect(code == 0 || size == 77);
    expect(strlen(roma_size_text(size, printed, sizeof printed)) < sizeof printed - 1);
}

static void try_pages(const char *text)
{
    roma_pages pages = 77;
    char printed[48];
    int code = roma_pages_parse(text, &pages);
    expect(code == 0 || (code == -EINVAL && pages == 77));
    for (unsigned i = 0; code == 0 && i < roma_pages_count(pages); i++) {
        roma_page_kind kind = roma_pages_at(pages, i);
        expect(roma_page_class(kind) != 0);
        expect(strcmp(roma_page_kind_text(kind, printed, sizeof printed), "no kind") != 0);
    }
    expect(code != 0 || roma_pages_count(pages) > 0);
}

static void try_nodes(const char *text)
{
    static char printed[8192];
    roma_nodes set = roma_nodes_one(1000), again;
    int code = roma_nodes_parse(text, &set);
    if (code != 0) {
        roma_nodes before = roma_nodes_one(1000);
        expect((code == -EINVAL || code == -ERANGE) && roma_nodes_equal(&set, &before));
        return;
    }
    (void)roma_nodes_text(&set, printed, sizeof printed);
    expect(roma_nodes_parse(printed, &again) == 0 && roma_nodes_equal(&set, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    if (text == NULL)
        return 0;
    if (bytes > 0)
        memcpy(text, data, bytes);
    text[bytes] = '\0';
    try_size(text);
    try_pages(text);
    try_nodes(text);
    free(text);
    return 0;
}
