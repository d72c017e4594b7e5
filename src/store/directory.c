/* directory.c - names for blocks: put, replace, get, remove, each.
 *
 * The name slots of the file are the heads of chains; a name's checksum says which one is its own.
 * A link of a chain is a block with two slots, {next, what is named}, a type and the name
 * (directory.h), so the directory is made of what the store has anyway: it needs no allocator and
 * no recovery of its own, and the check counts its references as those of any other slots.
 *
 * Who writes. Slots of chains, types, and what an entry names are written by redo records under the
 * names stripe alone, so one operation may write two slots of a chain under that one lock. A name
 * is written before its entry is linked, and never again.
 *   put      an entry is made beside the chain, held by this session; one record links it at the
 *            chain's end, where the empty slot is. A kill before that leaves a block of a dead
 *            session, which takes its reference to the named block with it.
 *   replace  one record: type, slot, one reference more, one less.
 *   remove   one record: the slot before takes the next entry over, the entry loses its own, and is
 *            dropped. What it named is released as a block's slots always are.
 *   get      finds and loads under the stripe, so what it found cannot go before it is held. What
 *            loading may need units for is made ready before: growth would keep all names waiting.
 *
 * each takes no lock, for it also serves read-only openings, which cannot. It copies a chain, twice
 * if need be, until two copies in a row are the same, and in between no record of names was being
 * applied. Why that is a state that was there: entries have generations, a removed one loses its
 * next entry and its life, so a walk that left the chain half way shows an entry that the second
 * walk cannot meet again. And a record that was half applied in the first copy is whole in the
 * second. That nobody applies one is seen by the stripe, which is free, or by its holder's record,
 * which is not valid: who is stopped or dead with the stripe, but not in the middle of a record,
 * keeps nobody from reading. For one who is in the middle there is some patience; then it is
 * -EBUSY, unless he is dead, and we are a session, which recovers him.
 *
 * A hostile file: every ref, length and map is judged when an entry is met (entry_at), a chain that
 * bites its tail is seen by Brent's method: -EUCLEAN. */
#include "store/directory.h"

#include "heap/atomics.h"
#include "store/internal.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { COPIES_MOST = 1000, DAMAGED_COPIES = 16, PATIENCE = 1000, SLOTS_COUNT = 2 };

unsigned roma__name_chain(const char *name, size_t name_bytes)
{
    return (unsigned)(roma__checksum(name, name_bytes) % ROMA__NAMES_COUNT);
}

/* ---- walking a chain ------------------------------------------------------------------------- */

typedef struct chain {
    const roma__view *view;
    roma_ref *from; /* the slot that names the entry, or the empty one at the end */
    roma_ref ref;
    roma__block block;
    uint32_t generation;
    roma__entry *entry; /* NULL: at the beginning, or behind the end                  */
    size_t name_bytes;
    roma_ref mark; /* an entry behind us; to meet it again is a circle           */
    uint64_t steps, limit;
} chain;

static chain chain_of(const roma__view *view, unsigned index)
{
    return (chain){.view = view, .from = &view->names[index], .limit = 1};
}

static bool is_circle(chain *at)
{
    if (at->ref == at->mark)
        return true;
    if (++at->steps == at->limit) {
        at->mark = at->ref;
        at->steps = 0;
        at->limit *= 2;
    }
    return false;
}

/* The entry that at->ref names, judged: after this, all of it can be read. */
static int entry_at(chain *at)
{
    if (roma__block_find(at->view, at->ref, &at->block) < 0)
        return -EUCLEAN;
    uint64_t first = roma__load_acquire(at->block.first);
    uint64_t second = roma__load(at->block.second);
    roma__slots slots = roma__block_slots(at->view, &at->block, second);
    uint64_t slack = roma__second_slack(second);
    if (roma__first_owner(first) == 0 || slots.count != SLOTS_COUNT || slots.offset != 0 ||
        slots.stride != sizeof(roma_ref) || slack > at->block.usable_bytes)
        return -EUCLEAN;
    at->generation = roma__first_generation(first);
    at->entry = roma__view_at(at->view, at->ref);
    at->name_bytes = roma__load(&at->entry->name_bytes);
    bool is_whole = at->name_bytes >= 1 && at->name_bytes <= ROMA__NAME_BYTES_MAX &&
                    at->block.usable_bytes - slack == ROMA__ENTRY_BYTES + at->name_bytes;
    return is_whole ? 0 : -EUCLEAN;
}

/* Returns 1 with the next entry, 0 at the end, with `from` the empty slot there, or -EUCLEAN. */
static int chain_next(chain *at)
{
    if (at->entry != NULL)
        at->from = &at->entry->next;
    at->ref = roma__load_acquire(at->from);
    at->entry = NULL;
    if (at->ref == 0)
        return 0;
    int code = is_circle(at) ? -EUCLEAN : entry_at(at);
    return code < 0 ? code : 1;
}

/* The chain's name slots say where `name` is: 1, or 0 with `from` where it would be appended. */
static int find(const roma__view *view, const char *name, size_t name_bytes, chain *at)
{
    *at = chain_of(view, roma__name_chain(name, name_bytes));
    int code;
    while ((code = chain_next(at)) == 1)
        if (at->name_bytes == name_bytes && memcmp(at->entry->name, name, name_bytes) == 0)
            return 1;
    return code;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* Returns the length of a name, or -EINVAL, -ENAMETOOLONG. */
static long name_length(const char *name)
{
    if (name == NULL || name[0] == '\0')
        return -EINVAL;
    size_t length = strnlen(name, ROMA_STORE_NAME_BYTES);
    return length <= ROMA__NAME_BYTES_MAX ? (long)length : -ENAMETOOLONG;
}

/* ---- put and replace ------------------------------------------------------------------------- */

typedef struct putting {
    const char *name;
    size_t name_bytes;
    void *block;
    uint64_t type;
    bool may_replace;
} putting;

/* An entry that only this session holds. */
static int make_entry(roma__worker *worker, const putting *wish, roma__entry **entry)
{
    roma_store_request request = roma_store_request_of(ROMA__ENTRY_BYTES + wish->name_bytes);
    request.refs_count = SLOTS_COUNT;
    request.refs_stride = sizeof(roma_ref);
    void *memory;
    int code = roma__block_alloc(worker, &request, &memory);
    if (code < 0)
        return code;
    roma__entry *made = memory;
    made->type = wish->type;
    made->name_bytes = wish->name_bytes;
    memcpy(made->name, wish->name, wish->name_bytes);
    code = roma__slot_link(worker, &made->block, wish->block);
    if (code < 0) {
        (void)roma__block_release(worker, made);
        return code;
    }
    *entry = made;
    return 0;
}

/* The chain's last slot names the new entry. */
static int append(roma__op *op, const chain *end, const roma__entry *entry)
{
    const roma__view *view = end->view;
    roma__block block;
    roma_ref ref = roma__view_ref(view, entry);
    int code = roma__block_find(view, ref, &block);
    if (code < 0)
        return code;
    roma__op_lock_block(op, &block);
    code = roma__op_share(op, &block);
    if (code == 0)
        roma__op_store(op, end->from, ref);
    return code;
}

/* The entry names another block: both or neither. */
static int exchange(roma__op *op, const chain *found, const putting *wish)
{
    const roma__view *view = found->view;
    roma__entry *entry = found->entry;
    roma_ref old_ref = roma__load(&entry->block), ref = roma__view_ref(view, wish->block);
    roma__block block, old;
    if (roma__block_find(view, ref, &block) < 0)
        return -EINVAL;
    if (roma__block_find(view, old_ref, &old) < 0)
        return -EUCLEAN;
    roma__op_lock_slot(op, &entry->block);
    roma__op_lock_blocks(op, &block, &old);
    if (roma__first_owner(roma__load_acquire(block.first)) == 0)
        return -ESTALE;
    int code = ref == old_ref ? 0 : roma__op_share(op, &block);
    if (code < 0)
        return code;
    roma__op_store(op, &entry->type, wish->type);
    roma__op_store(op, &entry->block, ref);
    return ref == old_ref ? 0 : roma__op_drop(op, &old);
}

/* One attempt. `entry` is what make_entry() made, NULL while none was needed. Returns 0, -EAGAIN
 * when one is, or -errno. */
static int try_put(roma__worker *worker, const putting *wish, const roma__entry *entry)
{
    roma__op op;
    chain at;
    roma__op_begin(&op, worker);
    roma__op_lock_names(&op);
    int code = find(&roma__worker_store(worker)->view, wish->name, wish->name_bytes, &at);
    if (code == 1)
        code = wish->may_replace ? exchange(&op, &at, wish) : -EEXIST;
    else if (code == 0)
        code = entry != NULL ? append(&op, &at, entry) : -EAGAIN;
    if (code == 0)
        roma__op_commit(&op);
    else
        roma__op_cancel(&op);
    return code;
}

static int put(roma_store *store, putting *wish)
{
    long length = name_length(wish->name);
    if (length < 0 || wish->block == NULL)
        return length < 0 ? (int)length : -EINVAL;
    wish->name_bytes = (size_t)length;
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    roma__entry *entry = NULL;
    code = try_put(worker, wish, NULL);
    if (code == -EAGAIN)
        code = make_entry(worker, wish, &entry);
    if (entry != NULL) {
        code = try_put(worker, wish, entry);
        (void)roma__block_release(worker, entry); /* the directory has its own, or it goes */
    }
    roma__store_leave(worker);
    return code;
}

int roma_store_put(roma_store *store, const char *name, void *block, uint64_t type)
{
    return put(store, &(putting){.name = name, .block = block, .type = type});
}

int roma_store_replace(roma_store *store, const char *name, void *block, uint64_t type)
{
    return put(store, &(putting){.name = name, .block = block, .type = type, .may_replace = true});
}

/* ---- get and remove -------------------------------------------------------------------------- */

static int get(roma__worker *worker, const char *name, size_t name_bytes, uint64_t *type,
               void **block)
{
    chain at;
    int code = roma__slot_ready(worker);
    if (code < 0)
        return code;
    roma__stripe_lock(worker, ROMA__STRIPE_NAMES);
    code = find(&roma__worker_store(worker)->view, name, name_bytes, &at);
    if (code == 0)
        code = -ENOENT;
    if (code > 0) {
        code = roma__slot_load(worker, &at.entry->block, block);
        if (code == 0)
            code = -EUCLEAN; /* a name that names nothing */
        if (code > 0 && type != NULL)
            *type = roma__load(&at.entry->type);
    }
    roma__stripe_unlock(worker, ROMA__STRIPE_NAMES);
    return code;
}

void *roma_store_get(roma_store *store, const char *name, uint64_t *type)
{
    void *block = NULL;
    long length = name_length(name);
    int code = (int)length;
    roma__worker *worker = length < 0 ? NULL : roma__store_enter(store, &code);
    if (worker != NULL) {
        code = get(worker, name, (size_t)length, type, &block);
        roma__store_leave(worker);
    }
    if (code > 0)
        return block;
    errno = -code;
    return NULL;
}

static int unlink_entry(roma__worker *worker, const char *name, size_t name_bytes)
{
    roma__op op;
    chain at;
    roma__op_begin(&op, worker);
    roma__op_lock_names(&op);
    int code = find(&roma__worker_store(worker)->view, name, name_bytes, &at);
    if (code == 0)
        code = -ENOENT;
    if (code > 0) {
        roma__op_lock_block(&op, &at.block);
        roma__op_store(&op, at.from, roma__load(&at.entry->next));
        roma__op_store(&op, &at.entry->next, 0);
        code = roma__op_drop(&op, &at.block);
    }
    if (code == 0)
        roma__op_commit(&op);
    else
        roma__op_cancel(&op);
    return code;
}

int roma_store_remove(roma_store *store, const char *name)
{
    long length = name_length(name);
    if (length < 0)
        return (int)length;
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    code = unlink_entry(worker, name, (size_t)length);
    roma__store_leave(worker);
    return code;
}

/* ---- copies of a chain ----------------------------------------------------------------------- */

typedef struct seen {
    roma_ref entry, block;
    uint64_t type, bytes, generation, name_bytes;
    char name[ROMA_STORE_NAME_BYTES];
} seen;

typedef struct copy {
    seen *entries;
    size_t count, room;
    roma_ref damaged; /* the entry at which it ended with -EUCLEAN */
} copy;

static int copy_room(copy *copied)
{
    if (copied->count < copied->room)
        return 0;
    size_t room = copied->room == 0 ? 8 : 2 * copied->room;
    seen *entries = realloc(copied->entries, room * sizeof *entries);
    if (entries == NULL)
        return -ENOMEM;
    copied->entries = entries;
    copied->room = room;
    return 0;
}

/* Bytes that others may be changing: an entry that went while we look at it. */
static void copy_name(const chain *at, seen *entry)
{
    for (size_t i = 0; i < at->name_bytes; i++)
        entry->name[i] = roma__load(&at->entry->name[i]);
}

/* Returns 0 or -EUCLEAN, for a name that names no block. */
static int copy_entry(const chain *at, seen *entry)
{
    roma__block block;
    memset(entry, 0, sizeof *entry);
    entry->entry = at->ref;
    entry->generation = at->generation;
    entry->name_bytes = at->name_bytes;
    entry->type = roma__load(&at->entry->type);
    entry->block = roma__load(&at->entry->block);
    copy_name(at, entry);
    if (roma__block_find(at->view, entry->block, &block) < 0 ||
        roma__first_owner(roma__load_acquire(block.first)) == 0)
        return -EUCLEAN;
    uint64_t slack = roma__second_slack(roma__load(block.second));
    entry->bytes = slack > block.usable_bytes ? 0 : block.usable_bytes - slack;
    return 0;
}

/* Returns 0, -EUCLEAN or -ENOMEM. */
static int copy_chain(const roma__view *view, unsigned index, copy *copied)
{
    chain at = chain_of(view, index);
    int code;
    copied->count = 0;
    copied->damaged = 0;
    while ((code = chain_next(&at)) == 1) {
        code = copy_room(copied);
        if (code == 0)
            code = copy_entry(&at, &copied->entries[copied->count]);
        if (code < 0)
            break;
        copied->count++;
    }
    copied->damaged = code == -EUCLEAN ? at.ref : 0;
    return code;
}

static bool are_equal(const copy *one, const copy *other)
{
    return one->count == other->count && one->damaged == other->damaged &&
           (one->count == 0 ||
            memcmp(one->entries, other->entries, one->count * sizeof *one->entries) == 0);
}

/* Was there a moment in which no record of names was being applied? Where the holder is the same
 * before and after his record was looked at: that one, or the one in which he took the stripe. */
static bool is_passed(const roma__view *view)
{
    const uint32_t *place = &view->stripes[ROMA__STRIPE_NAMES].holder;
    uint32_t holder = roma__load_acquire(place);
    if (holder == 0)
        return true;
    if (holder > view->regions.lanes)
        return false; /* damage */
    uint64_t redo = roma__load_acquire(&view->lanes[holder - 1].redo);
    return (redo & ROMA__REDO_VALID) == 0 && roma__load_acquire(place) == holder;
}

/* A writer in the middle is given time to finish. Returns whether he has. */
static bool let_pass(const roma__view *view)
{
    for (int i = 0; i < PATIENCE; i++) {
        if (is_passed(view))
            return true;
        (void)sched_yield();
    }
    return false;
}

/* A state of the chain that was there, in *copied. Returns 0, -EUCLEAN, -ENOMEM, or -EBUSY. Who
 * walks into an entry that is just removed sees damage, now and then at the same place twice: that
 * is believed when it is there each time. */
static int copy_stable(const roma__view *view, unsigned index, copy *copied, copy *second)
{
    int code = copy_chain(view, index, copied), equal = 0;
    for (int i = 0; i < COPIES_MOST && code != -ENOMEM; i++) {
        if (!let_pass(view))
            return -EBUSY;
        int again = copy_chain(view, index, second);
        equal = again == code && are_equal(copied, second) ? equal + 1 : 0;
        if (equal >= (code == -EUCLEAN ? DAMAGED_COPIES : 1))
            return code;
        copy swapped = *copied;
        *copied = *second;
        *second = swapped;
        code = again;
    }
    return code == -ENOMEM ? code : -EBUSY;
}

typedef int on_entry(void *context, const roma_store_entry *entry);

static int tell(const copy *copied, on_entry *visit, void *context)
{
    int code = 0;
    for (size_t i = 0; i < copied->count && code == 0; i++) {
        const seen *from = &copied->entries[i];
        roma_store_entry entry = {
            .name = from->name, .type = from->type, .bytes = from->bytes, .ref = from->block};
        code = visit(context, &entry);
    }
    return code;
}

int roma_store_each(roma_store *store, on_entry *visit, void *context)
{
    if (store == NULL || visit == NULL)
        return -EINVAL;
    if (store->is_stale)
        return -ESTALE;
    copy copied = {0}, second = {0};
    int code = 0;
    for (unsigned i = 0; i < ROMA__NAMES_COUNT && code == 0; i++) {
        if (roma__load_acquire(&store->view.names[i]) == 0)
            continue;
        code = copy_stable(&store->view, i, &copied, &second);
        if (code == -EBUSY && !store->is_read_only && roma__store_recover_outside(store) > 0)
            code = copy_stable(&store->view, i, &copied, &second);
        if (code == 0)
            code = tell(&copied, visit, context);
    }
    free(copied.entries);
    free(second.entries);
    return code;
}

/* ---- check ----------------------------------------------------------------------------------- */

typedef struct faults {
    roma_store_on_fault visit;
    void *context;
    int64_t count, code; /* code: what ended the check */
} faults;

static void report(faults *found, uint64_t offset, const char *text)
{
    roma_store_fault fault = {.kind = ROMA_STORE_FAULT_DIRECTORY, .offset = offset, .text = text};
    found->count++;
    if (found->visit != NULL && found->code == 0)
        found->code = found->visit(found->context, &fault);
}

static int by_name(const void *one, const void *other)
{
    const seen *a = one, *b = other;
    int order = memcmp(a->name, b->name, sizeof a->name);
    return order != 0 ? order : (a->entry > b->entry) - (a->entry < b->entry);
}

static void check_entries(copy *copied, unsigned index, faults *found)
{
    for (size_t i = 0; i < copied->count; i++) {
        const seen *entry = &copied->entries[i];
        if (memchr(entry->name, 0, entry->name_bytes) != NULL)
            report(found, entry->entry, "a name of the directory has a byte 0 in it");
        else if (roma__name_chain(entry->name, entry->name_bytes) != index)
            report(found, entry->entry, "an entry of the directory is in another name's chain");
    }
    if (copied->count > 1)
        qsort(copied->entries, copied->count, sizeof *copied->entries, by_name);
    for (size_t i = 1; i < copied->count; i++)
        if (memcmp(copied->entries[i - 1].name, copied->entries[i].name,
                   sizeof copied->entries[i].name) == 0)
            report(found, copied->entries[i].entry, "a name of the directory is there twice");
}

int64_t roma__directory_check(const roma__view *view, roma_store_on_fault visit, void *context)
{
    faults found = {.visit = visit, .context = context};
    copy copied = {0};
    for (unsigned i = 0; i < ROMA__NAMES_COUNT && found.code == 0; i++) {
        if (roma__load_acquire(&view->names[i]) == 0)
            continue;
        int code = copy_chain(view, i, &copied);
        if (code == -ENOMEM)
            found.code = code;
        else
            check_entries(&copied, i, &found);
        if (code == -EUCLEAN)
            report(&found, copied.damaged,
                   "a chain of the directory leads to what is no entry, or in a circle");
    }
    free(copied.entries);
    return found.code != 0 ? found.code : found.count;
}
