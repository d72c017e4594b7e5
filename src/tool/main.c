/* main.c - the `roma` command: what its words are, and help on them. */
#include "tool.h"

#include <string.h>

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* a line in the list of commands */
    const char *help;    /* the rest of `roma help NAME`   */
} command;

static const char topo_help[] =
    "usage: roma topo [--json] [--root DIR]\n"
    "\n"
    "Tells what this machine has: NUMA nodes with their CPUs, memory and distances, page kinds,\n"
    "page pools of the machine and of each node, the cgroup limits that bind this process, and\n"
    "the kernel's settings that matter to memory.\n"
    "\n"
    "  --json      one JSON object instead of tables\n"
    "  --root DIR  read a captured tree (DIR/sys, DIR/proc) instead of this machine\n";

static const char explain_help[] =
    "usage: roma explain [OPTIONS] SIZE\n"
    "\n"
    "Tells what a request for SIZE bytes would get here now, step by step, without doing it.\n"
    "\n"
    "  --policy POLICY   as a policy routes it: its text, or @ and the path of a file; default:\n"
    "                    the environment's ROMA_POLICY, if there is one\n"
    "  --label TEXT, --lifetime short|long, --access sequential|random|rare, --shared,\n"
    "  --persistent      what the request says, for the rules to look at\n"
    "  --placement WORD  where: anywhere, local, nodes, preferred, preferred-many, interleave,\n"
    "                    weighted, nearest, bandwidth, latency or capacity\n"
    "  --node LIST       nodes, as in 0 or 0-1,3, of that placement; without one: these nodes\n"
    "  --pages LIST      page kinds in order: base, thp, hugetlb, a hugetlb size (2M, 1G), or a\n"
    "                    transparent huge page's size (thp:64K); default: transparent huge, base\n"
    "  --strict          these page kinds and nodes, and nothing weaker\n"
    "  --align SIZE      a power of two up to 1 GiB\n"
    "  --json            one JSON object instead of a table\n"
    "\n"
    "Sizes: 4096, 64K, 2MiB, 1G. Exit status: 0 when some step would work, 1 when none would.\n";

static const char tour_help[] =
    "usage: roma tour [FILE] [--bytes SIZE] [--threads N] [--reserve] [--quick] [--json]\n"
    "\n"
    "Takes memory of each page kind that this machine can give, proves from the kernel's own\n"
    "accounting what pages they are, and measures: populating, memset, and a chase through\n"
    "pointers in random order, beside plain malloc. Then loads FILE into a block, hashes it in\n"
    "segments, grows it, retains and releases it across threads, and compares it with a plain\n"
    "read. Last, two processes put FILE into a store, one is killed in the middle, a third goes\n"
    "on, and the store is checked.\n"
    "\n"
    "  FILE           default: the largest shared library under /usr/lib and /lib\n"
    "  --bytes SIZE   working set; default: a quarter of free memory, at most 4 GiB\n"
    "  --threads N    threads of the parallel figures; default: this process's CPUs, at most 8\n"
    "  --reserve      reserve hugetlb pages for the tour and put the reservation back at its end,\n"
    "                 whatever that end is; without it no system setting is changed\n"
    "  --quick        smaller default (256 MiB) and one pass of each measurement instead of three\n"
    "  --json         one JSON object instead of tables\n"
    "\n"
    "Exit status: 0, or 1 when something did not verify.\n";

static const char run_help[] =
    "usage: roma run [OPTIONS] -- PROGRAM [ARGUMENTS]\n"
    "\n"
    "Runs PROGRAM with roma's malloc preloaded, and ends as the program does: with its exit\n"
    "status, or by the signal that ended it.\n"
    "\n"
    "  --policy POLICY  where its memory lies and in which pages, by length: a policy's text, or\n"
    "                 @ and the path of a file (docs/policy.md)\n"
    "  --report       tell on stderr, at the end, how much memory the program used: page kinds,\n"
    "                 nodes, huge pages, page faults, what its heap held, allocations by size\n"
    "  --json         the report as one JSON object\n"
    "  --output FILE  the report into FILE instead of stderr\n"
    "  --huge WHICH   auto: transparent huge pages while they come quickly (the default); thp:\n"
    "                 always; off: base pages; hugetlb\n"
    "  --hardened     count every block, so that a double free ends the program at once\n"
    "  --delay MS     how long freed memory waits before the kernel gets it back; -1: for ever\n"
    "  --background   a thread gives it back, also while the program allocates nothing\n"
    "  --limit SIZE   allocations fail beyond this much memory\n"
    "  --lib PATH     this libroma_malloc.so instead of the one beside the command\n"
    "\n"
    "An LD_PRELOAD that is set already is kept, behind roma's.\n";

static const char warm_help[] =
    "usage: roma warm FILE... [--evict | --status] [OPTIONS]\n"
    "\n"
    "Reads files into memory (the page cache), as fast as the device does, and tells how much of\n"
    "them was there before and is there after. A FILE that is a folder stands for all files below\n"
    "it, on its file system; symbolic links there are not followed.\n"
    "\n"
    "  --evict          out of memory instead; what is dirty is written first\n"
    "  --status         change nothing, only tell what is in memory\n"
    "  --range FROM:TO  these bytes of each file, widened to pages; FROM or TO may be left out;\n"
    "                   may be repeated\n"
    "  --list FILE      these parts of each file, too: a line each, OFFSET [LENGTH]; without a\n"
    "                   length the page that has OFFSET; - is standard input\n"
    "  --level WORD     resident: all is there at the end (the default); issued: it is asked for\n"
    "  --way WORD       io_uring, threads or plain (calls of this thread), and nothing else;\n"
    "                   default: auto, the first that works\n"
    "  --json           one JSON object instead of a table\n"
    "\n"
    "Exit status: 0, or 1 when a file could not be read, or not all of it is in memory then (with\n"
    "--evict: or some of it still is).\n";

static const char store_help[] =
    "usage: roma store WORD [OPTIONS] STORE\n"
    "\n"
    "Makes, looks at, checks and keeps stores: heaps in a file that many processes share.\n"
    "\n"
    "  create STORE      make an empty one\n"
    "    --bytes SIZE    room for blocks from the start, taken from the disk now; default 1 MiB\n"
    "    --max SIZE      the most room that it can ever have; default 64 GiB\n"
    "    --mode BITS     permission bits, octal, less the umask; default 600\n"
    "    --sessions N    processes attached at once, at most; default 128\n"
    "    --lanes N       threads of all of them together, at most; default 1024\n"
    "  info STORE        format, state, room, promises and figures; --json\n"
    "  ls STORE          roots and names of the directory; --json\n"
    "  check STORE       account for every byte; a line for each fault; --json\n"
    "  dump STORE        all blocks that roots and names lead to, as JSON\n"
    "    --contents      with their bytes, in hexadecimal\n"
    "  sessions STORE    who is attached, alive or dead, and what each holds; --json\n"
    "    --recover       give back first what the dead hold\n"
    "  checkpoint STORE [CHECKPOINT]\n"
    "                    keep a consistent copy; default: STORE.checkpoint\n"
    "    --copy          copy also where the file system could share pages\n"
    "    --stay-shared   do not wait until the store has pages of its own again\n"
    "    --timeout MS    for processes to come to rest; default 5000\n"
    "  restore STORE [CHECKPOINT]\n"
    "                    put the checkpoint in place of a store that a crash interrupted\n"
    "\n"
    "Exit status: 0, 1 when something is wrong or could not be done.\n";

static const command commands[] = {
    {"topo", topo_command, "what this machine has: nodes, page kinds, pools, limits", topo_help},
    {"explain", explain_command, "what a request would get here, without doing it", explain_help},
    {"tour", tour_command, "measure each page kind, and see blocks at work", tour_help},
    {"run", run_command, "run a program on roma's malloc, and report on its memory", run_help},
    {"warm", warm_command, "files into memory, or out of it, or what of them is there", warm_help},
    {"store", store_command, "make, look at, check and keep stores in files", store_help},
};
enum { COMMANDS_COUNT = sizeof commands / sizeof commands[0] };

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_help(FILE *stream)
{
    fputs("usage: roma COMMAND [ARGUMENTS]\n\n", stream);
    for (size_t i = 0; i < COMMANDS_COUNT; i++)
        fprintf(stream, "  %-15s %s\n", commands[i].name, commands[i].summary);
    fputs("  help [COMMAND]  this, or how to use a command\n"
          "  --version       the version of the tool and of the library\n",
          stream);
}

static int help_command(int argc, char **argv)
{
    if (argc > 2) {
        fputs("roma help: one command at a time; `roma help` lists them\n", stderr);
        return EXIT_MISUSE;
    }
    const command *found = argc == 2 ? find_command(argv[1]) : NULL;
    if (argc == 2 && found == NULL) {
        fprintf(stderr, "roma help: there is no command '%s'; `roma help` lists them\n", argv[1]);
        return EXIT_MISUSE;
    }
    if (found != NULL)
        fputs(found->help, stdout);
    else
        print_help(stdout);
    return finish_output("help", EXIT_GOOD);
}

static int version_command(void)
{
    printf("roma %d.%d.%d (library %s)\n", ROMA_VERSION_MAJOR, ROMA_VERSION_MINOR,
           ROMA_VERSION_PATCH, roma_version());
    return finish_output("--version", EXIT_GOOD);
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_MISUSE;
    }
    if (strcmp(argv[1], "--version") == 0)
        return version_command();
    if (strcmp(argv[1], "help") == 0)
        return help_command(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0)
        return help_command(1, argv);
    const command *found = find_command(argv[1]);
    if (found == NULL) {
        fprintf(stderr, "roma: there is no command '%s'; `roma help` lists them\n", argv[1]);
        return EXIT_MISUSE;
    }
    if (asks_for_help(argc - 1, argv + 1)) {
        fputs(found->help, stdout);
        return finish_output(found->name, EXIT_GOOD);
    }
    return found->run(argc - 1, argv + 1);
}
