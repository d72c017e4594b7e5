/* run_find.c - which libroma_malloc.so a program gets, and whether the program will load it.
 *
 * The library stands beside the libroma.so that this command runs on, both in a build folder and
 * where it was installed, or in a lib folder beside the command's own.
 *
 * The dynamic loader ignores LD_PRELOAD, or part of it, without a word or with one that is easily
 * missed; so the program's file is read first. What is looked at is its ELF header and its
 * interpreter (PT_INTERP): without one it is statically linked; with another one than this
 * command's it is made for another C library. A script stands for the interpreter in its first
 * line. A program that another program starts is not looked at. */
#include "run.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LIBRARY_NAME "libroma_malloc.so"

/* ---- the library ---------------------------------------------------------------------------- */

/* The folder of a path: what is before its last slash. */
static void cut_to_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash != NULL)
        *slash = '\0';
}

/* Keep FOLDER/BELOW/libroma_malloc.so when it is there. */
static bool try_folder(run_plan *plan, const char *folder, const char *below)
{
    char *path = NULL;
    need_memory(asprintf(&path, "%s%s/" LIBRARY_NAME, folder, below) < 0 ? NULL : path);
    bool found = realpath(path, plan->library) != NULL;
    free(path);
    return found;
}

static bool beside_library(run_plan *plan)
{
    char folder[PATH_MAX];
    Dl_info info;
    void *known = dlsym(RTLD_DEFAULT, "roma_version");
    if (known == NULL || dladdr(known, &info) == 0 || realpath(info.dli_fname, folder) == NULL)
        return false;
    cut_to_folder(folder);
    return try_folder(plan, folder, "");
}

static bool beside_command(run_plan *plan)
{
    char folder[PATH_MAX];
    if (realpath("/proc/self/exe", folder) == NULL)
        return false;
    cut_to_folder(folder);
    return try_folder(plan, folder, "/../lib") || try_folder(plan, folder, "/..");
}

bool run_find_library(run_plan *plan)
{
    const char *given = plan->library_option;
    if (given != NULL && realpath(given, plan->library) == NULL) {
        complain(plan->command, "--lib: %s cannot be used (%s)", given, strerror(errno));
        return false;
    }
    if (given == NULL && !beside_library(plan) && !beside_command(plan)) {
        complain(plan->command, LIBRARY_NAME " is neither beside libroma.so nor in a lib folder "
                                             "beside this command; name it with --lib PATH");
        return false;
    }
    if (strpbrk(plan->library, ": ") != NULL) {
        complain(plan->command, "%s cannot be preloaded: its path has a space or colon in it",
                 plan->library);
        return false;
    }
    return true;
}

/* ---- the program's file --------------------------------------------------------------------- */

/* Find the file that execvp() would run. */
static bool find_in_path(const char *program, char path[PATH_MAX])
{
    const char *folders = getenv("PATH");
    if (strchr(program, '/') != NULL)
        return snprintf(path, PATH_MAX, "%s", program) < PATH_MAX;
    for (const char *next = folders != NULL ? folders : "/bin:/usr/bin"; *next != '\0';) {
        int length = (int)strcspn(next, ":");
        bool fits = snprintf(path, PATH_MAX, "%.*s/%s", length, next, program) < PATH_MAX;
        if (fits && access(path, X_OK) == 0)
            return true;
        next += length;
        next += *next == ':';
    }
    return false;
}

typedef struct elf_facts {
    bool is_elf, is_ours;       /* for the same machine as this command */
    char interpreter[PATH_MAX]; /* "" without one: statically linked */
} elf_facts;

static void read_interpreter(int file, const ElfW(Phdr) * header, elf_facts *facts)
{
    size_t bytes = header->p_filesz < sizeof facts->interpreter ? (size_t)header->p_filesz
                                                                : sizeof facts->interpreter - 1;
    ssize_t got = pread(file, facts->interpreter, bytes, (off_t)header->p_offset);
    facts->interpreter[got > 0 ? got : 0] = '\0';
}

static void read_elf(int file, elf_facts *facts)
{
    const unsigned char ours_class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
    ElfW(Ehdr) header;
    *facts = (elf_facts){.is_elf = false};
    if (pread(file, &header, sizeof header, 0) != (ssize_t)sizeof header ||
        memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return;
    facts->is_elf = true;
    facts->is_ours = header.e_ident[EI_CLASS] == ours_class &&
                     header.e_phentsize == sizeof(ElfW(Phdr));
    for (unsigned i = 0; facts->is_ours && i < header.e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t offset = (off_t)header.e_phoff + (off_t)(i * sizeof segment);
        if (pread(file, &segment, sizeof segment, offset) != (ssize_t)sizeof segment)
            break;
        if (segment.p_type == PT_INTERP)
            read_interpreter(file, &segment, facts);
    }
}

/* The program in the first line of a script. */
static bool read_script(int file, char path[PATH_MAX])
{
    char line[PATH_MAX];
    ssize_t got = pread(file, line, sizeof line - 1, 0);
    if (got < 3 || line[0] != '#' || line[1] != '!')
        return false;
    line[got] = '\0';
    const char *start = line + 2 + strspn(line + 2, " \t");
    snprintf(path, PATH_MAX, "%.*s", (int)strcspn(start, " \t\n"), start);
    return path[0] != '\0';
}

/* ---- what keeps the loader from the library ------------------------------------------------- */

/* The loader takes such a program's environment for an attacker's. */
static bool gains_rights(int file)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return false;
    bool user = (status.st_mode & S_ISUID) != 0 && status.st_uid != getuid();
    bool group = (status.st_mode & S_ISGID) != 0 && status.st_gid != getgid();
    bool capabilities = getuid() != 0 && fgetxattr(file, "security.capability", NULL, 0) > 0;
    return user || group || capabilities;
}

static void check_elf(const char *path, int file, run_remarks *remarks)
{
    elf_facts facts, own;
    read_elf(file, &facts);
    if (!facts.is_elf)
        return;
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    read_elf(self, &own);
    if (self >= 0)
        close(self);
    if (!facts.is_ours)
        run_remark(remarks, "%s is made for another machine: it runs on its own malloc", path);
    else if (facts.interpreter[0] == '\0')
        run_remark(remarks, "%s is statically linked: it runs on its own malloc", path);
    else if (own.interpreter[0] != '\0' && strcmp(facts.interpreter, own.interpreter) != 0)
        run_remark(remarks, "%s is loaded by %s, not by %s as the library: it may not start", path,
                   facts.interpreter, own.interpreter);
}

static void check_file(const char *path, run_remarks *remarks, bool follow_script)
{
    char interpreter[PATH_MAX];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    if (follow_script && read_script(file, interpreter)) {
        check_file(interpreter, remarks, false);
    } else {
        if (gains_rights(file))
            run_remark(remarks,
                       "%s runs with more rights than its caller: it runs on its own "
                       "malloc",
                       path);
        check_elf(path, file, remarks);
    }
    close(file);
}

void run_check_program(const char *program, run_remarks *remarks)
{
    char path[PATH_MAX];
    if (find_in_path(program, path))
        check_file(path, remarks, true);
}
