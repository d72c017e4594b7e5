/* roma/common.h - the words that every other header of roma uses: export marks, the version,
 * page kinds, and text for sizes and page kinds.
 *
 * A page kind says of what class and size pages are; which kinds a machine has is read from the
 * machine. An ordered list of up to eight kinds fits one integer, so a single kind is also the
 * list of one and a request can say `want.pages = ROMA_PAGES_2M`. */
#ifndef ROMA_COMMON_H
#define ROMA_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define ROMA_API __attribute__((visibility("default")))
#define ROMA_MUST_USE __attribute__((warn_unused_result))
#else
#define ROMA_API
#define ROMA_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define ROMA_VERSION_MAJOR 0
#define ROMA_VERSION_MINOR 1
#define ROMA_VERSION_PATCH 0

/** The version of the library that runs, "0.1.0"; compare with ROMA_VERSION_*.
 *
 *  Threads: any.  Signals: yes.  Cost: none.  Since: 0.1 */
ROMA_API const char *roma_version(void);

/* ---- page kinds ----------------------------------------------------------------------------- */

/** One page kind: class in the two high bits, log2 of the page's bytes in the low six.
 *  A size of 0 means the machine's default for the class: its base page, its largest transparent
 *  huge page, its default hugetlb size. 0 as a whole is no kind. */
typedef uint8_t roma_page_kind;

/** An ordered list of up to eight page kinds, first kind in the lowest byte; 0 is the empty
 * list. */
typedef uint64_t roma_pages;

enum {
    ROMA_PAGE_CLASS_BASE = 0x40,    /**< ordinary pages of the machine's base size          */
    ROMA_PAGE_CLASS_THP = 0x80,     /**< transparent huge pages, when the kernel has them   */
    ROMA_PAGE_CLASS_HUGETLB = 0xC0, /**< pages of a hugetlb page pool                       */
    ROMA_PAGE_CLASS_MASK = 0xC0,
    ROMA_PAGE_SHIFT_MASK = 0x3F,
    ROMA_PAGE_KINDS_MAX = 8
};

#define ROMA_PAGES_OF(page_class, shift) ((roma_pages)((unsigned)(page_class) | (unsigned)(shift)))

#define ROMA_PAGES_DEFAULT ((roma_pages)0)                      /**< what the policy says    */
#define ROMA_PAGES_BASE ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, 0)
#define ROMA_PAGES_THP ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, 0)
#define ROMA_PAGES_HUGETLB ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 0)
#define ROMA_PAGES_2M ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 21) /**< hugetlb pages of 2 MiB */
#define ROMA_PAGES_1G ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 30) /**< hugetlb pages of 1 GiB */

/** The kind at `index` of a list; 0 past its end. */
static inline roma_page_kind roma_pages_at(roma_pages pages, unsigned index)
{
    return index < ROMA_PAGE_KINDS_MAX ? (roma_page_kind)(pages >> (8 * index) & 0xFF) : 0;
}

/** How many kinds a list holds, 0 to 8. */
static inline unsigned roma_pages_count(roma_pages pages)
{
    unsigned count = 0;
    while (roma_pages_at(pages, count) != 0)
        count++;
    return count;
}

/** `first`, then the kinds of `next` that `first` does not hold yet; kinds past the eighth are
 *  left out. */
static inline roma_pages roma_pages_then(roma_pages first, roma_pages next)
{
    for (unsigned i = 0; i < roma_pages_count(next); i++) {
        roma_page_kind kind = roma_pages_at(next, i);
        unsigned count = roma_pages_count(first);
        bool have = false;
        for (unsigned j = 0; j < count; j++)
            have = have || roma_pages_at(first, j) == kind;
        if (!have && count < ROMA_PAGE_KINDS_MAX)
            first |= (roma_pages)kind << (8 * count);
    }
    return first;
}

static inline unsigned roma_page_class(roma_page_kind kind)
{
    return kind & ROMA_PAGE_CLASS_MASK;
}

/** Bytes of a page of this kind; 0 when the kind names the machine's default. */
static inline size_t roma_page_bytes(roma_page_kind kind)
{
    unsigned shift = kind & ROMA_PAGE_SHIFT_MASK;
    return shift == 0 ? 0 : (size_t)1 << shift;
}

/** Write a page kind as text: "base", "4 KiB base", "2 MiB transparent huge", "1 GiB hugetlb".
 *
 *  text, bytes  where to write; always terminated when bytes > 0
 *  Returns `text`.
 *  Threads: any.  Signals: yes.  Cost: no system call.  Since: 0.1 */
ROMA_API char *roma_page_kind_text(roma_page_kind kind, char *text, size_t bytes);

/** Write a byte count as text in binary units, exact when it is a whole number of some unit and
 *  with one decimal else: "0 B", "64 B", "1.5 KiB", "2 MiB".
 *
 *  Returns `text`.  Threads: any.  Signals: yes.  Cost: no system call.  Since: 0.1 */
ROMA_API char *roma_size_text(uint64_t size, char *text, size_t bytes);

/** Read a size: decimal digits and an optional unit, K, M, G or T with an optional `iB` or `B`, in
 *  either case, all binary: "4096", "64K", "2MiB", "1g". No sign, no space, no fraction.
 *
 *  Returns 0, or -EINVAL (not a size), -ERANGE (beyond 64 bits); *size is then untouched.
 *  Threads: any.  Signals: yes.  Cost: no system call.  Since: 0.1 */
ROMA_API int roma_size_parse(const char *text, uint64_t *size);

/** Read a list of page kinds, separated by commas: "base", "thp", "hugetlb", a size for hugetlb
 *  pages of that size ("2M", "1G"), "thp:64K" for transparent huge pages of that size, or
 *  "base:4K" for base pages of the size that the machine's have.
 *
 *  Returns 0, or -EINVAL (an unknown word, a size that is no power of two, more than eight kinds);
 *  *pages is then untouched.
 *  Threads: any.  Signals: yes.  Cost: no system call.  Since: 0.1 */
ROMA_API int roma_pages_parse(const char *text, roma_pages *pages);

#ifdef __cplusplus
}
#endif
#endif
