/* block.c - blocks by pointer: allocate, share, release, ask. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "manager/fast.h"

#include <errno.h>
#include <string.h>

static void *fail(int code)
{
    errno = -code;
    return NULL;
}

/* What a public function leaves to the slow way is a function of its own, so that the fast one
 * needs no stack; it is told who called. */
#define SLOW __attribute__((noinline))
#define CALLER __builtin_return_address(0)

/* ---- allocate -------------------------------------------------------------------------------- */

/* A request that wishes nothing else, in that heap. */
static void *begin_in(roma_manager *manager, roma__heap *heap, unsigned populate_threads,
                      size_t bytes, size_t align, bool zero, const roma__site *site)
{
    roma__cell cell;
    roma_error error;
    roma__wanted wanted = {
        .bytes = bytes,
        .align = roma__max(align, roma__natural_align(manager, bytes)),
        .zero = zero,
        .populate_threads = populate_threads,
    };
    int code = roma__life_begin(manager, heap, &wanted, site, &cell, NULL, &error);
    if (code < 0)
        roma__policy_failed(manager, &error);
    return code < 0 ? fail(code) : cell.address;
}

/* A failure before any heap could count it. */
static void *refuse_plain(roma_manager *manager, int code)
{
    atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
    return fail(code);
}

void *roma__block_begin(roma_manager *manager, size_t bytes, size_t align, bool zero,
                        const roma__site *site)
{
    roma__heap *heap;
    roma_error error;
    unsigned threads = 0;
    if (bytes > ROMA__BYTES_MAX)
        return refuse_plain(manager, -EOVERFLOW);
    int code = roma__heap_plain(manager, bytes, align, &heap, &threads, &error);
    if (code < 0)
        return refuse_plain(manager, code);
    return begin_in(manager, heap, threads, bytes, align, zero, site);
}

void *roma__block_begin_in(roma_manager *manager, roma__heap *heap, size_t bytes,
                           const roma__site *site)
{
    if (!roma__heap_takes(heap, roma__max(bytes, 1)))
        return roma__block_begin(manager, bytes, 0, false, site);
    if (bytes > ROMA__BYTES_MAX)
        return refuse_plain(manager, -EOVERFLOW);
    return begin_in(manager, heap, 0, bytes, 0, false, site);
}

/* A request that wishes nothing but a length, where the fast way was none. */
static SLOW void *begin_slowly(roma_manager *manager, size_t bytes, size_t align, bool zero,
                               const void *caller)
{
    void *block = zero ? NULL : roma__fast_begin_parked(manager, bytes, align);
    if (block != NULL)
        return block;
    const roma__site site = roma__site_take(caller);
    if (manager == NULL)
        return fail(-EINVAL);
    if (manager->store != NULL)
        return roma__stored_begin(manager, bytes, align, zero);
    return roma__block_begin(manager, bytes, align, zero, &site);
}

void *roma_alloc(roma_manager *manager, size_t bytes)
{
    void *block = roma__fast_begin(manager, bytes);
    if (__builtin_expect(block != NULL, 1))
        return block;
    return begin_slowly(manager, bytes, 0, false, CALLER);
}

void *roma_alloc_zeroed(roma_manager *manager, size_t bytes)
{
    void *block = roma__fast_begin(manager, bytes);
    if (__builtin_expect(block != NULL, 1))
        return memset(block, 0, bytes);
    return begin_slowly(manager, bytes, 0, true, CALLER);
}

void *roma_alloc_aligned(roma_manager *manager, size_t bytes, size_t align)
{
    void *block = NULL;
    if (!roma__is_power_of_two(align) || align > ROMA__ALIGN_MAX)
        return fail(-EINVAL);
    /* The cells of a length's class are aligned to what divides the length, up to a granule. */
    if (bytes > 0 && roma__is_aligned(bytes, align) && align <= ROMA__GRANULE_BYTES)
        block = roma__fast_begin(manager, bytes);
    if (block != NULL)
        return block;
    return begin_slowly(manager, bytes, align, false, CALLER);
}

/* The grant of a request that reached no ladder. */
static void refuse(roma_grant *grant, const roma_error *error)
{
    if (grant != NULL) {
        memset(grant, 0, sizeof *grant);
        grant->code = error->code;
        grant->error = *error;
    }
}

static int route(roma_manager *manager, const roma_request *request, roma__routing *routing,
                 roma_error *error)
{
    bool is_held;
    const roma_policy *policy = roma__policy_hold(manager, &is_held);
    roma__wisher wisher = roma__wisher_of(manager); /* when the policy is held, it knows them all */
    int code = roma__wish_of(&wisher, policy, request, routing, error);
    roma__policy_let_go(manager, is_held);
    return code;
}

static int allocate(roma_manager *manager, const roma_request *given, const roma__site *site,
                    roma__cell *cell, roma_grant *grant)
{
    roma_error error;
    roma_request request;
    roma__routing routing;
    roma__heap *heap;
    if (manager == NULL || given == NULL) {
        roma__error_subject(&error, -EINVAL, ROMA_WHY_INVALID,
                            manager == NULL ? "manager" : "request");
        refuse(grant, &error);
        return -EINVAL;
    }
    int code = roma__request_read(&request, given, &error);
    if (code == 0)
        code = roma__request_check_counts(manager, &request, &error);
    if (code == 0)
        code = route(manager, &request, &routing, &error);
    if (code == 0)
        code = roma__heap_for(manager, &routing.wish, &heap, &error);
    if (code != 0) {
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
        refuse(grant, &error);
        return code;
    }
    roma__wanted wanted = {
        .bytes = request.bytes,
        .align = roma__max(request.align, roma__natural_align(manager, request.bytes)),
        .zero = request.zero,
        .flags = (request.weak ? ROMA__CELL_WEAK : 0u) |
                 (request.registered ? ROMA__CELL_REGISTERED : 0u),
        .populate_threads = routing.populate_threads,
        .label = request.label,
    };
    code = roma__life_begin(manager, heap, &wanted, site, cell, grant, &error);
    if (code < 0)
        roma__policy_failed(manager, &error);
    return code;
}

static void *allocate_stored(roma_manager *manager, const roma_request *given, roma_grant *grant)
{
    roma_error error;
    roma_request request;
    int code = given == NULL ? roma__error_invalid(&error, "request")
                             : roma__request_read(&request, given, &error);
    if (code == 0)
        return roma__stored_begin_with(manager, &request, grant);
    atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
    refuse(grant, &error);
    return fail(code);
}

void *roma_alloc_with(roma_manager *manager, const roma_request *request, roma_grant *grant)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    if (manager != NULL && manager->store != NULL)
        return allocate_stored(manager, request, grant);
    int code = allocate(manager, request, &site, &cell, grant);
    return code == 0 ? cell.address : fail(code);
}

/* ---- share and release ----------------------------------------------------------------------- */

int roma_retain(void *block)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_retain(block, code) : roma__life_retain(&cell, &site);
}

static SLOW int release_slowly(void *block, const void *caller)
{
    if (roma__heap_end_parked(block, SIZE_MAX))
        return 0;
    const roma__site site = roma__site_take(caller);
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_release(block, code) : roma__life_drop(&cell, &site);
}

int roma_release(void *block)
{
    return roma__fast_end(block) ? 0 : release_slowly(block, CALLER);
}

void roma__block_end(void *block, const roma__site *site)
{
    roma__cell cell;
    if (block == NULL)
        return;
    int code = roma__life_at(block, &cell);
    if (code < 0 && roma__stored_end(block, site))
        return;
    if (code == 0)
        code = roma__life_drop(&cell, site);
    if (code < 0)
        roma__misuse_release(block, code, &cell, site);
}

static SLOW void free_slowly(void *block, const void *caller)
{
    if (roma__heap_end_parked(block, SIZE_MAX))
        return;
    const roma__site site = roma__site_take(caller);
    roma__block_end(block, &site);
}

void roma_free(void *block)
{
    if (!roma__fast_end(block))
        free_slowly(block, CALLER);
}

/* Without counts the length is not known, only where the cell ends: an aligned block may be short
 * in it. */
static bool has_length(const roma__cell *cell, size_t bytes)
{
    const roma_manager *manager = cell->owner;
    return manager->words == ROMA__WORDS_NONE ? bytes <= roma__usable_of(cell)
                                              : bytes == roma__length_of(cell);
}

void roma__block_end_sized(void *block, size_t bytes, const roma__site *site)
{
    roma__cell cell;
    if (block == NULL)
        return;
    int code = roma__life_at(block, &cell);
    if (code < 0 && roma__stored_end_sized(block, bytes, site))
        return;
    if (code == 0 && !has_length(&cell, bytes))
        roma__misuse_size(&cell, bytes, site);
    else
        roma__block_end(block, site);
}

static SLOW void free_sized_slowly(void *block, size_t bytes, const void *caller)
{
    if (bytes < SIZE_MAX && roma__heap_end_parked(block, bytes))
        return;
    const roma__site site = roma__site_take(caller);
    roma__block_end_sized(block, bytes, &site);
}

void roma_free_sized(void *block, size_t bytes)
{
    if (!roma__fast_end_sized(block, bytes))
        free_sized_slowly(block, bytes, CALLER);
}

/* ---- questions ------------------------------------------------------------------------------- */

size_t roma_bytes(const void *block)
{
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_bytes(block, code) : roma__length_of(&cell);
}

size_t roma_usable(const void *block)
{
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_usable(block, code) : roma__usable_of(&cell);
}

int roma_count(const void *block)
{
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_count(block, code) : cell.count;
}

roma_manager *roma_manager_of(const void *block)
{
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_manager_of(block, code) : cell.owner;
}

const char *roma_label_of(const void *block)
{
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    if (code < 0)
        return roma__stored_label_of(block, code);
    roma_manager *manager = cell.owner;
    bool has_note = (cell.flags & ROMA__CELL_NOTED) != 0;
    return has_note ? roma__note_label(&manager->notes, cell.address) : "";
}

int roma_where(const void *block, roma_report *report)
{
    roma__cell cell;
    roma_error ignored;
    if (report == NULL)
        return -EINVAL;
    int code = roma__life_at(block, &cell);
    return code < 0 ? roma__stored_where(block, report, code)
                    : roma__cell_where(&cell, report, &ignored);
}
