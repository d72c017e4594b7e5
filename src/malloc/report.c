/* report.c - what the process used, as one line of JSON, appended to a file with one write.
 *
 * The file is not created: it is there, or the path is wrong. One write of an O_APPEND file is not
 * torn by those of other processes, so a program and all its children may share the file. The line:
 *
 *   {"pid":N,"program":"name","seconds":S,"allocations":N,"releases":N,"live_bytes":N,
 *    "peak_bytes":N,"held_bytes":N,"held_peak_bytes":N,"free_bytes":N,"returned_bytes":N,
 *    "metadata_bytes":N,"pages":[{"page_bytes":N,"node":N,"count":N}, ...],
 *    "nodes":[{"node":N,"bytes":N}, ...],"minor_faults":N,"major_faults":N,
 *    "by_size":[{"up_to_bytes":N,"count":N}, ...],"larger_count":N}
 *
 * A child made by fork() writes a line of its own: seconds since the fork; its other figures go on
 * from those of its parent. Lengths are usable ones: the heap does not keep what was asked for.
 * held is without what was given back to the kernel or not touched yet; its peak is of the address
 * space, with both. Of pages the kernel tells sizes and nodes
 * apart only where there is one node; else "node" is -1 in "pages", and "nodes" has the bytes of
 * each. */
#include "malloc/settings.h"
#include "malloc/shim.h"

#include "base/text.h"
#include "heap/classes.h"
#include "sys/read.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 8192, NS_PER_MS = 1000000 };

/* ---- pieces of JSON -------------------------------------------------------------------------- */

static void put_name(roma__text *text, const char *before, const char *name)
{
    roma__text_put(text, before);
    roma__text_put(text, "\"");
    roma__text_put(text, name);
    roma__text_put(text, "\":");
}

static void put_field(roma__text *text, const char *before, const char *name, uint64_t value)
{
    put_name(text, before, name);
    roma__text_put_number(text, value);
}

static void put_signed(roma__text *text, const char *before, const char *name, int64_t value)
{
    put_name(text, before, name);
    if (value < 0)
        roma__text_put(text, "-");
    roma__text_put_number(text, value < 0 ? (uint64_t)-value : (uint64_t)value);
}

/* The length of the character of UTF-8 beyond ASCII that a string begins with; 0: of none. Longer
 * forms than needed, halves of UTF-16 and what is beyond Unicode are none (RFC 3629). */
static size_t utf8_length(const char *string)
{
    const unsigned char *s = (const unsigned char *)string;
    size_t length = s[0] >= 0xF0 && s[0] <= 0xF4   ? 4
                    : s[0] >= 0xE0 && s[0] <= 0xEF ? 3
                    : s[0] >= 0xC2 && s[0] <= 0xDF ? 2
                                                   : 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    bool is_wrong = (s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
                    (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F);
    return is_wrong ? 0 : length;
}

/* JSON is UTF-8. A name of a program may be any bytes: those that are no character become the one
 * that stands for such, U+FFFD. */
static void put_string(roma__text *text, const char *string)
{
    static const char digits[] = "0123456789abcdef";
    roma__text_put(text, "\"");
    while (*string != '\0') {
        unsigned char c = (unsigned char)*string;
        size_t length = c < 0x80 ? 1 : utf8_length(string);
        char plain[8] = {0};
        char escaped[] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15], '\0'};
        bool is_plain = c >= ' ' && c != 0x7F && c != '"' && c != '\\';
        memcpy(plain, string, length);
        roma__text_put(text, length == 0 ? "\\ufffd" : is_plain ? plain : escaped);
        string += length == 0 ? 1 : length;
    }
    roma__text_put(text, "\"");
}

static void put_seconds(roma__text *text, uint64_t ns)
{
    uint64_t ms = ns / NS_PER_MS;
    char fraction[] = {'.', (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10),
                       (char)('0' + ms % 10), '\0'};
    put_name(text, ",", "seconds");
    roma__text_put_number(text, ms / 1000);
    roma__text_put(text, fraction);
}

/* ---- the parts of the line ------------------------------------------------------------------- */

static void put_figures(roma__text *text)
{
    roma__heap_figures figures = roma__shim_figures();
    put_field(text, ",", "allocations", figures.takes);
    put_field(text, ",", "releases", figures.releases);
    put_field(text, ",", "live_bytes", figures.bytes_live);
    put_field(text, ",", "peak_bytes", figures.usable_peak);
    put_field(text, ",", "held_bytes", roma__shim_held(&figures));
    put_field(text, ",", "held_peak_bytes", roma__shim_held_peak_bytes());
    put_field(text, ",", "free_bytes", figures.free_bytes);
    put_field(text, ",", "returned_bytes", figures.returned_bytes);
    put_field(text, ",", "metadata_bytes", figures.metadata_bytes);
}

/* Of all heaps; of one that cannot tell, nothing. */
static roma_report where(void)
{
    roma_report sum = {.kinds_known = true, .nodes_known = true}, part;
    roma_error error;
    ROMA__EACH_SHIM_HEAP (at) {
        if (roma__heap_where(at->heap, &part, &error) == 0)
            roma__report_add(&sum, &part);
    }
    return sum;
}

static void put_pages(roma__text *text)
{
    roma_report report = where();
    int node = report.nodes_known && report.nodes_count == 1 ? report.nodes[0].node : -1;
    put_name(text, ",", "pages");
    roma__text_put(text, "[");
    for (unsigned i = 0; i < report.kinds_count; i++) {
        size_t page_bytes = roma_page_bytes(report.kinds[i].pages);
        if (page_bytes == 0)
            continue;
        put_field(text, i == 0 ? "{" : ",{", "page_bytes", page_bytes);
        put_signed(text, ",", "node", node);
        put_field(text, ",", "count", report.kinds[i].bytes / page_bytes);
        roma__text_put(text, "}");
    }
    roma__text_put(text, "]");
    put_name(text, ",", "nodes");
    roma__text_put(text, "[");
    for (unsigned i = 0; i < report.nodes_count; i++) {
        put_signed(text, i == 0 ? "{" : ",{", "node", report.nodes[i].node);
        put_field(text, ",", "bytes", report.nodes[i].bytes);
        roma__text_put(text, "}");
    }
    roma__text_put(text, "]");
}

static uint64_t number_at(const char *text)
{
    uint64_t value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

/* /proc/self/stat is "pid (name) state ppid ...": minor faults are its 10th field, major ones its
 * 12th. A name may hold anything, also ")": the last one ends it. */
static void put_faults(roma__text *text)
{
    enum { AFTER_NAME = 3, MINOR = 10, MAJOR = 12 };
    char stat[1024];
    uint64_t minor = 0, major = 0;
    if (roma__read_file("", stat, sizeof stat, "/proc/self/stat") > 0) {
        const char *at = strrchr(stat, ')');
        for (int field = AFTER_NAME; at != NULL && field <= MAJOR; field++) {
            at = strchr(at, ' ');
            if (at == NULL)
                break;
            at++;
            if (field == MINOR)
                minor = number_at(at);
            else if (field == MAJOR)
                major = number_at(at);
        }
    }
    put_field(text, ",", "minor_faults", minor);
    put_field(text, ",", "major_faults", major);
}

static void put_sizes(roma__text *text)
{
    uint64_t takes[ROMA__CLASS_COUNT + 1] = {0}, part[ROMA__CLASS_COUNT + 1];
    const char *before = "{";
    ROMA__EACH_SHIM_HEAP (at) {
        roma__heap_takes_by_class(at->heap, part);
        for (unsigned i = 0; i <= ROMA__CLASS_COUNT; i++)
            takes[i] += part[i];
    }
    put_name(text, ",", "by_size");
    roma__text_put(text, "[");
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        if (takes[i] == 0)
            continue;
        put_field(text, before, "up_to_bytes", roma__class_bytes(i));
        put_field(text, ",", "count", takes[i]);
        roma__text_put(text, "}");
        before = ",{";
    }
    roma__text_put(text, "]");
    put_field(text, ",", "larger_count", takes[ROMA__CLASS_COUNT]);
}

/* ---- the line -------------------------------------------------------------------------------- */

static void complain(const char *what, int code)
{
    char sentence[ROMA__REPORT_PATH_BYTES + 64], word[64];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text, "ROMA_REPORT: %.800s: %s: %s", roma__settings.report, what,
                   strerror_r(code, word, sizeof word)); /* glibc's, as this library is */
    roma__shim_tell(sentence);
}

void roma__shim_report(void)
{
    char line[LINE_BYTES];
    roma__text text = roma__text_in(line, sizeof line);
    int saved = errno;
    put_field(&text, "{", "pid", (uint64_t)getpid());
    put_name(&text, ",", "program");
    put_string(&text, program_invocation_short_name);
    put_seconds(&text, roma__heap_now_ns() - roma__shim_start_ns());
    put_figures(&text);
    put_pages(&text);
    put_faults(&text);
    put_sizes(&text);
    roma__text_put(&text, "}\n");
    int fd = roma__sys->open(roma__settings.report, O_WRONLY | O_APPEND);
    if (fd < 0) {
        complain("cannot be opened", errno);
    } else {
        if (roma__sys->write(fd, line, text.used) != (ssize_t)text.used)
            complain("cannot be written", errno);
        (void)roma__sys->close(fd);
    }
    errno = saved;
}
