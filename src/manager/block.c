/* block.c - blocks by pointer: allocate, share, release, ask. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>

static void *fail(int code)
{
    errno = -code;
    return NULL;
}

/* ---- allocate -------------------------------------------------------------------------------- */

/* A request that wishes nothing but a length. Returns the address, or NULL with errno. */
static void *allocate_plain(roma_manager *manager, size_t bytes, size_t align, bool zero,
                            const roma__site *site)
{
    if (manager == NULL)
        return fail(-EINVAL);
    if (bytes > ROMA__BYTES_MAX) {
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
        return fail(-EOVERFLOW);
    }
    roma__heap *heap;
    roma__cell cell;
    roma_error error;
    int code = roma__heap_plain(manager, &heap, &error);
    if (code < 0)
        return fail(code);
    roma__wanted wanted = {
        .bytes = bytes,
        .align = roma__max(align, roma__natural_align(manager, bytes)),
        .zero = zero,
        .populate_threads = manager->defaults.populate_threads,
    };
    code = roma__life_begin(manager, heap, &wanted, site, &cell, NULL, &error);
    return code < 0 ? fail(code) : cell.address;
}

void *roma_alloc(roma_manager *manager, size_t bytes)
{
    const roma__site site = ROMA__SITE_HERE();
    return allocate_plain(manager, bytes, 0, false, &site);
}

void *roma_alloc_zeroed(roma_manager *manager, size_t bytes)
{
    const roma__site site = ROMA__SITE_HERE();
    return allocate_plain(manager, bytes, 0, true, &site);
}

void *roma_alloc_aligned(roma_manager *manager, size_t bytes, size_t align)
{
    const roma__site site = ROMA__SITE_HERE();
    if (!roma__is_power_of_two(align) || align > ROMA__ALIGN_MAX)
        return fail(-EINVAL);
    return allocate_plain(manager, bytes, align, false, &site);
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

static int allocate(roma_manager *manager, const roma_request *given, const roma__site *site,
                    roma__cell *cell, roma_grant *grant)
{
    roma_error error;
    roma_request request;
    roma__wish wish;
    roma__heap *heap;
    if (manager == NULL || given == NULL) {
        roma__error_subject(&error, -EINVAL, ROMA_WHY_INVALID,
                            manager == NULL ? "manager" : "request");
        refuse(grant, &error);
        return -EINVAL;
    }
    int code = roma__request_read(&request, given, &error);
    if (code == 0)
        code = roma__wish_of(manager, &request, &wish, &error);
    if (code == 0)
        code = roma__heap_for(manager, &wish, &heap, &error);
    if (code != 0) {
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
        refuse(grant, &error);
        return code;
    }
    unsigned threads = request.populate_threads;
    roma__wanted wanted = {
        .bytes = request.bytes,
        .align = roma__max(request.align, roma__natural_align(manager, request.bytes)),
        .zero = request.zero,
        .flags = (request.weak ? ROMA__CELL_WEAK : 0u) |
                 (request.registered ? ROMA__CELL_REGISTERED : 0u),
        .populate_threads = threads != 0 ? threads : manager->defaults.populate_threads,
        .label = request.label,
    };
    return roma__life_begin(manager, heap, &wanted, site, cell, grant, &error);
}

void *roma_alloc_with(roma_manager *manager, const roma_request *request, roma_grant *grant)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = allocate(manager, request, &site, &cell, grant);
    return code == 0 ? cell.address : fail(code);
}

/* ---- share and release ----------------------------------------------------------------------- */

int roma_retain(void *block)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = roma__block_at(block, &cell);
    return code < 0 ? code : roma__life_retain(&cell, &site);
}

int roma_release(void *block)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = roma__block_at(block, &cell);
    return code < 0 ? code : roma__life_drop(&cell, &site);
}

static void release_or_report(void *block, const roma__site *site)
{
    roma__cell cell;
    int code = roma__block_at(block, &cell);
    if (code == 0)
        code = roma__life_drop(&cell, site);
    if (code < 0)
        roma__misuse_release(block, code, &cell, site);
}

void roma_free(void *block)
{
    const roma__site site = ROMA__SITE_HERE();
    if (block != NULL)
        release_or_report(block, &site);
}

void roma_free_sized(void *block, size_t bytes)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    if (block == NULL)
        return;
    if (roma__block_at(block, &cell) == 0 && roma__length_of(&cell) != bytes)
        roma__misuse_size(&cell, bytes, &site);
    else
        release_or_report(block, &site);
}

/* ---- many at once ---------------------------------------------------------------------------- */

int roma_alloc_batch(roma_manager *manager, size_t bytes, void **blocks, size_t count)
{
    const roma__site site = ROMA__SITE_HERE();
    if (manager == NULL || (blocks == NULL && count > 0))
        return -EINVAL;
    if (bytes > ROMA__BYTES_MAX)
        return -EOVERFLOW;
    for (size_t i = 0; i < count; i++) {
        blocks[i] = allocate_plain(manager, bytes, 0, false, &site);
        if (blocks[i] == NULL) {
            int code = -errno;
            while (i > 0)
                release_or_report(blocks[--i], &site);
            return code;
        }
    }
    return 0;
}

void roma_free_batch(void *const *blocks, size_t count)
{
    const roma__site site = ROMA__SITE_HERE();
    for (size_t i = 0; i < count; i++)
        if (blocks[i] != NULL)
            release_or_report(blocks[i], &site);
}

/* ---- questions ------------------------------------------------------------------------------- */

/* The live block, or false with errno. */
static bool ask(const void *block, roma__cell *cell)
{
    int code = roma__block_at(block, cell);
    if (code < 0)
        errno = -code;
    return code == 0;
}

size_t roma_bytes(const void *block)
{
    roma__cell cell;
    return ask(block, &cell) ? roma__length_of(&cell) : 0;
}

size_t roma_usable(const void *block)
{
    roma__cell cell;
    return ask(block, &cell) ? roma__usable_of(&cell) : 0;
}

int roma_count(const void *block)
{
    roma__cell cell;
    int code = roma__block_at(block, &cell);
    return code < 0 ? code : cell.count;
}

roma_manager *roma_manager_of(const void *block)
{
    roma__cell cell;
    return ask(block, &cell) ? cell.owner : NULL;
}

const char *roma_label_of(const void *block)
{
    roma__cell cell;
    if (!ask(block, &cell))
        return NULL;
    roma_manager *manager = cell.owner;
    bool has_note = (cell.flags & ROMA__CELL_NOTED) != 0;
    return has_note ? roma__note_label(&manager->notes, cell.address) : "";
}

int roma_where(const void *block, roma_report *report)
{
    roma__cell cell;
    roma_error ignored;
    int code = report == NULL ? -EINVAL : roma__block_at(block, &cell);
    return code < 0 ? code : roma__cell_where(&cell, report, &ignored);
}
