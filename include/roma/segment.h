/* roma/segment.h - views of memory: address and length, no ownership.
 *
 * A segment can be sliced, split and read by type with every access checked against its bounds. The
 * block that it views must outlive it. All functions are inline, pure where they only compute, safe
 * in signal handlers, from any thread. A segment out of bounds is the null segment {NULL, 0}.
 * Since: 0.1 */
#ifndef ROMA_SEGMENT_H
#define ROMA_SEGMENT_H

#include <roma/common.h>

#include <errno.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma_segment {
    void *address;
    size_t bytes;
} roma_segment;

static inline roma_segment roma_segment_of(void *address, size_t bytes)
{
    roma_segment segment = {address, bytes};
    return segment;
}

/** `bytes` bytes from `offset` on; the null segment when that reaches past the end. A slice of
 *  length 0 at the very end is allowed. */
static inline roma_segment roma_segment_slice(roma_segment s, size_t offset, size_t bytes)
{
    if (s.address == NULL || offset > s.bytes || bytes > s.bytes - offset)
        return roma_segment_of(NULL, 0);
    return roma_segment_of((char *)s.address + offset, bytes);
}

/** Cut in two at `at`. Returns 0, or -EINVAL past the end; then nothing is written. */
static inline int roma_segment_split(roma_segment s, size_t at, roma_segment *left,
                                     roma_segment *right)
{
    if (s.address == NULL || at > s.bytes || left == NULL || right == NULL)
        return -EINVAL;
    *left = roma_segment_of(s.address, at);
    *right = roma_segment_of((char *)s.address + at, s.bytes - at);
    return 0;
}

/** The address of `bytes` bytes at `offset`; NULL when any of them is outside. */
static inline void *roma_segment_at(roma_segment s, size_t offset, size_t bytes)
{
    return roma_segment_slice(s, offset, bytes).address;
}

/** The address of item `index` of an array of items of `item_bytes` from the segment's start;
 *  NULL when it is outside. Alignment is the caller's. */
static inline void *roma_segment_item(roma_segment s, size_t index, size_t item_bytes)
{
    size_t offset;
    if (__builtin_mul_overflow(index, item_bytes, &offset))
        return NULL;
    return roma_segment_at(s, offset, item_bytes);
}

/** Item `index` as a pointer to `type`; NULL when it is outside: `*ROMA_ITEM(double, s, 3) = 1;` */
#define ROMA_ITEM(type, segment, index) \
    ((type *)roma_segment_item((segment), (index), sizeof(type)))

/** How many whole items of `type` the segment holds. */
#define ROMA_ITEMS(type, segment) ((segment).bytes / sizeof(type))

/** Copy `from` to the start of `to`, overlap allowed. Returns 0, or -ERANGE when it does not
 * fit. */
static inline int roma_segment_copy(roma_segment to, roma_segment from)
{
    if (from.bytes > to.bytes)
        return -ERANGE;
    if (from.bytes > 0)
        memmove(to.address, from.address, from.bytes);
    return 0;
}

/** Set every byte. */
static inline void roma_segment_fill(roma_segment s, unsigned char value)
{
    if (s.bytes > 0)
        memset(s.address, value, s.bytes);
}

/** -1, 0 or 1 as memcmp over the common length; equal so far, the shorter one is less. */
static inline int roma_segment_compare(roma_segment a, roma_segment b)
{
    size_t common = a.bytes < b.bytes ? a.bytes : b.bytes;
    int order = common > 0 ? memcmp(a.address, b.address, common) : 0;
    if (order == 0)
        order = a.bytes < b.bytes ? -1 : a.bytes > b.bytes;
    return order < 0 ? -1 : order > 0;
}

#ifdef __cplusplus
}
#endif
#endif
