/* receive.c - takes messages out of the queue that send.c fills, and prints them, up to COUNT.
 *
 *     receive STORE COUNT
 *
 * A message leaves the queue after it was printed. Killed in between, this program prints it again
 * when it is started again: each at least once, in order, and none is lost. */
#include "queue.h"

/* Returns 1 when there was one, 0 when there is nothing to do. */
static int receive_one(roma_store *store, struct queue *queue, uint64_t number)
{
    roma_ref *place = &queue->places[number % PLACES];
    uint64_t sent = queue->sent;
    struct message *message = roma_store_load(store, place);
    if (message == NULL && sent <= number)
        return 0;
    if (message != NULL && message->number == number) {
        printf("%s\n", message->text);
        fflush(stdout);
    }
    int is_old = message != NULL && message->number < number; /* sent twice around a kill */
    if (message != NULL && message->number <= number)
        roma_store_release_from(store, place); /* the queue's reference */
    roma_store_release(store, message);        /* ours */
    if (!is_old) /* printed now, or before we were killed: then it is not there any more */
        queue->received = number + 1;
    return 1;
}

int main(int argc, char **argv)
{
    roma_store *store;
    struct queue *queue = argc == 3 ? open_queue(argv[1], &store) : NULL;
    uint64_t count = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
    if (queue == NULL)
        return 1;
    while (queue->received < count)
        if (receive_one(store, queue, queue->received) == 0)
            usleep(1000); /* empty */
    roma_store_release(store, queue);
    return roma_store_close(store) < 0;
}
