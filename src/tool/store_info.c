/* store_info.c - `roma store info` and `roma store sessions`.
 *
 * info reads the superblock, and opens the store to look where it can be opened: of one that a
 * crash of the machine interrupted, or whose file is of a newer roma, the superblock is all. */
#include "store.h"

#include "table.h"

#include <string.h>
#include <time.h>

static const char command_name[] = "store";

/* ---- info ------------------------------------------------------------------------------------ */

static const struct {
    unsigned bit;
    const char *key, *text;
} promises[] = {
    {ROMA_STORE_FULL_IS_ERROR, "full_is_error", "a full disk is an error, never a signal"},
    {ROMA_STORE_RETURNS_SPACE, "returns_space", "free space can go back to the file system"},
    {ROMA_STORE_REFLINKS, "reflinks", "checkpoints can share pages"},
    {ROMA_STORE_SURVIVES, "survives", "checkpoints survive the machine"},
};
enum { PROMISES_COUNT = sizeof promises / sizeof promises[0] };

typedef struct figures {
    table rows;
    json *map; /* NULL: rows */
} figures;

static int tell_figure(void *context, const char *key, const roma_value *value)
{
    figures *to = context;
    char size[WORD_BYTES];
    if (to->map != NULL) {
        if (value->type == ROMA_VALUE_TEXT)
            json_put_text(to->map, key, value->text);
        else
            json_put_count(to->map, key, value->number);
        return 0;
    }
    table_add(&to->rows, "%s", key);
    if (value->type == ROMA_VALUE_TEXT)
        table_add(&to->rows, "%s", value->text);
    else if (value->type == ROMA_VALUE_BYTES)
        table_add(&to->rows, "%s", roma_size_text(value->number, size, sizeof size));
    else
        table_add(&to->rows, "%llu", (unsigned long long)value->number);
    return 0;
}

static json *info_json(const roma_store_info *info)
{
    json *map = json_map();
    json_put_text(map, "uuid", info->uuid);
    json_put_count(map, "version", info->version);
    json_put_count(map, "features", info->features);
    json_put_count(map, "page_bytes", info->page_bytes);
    json_put_count(map, "sessions_max", info->sessions);
    json_put_count(map, "lanes_max", info->lanes);
    json_put_count(map, "max_bytes", info->max_bytes);
    json_put_count(map, "committed_bytes", info->committed_bytes);
    json_put_count(map, "file_bytes", info->file_bytes);
    json_put_count(map, "incarnation", info->incarnation);
    json_put_flag(map, "clean", info->is_clean);
    json_put_flag(map, "crashed", info->is_crashed);
    return map;
}

static void print_info(const roma_store_info *info)
{
    char most[WORD_BYTES], now[WORD_BYTES], file[WORD_BYTES];
    printf("store %s, format version %u, opened %llu times\n", info->uuid, info->version,
           (unsigned long long)info->incarnation);
    printf("room for blocks: %s of at most %s, in a file of %s\n",
           roma_size_text(info->committed_bytes, now, sizeof now),
           roma_size_text(info->max_bytes, most, sizeof most),
           roma_size_text(info->file_bytes, file, sizeof file));
    printf("at most %u sessions and %u threads of all of them\n", info->sessions, info->lanes);
    printf("state: %s\n", info->is_crashed ? "interrupted by a crash of the machine"
                          : info->is_clean ? "closed cleanly"
                                           : "in use, or its last session was killed");
}

static void tell_promises(const roma_store *store, json *map)
{
    unsigned bits = roma_store_capabilities(store);
    for (size_t i = 0; i < PROMISES_COUNT; i++) {
        bool holds = (bits & promises[i].bit) != 0;
        if (map != NULL)
            json_put_flag(map, promises[i].key, holds);
        else
            printf("  %s  %s\n", holds ? "yes" : "no ", promises[i].text);
    }
}

/* The part that needs the store open. */
static int tell_inside(roma_store *store, json *answer)
{
    static const char *const titles[] = {"figure", ">value"};
    figures to = {.rows = table_of(titles, 2), .map = answer != NULL ? json_map() : NULL};
    json *held = answer != NULL ? json_map() : NULL;
    if (answer == NULL)
        puts("promises:");
    tell_promises(store, held);
    int code = roma_store_stats(store, tell_figure, &to);
    if (answer != NULL) {
        json_put(answer, "promises", held);
        json_put(answer, "figures", to.map);
    } else {
        table_print(&to.rows, stdout, 0);
    }
    return code;
}

int store_info(const store_words *words)
{
    roma_store_info info;
    roma_error error;
    if (roma_store_info_of(words->path, &info, &error) < 0)
        return store_fault(words->path, &error);
    json *answer = words->as_json ? info_json(&info) : NULL;
    if (answer == NULL)
        print_info(&info);
    roma_store *store = info.is_crashed ? NULL : store_open(words, false);
    int code = store != NULL ? tell_inside(store, answer) : 0;
    (void)roma_store_close(store);
    if (code < 0)
        complain(command_name, "%s: its figures cannot be read (%s)", words->path, strerror(-code));
    if (answer != NULL)
        json_print(answer, stdout);
    bool is_whole = code == 0 && (store != NULL || info.is_crashed);
    return finish_output(command_name, is_whole ? EXIT_GOOD : EXIT_FAULT);
}

/* ---- sessions -------------------------------------------------------------------------------- */

typedef struct attendance {
    table rows;
    json *list; /* NULL: rows */
} attendance;

static void time_text(uint64_t ns, char *text, size_t bytes)
{
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm local;
    if (localtime_r(&seconds, &local) == NULL ||
        strftime(text, bytes, "%Y-%m-%d %H:%M:%S", &local) == 0)
        text[0] = '\0';
}

static json *session_json(const roma_store_session *session)
{
    json *map = json_map();
    json_put_count(map, "index", session->index);
    json_put_flag(map, "alive", session->is_alive);
    json_put_whole(map, "pid", session->pid);
    json_put_text(map, "label", session->label);
    json_put_count(map, "start_ns", session->start_ns);
    json_put_count(map, "lanes", session->lanes);
    json_put_count(map, "slabs", session->slabs);
    json_put_count(map, "held_bytes", session->held_bytes);
    json_put_count(map, "cells", session->cells);
    return map;
}

static int tell_session(void *context, const roma_store_session *session)
{
    attendance *to = context;
    char since[WORD_BYTES], held[WORD_BYTES];
    if (session->is_own)
        return 0; /* that is us */
    if (to->list != NULL) {
        json_append(to->list, session_json(session));
        return 0;
    }
    time_text(session->start_ns, since, sizeof since);
    table_add(&to->rows, "%u", session->index);
    table_add(&to->rows, "%s", session->is_alive ? "alive" : "dead");
    table_add(&to->rows, "%lld", (long long)session->pid);
    table_add(&to->rows, "%s", session->label);
    table_add(&to->rows, "%s", since);
    table_add(&to->rows, "%u", session->lanes);
    table_add(&to->rows, "%llu", (unsigned long long)session->slabs);
    table_add(&to->rows, "%s", roma_size_text(session->held_bytes, held, sizeof held));
    table_add(&to->rows, "%llu", (unsigned long long)session->cells);
    return 0;
}

static int recover(roma_store *store, const char *path)
{
    int count = roma_store_recover(store);
    if (count < 0)
        complain(command_name, "%s: dead sessions could not be recovered (%s)", path,
                 strerror(-count));
    else
        fprintf(stderr, "roma store: %d dead session%s recovered\n", count, count == 1 ? "" : "s");
    return count < 0 ? count : 0;
}

int store_sessions(const store_words *words)
{
    static const char *const titles[] = {">session", "state",  ">pid",
                                         "label",    "since",  ">threads",
                                         ">slabs",   ">holds", ">blocks of others"};
    attendance to = {.rows = table_of(titles, sizeof titles / sizeof titles[0])};
    roma_store *store = store_open(words, words->recover);
    if (store == NULL)
        return EXIT_FAULT;
    to.list = words->as_json ? json_list() : NULL;
    int code = words->recover ? recover(store, words->path) : 0;
    if (code == 0)
        code = roma_store_sessions(store, tell_session, &to);
    (void)roma_store_close(store);
    if (to.list != NULL)
        json_print(to.list, stdout);
    else if (to.rows.cells_count > 0)
        table_print(&to.rows, stdout, 0);
    else
        puts("nobody is attached");
    return finish_output(command_name, code < 0 ? EXIT_FAULT : EXIT_GOOD);
}
