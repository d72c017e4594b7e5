/* json.c - answers as JSON, by json-c. */
#include "json.h"

json *json_map(void)
{
    return need_memory(json_object_new_object());
}

json *json_list(void)
{
    return need_memory(json_object_new_array());
}

void json_put(json *map, const char *key, json *value)
{
    if (json_object_object_add(map, key, value) != 0)
        (void)need_memory(NULL);
}

void json_put_text(json *map, const char *key, const char *text)
{
    json_put(map, key, text != NULL ? need_memory(json_object_new_string(text)) : NULL);
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
