/* limit.c - under ROMA_LIMIT=64M malloc fails with ENOMEM at about that, and works again when
 * memory has been freed. */
#include "expect.h"

#include <errno.h>

enum { MIB = 1 << 20, MOST = 200 };

int main(void)
{
    static void *blocks[MOST];
    int count = 0;
    errno = 0;
    while (count < MOST && (blocks[count] = malloc(MIB)) != NULL)
        count++;
    EXPECT(count >= 48 && count <= 64);
    EXPECT(errno == ENOMEM);
    while (count > 0)
        free(blocks[--count]);
    void *block = malloc(40 * MIB);
    EXPECT(block != NULL);
    free(block);
    return finish("limit");
}
