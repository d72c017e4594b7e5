/* run_lines.c - reads what the processes of a program said of their heaps: one JSON object a line,
 * appended in one write by each process as it ends.
 *
 * The file may be written by any process under the library, whatever became of it, so nothing in it
 * is taken on trust: a line that is no object with a process id, is cut off, or is longer than
 * LINE_BYTES_MAX is counted as unreadable; a figure that is missing or no number is 0. */
#include "run.h"

#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES_MAX = 1 << 20 };

/* ---- figures of an object ------------------------------------------------------------------- */

static uint64_t figure_of(json *map, const char *key)
{
    json *value = NULL;
    bool is_number = json_object_object_get_ex(map, key, &value) &&
                     (json_object_is_type(value, json_type_int) ||
                      json_object_is_type(value, json_type_double));
    return is_number ? json_object_get_uint64(value) : 0;
}

static json *list_of(json *map, const char *key)
{
    json *value = NULL;
    return json_object_object_get_ex(map, key, &value) &&
                   json_object_is_type(value, json_type_array)
               ? value
               : NULL;
}

/* The next object of a list from *index on; NULL at its end. What is no object is passed over. */
static json *next_map(json *list, size_t *index)
{
    for (size_t count = list != NULL ? json_object_array_length(list) : 0; *index < count;) {
        json *entry = json_object_array_get_idx(list, (*index)++);
        if (json_object_is_type(entry, json_type_object))
            return entry;
    }
    return NULL;
}

static size_t list_length(json *list)
{
    return list != NULL ? json_object_array_length(list) : 0;
}

/* ---- a line --------------------------------------------------------------------------------- */

static void read_pages(run_line *line)
{
    json *list = list_of(line->said, "pages");
    line->pages = need_memory(calloc(list_length(list) + 1, sizeof *line->pages));
    size_t index = 0;
    for (json *entry; (entry = next_map(list, &index)) != NULL;) {
        json *node = NULL;
        bool knows_node = json_object_object_get_ex(entry, "node", &node) &&
                          json_object_is_type(node, json_type_int);
        line->pages[line->pages_count++] = (run_pages){
            .page_bytes = figure_of(entry, "page_bytes"),
            .count = figure_of(entry, "count"),
            .node = knows_node ? json_object_get_int(node) : -1};
    }
}

/* On a machine with several nodes the library cannot tell the pages of each kind on each: the bytes
 * on each node are a list of their own then. */
static void read_nodes(run_line *line)
{
    json *list = list_of(line->said, "nodes");
    line->nodes = need_memory(calloc(list_length(list) + 1, sizeof *line->nodes));
    size_t index = 0;
    for (json *entry; (entry = next_map(list, &index)) != NULL;)
        line->nodes[line->nodes_count++] = (run_node){.node = (int)figure_of(entry, "node"),
                                                      .bytes = figure_of(entry, "bytes")};
}

static void read_sizes(run_line *line)
{
    json *list = list_of(line->said, "by_size");
    line->sizes = need_memory(calloc(list_length(list) + 1, sizeof *line->sizes));
    size_t index = 0;
    for (json *entry; (entry = next_map(list, &index)) != NULL;)
        line->sizes[line->sizes_count++] = (run_size){
            .up_to_bytes = figure_of(entry, "up_to_bytes"), .count = figure_of(entry, "count")};
    uint64_t larger = figure_of(line->said, "larger_count");
    if (larger > 0)
        line->sizes[line->sizes_count++] = (run_size){.up_to_bytes = 0, .count = larger};
}

static void read_name(run_line *line)
{
    json *value = NULL;
    const char *name = "?";
    if (json_object_object_get_ex(line->said, "program", &value) &&
        json_object_is_type(value, json_type_string))
        name = json_object_get_string(value);
    snprintf(line->program, sizeof line->program, "%s", name);
    for (char *c = line->program; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?'; /* nothing of a program's name reaches the terminal as a command */
}

/* Takes `said` over when it is a process's line. */
static bool read_line(run_line *line, json *said)
{
    uint64_t pid = json_object_is_type(said, json_type_object) ? figure_of(said, "pid") : 0;
    if (pid == 0 || pid > INT_MAX)
        return false;
    json *seconds = NULL;
    *line = (run_line){.pid = (pid_t)pid, .said = said};
    if (json_object_object_get_ex(said, "seconds", &seconds))
        line->seconds = json_object_get_double(seconds);
    const struct {
        const char *key;
        uint64_t *figure;
    } figures[] = {
        {"allocations", &line->allocations},       {"releases", &line->releases},
        {"live_bytes", &line->live_bytes},         {"peak_bytes", &line->peak_bytes},
        {"held_bytes", &line->held_bytes},         {"held_peak_bytes", &line->held_peak_bytes},
        {"free_bytes", &line->free_bytes},         {"returned_bytes", &line->returned_bytes},
        {"metadata_bytes", &line->metadata_bytes}, {"minor_faults", &line->minor_faults},
        {"major_faults", &line->major_faults}};
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        *figures[i].figure = figure_of(said, figures[i].key);
    read_name(line);
    read_pages(line);
    read_nodes(line);
    read_sizes(line);
    return true;
}

/* The object that a line of text is, all of it; NULL for anything else. */
static json *parse_line(const char *text, size_t length)
{
    if (length < 2 || length > LINE_BYTES_MAX || text[length - 1] != '\n')
        return NULL;
    struct json_tokener *parser = need_memory(json_tokener_new());
    json *said = json_tokener_parse_ex(parser, text, (int)length);
    size_t used = json_tokener_get_parse_end(parser);
    bool whole = json_tokener_get_error(parser) == json_tokener_success &&
                 strspn(text + used, " \r\n") == length - used;
    json_tokener_free(parser);
    if (whole)
        return said;
    json_object_put(said);
    return NULL;
}

/* ---- the file ------------------------------------------------------------------------------- */

static void add_line(run_lines *lines, const char *text, size_t length)
{
    run_line line;
    json *said = parse_line(text, length);
    if (said == NULL || !read_line(&line, said)) {
        json_object_put(said);
        lines->unreadable_count++;
        return;
    }
    lines->lines = need_memory(realloc(lines->lines, (lines->count + 1) * sizeof *lines->lines));
    lines->lines[lines->count++] = line;
}

void run_lines_read(run_lines *lines, const char *path)
{
    *lines = (run_lines){.lines = NULL};
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    char *text = NULL;
    size_t room = 0;
    for (ssize_t length; (length = getline(&text, &room, file)) > 0;)
        add_line(lines, text, (size_t)length);
    free(text);
    fclose(file);
}

void run_lines_free(run_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        free(lines->lines[i].pages);
        free(lines->lines[i].nodes);
        free(lines->lines[i].sizes);
        json_object_put(lines->lines[i].said);
    }
    free(lines->lines);
    *lines = (run_lines){.lines = NULL};
}

uint64_t run_sizes_by_power(const run_line *line, uint64_t counts[RUN_SIZES_MAX])
{
    uint64_t larger = 0;
    memset(counts, 0, RUN_SIZES_MAX * sizeof *counts);
    for (size_t i = 0; i < line->sizes_count; i++) {
        unsigned power = 0;
        while (power < RUN_SIZES_MAX && (uint64_t)1 << power < line->sizes[i].up_to_bytes)
            power++;
        if (line->sizes[i].up_to_bytes == 0 || power == RUN_SIZES_MAX)
            larger += line->sizes[i].count;
        else
            counts[power] += line->sizes[i].count;
    }
    return larger;
}
