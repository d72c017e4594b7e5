/* map.c - a store's address space: mapped once, up to its largest size.
 *
 * The mapping reaches beyond the file's end, so growth is seen by all without mapping anything
 * again. It is aligned to 1 GiB, so that a ref's alignment is an address's. The description behind
 * it also holds the session's byte lock, and has no descriptor once the session is attached: lock
 * and mapping live and die together, whatever is done with descriptors. Where a mapping does not
 * keep a lock (filesystem.c), the descriptor goes after it. A child made by fork() does not have
 * the mapping (MADV_DONTFORK), and so does not keep the parent's session alive. */
#include "base/bits.h"
#include "base/error.h"
#include "provider/space.h"
#include "store/open.h"
#include "store/openings.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdlib.h>

enum { BASE_ALIGN = 1 << 30 };

roma_store *roma__store_new(void)
{
    roma_store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return NULL;
    store->fd = store->mapped_fd = store->shown_fd = -1;
    (void)pthread_mutex_init(&store->lock, NULL);
    (void)pthread_mutex_init(&store->super_lock, NULL);
    return store;
}

void roma__store_delete(roma_store *store)
{
    while (store->workers != NULL) {
        roma__worker *worker = store->workers;
        store->workers = worker->next;
        roma__worker_free(worker);
    }
    while (store->spare_slabs != NULL) {
        roma__own_slab *slab = store->spare_slabs;
        store->spare_slabs = slab->next;
        free(slab);
    }
    roma__cells_close(store);
    if (store->slabs != NULL)
        (void)roma__space_unmap((char *)store->slabs, store->slabs_bytes, NULL);
    if (store->fd >= 0)
        (void)roma__sys->close(store->fd);
    if (store->shown_fd >= 0)
        (void)roma__sys->close(store->shown_fd);
    (void)pthread_mutex_destroy(&store->lock);
    (void)pthread_mutex_destroy(&store->super_lock);
    free(store->claims);
    free(store->path);
    free(store);
}

/* What a session needs beside the mapping. Pages of the table come when they are touched. */
static int make_records(roma_store *store, const roma__regions *regions, roma_error *error)
{
    store->slabs_bytes = roma__align_up(regions->max_units * sizeof *store->slabs, 65536);
    void *slabs = roma__sys->mmap(NULL, store->slabs_bytes, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slabs == MAP_FAILED)
        return roma__error_call(error, "mmap", errno);
    store->slabs = slabs;
    store->claims = calloc(regions->sessions, sizeof *store->claims);
    if (store->claims == NULL || roma__cells_open(store) < 0)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    return 0;
}

int roma__store_map(roma_store *store, int fd, const roma__regions *regions, roma_error *error)
{
    uint64_t bytes = roma__align_up(regions->max_units << ROMA__UNIT_SHIFT, store->page_bytes);
    const roma__space_file file = {
        .fd = fd,
        .protection = store->is_read_only ? PROT_READ : PROT_READ | PROT_WRITE,
        .align = BASE_ALIGN,
    };
    char *base = NULL;
    int code = make_records(store, regions, error);
    if (code == 0)
        code = roma__space_map_file(&file, bytes, &base, error);
    if (code < 0)
        return code;
    if (roma__sys->madvise(base, bytes, MADV_DONTFORK) < 0) {
        code = roma__error_call(error, "madvise", errno);
        (void)roma__space_unmap(base, bytes, NULL);
        return code;
    }
    store->reserved_bytes = bytes;
    roma__view_fill(&store->view, base, bytes, store->fd, regions);
    return 0;
}

void roma__store_close_mapped(roma_store *store)
{
    roma__opening_lock();
    if (store->mapped_fd >= 0)
        (void)roma__sys->close(store->mapped_fd);
    store->mapped_fd = -1;
    roma__opening_unlock();
}

void roma__store_unmap(roma_store *store)
{
    if (store->view.base != NULL)
        (void)roma__space_unmap(store->view.base, store->reserved_bytes, NULL);
    store->view.base = NULL;
    roma__store_close_mapped(store);
}

/* ---- over an image --------------------------------------------------------------------------- */

int roma__image_open(void *base, uint64_t bytes, roma_store **out)
{
    roma__super super;
    roma__regions regions;
    unsigned index;
    if (bytes < ROMA__AT_LIVE)
        return -EUCLEAN;
    int code = roma__super_choose(base, &super, &index, &regions);
    if (code < 0)
        return code;
    if (bytes >> ROMA__UNIT_SHIFT <= regions.first_unit)
        return -EUCLEAN;
    roma_store *store = roma__store_new();
    if (store == NULL)
        return -ENOMEM;
    store->is_image = true;
    store->page_bytes = super.page_bytes;
    code = make_records(store, &regions, NULL);
    if (code < 0) {
        roma__store_delete(store);
        return code;
    }
    store->session = regions.sessions; /* none of them is its own */
    roma__view_fill(&store->view, base, bytes, -1, &regions);
    *out = store;
    return 0;
}

void roma__image_close(roma_store *store)
{
    roma__store_delete(store);
}
