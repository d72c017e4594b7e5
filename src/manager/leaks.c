/* leaks.c - walking over live blocks: the leak list, and the walk for programs. */
#include "manager/manager.h"

#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int roma__cells_each(roma_manager *manager, int (*visit)(void *context, const roma__cell *cell),
                     void *context)
{
    int code = 0;
    ROMA__EACH_HEAP (manager, route) {
        if (code == 0)
            code = roma__heap_each(route->heap, visit, context);
    }
    return code;
}

static void read_note(const roma__cell *cell, roma__note *note)
{
    roma_manager *manager = cell->owner;
    bool has_note = (cell->flags & ROMA__CELL_NOTED) != 0;
    if (!has_note || !roma__note_read(&manager->notes, cell->address, note))
        memset(note, 0, sizeof *note);
}

/* ---- the list -------------------------------------------------------------------------------- */

struct leaks {
    FILE *stream;
    uint64_t blocks, bytes;
};

static int list_one(void *context, const roma__cell *cell)
{
    struct leaks *leaks = context;
    char line[512];
    roma__text text = roma__text_in(line, sizeof line);
    roma__note note;
    read_note(cell, &note);
    roma__text_add(&text, "roma: leak: %p, %zu bytes", cell->address, roma__length_of(cell));
    if (note.label[0] != '\0')
        roma__text_add(&text, ", \"%s\"", note.label);
    if (roma__site_is_known(&note.allocated)) {
        roma__text_add(&text, ", allocated at ");
        roma__site_add(&text, &note.allocated);
    }
    roma__text_add(&text, ", %d reference%s", cell->count, cell->count == 1 ? "" : "s");
    fprintf(leaks->stream, "%s\n", line);
    leaks->blocks++;
    leaks->bytes += roma__length_of(cell);
    return 0;
}

void roma__leaks_list(roma_manager *manager)
{
    struct leaks leaks = {manager->leak_stream != NULL ? manager->leak_stream : stderr, 0, 0};
    (void)roma__cells_each(manager, list_one, &leaks);
    fprintf(leaks.stream,
            "roma: leak: %" PRIu64 " block%s, %" PRIu64 " bytes in all, manager \"%s\"\n",
            leaks.blocks, leaks.blocks == 1 ? "" : "s", leaks.bytes, manager->name);
    fflush(leaks.stream);
}

/* ---- for programs ---------------------------------------------------------------------------- */

struct walk {
    int (*visit)(void *context, const roma_block_info *block);
    void *context;
};

static int visit_one(void *context, const roma__cell *cell)
{
    const struct walk *walk = context;
    roma__note note;
    read_note(cell, &note);
    roma_block_info info = {
        .address = cell->address,
        .bytes = roma__length_of(cell),
        .usable_bytes = roma__usable_of(cell),
        .count = cell->count,
        .generation = cell->generation,
        .label = note.label,
        .file = note.allocated.file,
        .line = note.allocated.line,
        .return_address = note.allocated.file == NULL ? note.allocated.return_address : NULL,
    };
    return walk->visit(walk->context, &info);
}

int roma_manager_blocks(roma_manager *manager,
                        int (*visit)(void *context, const roma_block_info *block), void *context)
{
    struct walk walk = {visit, context};
    if (manager == NULL || visit == NULL)
        return -EINVAL;
    if (manager->store != NULL)
        return roma__stored_each(manager->store, visit, context);
    return roma__cells_each(manager, visit_one, &walk);
}
