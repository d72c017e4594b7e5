/* table.c - tables of text. Cells are kept until the table is printed: widths depend on all. */
#include "table.h"

#include "tool.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_COLUMNS = 100, GAP_COLUMNS = 2 };

table table_of(const char *const *titles, size_t columns_count)
{
    return (table){.columns_count = columns_count, .titles = titles};
}

void table_add(table *t, const char *format, ...)
{
    if (t->cells_count == t->cells_room) {
        t->cells_room = t->cells_room == 0 ? 64 : 2 * t->cells_room;
        t->cells = need_memory(realloc(t->cells, t->cells_room * sizeof *t->cells));
    }
    char *cell;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&cell, format, arguments);
    va_end(arguments);
    t->cells[t->cells_count++] = need_memory(length < 0 ? NULL : cell);
}

static bool is_right(const table *t, size_t column)
{
    return t->titles[column][0] == '>';
}

static const char *title(const table *t, size_t column)
{
    return t->titles[column] + is_right(t, column);
}

/* 0 for a column in which all cells are empty. */
static int column_width(const table *t, size_t column)
{
    size_t widest = 0;
    for (size_t i = column; i < t->cells_count; i += t->columns_count)
        if (strlen(t->cells[i]) > widest)
            widest = strlen(t->cells[i]);
    if (widest > 0 && strlen(title(t, column)) > widest)
        widest = strlen(title(t, column));
    return (int)widest;
}

/* No spaces at a line's end: they are held back until something follows. */
static void print_cell(FILE *stream, const char *text, int width, bool right, int *held)
{
    int length = (int)strlen(text);
    int padding = width - length;
    if (length == 0) {
        *held += width;
    } else {
        fprintf(stream, "%*s%s", *held + (right ? padding : 0), "", text);
        *held = right ? 0 : padding;
    }
    *held += GAP_COLUMNS;
}

static void print_row(const table *t, FILE *stream, int indent, const int *widths,
                      const char *(*cell)(const table *, size_t), size_t first)
{
    int held = indent;
    for (size_t column = 0; column < t->columns_count; column++)
        if (widths[column] > 0)
            print_cell(stream, cell(t, first + column), widths[column], is_right(t, column), &held);
    fputc('\n', stream);
}

static const char *cell_text(const table *t, size_t index)
{
    return index < t->cells_count ? t->cells[index] : "";
}

void table_print(table *t, FILE *stream, int indent)
{
    int widths[TABLE_COLUMNS_MAX];
    for (size_t column = 0; column < t->columns_count; column++)
        widths[column] = column_width(t, column);
    print_row(t, stream, indent, widths, title, 0);
    for (size_t first = 0; first < t->cells_count; first += t->columns_count)
        print_row(t, stream, indent, widths, cell_text, first);
    for (size_t i = 0; i < t->cells_count; i++)
        free(t->cells[i]);
    free(t->cells);
    *t = table_of(t->titles, t->columns_count);
}

void print_paragraph(FILE *stream, int indent, const char *text)
{
    int column = 0;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + length > LINE_COLUMNS) {
            fputc('\n', stream);
            column = 0;
        }
        fprintf(stream, "%*s%.*s", column == 0 ? indent : 1, "", length, text);
        column += (column == 0 ? indent : 1) + length;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', stream);
}
