/* text.h - building text in a caller's buffer: always terminated, cut when it does not fit, never
 * allocating. */
#ifndef ROMA_BASE_TEXT_H
#define ROMA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__text {
    char *buffer;
    size_t bytes; /* of the buffer                               */
    size_t used;  /* length so far, without the terminator       */
    bool cut;     /* something did not fit                       */
} roma__text;

static inline roma__text roma__text_in(char *buffer, size_t bytes)
{
    roma__text text = {buffer, bytes, 0, false};
    if (bytes > 0)
        buffer[0] = '\0';
    return text;
}

/* Append, as printf. */
__attribute__((format(printf, 2, 3)))
void roma__text_add(roma__text *text, const char *format, ...);

/* Append text, and a number in decimal. Safe in signal handlers, which printf is not. */
void roma__text_put(roma__text *text, const char *more);
void roma__text_put_number(roma__text *text, uint64_t number);

/* Copy `from` (NULL: "") to a fixed buffer, cut and terminated. */
void roma__text_copy(char *to, size_t bytes, const char *from);

#ifdef __cplusplus
}
#endif
#endif
