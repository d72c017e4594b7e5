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

/** Where memory is to lie. Under `strict` each placement fails rather than lie elsewhere, but for
 *  the two PREFERRED ones, which are wishes by their nature: of them only the page kinds are then
 *  strict. Without it, every placement ends with whatever node the kernel gives. */
typedef enum roma_placement {
    ROMA_ANYWHERE = 0,   /**< no wish: the kernel's first touch decides                           */
    ROMA_LOCAL,          /**< the node of the CPU that the caller runs on at the call             */
    ROMA_NODES,          /**< the nodes of `nodes`; strict: these and no other; none: anywhere    */
    ROMA_PREFERRED,      /**< the one node of `nodes`, and as it fills up those nearest to it:
                              unlike ROMA_NODES, the page kind matters more than the node         */
    ROMA_PREFERRED_MANY, /**< the same with several nodes (Linux 5.15; before: the lowest one)    */
    ROMA_INTERLEAVE,     /**< page after page on the nodes of `nodes` in turn; none named: on all
                              allowed ones that have memory and CPUs                              */
    ROMA_WEIGHTED,       /**< granules of 2 MiB or more on the nodes of `nodes`, as many on each as
                              its weight says; none named: all allowed ones with memory           */
    ROMA_NEAREST,        /**< the nodes in the order of their distance from the one of `nodes`;
                              none named: from the caller's                                       */
    ROMA_BANDWIDTH,      /**< nodes with the highest bandwidth first, as the firmware (HMAT) says;
                              those that it says nothing of come last, the nearest of them first  */
    ROMA_LATENCY,        /**< nodes with the lowest latency first, in the same way                */
    ROMA_CAPACITY,       /**< the node with the most free memory of the wanted kind now, then all
                              others                                                              */
    ROMA_PLACEMENTS_COUNT
} roma_placement;

/** What a caller knows of a block's future. Only rules of a policy look at hints. */
typedef enum roma_lifetime {
    ROMA_LIFETIME_UNKNOWN = 0,
    ROMA_LIFETIME_SHORT, /**< a moment: a request, a phase   */
    ROMA_LIFETIME_LONG   /**< as long as the program, nearly */
} roma_lifetime;

typedef enum roma_access {
    ROMA_ACCESS_UNKNOWN = 0,
    ROMA_ACCESS_SEQUENTIAL, /**< scanned: bandwidth counts         */
    ROMA_ACCESS_RANDOM,     /**< pointers followed: latency counts */
    ROMA_ACCESS_RARE        /**< seldom touched: capacity counts   */
} roma_access;

enum { ROMA_WEIGHTS_MAX = 64 };

/** A wish. Make one with roma_request_default() and change what matters. */
typedef struct roma_request {
    size_t size;               /**< of this struct, for later versions                       */
    size_t bytes;              /**< length; 0: a block of length 0 with its own address      */
    size_t align;              /**< power of two up to 1 GiB; 0: the largest that divides the
                                    length, from 16 to 4096                                  */
    const char *label;         /**< kept for reports, up to 63 bytes, copied; NULL: none     */
    roma_placement placement;
    unsigned populate_threads; /**< > 0: populate now, on so many threads, of the right node
                                    where it has CPUs (1: by the caller, wherever it runs); 0: on
                                    first touch, but hugetlb pages always at once, by the caller */
    roma_nodes nodes;          /**< for the placements that name nodes                       */
    roma_pages pages;          /**< wanted page kinds in order; 0: transparent huge, then base */
    bool strict;               /**< these steps and no weaker one                            */
    bool zero;                 /**< the bytes read as zero                                   */
    bool weak;                 /**< roma_block_try_retain() is allowed on stale handles      */
    bool registered;           /**< known to a device: never moved, resized or purged        */
    bool inherit;              /**< hugetlb pages too are there in a child made by fork(): the
                                    first write to each, by parent or child, then needs a second
                                    page, and is a SIGBUS when the page pool has none        */
    bool shared;               /**< hint: other processes or devices will use it             */
    bool persistent;           /**< hint: it is to outlive the program                       */
    bool reserved[1];          /**< 0                                                        */
    roma_lifetime lifetime;    /**< hint                                                     */
    roma_access access;        /**< hint                                                     */
    uint8_t weights[ROMA_WEIGHTS_MAX]; /**< for ROMA_WEIGHTED: of the nodes of `nodes`, from the
                                    lowest up; 0: nothing there. All 0: the machine's bandwidths
                                    (HMAT), where it names none equal ones                   */
} roma_request;

static inline roma_request roma_request_default(void)
{
    roma_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    return request;
}

enum { ROMA_STEPS_MAX = 32, ROMA_PROVIDER_NAME_BYTES = 32 };

/** How a step lays pages on its nodes. */
typedef enum roma_spread {
    ROMA_SPREAD_NONE = 0,   /**< on any of them, in the kernel's order; strict: on no other */
    ROMA_SPREAD_PREFER,     /**< on them, then on the nearest others, strict or not */
    ROMA_SPREAD_INTERLEAVE, /**< a page on each in turn */
    ROMA_SPREAD_WEIGHTED    /**< granules by weight */
} roma_spread;

/** One step of a ladder and how it went. Its identity is (provider, nodes, spread, pages). */
typedef struct roma_step {
    char provider[ROMA_PROVIDER_NAME_BYTES];
    roma_spread spread;
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
