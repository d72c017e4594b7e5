/* misuse.c - telling of misuse in one sentence, to the program's function or to stderr.
 *
 * A sentence says what was found, about which block, and by which call sites as far as the manager
 * keeps them: "double free of 0x7f32c0010040 at queue.c:88, allocated at queue.c:31, released at
 * queue.c:80". It is built on the stack: nothing is allocated, because memory is in doubt. */
#include "manager/manager.h"

#include "base/text.h"
#include "store/internal.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SENTENCE_BYTES = 512 };

/* ---- delivery -------------------------------------------------------------------------------- */

static void print_and_abort(const char *sentence)
{
    char line[SENTENCE_BYTES + 16];
    roma__text text = roma__text_in(line, sizeof line - 1);
    roma__text_add(&text, "roma: %s", sentence);
    line[text.used] = '\n';
    ssize_t written = roma__sys->write(STDERR_FILENO, line, text.used + 1);
    (void)written; /* the abort says it too */
    abort();
}

static void deliver(roma_manager *manager, roma_misuse_kind kind, const void *address,
                    const char *sentence)
{
    roma_misuse misuse = {kind, address, manager, sentence};
    roma_manager *told = manager != NULL ? manager : roma_default();
    atomic_fetch_add_explicit(&told->misuses, 1, memory_order_relaxed);
    if (told->on_misuse != NULL)
        told->on_misuse(told->misuse_context, &misuse);
    else
        print_and_abort(sentence);
}

void roma_manager_on_misuse(roma_manager *manager, roma_on_misuse on_misuse, void *context)
{
    if (manager == NULL)
        return;
    manager->misuse_context = context;
    manager->on_misuse = on_misuse;
}

/* ---- the words of a sentence ----------------------------------------------------------------- */

static void add_site(roma__text *text, const char *what, const roma__site *site)
{
    if (site == NULL || !roma__site_is_known(site))
        return;
    roma__text_add(text, "%s at ", what);
    roma__site_add(text, site);
}

static void add_here(roma__text *text, const roma__site *site)
{
    add_site(text, "", site);
}

/* ", allocated at ..., released at ..., "label"", as far as it is known. */
static void add_history(roma__text *text, const roma__note *note)
{
    add_site(text, ", allocated", &note->allocated);
    add_site(text, ", last retained", &note->retained);
    add_site(text, ", released", &note->released);
    if (note->label[0] != '\0')
        roma__text_add(text, ", label \"%s\"", note->label);
}

static void add_history_of(roma__text *text, roma_manager *manager, const void *address)
{
    roma__note note;
    if (manager != NULL && roma__note_read(&manager->notes, address, &note))
        add_history(text, &note);
}

/* The block that a bad address is inside of, if any. */
static bool is_inside(const void *address, const roma__cell *found, roma__cell *cell)
{
    *cell = *found;
    return cell->slab != NULL || roma__cell_around(address, cell) == 0;
}

/* ---- the sentences --------------------------------------------------------------------------- */

void roma__misuse_release(const void *address, int code, const roma__cell *found,
                          const roma__site *site)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma_manager *manager = found->slab != NULL ? found->owner : NULL;
    roma_misuse_kind kind = ROMA_MISUSE_FOREIGN;
    roma__cell cell;
    if (code == -ESTALE) {
        kind = ROMA_MISUSE_DOUBLE_FREE;
        roma__text_add(&text, "double free of %p", address);
        add_here(&text, site);
        add_history_of(&text, manager, address);
    } else if (is_inside(address, found, &cell)) {
        kind = ROMA_MISUSE_INTERIOR;
        manager = cell.owner;
        roma__text_add(&text, "free of %p", address);
        add_here(&text, site);
        roma__text_add(&text, ", which is %zu bytes inside the %s at %p",
                       (size_t)((const char *)address - (const char *)cell.address),
                       cell.count > 0 ? "block" : "free block", cell.address);
        add_history_of(&text, manager, cell.address);
    } else {
        roma__text_add(&text, "free of %p", address);
        add_here(&text, site);
        roma__text_add(&text, ", which no manager has given out");
    }
    deliver(manager, kind, address, sentence);
}

void roma__misuse_size(const roma__cell *cell, size_t given_bytes, const roma__site *site)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text, "free of %p", cell->address);
    add_here(&text, site);
    roma__text_add(&text, " as %zu bytes, but the block has %zu", given_bytes,
                   roma__length_of(cell));
    add_history_of(&text, cell->owner, cell->address);
    deliver(cell->owner, ROMA_MISUSE_SIZE, cell->address, sentence);
}

void roma__misuse_overrun(const roma__cell *cell, size_t index, const roma__site *site)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text,
                   "overrun of the block of %zu bytes at %p: byte %zu behind its end was "
                   "overwritten, found",
                   roma__length_of(cell), cell->address, index);
    if (site != NULL)
        add_here(&text, site);
    else
        roma__text_add(&text, " by a check");
    add_history_of(&text, cell->owner, cell->address);
    deliver(cell->owner, ROMA_MISUSE_OVERRUN, cell->address, sentence);
}

void roma__misuse_written(roma_manager *manager, const roma__note *note, size_t index)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text, "write to the free block at %p: its byte %zu was overwritten",
                   note->address, index);
    add_history(&text, note);
    deliver(manager, ROMA_MISUSE_WRITE_FREED, note->address, sentence);
}

void roma__misuse_late(void *owner, void *address)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma_manager *manager = owner;
    roma__text_add(&text, "double free of %p, found when it came back to its slab", address);
    add_history_of(&text, manager, address);
    deliver(manager, ROMA_MISUSE_DOUBLE_FREE, address, sentence);
}

void roma__misuse_stored(const roma__stored *stored, const void *address, size_t among, int code,
                         const roma__site *site)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    const roma_store *store = stored->store;
    const char *name = store->path != NULL ? store->path : "in memory";
    roma_misuse_kind kind = ROMA_MISUSE_FOREIGN;
    roma__stored_around around;
    roma__text_add(&text, code == -ESTALE && !store->is_stale ? "double free of " : "free of ");
    if (among > 1)
        roma__text_add(&text, "one of %zu blocks from %p on", among, address);
    else
        roma__text_add(&text, "%p", address);
    add_here(&text, site);
    if (store->is_stale) {
        roma__text_add(&text, ", of a store of the parent process that its child does not have");
    } else if (code == -EROFS) {
        roma__text_add(&text, ", of a store that is open for reading only");
    } else if (code == -ESTALE) {
        kind = ROMA_MISUSE_DOUBLE_FREE;
        roma__text_add(&text, ": it is free, or this process holds no reference to it");
    } else if (code == -EINVAL && roma__stored_find_around(stored, address, &around)) {
        kind = ROMA_MISUSE_INTERIOR;
        roma__text_add(&text, ", which is %zu bytes inside the %s at %p", around.offset,
                       around.is_live ? "block" : "free block", around.address);
    } else if (code == -EINVAL) {
        roma__text_add(&text, ", where no block can be");
    } else {
        roma__text_add(&text, ", which failed with %d", code);
    }
    roma__text_add(&text, " (store %s)", name);
    deliver(roma__stored_manager(stored), kind, address, sentence);
}

void roma__misuse_stored_size(const roma__stored *stored, const void *address, size_t bytes,
                              size_t given_bytes, const roma__site *site)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text, "free of %p", address);
    add_here(&text, site);
    roma__text_add(&text, " as %zu bytes, but the block has %zu", given_bytes, bytes);
    deliver(roma__stored_manager(stored), ROMA_MISUSE_SIZE, address, sentence);
}

void roma__misuse_damage(roma_manager *manager, const char *sentence)
{
    deliver(manager, ROMA_MISUSE_DAMAGE, NULL, sentence);
}

void roma__misuse_leak(roma_manager *manager, uint64_t blocks, uint64_t bytes)
{
    char sentence[SENTENCE_BYTES];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    if (manager->on_misuse == NULL)
        return; /* the list has told it, and the caller asked for the destruction */
    roma__text_add(&text, "%llu blocks of %llu bytes were live when manager \"%s\" was destroyed",
                   (unsigned long long)blocks, (unsigned long long)bytes, manager->name);
    deliver(manager, ROMA_MISUSE_LEAK, NULL, sentence);
}
