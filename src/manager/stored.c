/* stored.c - blocks of stores, by pointer: where the façade's calls go when the page map knows no
 * block at an address, or the manager is one over a store.
 *
 * An ordinary block never comes here: it is found in the page map. What comes is looked up among
 * the open stores (ranges.c), and then the store decides. A call that has failed hands its code
 * in; where the address lies in no store either, it gets that code back.
 *
 * What differs from other managers follows from who else holds a block: other processes, and slots
 * in the file. So a count is what the file tells at that moment: the references of the session that
 * the block's slab belongs to, and one for each slot and each other session that holds it. And a
 * block that a slot names stays where it is: a resize that cannot be done in place gives the caller
 * a new block, which no slot names. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/grant.h"
#include "base/text.h"
#include "numa/machine.h"
#include "prefetch/executor.h"
#include "provider/populate.h"
#include "store/internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static void *fail(int code)
{
    errno = -code;
    return NULL;
}

/* The block that a pointer into a store names. Returns 0, -EINVAL, -ESTALE; `code`, which is a
 * failure, when it is in no store. */
static int look(const void *block, int code, roma__stored *stored, roma_store_block *known)
{
    *known = (roma_store_block){0};
    if (roma__stored_at(block, stored))
        return roma_store_look(stored->store, block, known);
    return code < 0 ? code : -EINVAL;
}

static int count_of(const roma_store_block *known)
{
    uint64_t count = (uint64_t)known->local_count + known->shared_count;
    return (int)roma__min(count, INT_MAX);
}

/* What is left of the life that was seen before a release. */
static int count_left(const roma__stored *stored, const void *block, uint32_t generation)
{
    roma_store_block now = {0};
    bool lives = roma_store_look(stored->store, block, &now) == 0 && now.generation == generation;
    return lives ? count_of(&now) : 0;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static void *count_failure(roma_manager *manager, void *block)
{
    if (block == NULL)
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
    return block;
}

void *roma__stored_begin(roma_manager *manager, size_t bytes, size_t align, bool zero)
{
    if (align == 0 && !zero)
        return count_failure(manager, roma_store_alloc(manager->store, bytes));
    roma_store_request request = roma_store_request_of(bytes);
    request.align = align;
    request.zero = zero;
    return count_failure(manager, roma_store_alloc_with(manager->store, &request));
}

int roma__stored_begin_many(roma_manager *manager, size_t bytes, void **blocks, size_t count)
{
    long got = roma_store_alloc_batch(manager->store, bytes, blocks, count);
    if (got == (long)count)
        return 0;
    int code = got < 0 ? (int)got : -errno;
    if (got > 0)
        (void)roma_store_release_batch(manager->store, blocks, (size_t)got);
    (void)count_failure(manager, NULL);
    return code;
}

/* ---- begin, with wishes ---------------------------------------------------------------------- */

int roma__stored_check(const roma_request *request, roma_error *error)
{
    const struct {
        const char *name;
        bool is_wished;
    } wishes[] = {
        {"request.placement", request->placement != ROMA_ANYWHERE},
        {"request.pages", request->pages != 0},
        {"request.strict", request->strict},
        {"request.weak", request->weak},
        {"request.registered", request->registered},
        {"request.inherit", request->inherit},
    };
    for (size_t i = 0; i < sizeof wishes / sizeof wishes[0]; i++)
        if (wishes[i].is_wished)
            return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED, wishes[i].name);
    return 0;
}

/* Why a store gave no block, from errno and the store's state. */
static int explain(const roma_store *store, int code, roma_error *error)
{
    switch (-code) {
    case ENOSPC:
        if (roma__view_units(&store->view) < store->view.regions.max_units)
            return roma__error_call(error, "fallocate", ENOSPC);
        (void)roma__error(error, code, ROMA_WHY_STORE_FULL);
        error->total = (store->view.regions.max_units - store->view.regions.first_unit)
                       << ROMA__UNIT_SHIFT;
        return code;
    case EUSERS:
        (void)roma__error(error, code, ROMA_WHY_STORE_LANES);
        error->total = store->view.regions.lanes;
        return code;
    case ENOMEM: return roma__error(error, code, ROMA_WHY_OUT_OF_MEMORY);
    case EROFS:
        return roma__error_subject(error, code, ROMA_WHY_UNSUPPORTED, "a store opened read-only");
    case ESTALE:
        return roma__error_subject(error, code, ROMA_WHY_UNSUPPORTED, "a store of the parent");
    default: return roma__error_subject(error, code, ROMA_WHY_INVALID, "request");
    }
}

static bool is_huge(const roma_store *store)
{
    return store->is_in_memory && store->page_bytes > roma__machine_base_bytes();
}

static size_t page_bytes_of(const roma_store *store)
{
    return is_huge(store) ? store->page_bytes : roma__machine_base_bytes();
}

static roma_page_kind kind_of(const roma_store *store)
{
    unsigned class = is_huge(store) ? ROMA_PAGE_CLASS_HUGETLB : ROMA_PAGE_CLASS_BASE;
    return (roma_page_kind)ROMA_PAGES_OF(class, roma__log2_floor(page_bytes_of(store)));
}

/* The whole pages that a block lies on. */
static roma_segment pages_of(const roma_store *store, const void *block, uint64_t bytes)
{
    uintptr_t start = (uintptr_t)block, end;
    size_t page_bytes = page_bytes_of(store), before = start & (page_bytes - 1);
    end = roma__align_up(start + roma__max(bytes, 1), page_bytes);
    return (roma_segment){(char *)(uintptr_t)block - before, end - (start - before)};
}

/* Where pages of a store stand in its file. Returns 0 or -errno. */
static int part_of(const roma_store *store, roma_segment pages, roma_file_part *part,
                   roma_error *error)
{
    uint64_t offset = (uint64_t)((char *)pages.address - store->view.base);
    *part = (roma_file_part){roma_store_fd(store), offset, pages.address, pages.bytes};
    return part->fd < 0 ? roma__error_call(error, "open", -part->fd) : 0;
}

/* What the file has there is read first, where the manager has an engine that reads. */
static int populate(const roma_manager *manager, const roma_store *store, roma_segment pages,
                    unsigned threads, roma_error *error)
{
    roma_prefetch_engine *engine = manager != NULL ? roma__manager_engine(manager) : NULL;
    roma_file_part part;
    int code = engine != NULL ? part_of(store, pages, &part, error) : 0;
    if (engine != NULL && code == 0)
        code = roma__part_read(engine, &part, error);
    if (code < 0)
        return code;
    roma__populate wish = {.address = pages.address,
                           .bytes = pages.bytes,
                           .page_bytes = page_bytes_of(store),
                           .threads = threads};
    return roma__populate_now(&wish, error);
}

static int begin_with(roma_manager *manager, const roma_request *request, void **block,
                      roma_error *error)
{
    roma_store *store = manager->store;
    int code = roma__stored_check(request, error);
    if (code < 0)
        return code;
    roma_store_request wish = roma_store_request_of(request->bytes);
    wish.align = request->align;
    wish.zero = request->zero;
    *block = roma_store_alloc_with(store, &wish);
    if (*block == NULL)
        return explain(store, -errno, error);
    if (request->populate_threads > 0)
        code = populate(manager, store, pages_of(store, *block, request->bytes),
                        request->populate_threads, error);
    if (code < 0)
        (void)roma_store_release(store, *block);
    return code;
}

void roma__stored_step(const roma_store *store, roma_grant *grant)
{
    grant->steps_count = 1;
    roma__text_copy(grant->steps[0].provider, sizeof grant->steps[0].provider, "store");
    grant->steps[0].pages = grant->pages = kind_of(store);
    grant->page_bytes = roma_page_bytes(grant->pages);
}

void *roma__stored_begin_with(roma_manager *manager, const roma_request *request, roma_grant *grant)
{
    void *block = NULL;
    roma_error error;
    int code = begin_with(manager, request, &block, &error);
    roma__grant_clear(grant);
    if (code < 0) {
        (void)roma__grant_fail(grant, code, &error);
        (void)count_failure(manager, NULL);
        return fail(code);
    }
    if (grant != NULL) {
        roma__stored_step(manager->store, grant);
        grant->bytes = roma_store_usable(manager->store, block);
        grant->zeroed = request->zero;
        grant->populated = request->populate_threads > 0;
        grant->reused = true;
    }
    return block;
}

/* ---- share and release ----------------------------------------------------------------------- */

int roma__stored_retain(void *block, int code)
{
    roma__stored stored;
    roma_store_block known = {0};
    if (!roma__stored_at(block, &stored))
        return code;
    code = roma_store_retain(stored.store, block);
    if (code == 0)
        code = roma_store_look(stored.store, block, &known);
    return code < 0 ? code : count_of(&known);
}

int roma__stored_release(void *block, int code)
{
    roma__stored stored;
    roma_store_block known;
    code = look(block, code, &stored, &known);
    if (code == 0)
        code = roma_store_release(stored.store, block);
    return code < 0 ? code : count_left(&stored, block, known.generation);
}

bool roma__stored_end(void *block, const roma__site *site)
{
    roma__stored stored;
    if (!roma__stored_at(block, &stored))
        return false;
    int code = roma_store_release(stored.store, block);
    if (code < 0)
        roma__misuse_stored(&stored, block, 1, code, site);
    return true;
}

bool roma__stored_end_sized(void *block, size_t bytes, const roma__site *site)
{
    roma__stored stored;
    roma_store_block known;
    if (look(block, -EINVAL, &stored, &known) < 0 || known.bytes == bytes)
        return roma__stored_end(block, site);
    roma__misuse_stored_size(&stored, block, known.bytes, bytes, site);
    return true;
}

/* ---- many at once ---------------------------------------------------------------------------- */

enum { CHUNK_COUNT = 64 };

/* Which of some blocks was wrong: one that is none, or that stands among them twice. NULL: one of
 * them was free before. */
static const void *culprit(const roma_store *store, void *const *blocks, size_t count, int code)
{
    roma_store_block known;
    for (size_t i = 0; i < count; i++) {
        if (code == -EINVAL && blocks[i] != NULL &&
            roma_store_look(store, blocks[i], &known) == -EINVAL)
            return blocks[i];
        for (size_t j = 0; code == -ESTALE && j < i; j++)
            if (blocks[i] != NULL && blocks[j] == blocks[i])
                return blocks[i];
    }
    return NULL;
}

size_t roma__stored_end_many(void *const *blocks, size_t count, const roma__site *site)
{
    roma__stored stored, other;
    void *chunk[CHUNK_COUNT];
    size_t taken = 0;
    if (!roma__stored_at(blocks[0], &stored))
        return 0;
    while (taken < roma__min(count, CHUNK_COUNT) &&
           (blocks[taken] == NULL ||
            (roma__stored_at(blocks[taken], &other) && other.range == stored.range))) {
        chunk[taken] = blocks[taken];
        taken++;
    }
    int code = roma_store_release_batch(stored.store, chunk, taken);
    if (code < 0) {
        const void *wrong = culprit(stored.store, blocks, taken, code);
        roma__misuse_stored(&stored, wrong != NULL ? wrong : blocks[0], wrong != NULL ? 1 : taken,
                            code, site);
    }
    return taken;
}

/* ---- another length -------------------------------------------------------------------------- */

/* Others hold the block, so they keep it. */
static int copied(const roma__stored *stored, void **block, size_t before, size_t bytes)
{
    void *fresh = roma_store_alloc(stored->store, bytes);
    if (fresh == NULL)
        return -errno;
    memcpy(fresh, *block, roma__min(before, bytes));
    int code = roma_store_release(stored->store, *block);
    if (code < 0) { /* the reference was not the caller's after all */
        (void)roma_store_release(stored->store, fresh);
        return code;
    }
    *block = fresh;
    return 0;
}

int roma__stored_resize(void **block, size_t bytes, unsigned flags, int code)
{
    roma__stored stored;
    roma_store_block known;
    bool must_stay = (flags & ROMA_RESIZE_IN_PLACE) != 0;
    code = look(*block, code, &stored, &known);
    if (code < 0)
        return code;
    code = roma__store_resize(stored.store, block, bytes, !must_stay);
    if (code == -EBUSY)
        code = copied(&stored, block, known.bytes, bytes);
    if (code == 0 && (flags & ROMA_RESIZE_ZERO) != 0 && bytes > known.bytes)
        memset((char *)*block + known.bytes, 0, bytes - known.bytes);
    return code;
}

/* ---- questions ------------------------------------------------------------------------------- */

/* The live block, or false with errno. */
static bool ask(const void *block, int code, roma__stored *stored, roma_store_block *known)
{
    code = look(block, code, stored, known);
    if (code < 0)
        errno = -code;
    return code == 0;
}

size_t roma__stored_bytes(const void *block, int code)
{
    roma__stored stored;
    roma_store_block known;
    return ask(block, code, &stored, &known) ? (size_t)known.bytes : 0;
}

size_t roma__stored_usable(const void *block, int code)
{
    roma__stored stored;
    roma_store_block known;
    return ask(block, code, &stored, &known) ? (size_t)known.usable_bytes : 0;
}

int roma__stored_count(const void *block, int code)
{
    roma__stored stored;
    roma_store_block known;
    code = look(block, code, &stored, &known);
    return code < 0 ? code : count_of(&known);
}

roma_manager *roma__stored_manager_of(const void *block, int code)
{
    roma__stored stored;
    roma_store_block known;
    if (!ask(block, code, &stored, &known))
        return NULL;
    roma_manager *manager = roma__stored_manager(&stored);
    return manager != NULL ? manager : fail(-ENOMEM);
}

const char *roma__stored_label_of(const void *block, int code)
{
    roma__stored stored;
    roma_store_block known;
    return ask(block, code, &stored, &known) ? "" : NULL;
}

int roma__stored_where(const void *block, roma_report *report, int code)
{
    roma__stored stored;
    roma_store_block known;
    roma_error ignored;
    code = look(block, code, &stored, &known);
    if (code < 0)
        return code;
    roma_segment pages = pages_of(stored.store, block, known.bytes);
    memset(report, 0, sizeof *report);
    return roma__machine_where(pages.address, pages.bytes, kind_of(stored.store), report, &ignored);
}

/* ---- parts of blocks ------------------------------------------------------------------------- */

bool roma__stored_part_of(const void *block, roma__stored_part *part)
{
    roma_store_block known = {0};
    part->block = block;
    if (!roma__stored_at(block, &part->stored))
        return false;
    part->code = roma_store_look(part->stored.store, block, &known);
    part->usable_bytes = (size_t)known.usable_bytes;
    return true;
}

int roma__stored_populate(const roma__stored_part *part, size_t offset, size_t bytes,
                          unsigned threads, roma_error *error)
{
    const roma_store *store = part->stored.store;
    if (bytes == 0)
        return 0;
    return populate(roma__stored_manager(&part->stored), store,
                    pages_of(store, (const char *)part->block + offset, bytes), threads, error);
}

/* The whole pages that the part has for itself. */
static roma_segment pages_inside(const roma_store *store, const char *start, size_t bytes)
{
    size_t page_bytes = page_bytes_of(store);
    uintptr_t first = roma__align_up((uintptr_t)start, page_bytes);
    uintptr_t end = roma__align_down((uintptr_t)start + bytes, page_bytes);
    return (roma_segment){(char *)(uintptr_t)start + (first - (uintptr_t)start),
                          end > first ? end - first : 0};
}

int roma__stored_advise(const roma__stored_part *part, size_t offset, size_t bytes,
                        roma_advice advice, roma_error *error)
{
    const roma_store *store = part->stored.store;
    const char *start = (const char *)part->block + offset;
    const roma_manager *manager = roma__stored_manager(&part->stored);
    roma_prefetch_engine *engine = manager != NULL ? roma__manager_engine(manager) : NULL;
    roma_file_part pages;
    if (bytes == 0)
        return 0;
    int code = part_of(store,
                       advice == ROMA_ADVICE_NEED ? pages_of(store, start, bytes)
                                                  : pages_inside(store, start, bytes),
                       &pages, error);
    return code < 0 || pages.bytes == 0 ? code : roma__part_advise(engine, &pages, advice, error);
}

/* ---- handles --------------------------------------------------------------------------------- */

int roma__stored_handle(const void *block, roma_block *handle, int code)
{
    roma__stored stored;
    roma_store_block known;
    code = look(block, code, &stored, &known);
    if (code == 0)
        *handle = (roma_block){(char *)(uintptr_t)block, known.generation};
    return code;
}

bool roma__stored_is_live(roma_block handle)
{
    roma__stored stored;
    roma_store_block known;
    return look(handle.address, -ESTALE, &stored, &known) == 0 &&
           known.generation == handle.generation;
}
