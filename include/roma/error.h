/* roma/error.h - what went wrong, where, and what to do about it.
 *
 * Calls return -errno with fixed meanings; a caller who wants to know more passes a record, which
 * the call fills on failure. A record is a plain value: no memory to free, copy it at will.
 *
 *   -EINVAL      the caller's mistake           -ENOMEM  the page pool, node or limit is exhausted
 *   -E2BIG       options newer than the library -EXDEV   strict placement cannot be honoured
 *   -EOPNOTSUPP  this kernel or provider cannot -ESTALE  the handle's block is gone
 *   -EBUSY       in use, or registered          -EPERM   the kernel or a filter refused the call
 *   -EOVERFLOW   a size beyond the machine's    -EUCLEAN the file is damaged */
#ifndef ROMA_ERROR_H
#define ROMA_ERROR_H

#include <roma/common.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Why something failed. Decides the sentence that roma_error_text() writes. */
typedef enum roma_why {
    ROMA_WHY_NONE = 0,
    ROMA_WHY_INVALID,             /**< the caller's mistake; `subject` names the field          */
    ROMA_WHY_UNKNOWN_OPTION,      /**< a non-zero tail that this version does not know          */
    ROMA_WHY_CALL,                /**< a system call failed: `call`, `cause`                     */
    ROMA_WHY_CALL_REFUSED,        /**< a filter or the kernel's build refuses the call            */
    ROMA_WHY_UNSUPPORTED,         /**< the provider or kernel cannot do this: `subject`           */
    ROMA_WHY_NO_PAGE_KIND,        /**< the machine or provider has no pages of this kind          */
    ROMA_WHY_THP_OFF,             /**< transparent huge pages are switched off                    */
    ROMA_WHY_THP_SCARCE,          /**< strict, and the kernel gave fewer huge pages: have of need */
    ROMA_WHY_POOL_EMPTY,          /**< page pool: fewer free pages than needed                    */
    ROMA_WHY_POOL_RAN_DRY,        /**< the page pool was emptied by others meanwhile              */
    ROMA_WHY_CGROUP_HUGETLB,      /**< hugetlb cgroup limit; `subject` is the cgroup              */
    ROMA_WHY_CGROUP_HUGETLB_RSVD, /**< hugetlb cgroup limit on reservations                       */
    ROMA_WHY_CGROUP_MEMORY,       /**< memory cgroup limit                                        */
    ROMA_WHY_NODE_ABSENT,         /**< no such node, or it has no memory                          */
    ROMA_WHY_NODE_FORBIDDEN,      /**< outside the cpuset of this process                         */
    ROMA_WHY_NODE_FULL,           /**< not enough free memory on the node                         */
    ROMA_WHY_LANDED_ELSEWHERE,    /**< strict, and the kernel put pages on other nodes            */
    ROMA_WHY_REGION_FULL,         /**< the region has no free range of this size                  */
    ROMA_WHY_ADDRESS_SPACE,       /**< no address range of this size and alignment                */
    ROMA_WHY_MANAGER_LIMIT,       /**< the manager's own limit                                    */
    ROMA_WHY_OUT_OF_MEMORY,       /**< no memory for roma's own records                           */
    ROMA_WHY_PROVIDER,            /**< a user's provider failed and said no more                  */
    ROMA_WHY_POLICY_TEXT,         /**< a policy's text: line `need`, column `have`; `subject` is
                                       what was expected there                                    */
    ROMA_WHY_FILE_ENDS,           /**< the file has `have` bytes, the range reaches `need`        */
    ROMA_WHY_FILE_IO,             /**< the device or file system could not read or write          */
    ROMA_WHY_CANCELLED,           /**< given up before it was done                                */
    ROMA_WHY_STORE_FOREIGN,       /**< not a store, or one of another architecture: `subject`     */
    ROMA_WHY_STORE_NEWER,         /**< made by a newer roma: `need` is its version or features    */
    ROMA_WHY_STORE_DAMAGED,       /**< what a store's file says cannot be: `subject`              */
    ROMA_WHY_STORE_SHORT,         /**< the file has `have` bytes and should have `need`           */
    ROMA_WHY_STORE_CRASHED,       /**< a crash of the machine interrupted it; `subject` is its
                                       checkpoint                                                 */
    ROMA_WHY_STORE_COPIED,        /**< a copy of a store that was in use                          */
    ROMA_WHY_STORE_FULL,          /**< the store's largest size: bytes                            */
    ROMA_WHY_STORE_SESSIONS,      /**< all `total` session slots are taken                        */
    ROMA_WHY_STORE_LANES,         /**< all `total` lanes are taken                                */
    ROMA_WHY_STORE_BUSY,          /**< somebody has it open                                       */
    ROMA_WHY_STORE_FILESYSTEM,    /**< a store cannot lie there: `subject` says where and why     */
    ROMA_WHY_STORE_UNPARKED,      /**< session `need` did not come to rest; `subject`: its label */
    ROMA_WHY_STORE_DECLINED,      /**< the program's quiesce function did not want a checkpoint   */
    ROMA_WHY_COUNT
} roma_why;

typedef struct roma_error {
    int code;             /**< -errno as the call returned it; 0: no error                        */
    int cause;            /**< errno of the failing system call; 0 when none was involved         */
    roma_why why;
    const char *call;     /**< the failing system call, a literal such as "mbind"; or NULL        */
    int node;             /**< the node it was about; -1: no particular one                       */
    roma_page_kind pages; /**< the page kind it was about; 0: none                                */
    uint64_t need;        /**< pages of kind `pages` for page pools, bytes for limits and nodes   */
    uint64_t have;        /**< what was free, in the same unit                                    */
    uint64_t total;       /**< pool size or limit, in the same unit                               */
    char subject[64];     /**< name of the field, option, cgroup or feature; "" when none         */
} roma_error;

/** Write an error as one sentence that says what to do: "no free 2 MiB pages on node 0: 0 of 512
 *  free, 4 needed; write to nr_hugepages or allow transparent huge pages".
 *
 *  text, bytes  where to write; always terminated when bytes > 0; 256 bytes are enough
 *  Returns `text`.
 *  Threads: any.  Signals: no.  Cost: no system call.  Since: 0.1 */
ROMA_API char *roma_error_text(const roma_error *error, char *text, size_t bytes);

/** Print that sentence and a newline.  Returns 0 or -errno of the stream.  Since: 0.1 */
ROMA_API int roma_error_print(FILE *stream, const roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
