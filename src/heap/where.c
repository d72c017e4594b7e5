/* where.c - where the pages of a whole heap are: what its providers say of each extent, summed. */
#include "heap/internal.h"

#include <string.h>

static void add_kind(roma_report *sum, roma_page_kind pages, size_t bytes)
{
    unsigned i = 0;
    while (i < sum->kinds_count && sum->kinds[i].pages != pages)
        i++;
    if (i == ROMA_REPORT_KINDS)
        return;
    if (i == sum->kinds_count) {
        sum->kinds[i].pages = pages;
        sum->kinds_count++;
    }
    sum->kinds[i].bytes += bytes;
}

static void add_node(roma_report *sum, int node, size_t bytes)
{
    unsigned i = 0;
    while (i < sum->nodes_count && sum->nodes[i].node != node)
        i++;
    if (i == ROMA_REPORT_NODES)
        return;
    if (i == sum->nodes_count) {
        sum->nodes[i].node = node;
        sum->nodes_count++;
    }
    sum->nodes[i].bytes += bytes;
}

void roma__report_add(roma_report *sum, const roma_report *part)
{
    sum->bytes += part->bytes;
    sum->resident_bytes += part->resident_bytes;
    sum->kinds_known = sum->kinds_known && part->kinds_known;
    sum->nodes_known = sum->nodes_known && part->nodes_known;
    for (unsigned i = 0; i < part->kinds_count; i++)
        add_kind(sum, part->kinds[i].pages, part->kinds[i].bytes);
    for (unsigned i = 0; i < part->nodes_count; i++)
        add_node(sum, part->nodes[i].node, part->nodes[i].bytes);
}

static int add_list(const struct roma__extents *extents, const struct roma__extent_record *record,
                    roma_report *sum, roma_error *error)
{
    int code = 0;
    for (; record != NULL && code == 0; record = record->next) {
        roma_report part;
        roma_range range = {&record->extent, 0, record->extent.bytes};
        code = roma_provider_query(roma__extents_provider(extents, record), &range, &part, error);
        if (code == 0)
            roma__report_add(sum, &part);
    }
    return code;
}

int roma__heap_where(roma__heap *heap, roma_report *report, roma_error *error)
{
    struct roma__extents *extents = &heap->extents;
    memset(report, 0, sizeof *report);
    report->kinds_known = report->nodes_known = true;
    pthread_mutex_lock(&extents->lock);
    int code = add_list(extents, extents->shared, report, error);
    if (code == 0)
        code = add_list(extents, extents->owned, report, error);
    pthread_mutex_unlock(&extents->lock);
    return code;
}
