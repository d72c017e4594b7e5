/* migrate.c - moving the pages of a range to other nodes, and counting each of them once.
 *
 * The range gets a memory policy, so that pages which are absent come to the new nodes, and is then
 * gone through in windows. In a window all pages are first asked for their nodes (move_pages
 * without targets), then those that are elsewhere are moved, a batch a call. The order matters: a
 * transparent huge page moves as a whole when the first of its base pages is named, so all of them
 * are asked before any is moved. A window begins and ends where a huge page of any size does.
 *
 * What the kernel answers to a batch is not enough to count by: the second base page of a huge page
 * is EBUSY, since the first has taken it along; and at the first page that cannot move, it returns
 * how many it has not moved and leaves the status of the rest alone. So after anything but a clean
 * answer the batch is asked for its nodes again. As long as a call moves something, the rest is
 * tried together; then one by one, each a few times, which gives each page a cause of its own.
 *
 * A node that had no memory for one page alone is full: what is left of its share is counted as
 * failed for ENOMEM without a try, which else would take a search for memory each.
 *
 * Limits. Others may fault, discard or move pages meanwhile: a page that comes in the middle is
 * counted as absent, and comes to the right node by the policy. On a kernel whose move_pages does
 * not see pages that NUMA balancing has just marked (6.1), those are counted as absent, too, and
 * stay where they are. */
#include "numa/migrate.h"

#include "base/bits.h"
#include "base/error.h"
#include "numa/machine.h"
#include "numa/topology.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum {
    BATCH_PAGES = 512,
    WINDOW_PAGES = 1 << 14, /* at least as many as the largest transparent huge page has */
    WORD_BITS = 64,
    TRIES = 3 /* of a page alone */
};

/* How one share of a range moves. */
typedef struct mover {
    size_t page_bytes; /* of an entry */
    int target;
    bool is_full; /* the target has no memory left */
    roma_migration *migration;
    roma_error *error;
    unsigned count; /* of the entries below */
    void *pages[BATCH_PAGES];
    int nodes[BATCH_PAGES], status[BATCH_PAGES];
} mover;

/* ---- sums ----------------------------------------------------------------------------------- */

static void count_failed(roma_migration *migration, int cause, size_t pages)
{
    enum { LAST = ROMA_MIGRATION_REASONS - 1 };
    unsigned at = 0;
    migration->failed += pages;
    while (at < migration->reasons_count && migration->reasons[at].cause != cause)
        at++;
    if (at == ROMA_MIGRATION_REASONS) {
        at = LAST;
        migration->reasons[LAST].cause = 0;
    }
    if (at == migration->reasons_count) {
        migration->reasons_count++;
        migration->reasons[at].cause = cause;
    }
    migration->reasons[at].pages += pages;
}

/* Is this an answer about pages, not about the call? */
static bool is_of_pages(int cause)
{
    return cause == ENOMEM || cause == EBUSY || cause == EAGAIN;
}

/* Whoever has no such call is as one who may not use it. */
static int call_failed(roma_error *error, int cause)
{
    int code = roma__error_call(error, "move_pages", cause);
    if (code == -ENOSYS)
        code = error->code = -EPERM;
    return code;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* Where the batch's pages are, into `status`. */
static int ask(mover *move)
{
    if (roma__sys->move_pages(move->count, move->pages, NULL, move->status, 0) == 0)
        return 0;
    return call_failed(move->error, errno);
}

/* Have the kernel move the batch, or the first `count` entries of it. Returns 0; a cause that holds
 * for pages which it does not name; or -errno. Status that the kernel does not write is EAGAIN. */
static int push(mover *move, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        move->nodes[i] = move->target;
        move->status[i] = -EAGAIN;
    }
    int left = roma__sys->move_pages(count, move->pages, move->nodes, move->status, 0);
    if (left >= 0)
        return left == 0 ? 0 : EAGAIN;
    int cause = errno;
    return is_of_pages(cause) ? cause : call_failed(move->error, cause);
}

/* Absent, or the kernel's page of zeros. */
static bool is_absent(int status)
{
    return status == -ENOENT || status == -EFAULT;
}

/* ---- a batch -------------------------------------------------------------------------------- */

/* Count what has arrived, by the status that was asked last, and keep the rest. */
static void drop_arrived(mover *move)
{
    unsigned left = 0;
    for (unsigned i = 0; i < move->count; i++) {
        if (move->status[i] == move->target)
            move->migration->moved++;
        else if (is_absent(move->status[i]))
            move->migration->absent++;
        else
            move->pages[left++] = move->pages[i];
    }
    move->count = left;
}

static bool have_all_arrived(const mover *move)
{
    unsigned i = 0;
    while (i < move->count && move->status[i] == move->target)
        i++;
    return i == move->count;
}

/* Move together for as long as that moves anything. */
static int move_together(mover *move)
{
    for (unsigned before = 0; move->count > 0 && move->count != before;) {
        before = move->count;
        int cause = push(move, move->count);
        if (cause < 0)
            return cause;
        if (cause != 0 || !have_all_arrived(move)) {
            int code = ask(move);
            if (code < 0)
                return code;
        }
        drop_arrived(move);
    }
    return 0;
}

/* The first page of the batch, alone. */
static int move_first(mover *move)
{
    int cause = EAGAIN;
    for (int tries = 0; tries < TRIES && (cause == EAGAIN || cause == EBUSY); tries++) {
        cause = push(move, 1);
        if (cause < 0)
            return cause;
        if (cause == 0 && move->status[0] == move->target) {
            move->migration->moved++;
            return 0;
        }
        if (cause == 0 && move->status[0] == -ENOENT) {
            move->migration->absent++;
            return 0;
        }
        if (cause == 0) /* a node that is not the target is an answer that makes no sense */
            cause = move->status[0] < 0 ? -move->status[0] : EIO;
    }
    move->is_full = cause == ENOMEM;
    count_failed(move->migration, cause, 1);
    return 0;
}

static int move_batch(mover *move)
{
    int code = move->is_full ? 0 : move_together(move);
    unsigned count = move->count;
    for (unsigned i = 0; i < count && code == 0 && !move->is_full; i++) {
        void *page = move->pages[i];
        move->pages[0] = page;
        code = move_first(move);
        move->count--;
    }
    if (code == 0 && move->count > 0)
        count_failed(move->migration, ENOMEM, move->count);
    move->count = 0;
    return code;
}

/* ---- a window ------------------------------------------------------------------------------- */

/* Count the pages that need no move, and note the others: a bit each. */
static int look(mover *move, uintptr_t start, size_t pages, uint64_t *elsewhere)
{
    memset(elsewhere, 0, WINDOW_PAGES / WORD_BITS * sizeof *elsewhere);
    for (size_t first = 0; first < pages; first += BATCH_PAGES) {
        move->count = (unsigned)roma__min(pages - first, BATCH_PAGES);
        for (unsigned i = 0; i < move->count; i++)
            move->pages[i] = (void *)(start + (first + i) * move->page_bytes);
        int code = ask(move);
        if (code < 0)
            return code;
        for (unsigned i = 0; i < move->count; i++) {
            size_t page = first + i;
            if (is_absent(move->status[i]))
                move->migration->absent++;
            else if (move->status[i] == move->target)
                move->migration->already++;
            else
                elsewhere[page / WORD_BITS] |= (uint64_t)1 << page % WORD_BITS;
        }
    }
    move->count = 0;
    return 0;
}

static int move_window(mover *move, uintptr_t start, size_t pages)
{
    uint64_t elsewhere[WINDOW_PAGES / WORD_BITS];
    int code = look(move, start, pages, elsewhere);
    for (size_t page = 0; code == 0 && page < pages; page++) {
        if (page % WORD_BITS == 0 && elsewhere[page / WORD_BITS] == 0) {
            page += WORD_BITS - 1;
            continue;
        }
        if ((elsewhere[page / WORD_BITS] >> page % WORD_BITS & 1) == 0)
            continue;
        move->pages[move->count++] = (void *)(start + page * move->page_bytes);
        if (move->count == BATCH_PAGES)
            code = move_batch(move);
    }
    return code == 0 ? move_batch(move) : code;
}

/* All pages of one share. */
static int move_share(mover *move, uintptr_t start, uintptr_t end)
{
    size_t window_bytes = WINDOW_PAGES * move->page_bytes;
    int code = 0;
    while (code == 0 && start < end) {
        uintptr_t next = roma__align_down(start, window_bytes) + window_bytes;
        if (next > end || next < start)
            next = end;
        code = move_window(move, start, (next - start) / move->page_bytes);
        start = next;
    }
    return code;
}

/* ---- the whole ------------------------------------------------------------------------------ */

/* Where the kernel has no NUMA, all that is present lies on node 0. */
static int all_on_node_zero(const void *address, size_t bytes, roma_page_kind kind,
                            roma_migration *migration, roma_error *error)
{
    roma_report report;
    memset(&report, 0, sizeof report);
    int code = roma__machine_where(address, bytes, kind, &report, error);
    if (code < 0)
        return code;
    migration->already = report.resident_bytes / migration->page_bytes;
    migration->absent = bytes / migration->page_bytes - migration->already;
    return 0;
}

static int some_failed(const roma_migration *migration, roma_page_kind kind,
                       const roma_nodes *nodes, roma_error *error)
{
    const struct roma_migration_reason *most = &migration->reasons[0];
    for (unsigned i = 1; i < migration->reasons_count; i++)
        if (migration->reasons[i].pages > most->pages)
            most = &migration->reasons[i];
    (void)roma__error(error, -EXDEV, ROMA_WHY_LANDED_ELSEWHERE);
    error->call = "move_pages";
    error->cause = most->cause;
    error->pages = kind;
    error->node = roma_nodes_count(nodes) == 1 ? roma_nodes_next(nodes, 0) : -1;
    error->have = (migration->moved + migration->already) * migration->page_bytes;
    error->need = error->have + migration->failed * migration->page_bytes;
    return -EXDEV;
}

/* A refused call is found out before the policy is changed. */
static int try_call(mover *move, void *address)
{
    move->count = 1;
    move->pages[0] = address;
    return ask(move);
}

static int move_shares(mover *move, uintptr_t start, size_t units, size_t unit_bytes,
                       const roma_nodes *nodes)
{
    size_t shares = roma_nodes_count(nodes);
    int node = -1, code = 0;
    for (size_t i = 0, first = 0; code == 0 && i < shares; i++) {
        /* The first units % shares of them are one longer. */
        size_t length = units / shares + (i < units % shares);
        node = roma_nodes_next(nodes, (unsigned)(node + 1));
        move->target = node;
        move->is_full = false;
        code = move_share(move, start + first * unit_bytes, start + (first + length) * unit_bytes);
        first += length;
    }
    return code;
}

int roma__machine_migrate(void *address, size_t bytes, roma_page_kind kind, size_t page_bytes,
                          const roma_nodes *nodes, roma_migration *migration, roma_error *error)
{
    const roma_topology *topology = roma_topology_get();
    bool is_hugetlb = roma_page_class(kind) == ROMA_PAGE_CLASS_HUGETLB;
    int code = roma__machine_nodes_usable(nodes, true, error);
    if (code < 0)
        return code;
    mover move = {.page_bytes = is_hugetlb ? page_bytes : roma__machine_base_bytes(),
                  .migration = migration,
                  .error = error};
    if (topology != NULL && !topology->has_numa) {
        migration->page_bytes = move.page_bytes;
        return all_on_node_zero(address, bytes, kind, migration, error);
    }
    code = try_call(&move, address);
    if (code == 0)
        code = roma__machine_bind(address, bytes, nodes, is_hugetlb ? ROMA__BIND : ROMA__PREFER,
                                  error);
    if (code == -ENOSYS)
        code = error->code = -EPERM;
    if (code < 0)
        return code;
    migration->page_bytes = move.page_bytes;
    code = move_shares(&move, (uintptr_t)address, bytes / page_bytes, page_bytes, nodes);
    if (code < 0)
        return code;
    return migration->failed == 0 ? 0 : some_failed(migration, kind, nodes, error);
}
