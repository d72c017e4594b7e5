/* alloc.c - blocks begin.
 *
 * The common path: a free bit of the thread's current slab of the class is cleared (process
 * memory), the block's second word is reset, and its first word stored: that commits. A kill before
 * it loses nothing, since free bits are derived from first words; a kill after it leaves a block of
 * a dead session. No locked instruction, no shared word but the checkpoint's park, which is only
 * read. */
#include "store/worker.h"

#include "base/bits.h"
#include "base/structs.h"
#include "heap/classes.h"

#include <errno.h>
#include <string.h>

/* ---- maps of slots --------------------------------------------------------------------------- */

/* The number of a map, entered where it is new; 0 and *code when there is no room. */
static unsigned map_number(const roma__view *view, roma__map map, int *code)
{
    unsigned at = (unsigned)(map * UINT64_C(0x9e3779b97f4a7c15) >> 52);
    for (unsigned i = 0; i < ROMA__MAPS_COUNT; i++, at = (at + 1) % ROMA__MAPS_COUNT) {
        if (at == 0)
            continue;
        uint64_t seen = roma__load_acquire(&view->maps[at]);
        if (seen == 0 && roma__compare_exchange(&view->maps[at], &seen, map))
            return at;
        if (seen == map)
            return at;
    }
    *code = -ENOSPC;
    return 0;
}

static int read_map(const roma_store *store, const roma_store_request *request, uint64_t *second)
{
    uint64_t stride = request->refs_stride == 0 ? 8 : request->refs_stride, end;
    if (request->refs_count == 0)
        return request->refs_offset == 0 && request->refs_stride == 0 ? 0 : -EINVAL;
    if (request->refs_offset % 8 != 0 || stride % 8 != 0 || request->refs_offset >= 8u << 20 ||
        stride >= 8u << 20 || request->refs_count >= 1u << 24)
        return -EINVAL;
    end = request->refs_offset + (request->refs_count - 1) * stride + 8;
    if (end > request->bytes)
        return -EINVAL;
    int code = 0;
    unsigned number = map_number(
        &store->view, roma__map_make(request->refs_offset, (uint32_t)stride, request->refs_count),
        &code);
    *second |= (uint64_t)number << ROMA__SECOND_MAP_SHIFT;
    return code;
}

/* ---- taking a free block --------------------------------------------------------------------- */

/* A set bit of the slab, which has one; it is cleared. */
static uint32_t take_bit(roma__own_slab *slab)
{
    uint32_t at = slab->at;
    while (slab->bits[at] == 0)
        at = at + 1 < slab->bit_words ? at + 1 : 0;
    slab->at = at;
    uint64_t bits = slab->bits[at];
    slab->bits[at] = bits & (bits - 1);
    slab->free_count--;
    return at * 64 + (uint32_t)__builtin_ctzll(bits);
}

/* The next free block of a class. Its first word is free; a bit whose word is not was a damaged
 * hint, and is passed over. */
static inline int take_small(roma__worker *worker, unsigned class_index, roma__taken *taken)
{
    for (;;) {
        roma__own_slab *slab = worker->current[class_index];
        if (__builtin_expect(slab == NULL || slab->free_count == 0, 0)) {
            int code = roma__slab_refill(worker, class_index);
            if (code < 0)
                return code;
            continue;
        }
        uint32_t index = take_bit(slab);
        uint64_t *words = slab->words + 2 * (size_t)index;
        if (__builtin_expect(roma__first_owner(roma__load(words)) != 0, 0))
            continue;
        taken->slab = slab;
        taken->index = index;
        taken->address = slab->base + (size_t)index * slab->bytes;
        taken->words = words;
        return 0;
    }
}

static int take_large(roma__worker *worker, uint64_t bytes, uint64_t align, roma__taken *taken)
{
    uint64_t length = (bytes >> ROMA__UNIT_SHIFT) + (bytes % ROMA__UNIT_BYTES != 0);
    int code = roma__slab_large(worker, length == 0 ? 1 : length,
                                align <= ROMA__UNIT_BYTES ? 1 : align >> ROMA__UNIT_SHIFT,
                                &taken->slab);
    if (code < 0)
        return code;
    taken->index = 0;
    taken->address = taken->slab->base;
    taken->words = taken->slab->words;
    return 0;
}

static int judge(const roma_store_request *given, roma_store_request *request)
{
    if (given == NULL)
        return -EINVAL;
    int code = roma__struct_read(request, sizeof *request, given, sizeof *request,
                                 "roma_store_request", NULL);
    if (code < 0)
        return code;
    for (size_t i = 0; i < sizeof request->reserved; i++)
        if (request->reserved[i])
            return -E2BIG;
    if (request->reserved_tail != 0)
        return -E2BIG;
    if (request->align != 0 &&
        (!roma__is_power_of_two(request->align) || request->align > UINT64_C(1) << 30))
        return -EINVAL;
    return request->bytes > PTRDIFF_MAX ? -EOVERFLOW : 0;
}

static void clear_slots(const roma_store_request *request, char *address)
{
    size_t stride = request->refs_stride == 0 ? 8 : request->refs_stride;
    for (uint32_t i = 0; i < request->refs_count; i++)
        memset(address + request->refs_offset + i * stride, 0, 8);
}

int roma__block_take(roma__worker *worker, const roma_store_request *given, roma__taken *taken)
{
    roma_store_request request;
    int code = judge(given, &request);
    taken->second = 0;
    if (code == 0)
        code = read_map(worker->store, &request, &taken->second);
    if (code < 0)
        return code;
    unsigned class_index = roma__store_class(request.bytes, request.align);
    code = class_index < ROMA__CLASSES_COUNT
               ? take_small(worker, class_index, taken)
               : take_large(worker, request.bytes, request.align, taken);
    if (code < 0)
        return code;
    roma__own_slab *slab = taken->slab;
    uint64_t usable = slab->bytes != 0 ? slab->bytes : (uint64_t)slab->units << ROMA__UNIT_SHIFT;
    taken->second |= (usable - request.bytes) << ROMA__SECOND_SLACK_SHIFT;
    if (request.zero)
        memset(taken->address, 0, request.bytes);
    else
        clear_slots(&request, taken->address);
    return 0;
}

void roma__block_untake(roma__worker *worker, const roma__taken *taken)
{
    roma__slab_freed(worker, taken->slab, taken->index);
}

/* ---- commit ---------------------------------------------------------------------------------- */

static inline void *begin(roma__worker *worker, uint64_t *words, uint64_t second, char *address)
{
    uint64_t generation = roma__first_generation(roma__load(&words[0]));
    roma__step("alloc.taken");
    roma__store(&words[1], second);
    roma__step("alloc.second");
    roma__store_release(&words[0], roma__first_make(worker->tag, 1, generation));
    roma__step("alloc.first");
    return address;
}

int roma__block_alloc(roma__worker *worker, const roma_store_request *request, void **block)
{
    roma__taken taken;
    int code = roma__block_take(worker, request, &taken);
    if (code == 0)
        *block = begin(worker, taken.words, taken.second, taken.address);
    return code;
}

/* ---- what users call ------------------------------------------------------------------------- */

static void *failed(int code)
{
    errno = -code;
    return NULL;
}

void *roma_store_alloc_with(roma_store *store, const roma_store_request *request)
{
    int code;
    void *block = NULL;
    roma__worker *worker = roma__enter(store, &code);
    if (worker == NULL)
        return failed(code);
    code = roma__block_alloc(worker, request, &block);
    roma__leave(worker);
    return code < 0 ? failed(code) : block;
}

void *roma_store_alloc(roma_store *store, size_t bytes)
{
    if (__builtin_expect(bytes > ROMA__UNIT_BYTES, 0)) {
        roma_store_request request = roma_store_request_of(bytes);
        return roma_store_alloc_with(store, &request);
    }
    int code;
    roma__worker *worker = roma__enter(store, &code);
    if (__builtin_expect(worker == NULL, 0))
        return failed(code);
    roma__taken taken;
    void *block = NULL;
    code = take_small(worker, roma__class_of(bytes), &taken);
    if (__builtin_expect(code == 0, 1))
        block = begin(worker, taken.words,
                      (uint64_t)(taken.slab->bytes - bytes) << ROMA__SECOND_SLACK_SHIFT,
                      taken.address);
    roma__leave(worker);
    return code < 0 ? failed(code) : block;
}

long roma_store_alloc_batch(roma_store *store, size_t bytes, void **out, size_t count)
{
    int code = 0;
    size_t done = 0;
    roma__worker *worker = roma__enter(store, &code);
    if (worker == NULL)
        return code;
    if (out == NULL && count > 0)
        code = -EINVAL;
    roma_store_request request = roma_store_request_of(bytes);
    unsigned class_index = roma__store_class(bytes, 0);
    for (; code == 0 && done < count; done++) {
        roma__taken taken;
        if (class_index == ROMA__CLASSES_COUNT) {
            code = roma__block_alloc(worker, &request, &out[done]);
        } else {
            code = take_small(worker, class_index, &taken);
            if (code == 0)
                out[done] = begin(worker, taken.words,
                                  (uint64_t)(taken.slab->bytes - bytes) << ROMA__SECOND_SLACK_SHIFT,
                                  taken.address);
        }
        if (code < 0)
            break;
    }
    roma__leave(worker);
    if (code < 0)
        errno = -code;
    return done == 0 && code < 0 ? code : (long)done;
}
