/* calls.c - the calls of the storm, one function each: on a block that the thread holds, on one of
 * a few roots, or under one of a few names, drawn by chance.
 *
 * A call may fail only as it may when others do the same at the same time: a slot or a name is
 * taken, space has run out. Nodes name only blocks with a smaller number than theirs, so there are
 * no cycles. */
#include "storm.h"

#include "../support/chance.h"

#include <errno.h>
#include <stdio.h>

enum { ROOTS = 16, NAMES = 8 };

static size_t draw_bytes(void)
{
    switch (chance_draw(12)) {
    case 0: return 60000 + chance_draw(200000);
    case 1: return sizeof(scene_thing) + chance_draw(16000);
    default: return sizeof(scene_thing) + chance_draw(400);
    }
}

static void do_alloc(void)
{
    size_t bytes = draw_bytes();
    void *block = roma_store_alloc(storm_me.store, bytes);
    if (block == NULL) {
        storm_must(-errno, -ENOSPC, 0, "alloc", NULL);
        return;
    }
    storm_fill(block, bytes);
    storm_hold(block, false);
}

/* A node with up to two of what is held inside. */
static void do_node(void)
{
    roma_store_request request = scene_node_request();
    scene_thing *node = roma_store_alloc_with(storm_me.store, &request);
    if (node == NULL) {
        storm_must(-errno, -ENOSPC, 0, "alloc_with", NULL);
        return;
    }
    if (node->slots[0] != 0 || node->slots[1] != 0)
        storm_violation("the slots of a new block are not empty", node, -EBADMSG);
    storm_fill(node, SCENE_NODE_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        scene_hold *child = storm_any();
        if (child != NULL && child->thing->mark < node->mark)
            storm_must(roma_store_link(storm_me.store, &node->slots[i], child->thing), 0, 0,
                       "link inside", child->thing);
    }
    storm_hold(node, true);
}

static void do_batch(void)
{
    enum { BATCH = 8 };
    void *blocks[BATCH];
    size_t bytes = sizeof(scene_thing) + chance_draw(200);
    long count = roma_store_alloc_batch(storm_me.store, bytes, blocks, BATCH);
    storm_must((int)count, -ENOSPC, 0, "alloc_batch", NULL);
    for (long i = 0; i < count; i++)
        storm_fill(blocks[i], bytes);
    if (count > 0)
        storm_must(roma_store_release_batch(storm_me.store, blocks, (size_t)count), 0, 0,
                   "release_batch", blocks[0]);
}

static void do_release(void)
{
    if (storm_me.count == 0)
        return;
    scene_hold held = storm_let_go((unsigned)chance_draw(storm_me.count));
    storm_look(held.thing, roma_store_bytes(storm_me.store, held.thing), "before release");
    storm_must(roma_store_release(storm_me.store, held.thing), 0, 0, "release", held.thing);
}

void storm_release_all(void)
{
    void *blocks[STORM_HELD_MAX];
    for (unsigned i = 0; i < storm_me.count; i++)
        blocks[i] = storm_me.held[i].thing;
    storm_must(roma_store_release_batch(storm_me.store, blocks, storm_me.count), 0, 0,
               "release_batch", NULL);
    storm_me.count = 0;
}

static void do_retain(void)
{
    scene_hold *held = storm_any();
    if (held == NULL || storm_me.count == STORM_HELD_MAX)
        return;
    int code = roma_store_retain(storm_me.store, held->thing);
    storm_must(code, -ENOSPC, 0, "retain", held->thing);
    if (code >= 0)
        storm_hold(held->thing, held->is_node);
}

static void do_resize(void)
{
    scene_hold *held = storm_any();
    if (held == NULL || held->is_node || held->thing->mark == 0)
        return;
    roma_store_block about;
    storm_must(roma_store_look(storm_me.store, held->thing, &about), 0, 0, "look", held->thing);
    if (about.shared_count != 0 || about.local_count != 1)
        return; /* others would see what is written below */
    size_t bytes = draw_bytes();
    scene_thing *moved = roma_store_resize(storm_me.store, held->thing, bytes);
    if (moved == NULL) {
        storm_must(-errno, -EBUSY, -ENOSPC, "resize", held->thing);
        return;
    }
    storm_look(moved, bytes < about.bytes ? bytes : about.bytes, "after resize");
    storm_fill(moved, bytes);
    held->thing = moved;
}

static roma_ref *root(void)
{
    return roma_store_root(storm_me.store, (unsigned)chance_draw(ROOTS));
}

static void do_link(void)
{
    scene_hold *held = storm_any();
    if (held != NULL)
        storm_must(roma_store_link(storm_me.store, root(), held->thing), -EEXIST, 0, "link",
                   held->thing);
}

static void do_relink(void)
{
    scene_hold *held = storm_any();
    if (held != NULL)
        storm_must(roma_store_relink(storm_me.store, root(), held->thing), 0, 0, "relink",
                   held->thing);
}

static void do_unlink(void)
{
    storm_must(roma_store_release_from(storm_me.store, root()), 0, 0, "release_from", NULL);
}

static void do_into(void)
{
    roma_store_request request = scene_node_request();
    request.zero = true;
    if (roma_store_alloc_into(storm_me.store, root(), &request) == NULL)
        storm_must(-errno, -EEXIST, -ENOSPC, "alloc_into", NULL);
}

static void do_load(void)
{
    errno = 0;
    storm_got(roma_store_load(storm_me.store, root()), 0, "load");
}

static void do_take(void)
{
    errno = 0;
    storm_got(roma_store_take(storm_me.store, root()), 0, "take");
}

static void do_inner(void)
{
    scene_hold *held = storm_any();
    if (held == NULL || !held->is_node)
        return;
    roma_ref *slot = &held->thing->slots[chance_draw(2)];
    errno = 0;
    if (chance_draw(3) != 0)
        storm_got(roma_store_load(storm_me.store, slot), 0, "load inside");
    else
        storm_must(roma_store_release_from(storm_me.store, slot), 0, 0, "release_from inside",
                   held->thing);
}

static const char *name(void)
{
    static _Thread_local char text[16];
    (void)snprintf(text, sizeof text, "name-%u", (unsigned)chance_draw(NAMES));
    return text;
}

static void do_put(void)
{
    scene_hold *held = storm_any();
    if (held != NULL)
        storm_must(chance_draw(2) != 0 ? roma_store_put(storm_me.store, name(), held->thing, 1)
                                       : roma_store_replace(storm_me.store, name(), held->thing, 1),
                   -EEXIST, -ENOSPC, "put", held->thing);
}

static void do_get(void)
{
    storm_got(roma_store_get(storm_me.store, name(), NULL), ENOENT, "get");
}

static void do_remove(void)
{
    storm_must(roma_store_remove(storm_me.store, name()), -ENOENT, 0, "remove", NULL);
}

void storm_trim(void)
{
    storm_must((int)(roma_store_trim(storm_me.store, 0) >> 32), 0, 0, "trim", NULL);
}

void storm_recover(void)
{
    storm_must(roma_store_recover(storm_me.store), 0, 0, "recover", NULL);
}

void (*const storm_calls[])(void) = {
    do_alloc,  do_node, do_batch, do_release, do_release, do_link,   do_relink, do_load,  do_take,
    do_unlink, do_into, do_inner, do_put,     do_get,     do_remove, do_retain, do_resize};
const unsigned storm_calls_count = sizeof storm_calls / sizeof storm_calls[0];
