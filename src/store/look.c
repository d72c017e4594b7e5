/* look.c - questions about refs and blocks: reads alone, any thread, read-only stores too. */
#include "store/worker.h"

#include <errno.h>

static bool is_there(const roma_store *store)
{
    if (store != NULL && !roma__load(&store->is_stale))
        return true;
    errno = store == NULL ? EINVAL : ESTALE;
    return false;
}

roma_ref roma_ref_of(const roma_store *store, const void *address)
{
    if (store == NULL || address == NULL) {
        if (store == NULL)
            errno = EINVAL;
        return 0;
    }
    uint64_t offset = (uint64_t)((const char *)address - store->view.base);
    if (offset < store->view.bytes)
        return offset;
    errno = EINVAL;
    return 0;
}

void *roma_ref_at(const roma_store *store, roma_ref ref)
{
    if (store == NULL || ref == 0) {
        if (store == NULL)
            errno = EINVAL;
        return NULL;
    }
    if (!is_there(store))
        return NULL;
    if (ref >= store->view.regions.first_unit << ROMA__UNIT_SHIFT && ref < store->view.bytes)
        return roma__view_at(&store->view, ref);
    errno = EINVAL;
    return NULL;
}

roma_ref *roma_store_root(roma_store *store, unsigned index)
{
    if (!is_there(store))
        return NULL;
    if (index < ROMA_STORE_ROOTS)
        return &store->view.roots[index];
    errno = EINVAL;
    return NULL;
}

roma_segment roma_store_user_area(roma_store *store)
{
    if (!is_there(store))
        return roma_segment_of(NULL, 0);
    return roma_segment_of(store->view.base + ROMA__AT_USER, ROMA_STORE_USER_BYTES);
}

int roma_store_look(const roma_store *store, const void *address, roma_store_block *out)
{
    if (store == NULL || out == NULL)
        return -EINVAL;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    roma__block block;
    if (address == NULL || roma__block_find(&store->view, roma_ref_of(store, address), &block) < 0)
        return -EINVAL;
    uint64_t first = roma__load_acquire(block.first), second = roma__load(block.second);
    if (roma__first_owner(first) == 0)
        return -ESTALE;
    roma__slots slots = roma__block_slots(&store->view, &block, second);
    uint64_t slack = roma__second_slack(second);
    out->ref = block.ref;
    out->usable_bytes = block.usable_bytes;
    out->bytes = slack > block.usable_bytes ? 0 : block.usable_bytes - slack;
    out->generation = roma__first_generation(first);
    out->local_count = roma__first_local(first);
    out->shared_count = roma__second_shared(second);
    out->owner = roma__unit_owner(block.word);
    out->refs_offset = slots.offset;
    out->refs_stride = slots.stride;
    out->refs_count = slots.count;
    out->is_large = roma__unit_kind(block.word) == ROMA__UNIT_LARGE;
    return 0;
}

size_t roma_store_bytes(const roma_store *store, const void *block)
{
    roma_store_block found;
    int code = roma_store_look(store, block, &found);
    if (code == 0)
        return found.bytes;
    errno = -code;
    return 0;
}

size_t roma_store_usable(const roma_store *store, const void *block)
{
    roma_store_block found;
    int code = roma_store_look(store, block, &found);
    if (code == 0)
        return found.usable_bytes;
    errno = -code;
    return 0;
}
