/* file_ranges.c - ranges of a file provider's extents: populated, advised, asked about, synced.
 *
 * An executor that knows files (an engine's, roma/prefetch.h) gets them as parts of the file,
 * before they are populated, and in place of advice to the kernel. An imported extent is of
 * another file, whose descriptor is not kept: there all is as without. */
#include "provider/file.h"

#include "base/error.h"
#include "numa/machine.h"
#include "provider/fork.h"
#include "provider/populate.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>

int roma__file_populate_pages(const roma__file *file, char *address, size_t bytes, unsigned threads,
                              const roma_executor *executor, roma_error *error)
{
    roma__populate wish = {.address = address,
                           .bytes = bytes,
                           .page_bytes = file->page_bytes,
                           .threads = threads,
                           .executor = executor};
    return roma__populate_now(&wish, error);
}

static char *address_of(const roma_range *range)
{
    return (char *)range->extent->address + range->offset;
}

/* Who is handed a range as a part of the file; NULL: nobody. */
static const roma_executor *reader_for(const roma__file *file, const roma_range *range,
                                       const roma_executor *named)
{
    const roma_executor *executor = named;
    if (executor == NULL && file->maker == roma__fork_generation())
        executor = &file->executor;
    if (executor == NULL || executor->file_populate == NULL || roma__file_is_import(range->extent))
        return NULL;
    return executor;
}

static roma_file_part part_of(const roma__file *file, const roma_range *range)
{
    char *address = address_of(range);
    return (roma_file_part){file->fd, (uint64_t)(address - file->base), address, range->bytes};
}

int roma__file_populate(void *self, const roma_range *range, const roma_populate_options *options,
                        roma_error *error)
{
    roma__file *file = self;
    if (roma__file_is_gone(range->extent))
        return roma__file_gone(error);
    const roma_executor *reader = reader_for(file, range, options->executor);
    int code = 0;
    if (reader != NULL) {
        const roma_file_part part = part_of(file, range);
        code = reader->file_populate(reader->self, &part, error);
    }
    if (code == 0)
        code = roma__file_populate_pages(file, address_of(range), range->bytes, options->threads,
                                         options->executor, error);
    return roma__file_failed(file, code);
}

/* Contents go, the space stays taken. */
static int discard(roma__file *file, const roma_range *range, roma_error *error)
{
    off_t offset = (off_t)(address_of(range) - file->base);
    if (roma__file_is_import(range->extent))
        return roma__file_foreign(error);
    if (roma__sys->fallocate(file->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset,
                             (off_t)range->bytes) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return roma__file_refused(error, "fallocate", "FALLOC_FL_ZERO_RANGE");
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED, "FALLOC_FL_ZERO_RANGE");
}

int roma__file_advise(void *self, const roma_range *range, roma_advice advice,
                      const roma_executor *executor, roma_error *error)
{
    static const struct {
        int advice;
        const char *name;
    } words[ROMA_ADVICE_COUNT] = {
        [ROMA_ADVICE_NEED] = {MADV_WILLNEED, "MADV_WILLNEED"},
        [ROMA_ADVICE_COLD] = {MADV_COLD, "MADV_COLD"},
        [ROMA_ADVICE_PAGEOUT] = {MADV_PAGEOUT, "MADV_PAGEOUT"},
        [ROMA_ADVICE_NODUMP] = {MADV_DONTDUMP, "MADV_DONTDUMP"},
    };
    roma__file *file = self;
    if (roma__file_is_gone(range->extent))
        return roma__file_gone(error);
    if (advice == ROMA_ADVICE_NOFORK)
        return 0; /* so it is */
    if (advice == ROMA_ADVICE_DISCARD)
        return discard(file, range, error);
    if (advice == ROMA_ADVICE_NODUMP) {
        roma__regions_lock();
        file->advised = true;
        roma__regions_unlock();
    }
    const roma_executor *reader = reader_for(file, range, executor);
    if (reader != NULL && advice != ROMA_ADVICE_NODUMP) {
        const roma_file_part part = part_of(file, range);
        return reader->file_advise(reader->self, &part, advice, error);
    }
    if (roma__sys->madvise(address_of(range), range->bytes, words[advice].advice) == 0)
        return 0;
    if (errno == EINVAL)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED, words[advice].name);
    return roma__file_refused(error, "madvise", words[advice].name);
}

int roma__file_query(void *self, const roma_range *range, roma_report *report, roma_error *error)
{
    (void)self;
    if (roma__file_is_gone(range->extent))
        return roma__file_gone(error);
    return roma__machine_where(address_of(range), range->bytes, range->extent->pages, report,
                               error);
}

int roma__file_sync(void *self, const roma_range *range, roma_error *error)
{
    const roma__file *file = self;
    if (roma__file_is_gone(range->extent))
        return roma__file_gone(error);
    if (roma__sys->msync(address_of(range), range->bytes, MS_SYNC) == 0)
        return 0;
    return roma__file_refused(error, "msync", file->path);
}
