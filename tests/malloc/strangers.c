/* strangers.c - a large block that realloc cannot move takes nothing of another thread with it.
 *
 * The kernel takes the target of a move away before it looks whether it has the memory, and another
 * thread may be given that place at once. Here a filter of system calls stands for the kernel, and
 * the handler of its signal for the other thread: it clears the target, maps a page of its own
 * there, and lets the call fail. The block must be copied, and the page still be there.
 *
 * Ends with 77 where the kernel has no such filters, or the processor is one that the handler does
 * not know. */
#include "expect.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { MIB = 1 << 20, BEFORE = 8 * MIB, AFTER = 24 * MIB, UNKNOWN = 77 };

static char *stranger;
static volatile sig_atomic_t moves_count;

/* mremap(from, bytes, to_bytes, flags, to), seen by its registers. */
static void fail_and_map(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    ucontext_t *at = context;
#if defined(__x86_64__)
    size_t to_bytes = (size_t)at->uc_mcontext.gregs[REG_RDX];
    char *to = (char *)(uintptr_t)at->uc_mcontext.gregs[REG_R8];
    at->uc_mcontext.gregs[REG_RAX] = -ENOMEM;
#elif defined(__aarch64__)
    size_t to_bytes = (size_t)at->uc_mcontext.regs[2];
    char *to = (char *)(uintptr_t)at->uc_mcontext.regs[4];
    at->uc_mcontext.regs[0] = (unsigned long long)-ENOMEM;
#else
    size_t to_bytes = 0;
    char *to = NULL;
    _exit(UNKNOWN);
#endif
    moves_count++;
    munmap(to, to_bytes);
    stranger = mmap(to, (size_t)getpagesize(), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* From now on a signal for each mremap() to a fixed address. */
static int trap_moves(void)
{
    enum { FIXED = 2 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, FIXED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct sigaction action = {.sa_sigaction = fail_and_map, .sa_flags = SA_SIGINFO};
    return sigaction(SIGSYS, &action, NULL) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static char *filled_block(void)
{
    char *block = malloc(BEFORE);
    if (block == NULL)
        abort();
    return memset(block, 'x', BEFORE);
}

static int is_whole(const char *block)
{
    return block != NULL && block[0] == 'x' && block[BEFORE - 1] == 'x';
}

static void what_is_mapped_there_stays(char *block)
{
    unsigned char present;
    block = realloc(block, AFTER);
    EXPECT(is_whole(block));
    EXPECT(moves_count > 0);
    EXPECT(stranger != NULL && mincore(stranger, (size_t)getpagesize(), &present) == 0);
    free(block);
}

/* The kernel refuses that at any address: no move is tried. */
static void what_an_advice_has_parted_is_copied(char *block)
{
    moves_count = 0;
    EXPECT(madvise(block + 2 * MIB, 2 * MIB, MADV_DONTDUMP) == 0);
    block = realloc(block, AFTER);
    EXPECT(is_whole(block));
    EXPECT(moves_count == 0);
    free(block);
}

int main(void)
{
    expect_ours("realloc");
    char *block = filled_block(), *other = filled_block();
    /* No room behind it, wherever its extent ends: so growing in place is not to be had. */
    for (size_t at = BEFORE; at <= BEFORE + 4 * MIB; at += 64 << 10)
        (void)mmap(block + at, (size_t)getpagesize(), PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (!trap_moves())
        return UNKNOWN;
    what_is_mapped_there_stays(block);
    what_an_advice_has_parted_is_copied(other);
    return finish("strangers");
}
