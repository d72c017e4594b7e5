/* text.c - bounded text; see text.h. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void roma__text_add(roma__text *text, const char *format, ...)
{
    if (text->cut || text->bytes == 0)
        return;
    size_t room = text->bytes - text->used;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->buffer + text->used, room, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= room) {
        text->cut = true;
        text->used += strlen(text->buffer + text->used);
    } else {
        text->used += (size_t)length;
    }
}

void roma__text_put(roma__text *text, const char *more)
{
    if (text->cut || text->bytes == 0)
        return;
    while (*more != '\0' && text->used + 1 < text->bytes)
        text->buffer[text->used++] = *more++;
    text->buffer[text->used] = '\0';
    text->cut = *more != '\0';
}

void roma__text_put_number(roma__text *text, uint64_t number)
{
    char digits[24];
    size_t start = sizeof digits - 1;
    digits[start] = '\0';
    do {
        digits[--start] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    roma__text_put(text, digits + start);
}

void roma__text_copy(char *to, size_t bytes, const char *from)
{
    if (bytes == 0)
        return;
    size_t length = from == NULL ? 0 : strnlen(from, bytes - 1);
    if (length > 0)
        memcpy(to, from, length);
    to[length] = '\0';
}
