/* structs.c - see structs.h. */
#include "base/structs.h"

#include "base/bits.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

int roma__struct_read(void *own, size_t bytes, const void *given, size_t least_bytes,
                      const char *subject, roma_error *error)
{
    enum { LARGEST_BYTES = 1 << 16 }; /* beyond, the size is garbage and not to be read through */
    size_t given_bytes;
    memcpy(&given_bytes, given, sizeof given_bytes);
    if (given_bytes < least_bytes || given_bytes > LARGEST_BYTES)
        return roma__error_invalid(error, subject);
    const unsigned char *tail = given;
    for (size_t i = bytes; i < given_bytes; i++)
        if (tail[i] != 0)
            return roma__error_subject(error, -E2BIG, ROMA_WHY_UNKNOWN_OPTION, subject);
    memset(own, 0, bytes);
    memcpy(own, given, roma__min(bytes, given_bytes));
    return 0;
}
