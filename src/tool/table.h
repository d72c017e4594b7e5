/* table.h - tables of text that a person reads: columns as wide as their widest cell. */
#ifndef ROMA_TOOL_TABLE_H
#define ROMA_TOOL_TABLE_H

#include <stddef.h>
#include <stdio.h>

enum { TABLE_COLUMNS_MAX = 12 };

typedef struct table {
    size_t columns_count;
    const char *const *titles; /* ">" in front: the column is flush right */
    char **cells;              /* row by row                              */
    size_t cells_count, cells_room;
} table;

/* A table with these titles, which must outlive it. */
table table_of(const char *const *titles, size_t columns_count);

/* Add the next cell, left to right, row by row; "" is an empty one. */
__attribute__((format(printf, 2, 3))) void table_add(table *t, const char *format, ...);

/* Print the titles and all rows, each line `indent` spaces in; a column in which all cells are
 * empty is left out. Frees the cells. */
void table_print(table *t, FILE *stream, int indent);

/* Print text broken at spaces into lines of at most 100 columns, each `indent` spaces in. */
void print_paragraph(FILE *stream, int indent, const char *text);

#endif
