/* debug.c - see debug.h. The three patterns differ from each other, from 0 and from 0xFF; none
 * makes an address that a program on x86-64 or aarch64 may have, so following a pointer out of a
 * filled block faults. */
#include "manager/debug.h"

#include <stdint.h>
#include <string.h>

void roma__pattern_fill(void *address, size_t bytes, int pattern)
{
    memset(address, pattern, bytes);
}

size_t roma__pattern_check(const void *address, size_t bytes, int pattern)
{
    const unsigned char *at = address;
    size_t index = 0;
    uint64_t word, wanted;
    memset(&wanted, pattern, sizeof wanted);
    for (; bytes - index >= sizeof word; index += sizeof word) {
        memcpy(&word, at + index, sizeof word);
        if (word != wanted)
            break;
    }
    while (index < bytes && at[index] == (unsigned char)pattern)
        index++;
    return index;
}
