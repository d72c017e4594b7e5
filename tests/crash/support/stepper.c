/* stepper.c - see stepper.h. The signal handlers call nothing but system calls and what they are
 * given; errno is kept. */
#include "stepper.h"

#include "store/layout.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif

const char *stepper_why_not(void)
{
#ifndef __x86_64__
    return "single-stepping a process by itself needs the trap flag of x86-64";
#elif defined(IS_SANITIZED)
    return "single-stepping does not mix with sanitizers";
#else
    return NULL;
#endif
}

/* ---- the trap flag --------------------------------------------------------------------------- */

#ifdef __x86_64__
/* Below the red zone: the compiler may have values there. */
static inline void trap_on(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n orq $0x100, (%%rsp)\n popfq\n"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}
static inline void trap_off(void)
{
    __asm__ volatile("lea -128(%%rsp), %%rsp\n pushfq\n andq $~0x100, (%%rsp)\n popfq\n"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}
static uintptr_t place_of(void *context)
{
    return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}
/* When the handler returns. */
static void set_trap_in(void *context, bool on)
{
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    *flags = on ? *flags | 0x100 : *flags & ~0x100;
}
#else
static inline void trap_on(void) {}
static inline void trap_off(void) {}
static uintptr_t place_of(void *context)
{
    (void)context;
    return 0;
}
static void set_trap_in(void *context, bool on)
{
    (void)context, (void)on;
}
#endif

bool stepper_is_thorough, stepper_only_stores;

/* ---- the mapping ----------------------------------------------------------------------------- */

enum { OPEN_MAX_PAGES = 8, SHADOW_BYTES = 16 << 20 };

static struct {
    int fd; /* of the file */
    dev_t device;
    ino_t inode;
    void (*on_change)(const stepper_stop *stop);
    void (*on_held)(int64_t byte);
    char *base, *shadow; /* the mapping, and what its file held before this instruction */
    size_t bytes, page_bytes;
    size_t open[OPEN_MAX_PAGES]; /* offsets of pages that may be written */
    unsigned open_count;
    bool is_stepping, has_called; /* a system call may have changed the file */
    uint64_t instructions;
} stepper;

static void give_up(const char *why, uintptr_t at)
{
    (void)fprintf(stderr, "stepper: %s, at %#lx\n", why, (unsigned long)at);
    _exit(99);
}

static void protect(size_t offset, size_t bytes, int protection)
{
    if (mprotect(stepper.base + offset, bytes, protection) != 0)
        give_up("mprotect failed", 0);
}

static void copy_to_shadow(void)
{
    struct stat status;
    if (fstat(stepper.fd, &status) != 0)
        give_up("no file", 0);
    size_t bytes = (size_t)status.st_size;
    if (bytes > SHADOW_BYTES || stepper.bytes > SHADOW_BYTES)
        give_up("the store is too large to be stepped through", 0);
    memcpy(stepper.shadow, stepper.base, bytes < stepper.bytes ? bytes : stepper.bytes);
}

/* Has this page of the file another content than before the instruction? Take it over. */
static bool take_page(size_t offset)
{
    if (memcmp(stepper.shadow + offset, stepper.base + offset, stepper.page_bytes) == 0)
        return false;
    memcpy(stepper.shadow + offset, stepper.base + offset, stepper.page_bytes);
    return true;
}

/* ---- signals --------------------------------------------------------------------------------- */

static void on_fault(int signal, siginfo_t *information, void *context)
{
    uintptr_t address = (uintptr_t)information->si_addr, base = (uintptr_t)stepper.base;
    if (signal != SIGSEGV || stepper.base == NULL || address < base ||
        address - base >= stepper.bytes)
        give_up("a fault outside of the store", place_of(context));
    if (stepper.open_count == OPEN_MAX_PAGES)
        give_up("one instruction writes too many pages", place_of(context));
    size_t offset = (address - base) & ~(stepper.page_bytes - 1);
    for (unsigned i = 0; i < stepper.open_count; i++)
        if (stepper.open[i] == offset)
            give_up("a page that cannot be written", place_of(context));
    protect(offset, stepper.page_bytes, PROT_READ | PROT_WRITE);
    stepper.open[stepper.open_count++] = offset;
    if (stepper.is_stepping)
        set_trap_in(context, true);
}

static void on_trap(int signal, siginfo_t *information, void *context)
{
    (void)signal, (void)information;
    if (!stepper.is_stepping)
        return;
    int code = errno;
    stepper.instructions++;
    bool has_changed = stepper.has_called || stepper_is_thorough;
    stepper.has_called = false;
    for (unsigned i = 0; i < stepper.open_count; i++) {
        has_changed |= take_page(stepper.open[i]);
        protect(stepper.open[i], stepper.page_bytes, PROT_READ);
    }
    stepper.open_count = 0;
    if (stepper_only_stores)
        set_trap_in(context, false);
    if (has_changed)
        stepper.on_change(&(stepper_stop){stepper.instructions, place_of(context)});
    errno = code;
}

/* ---- system calls ---------------------------------------------------------------------------- */

static bool is_store(int fd)
{
    struct stat status;
    return fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == stepper.device &&
           status.st_ino == stepper.inode;
}

static void begin_call(void)
{
    if (stepper.is_stepping)
        trap_off();
}

static void end_call(bool changes)
{
    stepper.has_called |= changes;
    if (stepper.is_stepping)
        trap_on();
}

static void *stepped_mmap(void *address, size_t bytes, int protection, int flags, int fd,
                          off_t offset)
{
    begin_call();
    void *place = roma__sys_kernel.mmap(address, bytes, protection, flags, fd, offset);
    if (place != MAP_FAILED && offset == 0 && (flags & MAP_TYPE) != MAP_PRIVATE &&
        (protection & PROT_WRITE) != 0 && is_store(fd)) {
        stepper.base = place;
        stepper.bytes = bytes;
        if (stepper.is_stepping) {
            copy_to_shadow();
            protect(0, stepper.bytes, PROT_READ);
        }
    }
    end_call(false);
    return place;
}

static int stepped_munmap(void *address, size_t bytes)
{
    begin_call();
    if (address == stepper.base)
        stepper.base = NULL;
    int code = roma__sys_kernel.munmap(address, bytes);
    end_call(true); /* a lock may be gone */
    return code;
}

static ssize_t stepped_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    begin_call();
    ssize_t count = roma__sys_kernel.pwrite(fd, buffer, bytes, offset);
    if (stepper.is_stepping && stepper.base != NULL)
        copy_to_shadow();
    end_call(true);
    return count;
}

static int stepped_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    begin_call();
    int code = roma__sys_kernel.fallocate(fd, mode, offset, bytes);
    if (stepper.is_stepping && stepper.base != NULL)
        copy_to_shadow();
    end_call(true);
    return code;
}

static int stepped_ftruncate(int fd, off_t bytes)
{
    begin_call();
    int code = roma__sys_kernel.ftruncate(fd, bytes);
    end_call(true);
    return code;
}

static int stepped_lock(int fd, int command, struct flock *range)
{
    begin_call();
    int64_t from = range->l_start;
    bool is_session = from >= ROMA__LOCK_SESSIONS && range->l_len == 1;
    bool asks = command == F_OFD_GETLK || range->l_type != F_UNLCK;
    int code = roma__sys_kernel.lock(fd, command, range);
    bool is_held = command == F_OFD_GETLK ? code == 0 && range->l_type != F_UNLCK : code < 0;
    if (is_session && asks && is_held && stepper.on_held != NULL) {
        int number = errno;
        stepper.on_held(from);
        errno = number;
    }
    end_call(!asks);
    return code;
}

void stepper_install(int fd, void (*on_change)(const stepper_stop *stop),
                     void (*on_held)(int64_t byte))
{
    static struct roma__sys table;
    struct stat status;
    if (fstat(fd, &status) != 0)
        give_up("no file", 0);
    stepper.fd = fd;
    stepper.device = status.st_dev;
    stepper.inode = status.st_ino;
    stepper.on_change = on_change;
    stepper.on_held = on_held;
    stepper.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    stepper.shadow = mmap(NULL, SHADOW_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stepper.shadow == MAP_FAILED)
        give_up("no memory", 0);
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    (void)sigemptyset(&action.sa_mask);
    action.sa_sigaction = on_fault;
    (void)sigaction(SIGSEGV, &action, NULL);
    (void)sigaction(SIGBUS, &action, NULL);
    action.sa_sigaction = on_trap;
    (void)sigaction(SIGTRAP, &action, NULL);
    table = roma__sys_kernel;
    table.mmap = stepped_mmap;
    table.munmap = stepped_munmap;
    table.pwrite = stepped_pwrite;
    table.fallocate = stepped_fallocate;
    table.ftruncate = stepped_ftruncate;
    table.lock = stepped_lock;
    (void)roma__sys_replace(&table);
}

/* ---- running --------------------------------------------------------------------------------- */

int stepper_run(int (*run)(void *context), void *context, uint64_t *instructions)
{
    if (stepper.base != NULL) {
        copy_to_shadow();
        protect(0, stepper.bytes, PROT_READ);
    }
    stepper.instructions = 0;
    stepper.is_stepping = true;
    trap_on();
    int code = run(context);
    trap_off();
    stepper.is_stepping = false;
    *instructions = stepper.instructions;
    if (stepper.base != NULL)
        protect(0, stepper.bytes, PROT_READ | PROT_WRITE);
    return code;
}
