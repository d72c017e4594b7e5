/* blocks.c - what a thread of the storm holds, and what every block must be like.
 *
 * Every block carries its number, and behind the slots a pattern that follows from it up to its
 * last byte. A block that was allocated into a slot is all 0 until somebody fills it. Whoever gets
 * hold of a block looks at all of it. */
#include "storm.h"

#include "../support/chance.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Thread_local struct storm_worker storm_me;

__attribute__((noreturn)) void storm_violation(const char *what, const void *block, int code)
{
    (void)printf("VIOLATION: %s: block %#llx, mark %llx: %s\n", what,
                 (unsigned long long)(block != NULL ? roma_ref_of(storm_me.store, block) : 0),
                 (unsigned long long)(block != NULL ? ((const scene_thing *)block)->mark : 0),
                 strerror(code < 0 ? -code : code));
    (void)fflush(stdout);
    _exit(STORM_EXIT_VIOLATION);
}

static unsigned char pattern(uint64_t mark, size_t index)
{
    return (unsigned char)(mark * 131 + index * 7 + (mark >> 8));
}

/* Slots are the store's; a block that was allocated into a slot is all 0. */
void storm_fill(scene_thing *thing, size_t bytes)
{
    unsigned char *at = (unsigned char *)thing;
    thing->mark = __atomic_add_fetch(&storm_shared->marks, 1, __ATOMIC_RELAXED);
    thing->check = scene_check_of(thing->mark);
    for (size_t i = offsetof(scene_thing, filler); i < bytes; i++)
        at[i] = pattern(thing->mark, i);
}

void storm_look(const scene_thing *thing, size_t bytes, const char *when)
{
    const unsigned char *at = (const unsigned char *)thing;
    if (thing->check != scene_check_of(thing->mark))
        storm_violation(when, thing, -EBADMSG);
    for (size_t i = offsetof(scene_thing, filler); i < bytes; i++)
        if (at[i] != (thing->mark == 0 ? 0 : pattern(thing->mark, i)))
            storm_violation(when, thing, -EILSEQ);
    __atomic_add_fetch(&storm_shared->checked_bytes, bytes, __ATOMIC_RELAXED);
}

void storm_must(int code, int other, int another, const char *what, const void *block)
{
    if (code < 0 && code != other && code != another)
        storm_violation(what, block, code);
}

void storm_hold(void *block, bool is_node)
{
    storm_me.held[storm_me.count++] = (scene_hold){block, is_node};
}

scene_hold *storm_any(void)
{
    return storm_me.count != 0 ? &storm_me.held[chance_draw(storm_me.count)] : NULL;
}

scene_hold storm_let_go(unsigned index)
{
    scene_hold held = storm_me.held[index];
    storm_me.held[index] = storm_me.held[--storm_me.count];
    return held;
}

void storm_got(void *block, int expected, const char *what)
{
    roma_store_block about;
    if (block == NULL) {
        storm_must(-errno, -expected, -ENOSPC, what, NULL);
        return;
    }
    int code = roma_store_look(storm_me.store, block, &about);
    if (code < 0)
        storm_violation("a block that is held is not in use", block, code);
    storm_look(block, about.bytes, what);
    storm_hold(block, about.refs_count != 0);
}
