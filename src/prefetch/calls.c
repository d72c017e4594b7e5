/* calls.c - see calls.h: one system call each, and what its result is. */
#include "prefetch/calls.h"

#include "base/check.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

static int result_of(int result)
{
    return result < 0 ? -errno : 0;
}

/* What a filter lets nobody begin, or wait for, the sync does. */
static int write_part(const roma__call *call, unsigned flags)
{
    int result = result_of(
        roma__sys->sync_file_range(call->fd, (off_t)call->offset, (off_t)call->bytes, flags));
    return result < 0 && !roma__call_may_write() ? 0 : result;
}

static int read_last_byte(const roma__call *call)
{
    char byte;
    return (int)roma__sys->pread(call->fd, &byte, 1, (off_t)(call->offset + call->bytes - 1));
}

int roma__call_make(const roma__call *call)
{
    const struct roma__sys *sys = roma__sys;
    off_t offset = (off_t)call->offset, bytes = (off_t)call->bytes;
    switch (call->kind) {
    case ROMA__CALL_FADVISE:
        return result_of(sys->fadvise(call->fd, offset, bytes, POSIX_FADV_WILLNEED));
    case ROMA__CALL_AWAIT: return result_of(read_last_byte(call));
    case ROMA__CALL_WILLNEED:
        return result_of(sys->madvise(call->address, call->bytes, MADV_WILLNEED));
    case ROMA__CALL_POPULATE:
        return result_of(sys->madvise(call->address, call->bytes, MADV_POPULATE_READ));
    case ROMA__CALL_WRITE_RANGE: return write_part(call, SYNC_FILE_RANGE_WRITE);
    case ROMA__CALL_AWAIT_WRITE: return write_part(call, SYNC_FILE_RANGE_WAIT_BEFORE);
    case ROMA__CALL_SYNC: return result_of(sys->fdatasync(call->fd));
    case ROMA__CALL_MMAP:
    case ROMA__CALL_FSTAT: break;
    }
    roma__check_failed("a call that can be carried out", __FILE__, __LINE__);
}

bool roma__call_may_write(void)
{
    return roma__sys->sync_file_range(-1, 0, 0, SYNC_FILE_RANGE_WRITE) < 0 && errno == EBADF;
}

const char *roma__call_name(roma__call_kind kind)
{
    switch (kind) {
    case ROMA__CALL_FADVISE: return "posix_fadvise";
    case ROMA__CALL_AWAIT: return "pread";
    case ROMA__CALL_WILLNEED:
    case ROMA__CALL_POPULATE: return "madvise";
    case ROMA__CALL_WRITE_RANGE:
    case ROMA__CALL_AWAIT_WRITE: return "sync_file_range";
    case ROMA__CALL_SYNC: return "fdatasync";
    case ROMA__CALL_MMAP: return "mmap";
    case ROMA__CALL_FSTAT: return "fstat";
    }
    return "a system call";
}
