/* settings.c - the environment variables of libroma_malloc.so:
 *
 *   variable           values           default  what it does
 *   ROMA_HUGE          auto             auto     transparent huge pages while the kernel has them
 *                                                quickly (pace.h), else base pages
 *                      thp                       transparent huge pages, then base pages
 *                      off                       base pages alone
 *                      hugetlb                   hugetlb pages while the pool has some, then auto
 *   ROMA_HARDENED      0, 1             0        1: a state word for every block; a double free is
 *                                                told at once
 *   ROMA_RETURN_DELAY  milliseconds,    1000     how long free memory keeps its pages; 0: not at
 *                      -1                        all, -1: for ever
 *   ROMA_BACKGROUND    0, 1             0        1: a thread gives memory back behind an idle
 *                      program
 *   ROMA_BOUNDED       0, 1             0        1: threads keep at most 32 KiB of free blocks of
 *                                                each size class, not 256 KiB
 *   ROMA_LIMIT         size             none     most bytes to obtain from the kernel; beyond it
 *                                                malloc fails with ENOMEM. Units K, M, G, T
 *   ROMA_POLICY        policy, @file    none     rules by length for where memory lies and in which
 *                                                pages (routes.c)
 *   ROMA_REPORT        file             none     an existing file, by its whole path, to which one
 *                                                JSON line is appended when the process exits
 *   ROMA_MISUSE        abort, report    abort    report: tell a wrong free or realloc and go on
 *   ROMA_VERBOSE       0, 1             0        1: say on stderr what is set, and at the end what
 *                                                was used, each with the program's name and its
 *                                                process id
 *
 * docs/malloc.md has the same table. They are read once, at the first allocation. An empty value is
 * as none. A wrong value is told on stderr and ignored. A program that gained privileges at its
 * exec (AT_SECURE) has none of them read: its user may not be who wrote them. */
#include "malloc/settings.h"

#include "base/text.h"
#include "malloc/shim.h"
#include "sys/read.h"
#include "sys/records.h"

#include <roma/common.h>

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { DELAY_MS = 1000, NS_PER_MS = 1000000, LINE_BYTES = 256 };

/* A program can be given an environment of a quarter of its stack, 2 MiB as a rule. */
enum { INITIAL_BYTES = 4 << 20 };

struct roma__settings roma__settings = {
    .return_delay_ns = (uint64_t)DELAY_MS * NS_PER_MS,
    .limit_bytes = UINT64_MAX,
};

static const char *const huge_words[] = {[ROMA__HUGE_AUTO] = "auto",
                                         [ROMA__HUGE_THP] = "thp",
                                         [ROMA__HUGE_OFF] = "off",
                                         [ROMA__HUGE_HUGETLB] = "hugetlb"};

/* ---- values ---------------------------------------------------------------------------------- */

static bool read_switch(const char *value, bool *is_on)
{
    if ((value[0] != '0' && value[0] != '1') || value[1] != '\0')
        return false;
    *is_on = value[0] == '1';
    return true;
}

static bool read_huge(const char *value)
{
    for (unsigned i = 0; i < sizeof huge_words / sizeof huge_words[0]; i++)
        if (strcmp(value, huge_words[i]) == 0) {
            roma__settings.huge = (enum roma__setting_huge)i;
            return true;
        }
    return false;
}

/* Decimal digits alone: roma_size_parse() also takes units, which a delay has not. */
static bool read_delay(const char *value)
{
    uint64_t delay_ms, delay_ns;
    if (strcmp(value, "-1") == 0) {
        roma__settings.return_delay_ns = UINT64_MAX;
        return true;
    }
    if (value[strspn(value, "0123456789")] != '\0' || roma_size_parse(value, &delay_ms) != 0 ||
        __builtin_mul_overflow(delay_ms, (uint64_t)NS_PER_MS, &delay_ns))
        return false;
    roma__settings.return_delay_ns = delay_ns;
    return true;
}

static bool read_limit(const char *value)
{
    return roma_size_parse(value, &roma__settings.limit_bytes) == 0;
}

static bool read_report(const char *value)
{
    if (strlen(value) >= sizeof roma__settings.report)
        return false;
    roma__text_copy(roma__settings.report, sizeof roma__settings.report, value);
    return true;
}

void roma__settings_refuse_policy(const roma_error *why)
{
    char line[LINE_BYTES + 32], sentence[LINE_BYTES];
    roma__text text = roma__text_in(line, sizeof line);
    roma__text_put(&text, "ROMA_POLICY is ignored: ");
    roma__text_put(&text, roma_error_text(why, sentence, sizeof sentence));
    roma__shim_tell(line);
    roma_policy_destroy(roma__settings.policy);
    roma__settings.policy = NULL;
}

/* A mistake in it has a place, which is told with it. */
static bool read_policy(const char *value)
{
    roma_error error;
    if (roma_policy_from(value, &roma__settings.policy, &error) < 0)
        roma__settings_refuse_policy(&error);
    return true;
}

static bool read_misuse(const char *value)
{
    roma__settings.goes_on = strcmp(value, "report") == 0;
    return roma__settings.goes_on || strcmp(value, "abort") == 0;
}

static bool read_hardened(const char *value)
{
    return read_switch(value, &roma__settings.is_hardened);
}

static bool read_bounded(const char *value)
{
    return read_switch(value, &roma__settings.is_bounded);
}

static bool read_background(const char *value)
{
    return read_switch(value, &roma__settings.has_background);
}

static bool read_verbose(const char *value)
{
    return read_switch(value, &roma__settings.is_verbose);
}

/* ---- variables ------------------------------------------------------------------------------- */

static const struct variable {
    const char *name; /* after ROMA_ */
    bool (*read)(const char *value);
    const char *expected;
} variables[] = {
    {"HUGE", read_huge, "auto, thp, off or hugetlb"},
    {"HARDENED", read_hardened, "0 or 1"},
    {"RETURN_DELAY", read_delay, "milliseconds, or -1 for never"},
    {"BACKGROUND", read_background, "0 or 1"},
    {"BOUNDED", read_bounded, "0 or 1"},
    {"LIMIT", read_limit, "bytes, with K, M, G or T"},
    {"POLICY", read_policy, "a policy"},
    {"REPORT", read_report, "a file's path of less than 1024 bytes"},
    {"MISUSE", read_misuse, "abort or report"},
    {"VERBOSE", read_verbose, "0 or 1"},
};

static void complain(const struct variable *variable, const char *value)
{
    char line[LINE_BYTES];
    roma__text text = roma__text_in(line, sizeof line);
    roma__text_add(&text, "ROMA_%s=%.80s is ignored: it should be %s", variable->name, value,
                   variable->expected);
    roma__shim_tell(line);
}

/* `entry` is "NAME=value", without "ROMA_". Names that are not ours are somebody else's. */
static void read_entry(const char *entry)
{
    for (unsigned i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const struct variable *variable = &variables[i];
        size_t length = strlen(variable->name);
        if (strncmp(entry, variable->name, length) != 0 || entry[length] != '=')
            continue;
        const char *value = entry + length + 1;
        if (value[0] != '\0' && !variable->read(value))
            complain(variable, value);
        return;
    }
}

static void read_ours(const char *entry)
{
    static const char prefix[] = "ROMA_";
    if (strncmp(entry, prefix, sizeof prefix - 1) == 0)
        read_entry(entry + sizeof prefix - 1);
}

/* Functions of .preinit_array may call malloc, before the C library has set `environ`; the kernel
 * knows what the process began with. */
static void read_initial(void)
{
    char *entries = roma__record_new(INITIAL_BYTES);
    if (entries == NULL)
        return;
    ssize_t length = roma__read_file("", entries, INITIAL_BYTES, "/proc/self/environ");
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(entries + at) + 1)
        read_ours(entries + at);
    roma__record_free(entries, INITIAL_BYTES);
}

/* One walk over the environment, not a getenv() a variable: programs' environments are long. */
void roma__settings_read(void)
{
    if (getauxval(AT_SECURE) != 0)
        return;
    if (environ == NULL)
        read_initial();
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        read_ours(*entry);
}

void roma__settings_tell(void)
{
    char line[LINE_BYTES];
    const struct roma__settings *set = &roma__settings;
    roma__text text = roma__shim_line_in(line, sizeof line);
    roma__text_add(&text, "huge=%s hardened=%d bounded=%d background=%d", huge_words[set->huge],
                   set->is_hardened, set->is_bounded, set->has_background);
    if (set->return_delay_ns == UINT64_MAX)
        roma__text_put(&text, " return_delay=never");
    else
        roma__text_add(&text, " return_delay=%llums",
                       (unsigned long long)(set->return_delay_ns / NS_PER_MS));
    if (set->limit_bytes != UINT64_MAX)
        roma__text_add(&text, " limit=%llu", (unsigned long long)set->limit_bytes);
    if (set->policy != NULL)
        roma__text_add(&text, " policy=%u rules", roma_policy_rules_count(set->policy));
    roma__shim_tell(line);
}
