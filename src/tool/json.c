/* json.c - answers as JSON, by json-c.
 *
 * JSON is UTF-8, and a path, or a word of a command, may hold any bytes: what is no UTF-8 is
 * written as U+FFFD, a replacement character for each byte, so that the answer can be read. */
#include "json.h"

#include <stdlib.h>
#include <string.h>

json *json_map(void)
{
    return need_memory(json_object_new_object());
}

json *json_list(void)
{
    return need_memory(json_object_new_array());
}

/* How many bytes the character has that begins here; 0: it is none. */
static size_t character_bytes(const unsigned char *at)
{
    static const struct {
        unsigned char first, last, low, high, bytes; /* of its first byte; of its second; in all */
    } kinds[] = {
        {0x01, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (*at < kinds[i].first || *at > kinds[i].last)
            continue;
        if (at[1] < kinds[i].low || at[1] > kinds[i].high)
            return 0;
        for (size_t k = 2; k < kinds[i].bytes; k++)
            if (at[k] < 0x80 || at[k] > 0xbf)
                return 0;
        return kinds[i].bytes;
    }
    return 0;
}

json *json_text(const char *text)
{
    static const char replacement[] = "\xef\xbf\xbd";
    char *clean = need_memory(malloc(strlen(text) * (sizeof replacement - 1) + 1)), *end = clean;
    while (*text != '\0') {
        size_t bytes = character_bytes((const unsigned char *)text);
        memcpy(end, bytes > 0 ? text : replacement, bytes > 0 ? bytes : sizeof replacement - 1);
        end += bytes > 0 ? bytes : sizeof replacement - 1;
        text += bytes > 0 ? bytes : 1;
    }
    *end = '\0';
    json *value = need_memory(json_object_new_string(clean));
    free(clean);
    return value;
}

void json_put(json *map, const char *key, json *value)
{
    if (json_object_object_add(map, key, value) != 0)
        (void)need_memory(NULL);
}

void json_put_text(json *map, const char *key, const char *text)
{
    json_put(map, key, text != NULL ? json_text(text) : NULL);
}

void json_put_count(json *map, const char *key, uint64_t number)
{
    json_put(map, key, need_memory(json_object_new_uint64(number)));
}

void json_put_whole(json *map, const char *key, int64_t number)
{
    json_put(map, key, need_memory(json_object_new_int64(number)));
}

void json_put_figure(json *map, const char *key, double figure)
{
    char text[64];
    snprintf(text, sizeof text, "%.3f", figure);
    json_put(map, key, figure < 0 ? NULL : need_memory(json_object_new_double_s(figure, text)));
}

void json_put_flag(json *map, const char *key, bool flag)
{
    json_put(map, key, need_memory(json_object_new_boolean(flag)));
}

void json_put_nodes(json *map, const char *key, const roma_nodes *nodes)
{
    json *list = json_list();
    for (int node = roma_nodes_next(nodes, 0); node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1))
        json_append(list, need_memory(json_object_new_int(node)));
    json_put(map, key, list);
}

void json_put_kind(json *map, const char *key, roma_page_kind kind)
{
    char text[WORD_BYTES];
    json_put_text(map, key, kind != 0 ? roma_page_kind_text(kind, text, sizeof text) : NULL);
}

void json_put_error(json *map, const char *key, const roma_error *error)
{
    char text[SENTENCE_BYTES];
    json_put_text(map, key, error->code != 0 ? roma_error_text(error, text, sizeof text) : NULL);
}

void json_append(json *list, json *value)
{
    if (json_object_array_add(list, value) != 0)
        (void)need_memory(NULL);
}

void json_print(json *value, FILE *stream)
{
    const int flags = JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                      JSON_C_TO_STRING_NOSLASHESCAPE;
    fprintf(stream, "%s\n", json_object_to_json_string_ext(value, flags));
    json_object_put(value);
}
