/* scene.c - see scene.h. */
#include "scene.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MARK_SHIFT = 20, BATCH = 3, NAME_TYPE = 7, GROW_BYTES = 10 * 65536 };

static const char name[] = "a";

uint64_t scene_check_of(uint64_t mark)
{
    return mark == 0 ? 0 : ~mark * UINT64_C(0x9e3779b97f4a7c15);
}

/* ---- what is held ---------------------------------------------------------------------------- */

static scene_hold *top(struct scene *scene)
{
    return scene->held_count != 0 ? &scene->held[scene->held_count - 1] : NULL;
}

static int hold(struct scene *scene, void *block, bool is_node)
{
    if (block == NULL)
        return -errno;
    if (scene->held_count == SCENE_HELD_MAX)
        return -E2BIG;
    scene->held[scene->held_count++] = (scene_hold){block, is_node};
    return 0;
}

static int hold_new(struct scene *scene, void *block, bool is_node)
{
    int code = hold(scene, block, is_node);
    if (code == 0) {
        scene_thing *thing = block;
        thing->mark = (uint64_t)(scene->process + 1) << MARK_SHIFT | ++scene->marks;
        thing->check = scene_check_of(thing->mark);
    }
    return code;
}

/* Only nodes have a map. */
static bool is_node(const struct scene *scene, const void *block)
{
    roma_store_block look;
    return roma_store_look(scene->store, block, &look) == 0 && look.refs_count != 0;
}

static roma_ref *root(const struct scene *scene, unsigned index)
{
    return roma_store_root(scene->store, index);
}

/* What is there depends on others, and is no failure. */
static int or_else(int code, int expected)
{
    return code == expected ? 0 : code;
}

/* ---- allocating ------------------------------------------------------------------------------ */

roma_store_request scene_node_request(void)
{
    roma_store_request request = roma_store_request_of(SCENE_NODE_BYTES);
    request.refs_offset = offsetof(scene_thing, slots);
    request.refs_count = 2;
    return request;
}

static int alloc_small(struct scene *scene)
{
    return hold_new(scene, roma_store_alloc(scene->store, SCENE_SMALL_BYTES), false);
}

static int alloc_node(struct scene *scene)
{
    roma_store_request request = scene_node_request();
    return hold_new(scene, roma_store_alloc_with(scene->store, &request), true);
}

static int alloc_large(struct scene *scene)
{
    return hold_new(scene, roma_store_alloc(scene->store, SCENE_LARGE_BYTES), false);
}

/* More than is there at first. */
static int alloc_growing(struct scene *scene)
{
    return or_else(hold_new(scene, roma_store_alloc(scene->store, GROW_BYTES), false), -ENOSPC);
}

static int alloc_batch(struct scene *scene)
{
    void *blocks[BATCH];
    long count = roma_store_alloc_batch(scene->store, SCENE_SMALL_BYTES, blocks, BATCH);
    int code = count < 0 ? (int)count : 0;
    for (long i = 0; i < count && code == 0; i++)
        code = hold_new(scene, blocks[i], false);
    return code;
}

/* A large one and at once back: units are taken and given. */
static int resize(struct scene *scene)
{
    scene_hold *last = top(scene);
    if (last == NULL)
        return SCENE_NOT_APPLICABLE;
    size_t bytes = roma_store_bytes(scene->store, last->thing);
    void *block = roma_store_resize(scene->store, last->thing, bytes < 5000 ? 5000 : 200000);
    if (block == NULL)
        return errno == EBUSY || errno == EOPNOTSUPP || errno == ENOSPC ? 0 : -errno;
    last->thing = block;
    return 0;
}

/* In place. */
static int shorten(struct scene *scene)
{
    scene_hold *last = top(scene);
    if (last == NULL)
        return SCENE_NOT_APPLICABLE;
    size_t bytes = roma_store_bytes(scene->store, last->thing) - 8;
    void *block = roma_store_resize(scene->store, last->thing, bytes);
    return block == last->thing ? 0 : block != NULL ? -EFAULT : -errno;
}

/* ---- holding --------------------------------------------------------------------------------- */

static int retain(struct scene *scene)
{
    scene_hold *last = top(scene);
    if (last == NULL)
        return SCENE_NOT_APPLICABLE;
    int code = roma_store_retain(scene->store, last->thing);
    return code < 0 ? code : hold(scene, last->thing, last->is_node);
}

static int release(struct scene *scene)
{
    scene_hold *last = top(scene);
    if (last == NULL)
        return SCENE_NOT_APPLICABLE;
    scene->held_count--;
    return roma_store_release(scene->store, last->thing);
}

static int release_batch(struct scene *scene)
{
    if (scene->held_count == 0)
        return SCENE_NOT_APPLICABLE;
    void *blocks[SCENE_HELD_MAX];
    for (unsigned i = 0; i < scene->held_count; i++)
        blocks[i] = scene->held[i].thing;
    unsigned count = scene->held_count;
    scene->held_count = 0;
    return roma_store_release_batch(scene->store, blocks, count);
}

/* ---- roots ----------------------------------------------------------------------------------- */

static int link_root(struct scene *scene)
{
    if (scene->held_count == 0)
        return SCENE_NOT_APPLICABLE;
    return or_else(roma_store_link(scene->store, root(scene, 0), top(scene)->thing), -EEXIST);
}

static int relink_root(struct scene *scene)
{
    if (scene->held_count == 0)
        return SCENE_NOT_APPLICABLE;
    return roma_store_relink(scene->store, root(scene, 0), top(scene)->thing);
}

static int unlink_root(struct scene *scene)
{
    int code = roma_store_release_from(scene->store, root(scene, 0));
    return code < 0 ? code : 0;
}

static int alloc_into_root(struct scene *scene)
{
    roma_store_request request = scene_node_request();
    request.zero = true;
    void *block = roma_store_alloc_into(scene->store, root(scene, 1), &request);
    return block != NULL || errno == EEXIST ? 0 : -errno;
}

static int unlink_other_root(struct scene *scene)
{
    int code = roma_store_release_from(scene->store, root(scene, 1));
    return code < 0 ? code : 0;
}

static int load_root(struct scene *scene)
{
    errno = 0;
    void *block = roma_store_load(scene->store, root(scene, 0));
    if (block == NULL)
        return -errno;
    return hold(scene, block, is_node(scene, block));
}

static int take_root(struct scene *scene)
{
    errno = 0;
    void *block = roma_store_take(scene->store, root(scene, 0));
    if (block == NULL)
        return -errno;
    return hold(scene, block, is_node(scene, block));
}

/* ---- slots in blocks ------------------------------------------------------------------------- */

static int link_inner(struct scene *scene)
{
    if (scene->held_count < 2 || !top(scene)->is_node)
        return SCENE_NOT_APPLICABLE;
    scene_thing *parent = top(scene)->thing, *child = scene->held[scene->held_count - 2].thing;
    if (child->mark >= parent->mark)
        return SCENE_NOT_APPLICABLE;
    return or_else(roma_store_link(scene->store, &parent->slots[0], child), -EEXIST);
}

static int unlink_inner(struct scene *scene)
{
    if (scene->held_count == 0 || !top(scene)->is_node)
        return SCENE_NOT_APPLICABLE;
    int code = roma_store_release_from(scene->store, &top(scene)->thing->slots[0]);
    return code < 0 ? code : 0;
}

static int alloc_into_inner(struct scene *scene)
{
    if (scene->held_count == 0 || !top(scene)->is_node)
        return SCENE_NOT_APPLICABLE;
    roma_store_request request = scene_node_request();
    request.zero = true;
    void *block = roma_store_alloc_into(scene->store, &top(scene)->thing->slots[1], &request);
    return block != NULL || errno == EEXIST ? 0 : -errno;
}

static int load_inner(struct scene *scene)
{
    if (scene->held_count == 0 || !top(scene)->is_node)
        return SCENE_NOT_APPLICABLE;
    errno = 0;
    void *block = roma_store_load(scene->store, &top(scene)->thing->slots[0]);
    return block != NULL ? hold(scene, block, is_node(scene, block)) : -errno;
}

/* ---- the directory --------------------------------------------------------------------------- */

static int put(struct scene *scene)
{
    if (scene->held_count == 0)
        return SCENE_NOT_APPLICABLE;
    return or_else(roma_store_put(scene->store, name, top(scene)->thing, NAME_TYPE), -EEXIST);
}

static int replace(struct scene *scene)
{
    if (scene->held_count == 0)
        return SCENE_NOT_APPLICABLE;
    return roma_store_replace(scene->store, name, top(scene)->thing, NAME_TYPE);
}

static int get(struct scene *scene)
{
    uint64_t type = 0;
    void *block = roma_store_get(scene->store, name, &type);
    if (block == NULL)
        return or_else(-errno, -ENOENT);
    if (type != NAME_TYPE)
        return -EBADMSG;
    return hold(scene, block, is_node(scene, block));
}

static int remove_name(struct scene *scene)
{
    return or_else(roma_store_remove(scene->store, name), -ENOENT);
}

/* ---- the store ------------------------------------------------------------------------------- */

int scene_attach(struct scene *scene)
{
    roma_store_options options = roma_store_options_default();
    options.label = "scene";
    options.shrink = scene->shrinks;
    options.unsynced = true;
    roma_error error = {0};
    int code = roma_store_attach(scene->fd, &options, &scene->store, &error);
    if (code < 0)
        (void)roma_error_print(stderr, &error);
    return code;
}

static int close_store(struct scene *scene)
{
    roma_store *store = scene->store;
    scene->store = NULL;
    scene->held_count = 0;
    return roma_store_close(store);
}

static int trim(struct scene *scene)
{
    int64_t bytes = roma_store_trim(scene->store, 0);
    return bytes < 0 ? (int)bytes : 0;
}

static int recover(struct scene *scene)
{
    int count = roma_store_recover(scene->store);
    return count < 0 ? count : 0;
}

/* ---- many ------------------------------------------------------------------------------------ */

enum { MANY = 600, MANY_AT = 64 };

static roma_ref *many_slot(void *block, unsigned index)
{
    return (roma_ref *)((char *)block + MANY_AT) + index;
}

static int make_many(struct scene *scene)
{
    roma_store_request request = roma_store_request_of(MANY_AT + MANY * sizeof(roma_ref));
    request.refs_offset = MANY_AT;
    request.refs_count = MANY;
    request.zero = true;
    char *block = roma_store_alloc_into(scene->store, root(scene, 2), &request);
    if (block == NULL)
        return -errno;
    request = roma_store_request_of(sizeof(scene_thing));
    request.zero = true;
    for (unsigned i = 0; i < MANY; i++)
        if (roma_store_alloc_into(scene->store, many_slot(block, i), &request) == NULL)
            return -errno;
    return 0;
}

static int load_many(struct scene *scene)
{
    char *block = roma_store_load(scene->store, root(scene, 2));
    if (block == NULL)
        return SCENE_NOT_APPLICABLE;
    for (unsigned i = 0; i < MANY; i++)
        if (roma_store_load(scene->store, many_slot(block, i)) == NULL)
            return -errno;
    return 0;
}

static int drop_many(struct scene *scene)
{
    int code = roma_store_release_from(scene->store, root(scene, 2));
    return code < 0 ? code : 0;
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

static int elsewhere(struct scene *mine)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        struct scene scene = {.fd = mine->fd, .process = 4};
        (void)roma_store_close(mine->store); /* the child has no part in it */
        int code = scene_attach(&scene);
        code = code < 0 ? code : unlink_root(&scene);
        _exit((code < 0 ? code : close_store(&scene)) != 0);
    }
    int status = 0;
    (void)waitpid(pid, &status, 0);
    return status == 0 ? 0 : -ECHILD;
}

/* ---- the alphabet ---------------------------------------------------------------------------- */

const scene_call scene_calls[] = {
    {"small", alloc_small},
    {"node", alloc_node},
    {"large", alloc_large},
    {"batch", alloc_batch},
    {"grow", alloc_growing},
    {"resize", resize},
    {"retain", retain},
    {"release", release},
    {"release-batch", release_batch},
    {"link", link_root},
    {"relink", relink_root},
    {"unlink", unlink_root},
    {"into", alloc_into_root},
    {"unlink-into", unlink_other_root},
    {"load", load_root},
    {"take", take_root},
    {"link-inner", link_inner},
    {"unlink-inner", unlink_inner},
    {"into-inner", alloc_into_inner},
    {"load-inner", load_inner},
    {"put", put},
    {"replace", replace},
    {"get", get},
    {"remove", remove_name},
    {"trim", trim},
    {"recover", recover},
    {"close", close_store},
    {"make-many", make_many},
    {"load-many", load_many},
    {"drop-many", drop_many},
    {"shorten", shorten},
    {"elsewhere", elsewhere},
};
enum { CALLS_COUNT = sizeof scene_calls / sizeof scene_calls[0], RARE_COUNT = 5 };
const unsigned scene_calls_count = CALLS_COUNT - RARE_COUNT;

int scene_call_find(const char *wanted)
{
    for (unsigned i = 0; i < CALLS_COUNT; i++)
        if (strcmp(scene_calls[i].name, wanted) == 0)
            return (int)i;
    return -1;
}

int scene_run(struct scene *scene, const char *text)
{
    char copy[256], *rest = NULL;
    (void)snprintf(copy, sizeof copy, "%s", text);
    for (char *word = strtok_r(copy, " ,", &rest); word != NULL;
         word = strtok_r(NULL, " ,", &rest)) {
        int call = scene_call_find(word);
        int code = call < 0 ? -ENOSYS : scene_calls[call].run(scene);
        if (code != 0)
            return code;
    }
    return 0;
}
