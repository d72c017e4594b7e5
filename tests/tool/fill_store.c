/* fill_store.c - a program that has a store open, for the tests of `roma store`.
 *
 *     fill_store STORE           names a list of three blocks "list", type 7, and one by root 2
 *     fill_store STORE damage    makes root 3 name what is no block
 *     fill_store STORE wait      holds a block, says "ready", and waits for the end of its stdin */
#include <roma/store.h>

#include <stdio.h>
#include <string.h>

struct node {
    roma_ref next;
    char text[24];
};

static int fill(roma_store *store)
{
    roma_store_request request = roma_store_request_of(sizeof(struct node));
    request.refs_count = 1;
    struct node *head = NULL;
    for (int i = 0; i < 3; i++) {
        struct node *node = roma_store_alloc_with(store, &request);
        if (node == NULL)
            return 1;
        strcpy(node->text, "node of a list");
        if (head != NULL &&
            (roma_store_link(store, &node->next, head) < 0 || roma_store_release(store, head) < 0))
            return 1;
        head = node;
    }
    return roma_store_put(store, "list", head, 7) < 0 || roma_store_release(store, head) < 0 ||
           roma_store_alloc_into(store, roma_store_root(store, 2), &request) == NULL;
}

static int damage(roma_store *store)
{
    *roma_store_root(store, 3) = 4096;
    return 0;
}

static int wait_for_end(roma_store *store)
{
    if (roma_store_alloc(store, 100000) == NULL)
        return 1;
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
    }
    return 0;
}

int main(int argc, char **argv)
{
    roma_store *store;
    roma_error error;
    if (argc < 2 || roma_store_open(argv[1], NULL, &store, &error) < 0)
        return argc < 2 ? 2 : roma_error_print(stderr, &error), 1;
    int code = argc < 3                         ? fill(store)
               : strcmp(argv[2], "damage") == 0 ? damage(store)
                                                : wait_for_end(store);
    return roma_store_close(store) < 0 ? 1 : code;
}
