/* hugepool.c - hugetlb page pools out of /sys/kernel/mm/hugepages and, for one node's part, out of
 * /sys/devices/system/node/nodeN/hugepages. One folder a page size, one file a figure. */
#include "sys/hugepool.h"

#include "base/bits.h"
#include "sys/read.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- which sizes there are ------------------------------------------------------------------ */

typedef struct size_list {
    size_t *sizes;
    int count, max;
} size_list;

/* Bytes of "hugepages-2048kB"; 0 for any other name, and for sizes that no page can have. */
static size_t bytes_of_name(const char *name)
{
    unsigned long long kib;
    int end = 0;
    if (sscanf(name, "hugepages-%20llukB%n", &kib, &end) != 1 || end == 0 || name[end] != '\0')
        return 0;
    size_t bytes;
    if (roma__mul_overflows((size_t)kib, 1024, &bytes) || !roma__is_power_of_two(bytes))
        return 0;
    return bytes;
}

/* Keeps the largest, from large to small. */
static int add_size(void *context, const char *name)
{
    size_list *list = context;
    size_t bytes = bytes_of_name(name);
    int at = list->count;
    while (at > 0 && list->sizes[at - 1] < bytes)
        at--;
    if (bytes == 0 || at == list->max)
        return 0;
    int moved = (list->count < list->max ? list->count : list->max - 1) - at;
    memmove(list->sizes + at + 1, list->sizes + at, (size_t)moved * sizeof *list->sizes);
    list->sizes[at] = bytes;
    list->count = at + moved + 1;
    return 0;
}

int roma__hugepage_folders(const char *root, const char *folder, size_t *sizes, int max)
{
    size_list list = {sizes, 0, max};
    int code = roma__folder_each(root, folder, add_size, &list);
    return code == 0 || code == -ENOENT ? list.count : code;
}

int roma__hugepool_sizes(const char *root, size_t sizes[ROMA__HUGEPOOLS_MAX])
{
    return roma__hugepage_folders(root, "/sys/kernel/mm/hugepages", sizes, ROMA__HUGEPOOLS_MAX);
}

/* ---- one pool ------------------------------------------------------------------------------- */

static int read_figure(const char *root, int node, size_t page_bytes, const char *figure,
                       uint64_t *value)
{
    size_t kib = page_bytes / 1024;
    if (node < 0)
        return roma__read_number(root, value, "/sys/kernel/mm/hugepages/hugepages-%zukB/%s", kib,
                                 figure);
    return roma__read_number(root, value,
                             "/sys/devices/system/node/node%d/hugepages/hugepages-%zukB/%s", node,
                             kib, figure);
}

int roma__hugepool_read(const char *root, size_t page_bytes, int node, roma__hugepool *pool)
{
    roma__hugepool read = {.page_bytes = page_bytes};
    int code = read_figure(root, node, page_bytes, "nr_hugepages", &read.total);
    if (code == 0)
        code = read_figure(root, node, page_bytes, "free_hugepages", &read.free);
    if (code == 0)
        code = read_figure(root, node, page_bytes, "surplus_hugepages", &read.surplus);
    if (code == 0 && node < 0)
        code = read_figure(root, node, page_bytes, "resv_hugepages", &read.reserved);
    if (code == 0 && node < 0)
        code = read_figure(root, node, page_bytes, "nr_overcommit_hugepages", &read.overcommit);
    if (code == 0)
        *pool = read;
    return code;
}
