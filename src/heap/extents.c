/* extents.c - obtaining extents through the ladder, cutting them, giving them back; see extents.h.
 *
 * Records come from the descriptors' memory and go to a process-wide list of spare ones, so that
 * obtaining an extent costs no system call but its own. No stale thread looks at a record: they are
 * reached only through a slab whose cell the caller holds. */
#include "heap/extents.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/grant.h"
#include "heap/metadata.h"
#include "heap/pagemap.h"

#include <errno.h>
#include <string.h>

enum { GROWTH_BYTES = 2 << 20 };

/* ---- records -------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct roma__extent_record *spare;
} records = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct roma__extent_record *record_from_spares(uint32_t bits_words)
{
    pthread_mutex_lock(&records.lock);
    struct roma__extent_record **link = &records.spare;
    while (*link != NULL && (*link)->bits_capacity < bits_words)
        link = &(*link)->next;
    struct roma__extent_record *record = *link;
    if (record != NULL)
        *link = record->next;
    pthread_mutex_unlock(&records.lock);
    return record;
}

static struct roma__extent_record *record_new(uint32_t bits_words)
{
    struct roma__extent_record *record = record_from_spares(bits_words);
    if (record == NULL) {
        record = roma__metadata_take(sizeof *record + bits_words * sizeof(uint64_t));
        if (record == NULL)
            return NULL;
        record->bits_capacity = bits_words;
        record->bits = (uint64_t *)(void *)(record + 1);
    }
    record->next = record->previous = NULL;
    return record;
}

static void record_free(struct roma__extent_record *record)
{
    pthread_mutex_lock(&records.lock);
    record->next = records.spare;
    records.spare = record;
    pthread_mutex_unlock(&records.lock);
}

static size_t record_bytes(const struct roma__extent_record *record)
{
    return sizeof *record + record->bits_capacity * sizeof(uint64_t);
}

void roma__extents_fork_hold(void)
{
    pthread_mutex_lock(&records.lock);
}

void roma__extents_fork_free(void)
{
    pthread_mutex_unlock(&records.lock);
}

/* ---- granules of a shared extent ------------------------------------------------------------ */

static bool granule_is_free(const struct roma__extent_record *record, uint32_t granule)
{
    return (record->bits[granule / 64] >> granule % 64 & 1) != 0;
}

static void mark(struct roma__extent_record *record, uint32_t first, uint32_t count, bool is_free)
{
    for (uint32_t i = first; i < first + count; i++) {
        roma_check(granule_is_free(record, i) != is_free);
        record->bits[i / 64] ^= (uint64_t)1 << i % 64;
    }
    if (is_free)
        record->free_granules += count;
    else
        record->free_granules -= count;
}

static void mark_all_free(struct roma__extent_record *record)
{
    memset(record->bits, 0, record->bits_capacity * sizeof(uint64_t));
    record->free_granules = 0;
    mark(record, 0, record->granules, true);
}

/* First fit. Returns the first granule of the lowest free run of `count`; UINT32_MAX: none. */
static uint32_t find_run(const struct roma__extent_record *record, uint32_t count)
{
    if (record->free_granules < count)
        return UINT32_MAX;
    uint32_t run = 0;
    for (uint32_t i = 0; i < record->granules; i++) {
        if (i % 64 == 0 && record->bits[i / 64] == 0) { /* 64 taken ones at once */
            run = 0;
            i += 63;
        } else if (!granule_is_free(record, i)) {
            run = 0;
        } else if (++run == count) {
            return i + 1 - count;
        }
    }
    return UINT32_MAX;
}

static uint32_t granule_of(const struct roma__extent_record *record, const char *base)
{
    return (uint32_t)((size_t)(base - (char *)record->extent.address) >> ROMA__GRANULE_SHIFT);
}

/* ---- lists, under the lock ------------------------------------------------------------------ */

static struct roma__extent_record **list_of(struct roma__extents *extents,
                                            const struct roma__extent_record *record)
{
    return record->own ? &extents->owned : &extents->shared;
}

static void link_record(struct roma__extents *extents, struct roma__extent_record *record)
{
    struct roma__extent_record **head = list_of(extents, record);
    record->previous = NULL;
    record->next = *head;
    if (*head != NULL)
        (*head)->previous = record;
    *head = record;
}

static void unlink_record(struct roma__extents *extents, struct roma__extent_record *record)
{
    if (record->previous != NULL)
        record->previous->next = record->next;
    else
        *list_of(extents, record) = record->next;
    if (record->next != NULL)
        record->next->previous = record->previous;
}

/* ---- from and to the provider --------------------------------------------------------------- */

static int charge(struct roma__extents *extents, size_t bytes)
{
    return extents->charge == NULL ? 0 : extents->charge(extents->owner, bytes);
}

static void credit(struct roma__extents *extents, size_t bytes)
{
    if (extents->credit != NULL && bytes > 0)
        extents->credit(extents->owner, bytes);
}

static int refused_by_limit(roma_grant *grant, roma_error *error, size_t bytes)
{
    int code = roma__error(error, -ENOMEM, ROMA_WHY_MANAGER_LIMIT);
    error->need = bytes;
    roma__grant_clear(grant);
    return roma__grant_fail(grant, code, error);
}

static void return_extent(struct roma__extents *extents, unsigned step, roma_extent *extent,
                          size_t charged_bytes)
{
    if (extents->released != NULL)
        extents->released(extents->owner, extent->address, extent->bytes);
    roma_error ignored;
    int code = roma_provider_release(extents->ladder.steps[step].provider, extent, &ignored);
    /* A kernel that cannot unmap (too many mappings) keeps the memory; there is nobody to tell, and
     * the address range stays unused. */
    (void)code;
    credit(extents, charged_bytes);
}

/* The limit counts what is asked before it is obtained, and what a step's page size adds after:
 * where that is too much, the next step has smaller pages. On success the owner has been charged
 * for all of extent->bytes. */
static int obtain(struct roma__extents *extents, size_t bytes, size_t align, unsigned threads,
                  roma_extent *extent, unsigned *step, roma_grant *grant, roma_error *error)
{
    if (charge(extents, bytes) < 0)
        return refused_by_limit(grant, error, bytes);
    roma_extent_request ask = roma_extent_request_default();
    ask.bytes = bytes;
    ask.align = roma__max(align, ROMA__GRANULE_BYTES);
    ask.label = extents->label;
    ask.inherit = extents->inherit;
    ask.populate_threads = threads;
    int code = -ENOMEM;
    for (unsigned first = 0; first < extents->ladder.count; first = *step + 1) {
        code = roma__ladder_walk(&extents->ladder, first, &ask, extent, step, grant, error);
        if (code < 0)
            break;
        if (extent->bytes <= bytes || charge(extents, extent->bytes - bytes) == 0)
            return 0;
        size_t got = extent->bytes;
        return_extent(extents, *step, extent, 0);
        code = roma__error(error, -ENOMEM, ROMA_WHY_MANAGER_LIMIT);
        error->need = got;
        if (grant != NULL) {
            grant->steps[*step].error = *error;
            roma__grant_fail(grant, code, error);
        }
    }
    credit(extents, bytes);
    return code;
}

/* An extent in a record, in the page map's reach and in the list. Under the lock. */
static int adopt(struct roma__extents *extents, roma_extent *extent, unsigned step, bool own,
                 struct roma__extent_record **adopted, roma_grant *grant, roma_error *error)
{
    uint32_t granules = (uint32_t)(extent->bytes >> ROMA__GRANULE_SHIFT);
    struct roma__extent_record *record = record_new(own ? 0 : (granules + 63) / 64);
    int code = record == NULL ? -ENOMEM : roma__map_cover(extent->address, own ? 1 : extent->bytes);
    if (code < 0) {
        if (record != NULL)
            record_free(record);
        return_extent(extents, step, extent, extent->bytes);
        roma__error(error, code, code == -ENOMEM ? ROMA_WHY_OUT_OF_MEMORY : ROMA_WHY_ADDRESS_SPACE);
        return roma__grant_fail(grant, code, error);
    }
    record->extent = *extent;
    record->step = step;
    record->charged_bytes = extent->bytes;
    record->own = own;
    record->granules = own ? 0 : granules;
    record->free_granules = 0;
    record->marked = own;
    if (!own) {
        mark_all_free(record);
        extents->empty_count++;
    }
    link_record(extents, record);
    atomic_fetch_add_explicit(&extents->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&extents->bytes, extent->bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&extents->record_bytes, record_bytes(record), memory_order_relaxed);
    *adopted = record;
    return 0;
}

/* Under the lock. */
static void release_locked(struct roma__extents *extents, struct roma__extent_record *record)
{
    unlink_record(extents, record);
    if (!record->own && record->free_granules == record->granules)
        extents->empty_count--;
    atomic_fetch_sub_explicit(&extents->count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&extents->bytes, record->extent.bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&extents->record_bytes, record_bytes(record), memory_order_relaxed);
    return_extent(extents, record->step, &record->extent, record->charged_bytes);
    record_free(record);
}

void roma__extents_release(struct roma__extents *extents, struct roma__extent_record *record)
{
    pthread_mutex_lock(&extents->lock);
    release_locked(extents, record);
    pthread_mutex_unlock(&extents->lock);
}

/* Grow by a comfortable extent; where that is not to be had, by just what is needed now. */
static int grow(struct roma__extents *extents, uint32_t granules,
                struct roma__extent_record **record, roma_grant *grant, roma_error *error)
{
    size_t needed = (size_t)granules << ROMA__GRANULE_SHIFT;
    size_t wanted = extents->growth_bytes == 0 ? GROWTH_BYTES : extents->growth_bytes;
    wanted = roma__max(needed, roma__align_up(wanted, ROMA__GRANULE_BYTES));
    roma_extent extent;
    unsigned step = 0;
    int code = obtain(extents, wanted, 0, 0, &extent, &step, grant, error);
    if (code == -ENOMEM && wanted > needed)
        code = obtain(extents, needed, 0, 0, &extent, &step, grant, error);
    return code < 0 ? code : adopt(extents, &extent, step, false, record, grant, error);
}

static int cut_locked(struct roma__extents *extents, uint32_t granules, char **base,
                      struct roma__extent_record **found, bool *reused, roma_grant *grant,
                      roma_error *error)
{
    struct roma__extent_record *record = extents->shared;
    uint32_t first = UINT32_MAX;
    while (record != NULL && (first = find_run(record, granules)) == UINT32_MAX)
        record = record->next;
    *reused = record != NULL;
    if (record == NULL) {
        int code = grow(extents, granules, &record, grant, error);
        if (code < 0)
            return code;
        first = 0;
    }
    if (record->free_granules == record->granules)
        extents->empty_count--;
    mark(record, first, granules, false);
    *base = (char *)record->extent.address + ((size_t)first << ROMA__GRANULE_SHIFT);
    *found = record;
    return 0;
}

int roma__extents_cut(struct roma__extents *extents, uint32_t granules, char **base,
                      struct roma__extent_record **record, bool *reused, roma_grant *grant,
                      roma_error *error)
{
    pthread_mutex_lock(&extents->lock);
    int code = cut_locked(extents, granules, base, record, reused, grant, error);
    pthread_mutex_unlock(&extents->lock);
    return code;
}

/* Returns whether the extent is empty now. */
static bool put_locked(struct roma__extents *extents, struct roma__extent_record *record,
                       char *base, uint32_t granules)
{
    mark(record, granule_of(record, base), granules, true);
    bool is_empty = record->free_granules == record->granules;
    extents->empty_count += is_empty;
    return is_empty;
}

void roma__extents_give(struct roma__extents *extents, struct roma__extent_record *record,
                        char *base, uint32_t granules)
{
    pthread_mutex_lock(&extents->lock);
    if (put_locked(extents, record, base, granules) && extents->empty_count > 1)
        release_locked(extents, record);
    pthread_mutex_unlock(&extents->lock);
}

void roma__extents_put(struct roma__extents *extents, struct roma__extent_record *record,
                       char *base, uint32_t granules)
{
    pthread_mutex_lock(&extents->lock);
    (void)put_locked(extents, record, base, granules);
    pthread_mutex_unlock(&extents->lock);
}

bool roma__extents_lengthen(struct roma__extents *extents, struct roma__extent_record *record,
                            char *base, uint32_t granules, uint32_t wanted)
{
    pthread_mutex_lock(&extents->lock);
    uint32_t end = granule_of(record, base) + granules;
    uint32_t more = wanted - granules;
    bool fits = more <= record->granules - end;
    for (uint32_t i = 0; fits && i < more; i++)
        fits = granule_is_free(record, end + i);
    if (fits)
        mark(record, end, more, false);
    pthread_mutex_unlock(&extents->lock);
    return fits;
}

int roma__extents_take_own(struct roma__extents *extents, size_t bytes, size_t align,
                           unsigned populate_threads, struct roma__extent_record **record,
                           roma_grant *grant, roma_error *error)
{
    /* Populating takes long and needs nothing of the heap: only the adoption is locked. */
    roma_extent extent;
    unsigned step = 0;
    int code = obtain(extents, bytes, align, populate_threads, &extent, &step, grant, error);
    if (code < 0)
        return code;
    pthread_mutex_lock(&extents->lock);
    code = adopt(extents, &extent, step, true, record, grant, error);
    pthread_mutex_unlock(&extents->lock);
    return code;
}

int roma__extents_resize(struct roma__extents *extents, struct roma__extent_record *record,
                         size_t bytes, bool may_move)
{
    size_t before = record->extent.bytes;
    size_t more = bytes > before ? bytes - before : 0;
    if (more > 0 && charge(extents, more) < 0)
        return -ENOMEM;
    char *address = record->extent.address;
    roma_error ignored;
    int code = roma_provider_resize(roma__extents_provider(extents, record), &record->extent, bytes,
                                    may_move, &ignored);
    if (code < 0) {
        credit(extents, more);
        return code;
    }
    /* Whole pages may be a little more than was charged: that little is not refused. */
    size_t after = record->extent.bytes;
    record->charged_bytes += more;
    if (record->charged_bytes > after) {
        credit(extents, record->charged_bytes - after);
        record->charged_bytes = after;
    }
    if (after < before && extents->released != NULL)
        extents->released(extents->owner, address + after, before - after);
    atomic_fetch_add_explicit(&extents->bytes, after - before, memory_order_relaxed);
    return 0;
}

size_t roma__extents_trim(struct roma__extents *extents, size_t keep_bytes)
{
    size_t given = 0;
    pthread_mutex_lock(&extents->lock);
    struct roma__extent_record *record = extents->shared;
    while (record != NULL &&
           atomic_load_explicit(&extents->bytes, memory_order_relaxed) > keep_bytes) {
        struct roma__extent_record *next = record->next;
        uint64_t held = atomic_load_explicit(&extents->bytes, memory_order_relaxed);
        if (record->free_granules == record->granules &&
            held - record->extent.bytes >= keep_bytes) {
            given += record->extent.bytes;
            release_locked(extents, record);
        }
        record = next;
    }
    pthread_mutex_unlock(&extents->lock);
    return given;
}

void roma__extents_unmark(struct roma__extents *extents)
{
    for (struct roma__extent_record *record = extents->shared; record != NULL;
         record = record->next)
        mark_all_free(record);
    for (struct roma__extent_record *record = extents->owned; record != NULL; record = record->next)
        record->marked = false;
}

void roma__extents_mark(struct roma__extent_record *record, const char *base, uint32_t granules)
{
    if (record->own)
        record->marked = true;
    else
        mark(record, granule_of(record, base), granules, false);
}

void roma__extents_settle(struct roma__extents *extents)
{
    extents->empty_count = 0;
    for (struct roma__extent_record *record = extents->shared, *next; record != NULL;
         record = next) {
        next = record->next;
        extents->empty_count += record->free_granules == record->granules;
        if (!record->extent.inherited)
            release_locked(extents, record);
    }
    for (struct roma__extent_record *record = extents->owned, *next; record != NULL;
         record = next) {
        next = record->next;
        if (!record->marked || !record->extent.inherited)
            release_locked(extents, record);
    }
}

void roma__extents_grant(const struct roma__extents *extents,
                         const struct roma__extent_record *record, roma_grant *grant)
{
    static const roma_error none = {.node = -1};
    memset(grant, 0, sizeof *grant);
    grant->steps_count = 1;
    grant->bytes = record->extent.bytes;
    grant->page_bytes = record->extent.page_bytes;
    grant->pages = record->extent.pages;
    grant->populated = record->extent.populated;
    grant->pinned = record->extent.pinned;
    grant->nodes = record->extent.nodes;
    grant->reused = true;
    roma__ladder_step_note(&extents->ladder, record->step, &none, &grant->steps[0]);
}
