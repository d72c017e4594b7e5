/* error.c - error records and the sentences that they print as: one sentence for each reason, which
 * tells what happened with the figures of the record, then what to do about it.
 *
 * Figures are in pages where the record is about a page pool and in bytes where it is about a node
 * or a limit, as roma/error.h says. A figure that the record lacks (0) is left out where the
 * sentence can do without it. All sentences fit 256 bytes, with the longest subject and figures. */
#include "base/error.h"

#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- filling -------------------------------------------------------------------------------- */

void roma__error_fill(roma_error *error, int code, roma_why why, const char *subject)
{
    if (error != NULL) {
        memset(error, 0, sizeof *error);
        error->code = code;
        error->why = why;
        error->node = -1;
        roma__text_copy(error->subject, sizeof error->subject, subject);
    }
}

int roma__error_call(roma_error *error, const char *call, int cause)
{
    bool refused = cause == EPERM || cause == ENOSYS;
    /* -EINVAL is the caller's mistake. What the caller said was checked: a kernel that calls it
     * invalid does not know what is asked. */
    int code = cause == EINVAL ? -EOPNOTSUPP : -cause;
    (void)roma__error(error, code, refused ? ROMA_WHY_CALL_REFUSED : ROMA_WHY_CALL);
    if (error != NULL) {
        error->call = call;
        error->cause = cause;
    }
    return code;
}

/* ---- the words of a sentence ---------------------------------------------------------------- */

enum { WORD_BYTES = 64 };

/* strerror_r is one function with glibc and another with all other C libraries. */
static const char *errno_text(int number, char *word)
{
#if defined(__GLIBC__)
    return strerror_r(number, word, WORD_BYTES);
#else
    if (strerror_r(number, word, WORD_BYTES) != 0)
        roma__text_copy(word, WORD_BYTES, "unknown error");
    return word;
#endif
}

static const char *size_text(uint64_t size, char *word)
{
    return roma_size_text(size, word, WORD_BYTES);
}

static const char *kind_text(const roma_error *error, char *word)
{
    return roma_page_kind_text(error->pages, word, WORD_BYTES);
}

/* "2 MiB", or "huge" where the record does not say the size. */
static const char *page_text(const roma_error *error, char *word)
{
    size_t page_bytes = roma_page_bytes(error->pages);
    if (page_bytes != 0)
        return size_text(page_bytes, word);
    roma__text_copy(word, WORD_BYTES, "huge");
    return word;
}

static const char *subject_or(const roma_error *error, const char *other)
{
    return error->subject[0] != '\0' ? error->subject : other;
}

static void add_on_node(roma__text *out, const roma_error *error)
{
    if (error->node >= 0)
        roma__text_add(out, " on node %d", error->node);
}

/* ": 1 GiB needed, 300.5 MiB of 4 GiB free" */
static void add_bytes(roma__text *out, const roma_error *error)
{
    char need[WORD_BYTES], have[WORD_BYTES], total[WORD_BYTES];
    if (error->need == 0)
        return;
    roma__text_add(out, ": %s needed, %s", size_text(error->need, need),
                   size_text(error->have, have));
    if (error->total != 0)
        roma__text_add(out, " of %s", size_text(error->total, total));
    roma__text_add(out, " free");
}

/* ---- a sentence a reason -------------------------------------------------------------------- */

/* A ring's memory counts as locked (before Linux 5.12, and again on 6.18), but for who may lock as
 * much as it likes (CAP_IPC_LOCK). */
static bool is_of_locked_memory(const roma_error *error)
{
    return error->cause == ENOMEM && error->call != NULL &&
           strcmp(error->call, "io_uring_setup") == 0;
}

static const char *remedy_for_cause(const roma_error *error)
{
    if (is_of_locked_memory(error))
        return "raise the limit of locked memory (ulimit -l), free some memory, or use threads "
               "instead";
    switch (error->cause) {
    case ENOMEM: return "free some memory, or raise vm.max_map_count or ulimit -v";
    case EMFILE:
    case ENFILE: return "close files or raise the limit of open files (ulimit -n)";
    case EACCES: return "check who may read it";
    case ENOENT:
    case ENOTDIR:
    case EISDIR: return "check its name";
    case EAGAIN: return "try again, or raise the limit that it ran into (ulimit -a)";
    case ENOSPC: return "free some space";
    case EFBIG: return "raise the limit of file sizes (ulimit -f), or ask for less";
    default: return "its manual page tells what this means";
    }
}

static const char *remedy_for_refusal(const char *call)
{
    static const struct {
        const char *call, *remedy;
    } remedies[] = {
        {"mbind", "do not name nodes"},
        {"getcpu", "name a node instead of the local one"},
        {"move_pages", "do without strict placement"},
        {"madvise", "ask for base pages, not populated"},
        {"io_uring_setup", "use threads instead"},
        {"io_uring_register", "use threads instead"},
    };
    for (size_t i = 0; call != NULL && i < sizeof remedies / sizeof remedies[0]; i++)
        if (strcmp(call, remedies[i].call) == 0)
            return remedies[i].remedy;
    return "do without it";
}

static void add_call(roma__text *out, const roma_error *error)
{
    char word[WORD_BYTES];
    const char *call = error->call != NULL ? error->call : "a system call";
    const char *cause = errno_text(error->cause, word);
    if (error->why == ROMA_WHY_CALL_REFUSED) {
        roma__text_add(out,
                       "the kernel refused %s (%s): a seccomp filter, as containers have, may "
                       "forbid it; allow it, or %s",
                       call, cause, remedy_for_refusal(call));
        return;
    }
    roma__text_add(out, "%s failed", call);
    if (error->subject[0] != '\0')
        roma__text_add(out, " for %s", error->subject);
    roma__text_add(out, " (%s); %s", cause, remedy_for_cause(error));
}

static void add_pool(roma__text *out, const roma_error *error)
{
    char page[WORD_BYTES];
    (void)page_text(error, page);
    if (error->why == ROMA_WHY_POOL_RAN_DRY) {
        roma__text_add(out, "the pool of %s pages ran dry", page);
        add_on_node(out, error);
        roma__text_add(out, " while they were taken, others were faster");
    } else {
        roma__text_add(out, "%s free %s pages", error->have == 0 ? "no" : "too few", page);
        add_on_node(out, error);
    }
    if (error->need != 0)
        roma__text_add(out, ": %" PRIu64 " of %" PRIu64 " free, %" PRIu64 " needed", error->have,
                       error->total, error->need);
    roma__text_add(out, "; write to nr_hugepages or allow transparent huge pages");
}

/* What a cgroup uses is its limit less what is free in it. */
static void add_cgroup(roma__text *out, const roma_error *error)
{
    char need[WORD_BYTES], used[WORD_BYTES], limit[WORD_BYTES];
    const char *what = "memory", *file = "memory.max";
    if (error->why == ROMA_WHY_CGROUP_HUGETLB) {
        what = "huge pages";
        file = "hugetlb.*.max";
    } else if (error->why == ROMA_WHY_CGROUP_HUGETLB_RSVD) {
        what = "reserved huge pages";
        file = "hugetlb.*.rsvd.max";
    }
    uint64_t used_bytes = error->total > error->have ? error->total - error->have : 0;
    roma__text_add(out,
                   "the limit of %s of cgroup %s is in the way: %s needed, %s of %s used; raise %s "
                   "there or free some",
                   what, subject_or(error, "of this process"), size_text(error->need, need),
                   size_text(used_bytes, used), size_text(error->total, limit), file);
}

static void add_node(roma__text *out, const roma_error *error)
{
    char node[WORD_BYTES] = "the node";
    if (error->node >= 0) {
        roma__text word = roma__text_in(node, sizeof node);
        roma__text_add(&word, "node %d", error->node);
    }
    if (error->why == ROMA_WHY_NODE_ABSENT) {
        roma__text_add(out, "%s is not there or has no memory; `roma topo` lists the nodes", node);
    } else if (error->why == ROMA_WHY_NODE_FORBIDDEN) {
        roma__text_add(out,
                       "%s is outside the cpuset of this process; name an allowed node or widen "
                       "cpuset.mems",
                       node);
    } else {
        roma__text_add(out, "not enough free memory");
        add_on_node(out, error);
        add_bytes(out, error);
        roma__text_add(out, error->node >= 0
                                ? "; free some, name more nodes, or do without strict placement"
                                : "; free some, ask for less, or do not populate at once");
    }
}

static void add_landed_elsewhere(roma__text *out, const roma_error *error)
{
    char have[WORD_BYTES], need[WORD_BYTES];
    roma__text_add(out, "the kernel put pages on other nodes than asked");
    if (error->need != 0)
        roma__text_add(out, ": %s of %s are", size_text(error->have, have),
                       size_text(error->need, need));
    else if (error->node >= 0)
        roma__text_add(out, ": not all are");
    if (error->need != 0 && error->node < 0)
        roma__text_add(out, " there");
    add_on_node(out, error);
    roma__text_add(out, "; free memory there, name more nodes, or do without strict placement");
}

static void add_thp(roma__text *out, const roma_error *error)
{
    char page[WORD_BYTES];
    (void)page_text(error, page);
    if (error->why == ROMA_WHY_THP_OFF) {
        roma__text_add(out, "transparent huge pages are switched off");
        if (error->subject[0] != '\0')
            roma__text_add(out, " (%s)", error->subject);
        roma__text_add(out,
                       "; write madvise to /sys/kernel/mm/transparent_hugepage/enabled, or ask "
                       "for other pages");
        return;
    }
    roma__text_add(out, "the kernel gave too few transparent huge pages");
    if (error->need != 0)
        roma__text_add(out, ": %" PRIu64 " of %" PRIu64, error->have, error->need);
    if (error->pages != 0)
        roma__text_add(out, " of %s", page);
    roma__text_add(out, "; free memory, write 1 to /proc/sys/vm/compact_memory, or do without "
                        "strict");
}

static void add_space(roma__text *out, const roma_error *error)
{
    char need[WORD_BYTES];
    if (error->why == ROMA_WHY_REGION_FULL) {
        roma__text_add(out, "the region has no free range of this size");
        add_bytes(out, error);
        roma__text_add(out, "; release extents of it or bring a larger one");
    } else if (error->why == ROMA_WHY_MANAGER_LIMIT) {
        roma__text_add(out, "the manager's own limit is reached");
        add_bytes(out, error);
        roma__text_add(out, "; release blocks or raise the limit in its options");
    } else {
        roma__text_add(out, "no free range of addresses");
        if (error->need != 0)
            roma__text_add(out, " of %s", size_text(error->need, need));
        roma__text_add(out, "; ask for less or a smaller alignment, or raise ulimit -v");
    }
}

static void add_file_ends(roma__text *out, const roma_error *error)
{
    char have[WORD_BYTES], need[WORD_BYTES];
    roma__text_add(out, "the file ends before the range does");
    if (error->need != 0)
        roma__text_add(out, ": it has %s, the range reaches %s", size_text(error->have, have),
                       size_text(error->need, need));
    roma__text_add(out, "; it was cut meanwhile, or the range is wrong: look at its length again");
}

static void add_store(roma__text *out, const roma_error *error)
{
    char need[WORD_BYTES], have[WORD_BYTES];
    switch (error->why) {
    case ROMA_WHY_STORE_FOREIGN:
        roma__text_add(out, "this is no store that can be used here (%s); check its name",
                       subject_or(error, "its first bytes are others"));
        return;
    case ROMA_WHY_STORE_NEWER:
        roma__text_add(out,
                       "the store was made by a newer roma (%s %" PRIu64 "; this is roma %s); use "
                       "a newer library",
                       subject_or(error, "version"), error->need, roma_version());
        return;
    case ROMA_WHY_STORE_DAMAGED:
        roma__text_add(out,
                       "the store is damaged (%s); `roma store check` tells more, a checkpoint "
                       "can replace it",
                       subject_or(error, "what it says cannot be"));
        return;
    case ROMA_WHY_STORE_SHORT:
        roma__text_add(out,
                       "the store's file is cut short: %s needed, %s there; bring the whole file "
                       "or its checkpoint",
                       size_text(error->need, need), size_text(error->have, have));
        return;
    case ROMA_WHY_STORE_CRASHED:
        roma__text_add(out,
                       "a crash of the machine interrupted the store; put its last checkpoint%s%s "
                       "in place with roma_store_restore()",
                       error->subject[0] != '\0' ? " " : "", error->subject);
        return;
    case ROMA_WHY_STORE_COPIED:
        roma__text_add(out, "this is a copy of a store that was in use; copy it while nobody has "
                            "it open, or open its checkpoint");
        return;
    case ROMA_WHY_STORE_FULL:
        roma__text_add(out, "the store has reached its largest size");
        add_bytes(out, error);
        roma__text_add(out, "; release blocks, or make a store with a larger max_bytes");
        return;
    case ROMA_WHY_STORE_SESSIONS:
    case ROMA_WHY_STORE_LANES: {
        const char *what = error->why == ROMA_WHY_STORE_LANES ? "lanes" : "session slots";
        roma__text_add(out,
                       "all %" PRIu64 " %s of the store are taken; `roma store sessions` lists "
                       "who has it open",
                       error->total, what);
        return;
    }
    case ROMA_WHY_STORE_BUSY:
        roma__text_add(out, "somebody has the store open; `roma store sessions` lists who");
        return;
    case ROMA_WHY_STORE_FILESYSTEM:
        roma__text_add(out, "a store cannot lie there: %s; use a local file system",
                       subject_or(error, "the file system lacks what it needs"));
        return;
    case ROMA_WHY_STORE_DECLINED:
        roma__text_add(out, "no checkpoint was made: the program's quiesce function returned %d",
                       error->code);
        return;
    default: /* ROMA_WHY_STORE_UNPARKED */
        roma__text_add(out,
                       "session %" PRIu64 "%s%s did not come to rest in time; continue or end "
                       "that process",
                       error->need, error->subject[0] != '\0' ? ", " : "", error->subject);
        return;
    }
}

static void add_sentence(roma__text *out, const roma_error *error)
{
    char word[WORD_BYTES];
    switch (error->why) {
    case ROMA_WHY_NONE:
        if (error->code == 0)
            roma__text_add(out, "no error");
        else
            roma__text_add(out, "failed (%s)", errno_text(-error->code, word));
        return;
    case ROMA_WHY_INVALID:
        roma__text_add(out, "%s is not valid (%s); roma's headers tell what is allowed",
                       subject_or(error, "an argument"), errno_text(-error->code, word));
        return;
    case ROMA_WHY_UNKNOWN_OPTION:
        roma__text_add(out,
                       "%s has fields set that roma %s does not know; zero them or use a newer "
                       "library",
                       subject_or(error, "a struct"), roma_version());
        return;
    case ROMA_WHY_CALL:
    case ROMA_WHY_CALL_REFUSED: add_call(out, error); return;
    case ROMA_WHY_UNSUPPORTED:
        roma__text_add(out,
                       "this kernel or provider cannot do this: %s; use another provider or do "
                       "without",
                       subject_or(error, "the call"));
        return;
    case ROMA_WHY_NO_PAGE_KIND:
        roma__text_add(out,
                       "there are no %s pages here; `roma topo` lists the kinds of this machine",
                       kind_text(error, word));
        return;
    case ROMA_WHY_THP_OFF:
    case ROMA_WHY_THP_SCARCE: add_thp(out, error); return;
    case ROMA_WHY_POOL_EMPTY:
    case ROMA_WHY_POOL_RAN_DRY: add_pool(out, error); return;
    case ROMA_WHY_CGROUP_HUGETLB:
    case ROMA_WHY_CGROUP_HUGETLB_RSVD:
    case ROMA_WHY_CGROUP_MEMORY: add_cgroup(out, error); return;
    case ROMA_WHY_NODE_ABSENT:
    case ROMA_WHY_NODE_FORBIDDEN:
    case ROMA_WHY_NODE_FULL: add_node(out, error); return;
    case ROMA_WHY_LANDED_ELSEWHERE: add_landed_elsewhere(out, error); return;
    case ROMA_WHY_REGION_FULL:
    case ROMA_WHY_ADDRESS_SPACE:
    case ROMA_WHY_MANAGER_LIMIT: add_space(out, error); return;
    case ROMA_WHY_OUT_OF_MEMORY:
        roma__text_add(out,
                       "no memory for roma's own records; free some, or raise the memory limit "
                       "or vm.max_map_count");
        return;
    case ROMA_WHY_PROVIDER:
        roma__text_add(out, "the provider%s%s failed (%s) and said no more; its documentation may",
                       error->subject[0] != '\0' ? " " : "", error->subject,
                       errno_text(-error->code, word));
        return;
    case ROMA_WHY_STORE_FOREIGN:
    case ROMA_WHY_STORE_NEWER:
    case ROMA_WHY_STORE_DAMAGED:
    case ROMA_WHY_STORE_SHORT:
    case ROMA_WHY_STORE_CRASHED:
    case ROMA_WHY_STORE_COPIED:
    case ROMA_WHY_STORE_FULL:
    case ROMA_WHY_STORE_SESSIONS:
    case ROMA_WHY_STORE_LANES:
    case ROMA_WHY_STORE_BUSY:
    case ROMA_WHY_STORE_FILESYSTEM:
    case ROMA_WHY_STORE_UNPARKED:
    case ROMA_WHY_STORE_DECLINED: add_store(out, error); return;
    case ROMA_WHY_POLICY_TEXT:
        roma__text_add(out,
                       "the policy is wrong at line %" PRIu64 ", column %" PRIu64
                       ": expected %s; docs/policy.md has the grammar",
                       error->need, error->have, subject_or(error, "something else"));
        return;
    case ROMA_WHY_FILE_ENDS: add_file_ends(out, error); return;
    case ROMA_WHY_FILE_IO:
        roma__text_add(out,
                       "the device or the file system failed (%s); the kernel's log (dmesg) tells "
                       "what happened",
                       errno_text(-error->code, word));
        return;
    case ROMA_WHY_CANCELLED:
        roma__text_add(out, "it was cancelled before it was done; submit it again if it is wanted");
        return;
    case ROMA_WHY_COUNT: break;
    }
    roma__text_add(out, "failed (%s) for a reason that roma %s does not know",
                   errno_text(-error->code, word), roma_version());
}

char *roma_error_text(const roma_error *error, char *text, size_t bytes)
{
    roma__text out = roma__text_in(text, bytes);
    if (error != NULL) {
        /* A user's provider filled it, and perhaps all of it: a subject of its own that ends. */
        roma_error ended = *error;
        ended.subject[sizeof ended.subject - 1] = '\0';
        add_sentence(&out, &ended);
    }
    return text;
}

int roma_error_print(FILE *stream, const roma_error *error)
{
    if (stream == NULL || error == NULL)
        return -EINVAL;
    char sentence[256];
    errno = 0;
    if (fprintf(stream, "%s\n", roma_error_text(error, sentence, sizeof sentence)) >= 0)
        return 0;
    return errno != 0 ? -errno : -EIO;
}
