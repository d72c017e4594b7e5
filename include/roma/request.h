/* roma/request.h - what a caller wants, and what it got.
 *
 * A request becomes a ladder: ordered steps, each a (provider, nodes, page kind). The steps are
 * tried in order and each exactly once; the first that works gives the memory. The grant tells
 * which one that was and why each step before it failed: degrading is an answer, not an error. A
 * strict request has only the steps that it lists and fails instead of degrading. */
#ifndef ROMA_REQUEST_H
#define ROMA_REQUEST_H

#include <roma/common.h>
#include <roma/error.h>
#include <roma/nodes.h>

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Where memory is to lie. */
typedef enum roma_placement {
    ROMA_ANYWHERE = 0, /**< no wish: the kernel's first touch decides                         */
    ROMA_LOCAL,        /**< the node of the CPU that the caller runs on at the call           */
    ROMA_NODES         /**< the nodes of `nodes`; strict: these and no other; none: anywhere  */
} roma_placement;

/** A wish. Make one with roma_request_default() and change what matters. */
typedef struct roma_request {
    size_t size;               /**< of this struct, for later versions                       */
    size_t bytes;              /**< length; 0: a block of length 0 with its own address      */
    size_t align;              /**< power of two up to 1 GiB; 0: the largest that divides the
                                    length, from 16 to 4096                                  */
    const char *label;         /**< kept for reports, up to 63 bytes, copied; NULL: none     */
    roma_placement placement;
    unsigned populate_threads; /**< > 0: populate now, on so many threads; 0: on first touch,
                                    but hugetlb pages always at once, on one                 */
    roma_nodes nodes;          /**< for ROMA_NODES                                           */
    roma_pages pages;          /**< wanted page kinds in order; 0: transparent huge, then base */
    bool strict;               /**< these steps and no weaker one                            */
    bool zero;                 /**< the bytes read as zero                                   */
    bool weak;                 /**< roma_block_try_retain() is allowed on stale handles      */
    bool registered;           /**< known to a device: never moved, resized or purged        */
    bool inherit;              /**< hugetlb pages too are there in a child made by fork(): the
                                    first write to each, by parent or child, then needs a second
                                    page, and is a SIGBUS when the page pool has none        */
    bool reserved[3];          /**< 0                                                        */
} roma_request;

static inline roma_request roma_request_default(void)
{
    roma_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    return request;
}

enum { ROMA_STEPS_MAX = 32, ROMA_PROVIDER_NAME_BYTES = 32 };

/** One step of a ladder and how it went. Its identity is (provider, nodes, pages). */
typedef struct roma_step {
    char provider[ROMA_PROVIDER_NAME_BYTES];
    roma_nodes nodes;     /**< asked for; empty: any                                              */
    roma_page_kind pages; /**< asked for, with its size                                           */
    bool strict;          /**< placement and page kind had to be proved                           */
    roma_error error;     /**< code 0: the step gave, or would give, the memory                   */
} roma_step;

/** What was really obtained. The caller owns it; a call that takes one fills all of it. */
typedef struct roma_grant {
    int code;              /**< 0, or -errno as the call returned it                              */
    unsigned steps_count;  /**< steps tried: all but the last failed; the last too when code != 0 */
    size_t bytes;          /**< usable bytes of the block or extent                               */
    size_t page_bytes;     /**< size of its pages; 0 when nothing was obtained                    */
    roma_page_kind pages;  /**< kind of its pages                                                 */
    bool zeroed;           /**< reads as zero                                                     */
    bool populated;        /**< its pages were there when the call returned                       */
    bool pinned;           /**< its pages cannot be swapped out or move                           */
    bool reused;           /**< cut from memory obtained earlier, so that no step was tried now;
                                steps[0] is then the step that had obtained it                    */
    roma_nodes nodes;      /**< where its pages were asked to lie; empty: the kernel's choice     */
    roma_error error;      /**< when code != 0: the error of the last step, or of the request     */
    roma_step steps[ROMA_STEPS_MAX];
} roma_grant;

/** Write a grant as text, a line a step and a last line with what was obtained.
 *
 *  Returns 0 or -errno of the stream.  Threads: any.  Signals: no.  Since: 0.1 */
ROMA_API int roma_grant_print(FILE *stream, const roma_grant *grant);

#ifdef __cplusplus
}
#endif
#endif
