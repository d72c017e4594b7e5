/* json.h - a visitor that writes what it is given as one JSON object. */
#ifndef ROMA_MANAGER_JSON_H
#define ROMA_MANAGER_JSON_H

#include <roma/visitor.h>

typedef struct roma__json {
    int fd;
    int code;       /* the first -errno of writing; 0: none                     */
    char path[128]; /* of the key before: which objects are open; "" at the top */
    bool is_first;  /* nothing stands yet in the innermost object               */
    size_t used;
    char buffer[1024];
} roma__json;

void roma__json_open(roma__json *json, int fd);

/* A roma_visit; context is the roma__json. Returns its code. */
int roma__json_visit(void *context, const char *key, const roma_value *value);

/* Close all objects, add a newline, write the rest. Returns 0 or the first -errno. */
int roma__json_close(roma__json *json);

#endif
