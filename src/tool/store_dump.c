/* store_dump.c - `roma store dump`: everything that roots and directory lead to, as JSON.
 *
 * A walk over slots, each block once: a set of refs, open addressing, says which were met. Blocks
 * stand in the list in the order in which they were met, so the list is the walk's queue as well.
 * The store may be in use: of a block that went meanwhile its length is null. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

enum { SET_ROOM_LEAST = 1024 };

static const char command_name[] = "store";

typedef struct walk {
    roma_store *store;
    bool contents;
    roma_ref *queue;
    size_t count, room;
    roma_ref *set; /* set_room places, a power of two; 0 is empty */
    size_t set_room;
} walk;

/* ---- the set of refs ------------------------------------------------------------------------- */

static size_t place_of(const walk *w, roma_ref ref)
{
    uint64_t hash = ref * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(hash >> 20) & (w->set_room - 1);
    while (w->set[at] != 0 && w->set[at] != ref)
        at = (at + 1) & (w->set_room - 1);
    return at;
}

static void grow_set(walk *w)
{
    free(w->set);
    w->set_room = w->set_room == 0 ? SET_ROOM_LEAST : 2 * w->set_room;
    w->set = need_memory(calloc(w->set_room, sizeof *w->set));
    for (size_t i = 0; i < w->count; i++)
        w->set[place_of(w, w->queue[i])] = w->queue[i];
}

static void meet(walk *w, roma_ref ref)
{
    if (ref == 0)
        return;
    if (w->count * 2 >= w->set_room)
        grow_set(w);
    size_t at = place_of(w, ref);
    if (w->set[at] == ref)
        return;
    w->set[at] = ref;
    if (w->count == w->room) {
        w->room = w->room == 0 ? SET_ROOM_LEAST : 2 * w->room;
        w->queue = need_memory(realloc(w->queue, w->room * sizeof *w->queue));
    }
    w->queue[w->count++] = ref;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static json *slots_json(walk *w, const char *block, const roma_store_block *look)
{
    json *list = json_list();
    for (uint32_t i = 0; i < look->refs_count; i++) {
        roma_ref ref;
        memcpy(&ref, block + look->refs_offset + (size_t)i * look->refs_stride, sizeof ref);
        json_append(list, need_memory(json_object_new_uint64(ref)));
        meet(w, ref);
    }
    return list;
}

static void put_contents(json *map, const unsigned char *block, uint64_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    char *text = need_memory(malloc((size_t)bytes * 2 + 1));
    for (uint64_t i = 0; i < bytes; i++) {
        text[2 * i] = digits[block[i] >> 4];
        text[2 * i + 1] = digits[block[i] & 15];
    }
    text[2 * bytes] = '\0';
    json_put_text(map, "contents", text);
    free(text);
}

static json *block_json(walk *w, roma_ref ref)
{
    roma_store_block look;
    json *map = json_map();
    const char *block = roma_ref_at(w->store, ref);
    json_put_count(map, "ref", ref);
    if (block == NULL || roma_store_look(w->store, block, &look) < 0) {
        json_put(map, "bytes", NULL);
        return map;
    }
    json_put_count(map, "bytes", look.bytes);
    json_put_count(map, "usable_bytes", look.usable_bytes);
    json_put_count(map, "generation", look.generation);
    json_put_count(map, "local_count", look.local_count);
    json_put_count(map, "shared_count", look.shared_count);
    json_put_count(map, "owner_lane", look.owner);
    json_put_flag(map, "large", look.is_large);
    json_put(map, "slots", slots_json(w, block, &look));
    if (w->contents)
        put_contents(map, (const unsigned char *)block, look.bytes);
    return map;
}

/* ---- where it begins ------------------------------------------------------------------------- */

typedef struct names {
    walk *w;
    json *list;
} names;

static int meet_entry(void *context, const roma_store_entry *entry)
{
    names *to = context;
    json *map = json_map();
    json_put_text(map, "name", entry->name);
    json_put_count(map, "type", entry->type);
    json_put_count(map, "ref", entry->ref);
    json_append(to->list, map);
    meet(to->w, entry->ref);
    return 0;
}

static json *roots_json(walk *w)
{
    json *list = json_list();
    for (unsigned i = 0; i < ROMA_STORE_ROOTS; i++) {
        const roma_ref *root = roma_store_root(w->store, i);
        roma_ref ref = root != NULL ? *root : 0;
        json_append(list, need_memory(json_object_new_uint64(ref)));
        meet(w, ref);
    }
    return list;
}

int store_dump(const store_words *words)
{
    walk w = {.store = store_open(words, false), .contents = words->contents};
    if (w.store == NULL)
        return EXIT_FAULT;
    json *answer = json_map(), *blocks = json_list();
    names to = {.w = &w, .list = json_list()};
    json_put(answer, "roots", roots_json(&w));
    int code = roma_store_each(w.store, meet_entry, &to);
    json_put(answer, "directory", to.list);
    for (size_t i = 0; i < w.count; i++)
        json_append(blocks, block_json(&w, w.queue[i]));
    json_put(answer, "blocks", blocks);
    free(w.queue);
    free(w.set);
    (void)roma_store_close(w.store);
    json_print(answer, stdout);
    if (code < 0)
        complain(command_name, "%s: the directory cannot be read to its end (%s)", words->path,
                 strerror(-code));
    return finish_output(command_name, code < 0 ? EXIT_FAULT : EXIT_GOOD);
}
