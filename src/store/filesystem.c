/* filesystem.c - where a store may lie, and what it can promise there.
 *
 * A network file system has no shared memory between machines, and its locks are another's
 * business: refused. Copy-on-write ones may need space for a page that was written before, so that
 * a full disk is a signal: the promise is not given. */
#include "base/error.h"
#include "store/internal.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/vfs.h>

enum known { BTRFS, NETWORK, MEMORY, DISK };

static enum known kind_of(uint64_t type, const char **name)
{
    static const struct {
        uint64_t type;
        enum known kind;
        const char *name;
    } table[] = {
        {0x9123683e, BTRFS, "btrfs"},      {0x6969, NETWORK, "NFS"},
        {0xff534d42, NETWORK, "CIFS"},     {0xfe534d42, NETWORK, "SMB"},
        {0x517b, NETWORK, "SMB"},          {0x01021997, NETWORK, "9P"},
        {0x00c36400, NETWORK, "Ceph"},     {0x01021994, MEMORY, "tmpfs"},
        {0x958458f6, MEMORY, "hugetlbfs"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (table[i].type == type) {
            *name = table[i].name;
            return table[i].kind;
        }
    *name = "disk";
    return DISK;
}

int roma__file_judge(int fd, unsigned *capabilities, roma_error *error)
{
    struct statfs status;
    const char *name;
    if (roma__sys->fstatfs(fd, &status) < 0)
        return roma__error_call(error, "fstatfs", errno);
    switch (kind_of((uint64_t)status.f_type & 0xffffffff, &name)) {
    case NETWORK: return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_STORE_FILESYSTEM, name);
    case BTRFS: *capabilities = ROMA_STORE_RETURNS_SPACE | ROMA_STORE_SURVIVES; return 0;
    case MEMORY: *capabilities = ROMA_STORE_FULL_IS_ERROR | ROMA_STORE_RETURNS_SPACE; return 0;
    default:
        *capabilities = ROMA_STORE_FULL_IS_ERROR | ROMA_STORE_RETURNS_SPACE | ROMA_STORE_SURVIVES;
        return 0;
    }
}
