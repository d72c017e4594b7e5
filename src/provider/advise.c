/* advise.c - the mapping core: telling the kernel what a range is for.
 *
 * hugetlb pages stay where they are: the kernel neither ages nor swaps them. Discarding them is
 * refused, because the next touch would take a page from the pool, and be a SIGBUS when it has
 * none; release the extent instead. */
#include "provider/mapping.h"

#include "base/error.h"
#include "base/text.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>

/* The kernel's word for each advice, and whether it has a meaning for pages that stay. */
static const struct word {
    int advice;
    bool for_hugetlb;
    const char *name;
} words[ROMA_ADVICE_COUNT] = {
    [ROMA_ADVICE_NEED] = {MADV_WILLNEED, true, "MADV_WILLNEED"},
    [ROMA_ADVICE_COLD] = {MADV_COLD, false, "MADV_COLD"},
    [ROMA_ADVICE_PAGEOUT] = {MADV_PAGEOUT, false, "MADV_PAGEOUT"},
    [ROMA_ADVICE_DISCARD] = {MADV_DONTNEED, false, "MADV_DONTNEED"},
    [ROMA_ADVICE_NODUMP] = {MADV_DONTDUMP, true, "MADV_DONTDUMP"},
    [ROMA_ADVICE_NOFORK] = {MADV_DONTFORK, true, "MADV_DONTFORK"},
};

int roma__mapping_advise(const roma_range *range, roma_advice advice, roma_error *error)
{
    const struct word *word = &words[advice];
    const roma_extent *extent = range->extent;
    bool is_hugetlb = roma_page_class(extent->pages) == ROMA_PAGE_CLASS_HUGETLB;
    if (roma__mapping_is_gone(extent))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an extent of the parent");
    if (is_hugetlb && !word->for_hugetlb) {
        (void)roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED, word->name);
        error->pages = extent->pages;
        return -EOPNOTSUPP;
    }
    if (advice == ROMA_ADVICE_NEED && is_hugetlb)
        return 0; /* they are there */
    char *address = (char *)extent->address + range->offset;
    if (roma__sys->madvise(address, range->bytes, word->advice) == 0)
        return 0;
    int cause = errno;
    if (advice == ROMA_ADVICE_NEED && cause == EBADF)
        return 0; /* a kernel without swap */
    int code = cause == EINVAL ? roma__error(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED)
                               : roma__error_call(error, "madvise", cause);
    error->call = "madvise";
    error->cause = cause;
    roma__text_copy(error->subject, sizeof error->subject, word->name);
    return code;
}
