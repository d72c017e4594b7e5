/* json.h - the few words of json-c that the tool's answers are made of, with the units of roma:
 * byte counts as numbers, sets and kinds as text, unknown things as null. */
#ifndef ROMA_TOOL_JSON_H
#define ROMA_TOOL_JSON_H

#include "tool.h"

#include <json-c/json.h>

typedef struct json_object json;

json *json_map(void);  /* {} */
json *json_list(void); /* [] */
json *json_text(const char *text); /* what is no UTF-8 in it becomes U+FFFD */

/* Put a value into a map under `key`. */
void json_put(json *map, const char *key, json *value); /* takes `value` over; NULL is null   */
void json_put_text(json *map, const char *key, const char *text); /* NULL is null             */
void json_put_count(json *map, const char *key, uint64_t number);
void json_put_whole(json *map, const char *key, int64_t number);
void json_put_figure(json *map, const char *key, double figure); /* 3 decimals; below 0: null */
void json_put_flag(json *map, const char *key, bool flag);
void json_put_nodes(json *map, const char *key, const roma_nodes *nodes); /* [0, 1]           */
void json_put_kind(json *map, const char *key, roma_page_kind kind);      /* 0 is null        */
void json_put_error(json *map, const char *key, const roma_error *error); /* code 0 is null   */

/* Append to a list; takes `value` over. */
void json_append(json *list, json *value);

/* Print the value and a newline, and free it. */
void json_print(json *value, FILE *stream);

#endif
