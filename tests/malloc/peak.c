/* peak.c - requests that no machine can serve fail, and leave no trace in what was held at most; a
 * block that grows does. The script looks at the report: between GROWN_BYTES and a gigabyte. */
#include "expect.h"

#include <errno.h>

enum { MIB = 1 << 20, GROWN_BYTES = 96 * MIB };

int main(void)
{
    const size_t too_much = (size_t)1 << 50; /* more than address space */
    expect_ours("malloc");
    errno = 0;
    EXPECT(malloc(too_much) == NULL && errno == ENOMEM);
    EXPECT(calloc(too_much / 16, 16) == NULL);
    char *block = malloc(8 * MIB);
    EXPECT(block != NULL);
    memset(block, 1, 8 * MIB);
    errno = 0;
    EXPECT(realloc(block, too_much) == NULL && errno == ENOMEM);
    char *grown = realloc(block, GROWN_BYTES);
    EXPECT(grown != NULL && grown[8 * MIB - 1] == 1);
    free(grown);
    return finish("peak");
}
