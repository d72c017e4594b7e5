/* misuse.c - what is told of a pointer that is no block: a sentence to stderr, then abort().
 *
 * The sentence names the pointer and what it points into: a block, a freed one, or the mapping of
 * the process that it is in ("the stack", a library's data). It is built on the stack, because
 * memory is in doubt. With ROMA_MISUSE=report the call is told and does nothing, and the program
 * goes on; at its end it hears whether the heap is whole (start.c).
 *
 * A double free that is found late is told under locks of the heap, deep in what may be any call. A
 * program's handler of SIGABRT that allocates would wait there for its own thread, so it is not
 * called then. */
#include "malloc/settings.h"
#include "malloc/shim.h"

#include "base/text.h"
#include "sys/read.h"
#include "sys/sys.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SENTENCE_BYTES = 512 };

void roma__shim_tell(const char *sentence)
{
    char line[SENTENCE_BYTES + 16];
    roma__text text = roma__text_in(line, sizeof line - 1);
    roma__text_put(&text, "roma: ");
    roma__text_put(&text, sentence);
    line[text.used] = '\n';
    ssize_t written = roma__sys->write(STDERR_FILENO, line, text.used + 1);
    (void)written; /* there is nobody else to tell */
}

roma__text roma__shim_line_in(char *line, size_t bytes)
{
    const char *name = program_invocation_short_name;
    roma__text text = roma__text_in(line, bytes);
    roma__text_put(&text, "malloc of roma in ");
    if (name == NULL || name[0] == '\0') {
        roma__text_add(&text, "process %d: ", (int)getpid());
        return text;
    }
    roma__text_add(&text, "%.64s (%d): ", name, (int)getpid());
    for (char *c = line; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?'; /* a name may hold anything, and this is one line */
    return text;
}

static void end(const char *sentence)
{
    roma__shim_tell(sentence);
    if (!roma__settings.goes_on)
        abort();
}

/* ---- what an address points into ------------------------------------------------------------- */

static const char *read_hex(const char *text, uintptr_t *value)
{
    *value = 0;
    for (;; text++) {
        unsigned digit;
        if (*text >= '0' && *text <= '9')
            digit = (unsigned)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            digit = (unsigned)(*text - 'a') + 10;
        else
            return text;
        *value = *value << 4 | digit;
    }
}

/* A line of maps is "start-end rights offset device inode   name". */
static bool line_covers(const char *line, uintptr_t address, const char **name)
{
    uintptr_t start, end;
    const char *rest = read_hex(line, &start);
    if (*rest != '-')
        return false;
    rest = read_hex(rest + 1, &end);
    for (int field = 0; field < 5 && *rest != '\0'; field++) {
        rest += strcspn(rest, " ");
        rest += strspn(rest, " ");
        if (field == 4)
            break;
    }
    *name = rest;
    return start <= address && address < end;
}

static void add_mapping(roma__text *text, const void *address)
{
    roma__lines lines;
    if (roma__lines_open(&lines, "", "/proc/self/maps") != 0)
        return;
    const char *name = NULL;
    bool is_found = false;
    for (const char *line; !is_found && (line = roma__lines_next(&lines)) != NULL;)
        is_found = line_covers(line, (uintptr_t)address, &name);
    if (!is_found)
        roma__text_put(text, "; nothing is mapped there");
    else if (name[0] == '\0')
        roma__text_put(text, "; it points into an anonymous mapping");
    else
        roma__text_add(text, "; it points into %.200s", name);
    roma__lines_close(&lines);
}

/* ---- the sentences --------------------------------------------------------------------------- */

/* The block around an address that is not its start. Where blocks stood and do no more (-ESTALE,
 * and no cell found), a large one may reach by now: the page map has its start alone. */
static bool is_inside(const void *address, int code, const roma__cell *found, roma__cell *cell)
{
    *cell = *found;
    return cell->slab != NULL ? code != -ESTALE : roma__cell_around(address, cell) == 0;
}

void roma__shim_misuse(const char *call, const void *address, int code, const roma__cell *found)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__cell cell;
    if (is_inside(address, code, found, &cell)) {
        roma__text_add(&text, "%s of %p, which is %zu bytes inside the block of %zu bytes at %p",
                       call, address, (size_t)((const char *)address - (const char *)cell.address),
                       cell.usable, cell.address);
    } else if (code == -ESTALE && strcmp(call, "free") == 0) {
        roma__text_add(&text, "double free of %p", address);
    } else if (code == -ESTALE) {
        roma__text_add(&text, "%s of %p, which has been freed", call, address);
    } else {
        roma__text_add(&text, "%s of %p, which malloc has not given out", call, address);
        add_mapping(&text, address);
    }
    end(sentence);
}

void roma__shim_late_misuse(void *owner, void *address)
{
    (void)owner;
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text, "double free of %p, found when the block went back to its slab", address);
    if (!roma__settings.goes_on)
        (void)roma__sys->reset_signal(SIGABRT);
    end(sentence);
}
