/* filesystem.c - where a store can lie, and what it can promise there.
 *
 * A store needs of its file: mappings that all processes see at once, byte locks between them, and
 * space that fallocate() has taken staying there. Which file systems give that is knowledge, not
 * something that can be tried:
 *
 *   write in place    ext2 to ext4, XFS, tmpfs, hugetlbfs: all of it
 *   copy on write     btrfs, bcachefs, ZFS, F2FS: a page that is written again may need new space,
 *                     so a full disk can be SIGBUS at access: that promise is withdrawn
 *   somewhere else    NFS, SMB, Ceph, AFS, 9P, FUSE and other ways to another machine or process,
 *                     whose mappings others do not see at once: refused
 *   anything else     works if its calls do; the promise is not made. Overlayfs is among these, it
 *                     does not say what lies below it
 *
 * overlayfs (containers) shows a file of a lower layer until somebody opens it for writing, and
 * from then on a copy in the upper layer. Who had it open before keeps looking at the lower one.
 * The store would be two, so such a file is refused: its inode was made at another time than that
 * which is there after it has been opened for writing once. That opening makes the copy, so the
 * next one finds it in the upper layer, where a store works as on the file system below.
 *
 * Locks: a session's byte lock hangs on a description, and lives while a descriptor or a mapping of
 * it does. On the file systems that are known here the mapping is enough, and no descriptor can be
 * closed that it hangs on. A mapping of a file of an overlay is one of the file in the layer: the
 * lock would go with the descriptor, and a session that lives would be recovered as a dead one. So
 * there, and wherever it is not known, the descriptor stays open as long as the mapping
 * (roma__store_unmap); a program that closes what is not its own ends its session's lock. */
#include "base/error.h"
#include "store/internal.h"
#include "sys/birth.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/statfs.h>

enum {
    ON_DISK = ROMA_STORE_SURVIVES | ROMA_STORE_RETURNS_SPACE,
    IN_PLACE = ON_DISK | ROMA_STORE_FULL_IS_ERROR,
    IN_MEMORY = ROMA_STORE_RETURNS_SPACE | ROMA_STORE_FULL_IS_ERROR,
    SHARES = ROMA_STORE_REFLINKS
};

static const struct known {
    uint32_t magic;
    unsigned capabilities;
    const char *refused; /* why */
} known[] = {
    {0xEF53, IN_PLACE, NULL},              /* ext2, ext3, ext4 */
    {0x58465342, IN_PLACE | SHARES, NULL}, /* XFS              */
    {0x01021994, IN_MEMORY, NULL},         /* tmpfs, memfd     */
    {0x958458f6, IN_MEMORY, NULL},         /* hugetlbfs        */
    {0x9123683E, ON_DISK | SHARES, NULL},  /* btrfs            */
    {0xca451a4e, ON_DISK | SHARES, NULL},  /* bcachefs         */
    {0x2fc12fc1, ON_DISK, NULL},           /* ZFS              */
    {0xF2F52010, ON_DISK, NULL},           /* F2FS             */
    {0x6969, 0, "NFS is a network file system"},
    {0x517B, 0, "SMB is a network file system"},
    {0xFE534D42, 0, "SMB is a network file system"},
    {0xFF534D42, 0, "SMB is a network file system"},
    {0x00c36400, 0, "Ceph is a network file system"},
    {0x6B414653, 0, "AFS is a network file system"},
    {0x5346414F, 0, "AFS is a network file system"},
    {0x73757245, 0, "Coda is a network file system"},
    {0x0BD00BD0, 0, "Lustre is a network file system"},
    {0x19830326, 0, "BeeGFS is a network file system"},
    {0x01161970, 0, "GFS2 is shared by several machines"},
    {0x7461636f, 0, "OCFS2 is shared by several machines"},
    {0x01021997, 0, "9P is a file system of another machine"},
    {0x786f4256, 0, "a folder of the host of this machine"},
    {0x65735546, 0, "FUSE, behind which anything can be"},
};

enum { KNOWN_COUNT = sizeof known / sizeof known[0] };

static int refuse(roma_error *error, const char *why)
{
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_STORE_FILESYSTEM, why);
}

/* ---- overlayfs ------------------------------------------------------------------------------- */

/* Opened for writing it is in the upper layer; was it before? */
static int judge_layer(int fd, roma_error *error)
{
    roma_error why;
    uint64_t before_ns = roma__birth_ns(fd);
    int writable = roma__file_reopen(fd, false, &why);
    if (writable == -EROFS)
        return 0; /* there is no upper layer, or it cannot change: nobody can write anywhere */
    if (writable < 0)
        return refuse(error, "overlayfs, and it may be in a lower layer");
    uint64_t after_ns = before_ns != 0 ? roma__birth_ns(writable) : 0;
    roma__sys->close(writable);
    if (after_ns != 0 && before_ns != after_ns)
        return refuse(error, "it was in a lower layer of an overlay; open it anew");
    return 0;
}

/* ---- the limit of a file's size -------------------------------------------------------------- */

int roma__file_fits(uint64_t bytes)
{
    struct rlimit limit;
    if (roma__sys->getrlimit(RLIMIT_FSIZE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return 0;
    return bytes <= limit.rlim_cur ? 0 : -EFBIG;
}

/* ---- the judgement --------------------------------------------------------------------------- */

int roma__file_judge(int fd, roma__file_system *found, roma_error *error)
{
    struct statfs status;
    if (roma__sys->fstatfs(fd, &status) < 0)
        return roma__error_call(error, "fstatfs", errno);
    uint32_t magic = (uint32_t)status.f_type;
    *found = (roma__file_system){.capabilities = ON_DISK};
    if (magic == ROMA__OVERLAYFS_MAGIC)
        return judge_layer(fd, error);
    for (size_t i = 0; i < KNOWN_COUNT; i++)
        if (known[i].magic == magic) {
            *found = (roma__file_system){known[i].capabilities, true};
            return known[i].refused != NULL ? refuse(error, known[i].refused) : 0;
        }
    return 0;
}

int roma__file_open(const char *path, bool read_only, roma_error *error)
{
    roma__file_system system;
    int fd = roma__sys->open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return roma__error_call(error, "open", errno);
    int code = roma__file_judge(fd, &system, error);
    if (code == 0 && read_only)
        return fd;
    int kept = code < 0 ? code : roma__file_reopen(fd, false, error);
    roma__sys->close(fd);
    return kept;
}
