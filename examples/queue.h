/* queue.h - a queue of messages in a store, for one sender and one receiver: see send.c, receive.c.
 *
 * A place is a slot: a message is in it, whole, or is not, whenever who is killed. The two counters
 * only say where to go on; what is in the places decides. */
#include <roma/store.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PLACES = 64 };

struct message {
    uint64_t number;
    char text[56];
};

struct queue {
    _Atomic uint64_t sent, received;
    roma_ref places[PLACES];
};

static inline struct queue *open_queue(const char *path, roma_store **store)
{
    roma_error error;
    roma_store_request request = roma_store_request_of(sizeof(struct queue));
    request.zero = true;
    request.refs_offset = offsetof(struct queue, places);
    request.refs_count = PLACES;
    if (roma_store_open(path, NULL, store, &error) < 0) {
        roma_error_print(stderr, &error);
        return NULL;
    }
    roma_ref *root = roma_store_root(*store, 0);
    (void)!roma_store_alloc_into(*store, root, &request); /* EEXIST: the other one made it */
    return roma_store_load(*store, root);
}
