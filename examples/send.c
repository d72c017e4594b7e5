/* send.c - puts numbered messages into a queue that lies in a store, up to COUNT of them in all.
 *
 *     send STORE COUNT
 *
 * Kill it and start it again as often as you like: it goes on where it was, and no message is lost.
 * One that it had sent when it was killed may be sent again; the receiver drops that. */
#include "queue.h"

/* Is the message in that place the one that was to be sent? Then we were killed after sending it. */
static int was_sent(roma_store *store, roma_ref *place, uint64_t number)
{
    struct message *there = roma_store_load(store, place);
    int is_it = there != NULL && there->number == number;
    roma_store_release(store, there);
    return is_it;
}

static int send_one(roma_store *store, struct queue *queue, uint64_t number)
{
    roma_ref *place = &queue->places[number % PLACES];
    struct message *message = roma_store_alloc(store, sizeof *message);
    if (message == NULL)
        return -errno;
    message->number = number;
    snprintf(message->text, sizeof message->text, "message %llu of process %d",
             (unsigned long long)number, (int)getpid());
    int code = roma_store_link(store, place, message); /* from here on it is the queue's */
    roma_store_release(store, message);
    if (code == -EEXIST && was_sent(store, place, number))
        code = 0;
    if (code == 0)
        queue->sent = number + 1;
    return code;
}

int main(int argc, char **argv)
{
    roma_store *store;
    struct queue *queue = argc == 3 ? open_queue(argv[1], &store) : NULL;
    uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (queue == NULL)
        return 1;
    while (queue->sent < count) {
        int code = send_one(store, queue, queue->sent);
        if (code == -EEXIST)
            usleep(1000); /* full */
        else if (code < 0)
            return 1;
    }
    roma_store_release(store, queue);
    return roma_store_close(store) < 0;
}
