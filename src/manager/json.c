/* json.c - see json.h.
 *
 * "a.b.c" becomes {"a":{"b":{"c":...}}}: of two keys that follow each other, the objects that both
 * are in stay open. So keys of one object must follow each other, as those of managers do. Text is
 * taken to be UTF-8; quotes, backslashes and control characters are escaped. Nothing is allocated;
 * output goes through a buffer of a KiB. */
#include "manager/json.h"

#include "sys/sys.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void flush(roma__json *json)
{
    size_t done = 0;
    while (json->code == 0 && done < json->used) {
        ssize_t written = roma__sys->write(json->fd, json->buffer + done, json->used - done);
        if (written > 0)
            done += (size_t)written;
        else if (written == 0 || errno != EINTR)
            json->code = written == 0 ? -EIO : -errno;
    }
    json->used = 0;
}

static void put(roma__json *json, char character)
{
    if (json->used == sizeof json->buffer)
        flush(json);
    json->buffer[json->used++] = character;
}

static void put_bare(roma__json *json, const char *text)
{
    while (*text != '\0')
        put(json, *text++);
}

static void put_text(roma__json *json, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    put(json, '"');
    for (size_t i = 0; i < length; i++) {
        unsigned char character = (unsigned char)text[i];
        if (character == '"' || character == '\\') {
            put(json, '\\');
            put(json, (char)character);
        } else if (character < 0x20) {
            put_bare(json, "\\u00");
            put(json, digits[character >> 4]);
            put(json, digits[character & 0xF]);
        } else {
            put(json, (char)character);
        }
    }
    put(json, '"');
}

/* The name of a member and its colon, after a comma where another stands before it. */
static void put_name(roma__json *json, const char *name, size_t length)
{
    if (!json->is_first)
        put(json, ',');
    json->is_first = false;
    put_text(json, name, length);
    put(json, ':');
}

/* Bytes of `key` that name objects which the path has open too: up to and with a dot, or 0. */
static size_t common_objects(const char *path, const char *key)
{
    size_t common = 0;
    for (size_t i = 0; key[i] != '\0' && path[i] == key[i]; i++)
        if (key[i] == '.')
            common = i + 1;
    return common;
}

static void close_objects(roma__json *json, size_t keep)
{
    for (const char *at = json->path + keep; *at != '\0'; at++) {
        if (*at == '.') {
            put(json, '}');
            json->is_first = false;
        }
    }
    json->path[keep] = '\0';
}

static void put_value(roma__json *json, const roma_value *value)
{
    char number[24];
    if (value->type == ROMA_VALUE_TEXT) {
        put_text(json, value->text, strlen(value->text));
        return;
    }
    snprintf(number, sizeof number, "%" PRIu64, value->number);
    put_bare(json, number);
}

void roma__json_open(roma__json *json, int fd)
{
    memset(json, 0, sizeof *json);
    json->fd = fd;
    json->is_first = true;
    put(json, '{');
}

int roma__json_visit(void *context, const char *key, const roma_value *value)
{
    roma__json *json = context;
    size_t length = strlen(key);
    if (length >= sizeof json->path)
        return json->code = -ENAMETOOLONG;
    size_t at = common_objects(json->path, key);
    close_objects(json, at);
    for (const char *dot; (dot = strchr(key + at, '.')) != NULL; at = (size_t)(dot - key) + 1) {
        put_name(json, key + at, (size_t)(dot - key) - at);
        put(json, '{');
        json->is_first = true;
    }
    put_name(json, key + at, length - at);
    put_value(json, value);
    memcpy(json->path, key, at); /* the member itself is no object */
    json->path[at] = '\0';
    return json->code;
}

int roma__json_close(roma__json *json)
{
    close_objects(json, 0);
    put_bare(json, "}\n");
    flush(json);
    return json->code;
}
