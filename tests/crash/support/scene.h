/* scene.h - what one process does with a store: a small alphabet of calls, and what it holds.
 *
 * Proofs run short words over this alphabet in every order. Each call works on what the scene holds
 * (the last reference taken, mostly), on roots 0 and 1 and on the name "a", so that few calls meet
 * each other often. A call that has nothing to work on is not applicable, and the word is skipped.
 *
 * Blocks carry a mark in their first two words, written before they are linked and never again, so
 * that an oracle sees what a slot names and that it is whole. Slots inside blocks point from higher
 * marks to lower ones: there are no cycles. */
#ifndef ROMA_TESTS_CRASH_SCENE_H
#define ROMA_TESTS_CRASH_SCENE_H

#include <roma/store.h>

enum { SCENE_HELD_MAX = 32, SCENE_NOT_APPLICABLE = 1000 };

/* How every block begins, unless all of it is 0 (it was allocated into a slot). */
typedef struct scene_thing {
    uint64_t mark, check;
    roma_ref slots[2]; /* slots only in nodes */
    uint64_t filler[2];
} scene_thing;

/* A slab has few blocks of these, so that little time goes into looking at all of them. */
enum { SCENE_SMALL_BYTES = 1500, SCENE_NODE_BYTES = 3000, SCENE_LARGE_BYTES = 70000 };

typedef struct scene_hold {
    scene_thing *thing;
    bool is_node;
} scene_hold;

struct scene {
    roma_store *store; /* NULL: not attached */
    int fd;
    bool shrinks;     /* the file, when it closes last */
    unsigned process; /* of those that use the store: part of the marks */
    unsigned marks;
    scene_hold held[SCENE_HELD_MAX];
    unsigned held_count;
};

typedef struct scene_call {
    const char *name;
    /* 0, SCENE_NOT_APPLICABLE, or -errno that was not to be expected */
    int (*run)(struct scene *scene);
} scene_call;

extern const scene_call scene_calls[];
extern const unsigned scene_calls_count; /* of those to be combined */

/* Behind them stand a few with many steps: "make-many" links a block with slots for 600 others to
 * root 2, "load-many" takes a reference to each of those, "drop-many" empties the root; "shorten"
 * takes some bytes off a block; "elsewhere" has a process of its own attach, empty root 0 and
 * close. */

/* The call of that name, or -1. */
int scene_call_find(const char *name);

int scene_attach(struct scene *scene);

/* Run the calls of a text "small link load"; as scene_call.run(). */
int scene_run(struct scene *scene, const char *text);

uint64_t scene_check_of(uint64_t mark);

/* Of a block with slots. */
roma_store_request scene_node_request(void);

#endif
