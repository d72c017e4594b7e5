/* stale_handle.c - a handle is used after its block: refused, never undefined. Ends well. */
#include <roma.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
    void *address = roma_alloc(roma_default(), 100);
    roma_block block = roma_block_of(address), stale = block;
    roma_block_release(&block);
    void *other = roma_alloc(roma_default(), 100); /* at the same address */
    fprintf(stderr, "same address: %s\n", other == address ? "yes" : "no");
    fprintf(stderr, "release: %s\n", strerror(-roma_block_release(&stale)));
    fprintf(stderr, "references of the other block: %d\n", roma_count(other));
    return 0;
}
