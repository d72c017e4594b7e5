/* api.c - libFuzzer: any order of calls on managers, beside a plain model of what must come out.
 *
 * The input is a program: an opcode and its operands a step, over 16 places that each hold one
 * block, its handle as it was once, what the model knows of it, and how often it was retained.
 * Calls that misuse the interface are steps like others: their answer is known too. After the
 * program all blocks are released or left for destroy_all, and the region's extents must be gone.
 *
 * Memory comes from a region of 8 MiB, so that running out is common, and from base pages. */
#include <roma.h>

#include <errno.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { PLACES = 16, REGION_BYTES = 8 << 20, STEPS_MAX = 400, CHECKED_BYTES = 4096 };

typedef struct place {
    unsigned char *block; /* NULL: the model holds none              */
    roma_block handle;    /* of this life or an earlier one          */
    size_t bytes;
    int count;
    unsigned char fill;
    bool weak, registered, is_current; /* the handle is of this life */
} place;

typedef struct input {
    const uint8_t *at, *end;
} input;

static place places[PLACES];
static unsigned long misuses_seen, misuses_due;
static alignas(65536) unsigned char region[REGION_BYTES];

static void broken(const char *what, int line)
{
    fprintf(stderr, "line %d: not so: %s\n", line, what);
    abort();
}

#define must(holds) ((holds) ? (void)0 : broken(#holds, __LINE__))

static uint8_t next(input *in)
{
    return in->at < in->end ? *in->at++ : 0;
}

static void on_misuse(void *context, const roma_misuse *misuse)
{
    (void)context;
    must(misuse->text != NULL && misuse->text[0] != '\0');
    misuses_seen++;
}

/* Small lengths mostly, up to 16 MiB, and some that overflow. */
static size_t some_bytes(input *in)
{
    uint8_t kind = next(in), value = next(in);
    switch (kind % 8) {
    case 0: return value;
    case 1: return (size_t)value << 4;
    case 2: return ((size_t)value << 8) + kind;
    case 3: return (size_t)value << 12;
    case 4: return (size_t)value << 16;
    case 5: return ((size_t)1 << value % 24) + (kind >> 6) - 1;
    case 6: return SIZE_MAX - value;
    default: return SIZE_MAX >> value % 20;
    }
}

static void fill(place *p, unsigned char value)
{
    p->fill = value;
    memset(p->block, value, p->bytes < CHECKED_BYTES ? p->bytes : CHECKED_BYTES);
    if (p->bytes > CHECKED_BYTES)
        p->block[p->bytes - 1] = value;
}

static void check_fill(const place *p, size_t bytes)
{
    size_t checked = bytes < CHECKED_BYTES ? bytes : CHECKED_BYTES;
    for (size_t i = 0; i < checked; i++)
        must(p->block[i] == p->fill);
    if (bytes == p->bytes && bytes > CHECKED_BYTES)
        must(p->block[bytes - 1] == p->fill);
}

static void check_place(const place *p)
{
    if (p->block != NULL) {
        must(roma_bytes(p->block) == p->bytes);
        must(roma_usable(p->block) >= p->bytes);
        must(roma_count(p->block) == p->count);
        check_fill(p, p->bytes);
        if (p->is_current)
            must(roma_block_get(p->handle) == p->block);
    }
    if (!p->is_current && p->handle.address != NULL)
        must(!roma_block_is_live(p->handle));
}

static bool is_out_of_memory(void)
{
    return errno == ENOMEM || errno == EOVERFLOW;
}

static void begin(place *p, unsigned char *block, size_t bytes, unsigned char value)
{
    p->block = block;
    p->bytes = bytes;
    p->count = 1;
    p->weak = p->registered = false;
    p->handle = roma_block_of(block);
    p->is_current = true;
    must(p->handle.address == block);
    fill(p, value);
}

static void allocate(place *p, roma_manager *manager, input *in)
{
    uint8_t how = next(in);
    size_t bytes = some_bytes(in);
    unsigned char *block;
    roma_request request = roma_request_default();
    roma_grant grant;
    size_t align = (size_t)1 << next(in) % 32;
    if (p->block != NULL)
        return;
    switch (how % 4) {
    case 0: block = roma_alloc(manager, bytes); break;
    case 1: block = roma_alloc_zeroed(manager, bytes); break;
    case 2:
        if (how & 64)
            align += how >> 2; /* often no power of two */
        errno = 0;
        block = roma_alloc_aligned(manager, bytes, align);
        if (align == 0 || (align & (align - 1)) != 0 || align > (size_t)1 << 30) {
            must(block == NULL && errno == EINVAL);
            return;
        }
        must(block == NULL || (uintptr_t)block % align == 0);
        break;
    default:
        request.bytes = bytes;
        request.zero = how & 4;
        request.weak = how & 8;
        request.registered = how & 16;
        request.label = how & 32 ? "a label" : NULL;
        request.pages = how & 64 ? ROMA_PAGES_BASE : 0;
        request.strict = how & 128;
        block = roma_alloc_with(manager, &request, &grant);
        must((grant.code == 0) == (block != NULL));
        must(block != NULL || grant.error.why != ROMA_WHY_NONE);
        break;
    }
    if (block == NULL) {
        must(is_out_of_memory() || errno == EOPNOTSUPP || errno == EXDEV);
        return;
    }
    if (how % 4 == 1 || (how % 4 == 3 && request.zero))
        for (size_t i = 0; i < bytes && i < CHECKED_BYTES; i++)
            must(block[i] == 0);
    begin(p, block, bytes, how);
    p->weak = how % 4 == 3 && request.weak;
    p->registered = how % 4 == 3 && request.registered;
}

static void end_if_last(place *p, int left)
{
    must(left == p->count - 1);
    p->count = left;
    if (left == 0) {
        p->block = NULL;
        p->is_current = false;
    }
}

static void release(place *p, input *in)
{
    uint8_t how = next(in);
    roma_block handle = p->handle;
    if (p->block == NULL) {
        if (handle.address != NULL) {
            must(roma_block_release(&handle) == -ESTALE);
            must(roma_block_retain(handle) == -ESTALE);
            must(roma_block_resize(&handle, 1, 0) == -ESTALE);
        }
        return;
    }
    switch (how % 4) {
    case 0: end_if_last(p, roma_release(p->block)); break;
    case 1:
        handle = roma_block_of(p->block);
        end_if_last(p, roma_block_release(&handle));
        must(handle.address == NULL);
        break;
    case 2:
        roma_free_sized(p->block, p->bytes);
        end_if_last(p, p->count - 1);
        break;
    default:
        misuses_due++;
        roma_free_sized(p->block, p->bytes + 1); /* has no effect */
        break;
    }
}

static void retain(place *p, input *in)
{
    int times = next(in) % 4 == 0 ? next(in) * 8 : 1;
    for (int i = 0; p->block != NULL && i < times && p->count < 3000; i++)
        must(roma_retain(p->block) == ++p->count);
}

static void try_retain(place *p)
{
    int count;
    if (p->handle.address == NULL)
        return;
    count = roma_block_try_retain(p->handle);
    if (!p->is_current)
        must(count == -ESTALE || count == -EINVAL);
    else if (!p->weak)
        must(count == -EINVAL);
    else
        must(count == ++p->count);
}

static void resize(place *p, input *in)
{
    uint8_t how = next(in);
    size_t bytes = some_bytes(in), common = bytes < p->bytes ? bytes : p->bytes;
    unsigned flags = how % 4;
    roma_block handle;
    place old = *p;
    int code;
    if (p->block == NULL)
        return;
    handle = roma_block_of(p->block);
    if (how & 16) {
        unsigned char *now = roma_resize(p->block, bytes);
        code = now != NULL ? 0 : -errno;
        flags = 0;
        if (now != NULL)
            handle = roma_block_of(now);
    } else {
        code = roma_block_resize(&handle, bytes, flags);
    }
    if (p->registered)
        must(code == -EBUSY);
    if (code != 0) {
        must(code == -ENOMEM || code == -EOVERFLOW || code == -EBUSY);
        must(handle.address == p->block);
        return;
    }
    if (flags & ROMA_RESIZE_IN_PLACE)
        must(handle.address == old.block);
    if (old.count > 1) { /* the others keep theirs; here nobody does, so let them go */
        must(handle.address != old.block);
        for (int left = old.count - 1; left > 0; left--)
            must(roma_release(old.block) == left - 1);
        must(!roma_block_is_live(old.handle));
    } else if (handle.address != old.block || bytes < old.bytes) {
        must(!roma_block_is_live(old.handle));
    }
    p->block = handle.address;
    check_fill(p, common);
    if (flags & ROMA_RESIZE_ZERO)
        for (size_t i = common; i < bytes && i < CHECKED_BYTES; i++)
            must(p->block[i] == 0);
    begin(p, handle.address, bytes, how);
    p->weak = old.weak; /* wishes stay with the reference, also in a copy */
}

static void misuse(place *p, input *in)
{
    uint8_t how = next(in);
    unsigned char *inside;
    if (p->block == NULL || p->bytes < 32)
        return;
    inside = p->block + 1 + how % (p->bytes - 1);
    must(roma_retain(inside) == -EINVAL);
    must(roma_release(inside) == -EINVAL);
    errno = 0;
    must(roma_resize(inside, how) == NULL && errno == EINVAL);
    misuses_due++;
    roma_free(inside);
}

static void run_step(roma_manager *manager, input *in)
{
    uint8_t op = next(in);
    place *p = &places[op >> 4];
    switch (op % 16) {
    case 0:
    case 1:
    case 2:
    case 3: allocate(p, manager, in); break;
    case 4:
    case 5:
    case 6: release(p, in); break;
    case 7: retain(p, in); break;
    case 8: try_retain(p); break;
    case 9:
    case 10: resize(p, in); break;
    case 11: must(roma_manager_trim(manager, some_bytes(in)) >= 0); break;
    case 12: misuse(p, in); break;
    case 13: must(roma_manager_check(manager) == 0); break;
    default: check_place(p); break;
    }
}

static int find_live(void *context, const char *key, const roma_value *value)
{
    if (strcmp(key, "extents.live") == 0)
        *(uint64_t *)context = value->number;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input in = {data, data + bytes};
    roma_region_config config = {.size = sizeof config, .address = region, .bytes = sizeof region};
    roma_options options = roma_options_default();
    roma_request defaults = roma_request_default();
    roma_provider *provider;
    roma_manager *manager;
    uint64_t extents = UINT64_MAX;
    uint8_t how = next(&in);

    memset(places, 0, sizeof places);
    misuses_seen = misuses_due = 0;
    must(roma_provider_region(&config, &provider, NULL) == 0);
    defaults.pages = ROMA_PAGES_BASE;
    options.request = &defaults;
    options.providers = &provider;
    options.providers_count = how & 64 ? 0 : 1;
    if (how & 64)
        options.providers = NULL;
    options.debug = how & (ROMA_DEBUG_PATTERNS | ROMA_DEBUG_GUARDS | ROMA_DEBUG_SITES);
    options.limit_bytes = how & 128 || how & 64 ? 32 << 20 : 0;
    options.growth_bytes = how & 32 ? 64 << 10 : 0;
    options.on_misuse = on_misuse;
    must(roma_manager_create(&manager, &options, NULL) == 0);

    for (int i = 0; i < STEPS_MAX && in.at < in.end; i++)
        run_step(manager, &in);
    for (int i = 0; i < PLACES; i++) {
        check_place(&places[i]);
        /* A device knows of registered ones: those are given up in any case. */
        while (((how & 16) == 0 || places[i].registered) && places[i].block != NULL)
            end_if_last(&places[i], roma_release(places[i].block));
    }
    must(misuses_seen == misuses_due);
    must(roma_manager_check(manager) == 0);
    if ((how & 16) == 0)
        must(roma_manager_destroy(manager) == 0);
    else
        must(roma_manager_destroy_all(manager) == 0);
    for (int i = 0; i < PLACES; i++)
        must(!roma_block_is_live(places[i].handle));
    must(roma_provider_stats(provider, find_live, &extents) == 0 && extents == 0);
    must(roma_provider_unregister(provider) == 0);
    return 0;
}
