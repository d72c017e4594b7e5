/* where.cpp - the report of where pages are, of real mappings of this machine. */
#include "emulated.hpp"
#include "catch.hpp"
#include "faulty.hpp"
#include "skip.hpp"

#include "numa/machine.h"
#include "sys/hugepool.h"
#include "sys/kernel.h"
#include "sys/pagemap.h"

#include <roma/topology.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <vector>

using roma_tests::faulty;

namespace {

const size_t base_bytes = roma__machine_base_bytes();

/* Anonymous memory, aligned, with a page of nothing before and behind. */
class mapping {
  public:
    char *at;
    size_t bytes;

    mapping(size_t length, size_t align, int flags = 0) : bytes(length)
    {
        reserved_ = length + align + 2 * base_bytes;
        whole_ = mmap(nullptr, reserved_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                      -1, 0);
        REQUIRE(whole_ != MAP_FAILED);
        const auto first = reinterpret_cast<uintptr_t>(whole_) + base_bytes;
        at = reinterpret_cast<char *>((first + align - 1) & ~(align - 1));
        is_there = mmap(at, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0) == at;
    }
    mapping(const mapping &) = delete;
    mapping &operator=(const mapping &) = delete;
    ~mapping() { munmap(whole_, reserved_); }
    bool is_there;

  private:
    void *whole_;
    size_t reserved_;
};

roma_report where(const void *address, size_t bytes, roma_pages kind)
{
    roma_report report = {};
    roma_error error = {};
    CHECK(roma__machine_where(address, bytes, static_cast<roma_page_kind>(kind), &report, &error) ==
          0);
    CHECK(report.bytes == bytes);
    return report;
}

size_t bytes_of(const roma_report &report, unsigned page_class)
{
    size_t sum = 0;
    for (unsigned i = 0; i < report.kinds_count; i++)
        if (roma_page_class(report.kinds[i].pages) == page_class)
            sum += report.kinds[i].bytes;
    return sum;
}

size_t bytes_on_nodes(const roma_report &report)
{
    size_t sum = 0;
    for (unsigned i = 0; i < report.nodes_count; i++)
        sum += report.nodes[i].bytes;
    return sum;
}

size_t thp_bytes()
{
    return roma_topology_page_bytes(roma_topology_get(), ROMA_PAGES_THP);
}

int no_scan(int, void *)
{
    errno = ENOTTY;
    return -1;
}

/* This machine's kernel, or one that does not scan page maps. */
struct kernel_that : faulty {
    explicit kernel_that(bool can_scan)
    {
        if (!can_scan)
            calls.pagemap_scan = no_scan;
    }
};

bool kernel_tells_presence()
{
    mapping probe(base_bytes, base_bytes);
    probe.at[0] = 1;
    roma_report report = {};
    roma_error error = {};
    return roma__machine_where(probe.at, base_bytes, ROMA_PAGES_BASE, &report, &error) == 0 &&
           report.resident_bytes == base_bytes;
}

} // namespace

#define SKIP_WITHOUT_PRESENCE()                                                                    \
    if (!kernel_tells_presence())                                                                  \
    SKIP_TEST("/proc/self/pagemap does not tell about this process (emulated?)")

TEST_CASE("a report counts the pages that are present, to the byte of the range")
{
    SKIP_WITHOUT_PRESENCE();
    mapping memory(64 * base_bytes, base_bytes);
    madvise(memory.at, memory.bytes, MADV_NOHUGEPAGE);
    for (unsigned page = 0; page < 64; page += 2)
        memory.at[page * base_bytes] = 1;
    for (bool can_scan : {true, false}) {
        const kernel_that kernel(can_scan);
        roma_report report = where(memory.at, memory.bytes, ROMA_PAGES_BASE);
        CHECK(report.resident_bytes == 32 * base_bytes);
        CHECK(report.kinds_known);
        CHECK(bytes_of(report, ROMA_PAGE_CLASS_BASE) == 32 * base_bytes);
        CHECK(report.kinds_count == 1);
        if (report.nodes_known)
            CHECK(bytes_on_nodes(report) == 32 * base_bytes);
        /* From the middle of a present page, over a hole, to the middle of the next. */
        report = where(memory.at + 100, 2 * base_bytes, ROMA_PAGES_BASE);
        CHECK(report.resident_bytes == base_bytes - 100 + 100);
        report = where(memory.at + base_bytes, base_bytes, ROMA_PAGES_BASE);
        CHECK(report.resident_bytes == 0);
        CHECK(report.kinds_known);
        CHECK(report.kinds_count == 0);
        report = where(memory.at + 7, 1, ROMA_PAGES_BASE);
        CHECK(report.resident_bytes == 1);
    }
}

TEST_CASE("reports of several ranges add up, and one unknown part makes the sum unknown")
{
    SKIP_WITHOUT_PRESENCE();
    mapping memory(4 * base_bytes, base_bytes);
    std::memset(memory.at, 1, memory.bytes);
    roma_report report = {};
    roma_error error = {};
    const auto add = [&](unsigned page, size_t pages) {
        return roma__machine_where(memory.at + page * base_bytes, pages * base_bytes,
                                   ROMA_PAGES_BASE, &report, &error);
    };
    CHECK(add(0, 1) == 0);
    CHECK(add(1, 2) == 0);
    CHECK(report.bytes == 3 * base_bytes);
    CHECK(report.resident_bytes == 3 * base_bytes);
    CHECK(bytes_of(report, ROMA_PAGE_CLASS_BASE) == 3 * base_bytes);
    if (report.nodes_known)
        CHECK(bytes_on_nodes(report) == 3 * base_bytes);
    faulty table;
    table.calls.move_pages = [](unsigned long, void **, const int *, int *, int) {
        errno = EPERM;
        return -1;
    };
    CHECK(add(3, 1) == 0);
    CHECK_FALSE(report.nodes_known);
    CHECK(report.nodes_count == 0);
    CHECK(report.resident_bytes == 4 * base_bytes);
    table.calls.move_pages = roma__sys_kernel.move_pages;
    CHECK(add(0, 1) == 0);
    CHECK_FALSE(report.nodes_known);
}

TEST_CASE("transparent huge pages are told apart from base pages")
{
    roma_error error = {};
    SKIP_WITHOUT_PRESENCE();
    if (roma__machine_thp_ready(ROMA_PAGES_THP, &error) != 0)
        SKIP_TEST("transparent huge pages are switched off");
    const size_t huge = thp_bytes();
    if (huge > 64u << 20)
        SKIP_TEST("transparent huge pages are too large to try");
    mapping memory(4 * huge, huge);
    madvise(memory.at, 2 * huge, MADV_HUGEPAGE);
    madvise(memory.at + 2 * huge, 2 * huge, MADV_NOHUGEPAGE);
    std::memset(memory.at, 1, 3 * huge);
    const roma_report report = where(memory.at, memory.bytes, ROMA_PAGES_THP);
    if (!report.kinds_known)
        SKIP_TEST("this kernel cannot tell page sizes of a range");
    if (bytes_of(report, ROMA_PAGE_CLASS_THP) != 2 * huge)
        SKIP_TEST("memory is too fragmented for two transparent huge pages");
    CHECK(report.resident_bytes == 3 * huge);
    CHECK(bytes_of(report, ROMA_PAGE_CLASS_BASE) == huge);
    if (report.nodes_known)
        CHECK(bytes_on_nodes(report) == 3 * huge);
    CHECK(where(memory.at + 100, huge, ROMA_PAGES_THP).kinds[0].bytes == huge);

    SECTION("by smaps, where a whole mapping or a mapping of one kind is asked for")
    {
        faulty table;
        table.calls.pagemap_scan = no_scan;
        roma_report again = where(memory.at, memory.bytes, ROMA_PAGES_THP);
        CHECK(again.kinds_known);
        CHECK(bytes_of(again, ROMA_PAGE_CLASS_THP) == 2 * huge);
        CHECK(bytes_of(again, ROMA_PAGE_CLASS_BASE) == huge);
        again = where(memory.at + huge, huge, ROMA_PAGES_THP);
        CHECK(again.kinds_known);
        CHECK(bytes_of(again, ROMA_PAGE_CLASS_THP) == huge);
    }
    SECTION("by smaps, unknown in a part of a mapping that has both")
    {
        madvise(memory.at + huge, base_bytes, MADV_DONTNEED); /* splits the second huge page */
        faulty table;
        table.calls.pagemap_scan = no_scan;
        const roma_report part = where(memory.at, huge, ROMA_PAGES_THP);
        CHECK_FALSE(part.kinds_known);
        CHECK(part.kinds_count == 0);
        CHECK(part.resident_bytes == huge);
        const roma_report whole = where(memory.at, 2 * huge, ROMA_PAGES_THP);
        CHECK(whole.kinds_known);
        CHECK(bytes_of(whole, ROMA_PAGE_CLASS_THP) == huge);
        CHECK(bytes_of(whole, ROMA_PAGE_CLASS_BASE) == huge - base_bytes);
    }
    SECTION("what is mapped for smaller transparent pages is unknown where it is not of full size")
    {
        const roma_pages smaller = ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, 16);
        CHECK_FALSE(where(memory.at, memory.bytes, smaller).kinds_known);
        CHECK(where(memory.at, huge, smaller).kinds_known);
    }
}

TEST_CASE("hugetlb pages are reported by their size")
{
    SKIP_WHERE_EMULATED();
    roma__hugepool pool = {};
    size_t sizes[ROMA__HUGEPOOLS_MAX];
    const int count = roma__hugepool_sizes("", sizes);
    size_t size = 0;
    for (int i = 0; i < count; i++)
        if (roma__hugepool_read("", sizes[i], -1, &pool) == 0 && pool.free >= pool.reserved + 2 &&
            sizes[i] <= 64u << 20)
            size = sizes[i];
    if (size == 0)
        SKIP_TEST_HUGE("no two free hugetlb pages of at most 64 MiB");
    const unsigned shift = static_cast<unsigned>(__builtin_ctzl(size));
    mapping memory(2 * size, size, MAP_HUGETLB | static_cast<int>(shift << MAP_HUGE_SHIFT));
    REQUIRE(memory.is_there);
    memory.at[0] = 1;
    for (bool can_scan : {true, false}) {
        const kernel_that kernel(can_scan);
        const roma_pages kind = ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, shift);
        roma_report report = where(memory.at, memory.bytes, kind);
        CHECK(report.resident_bytes == size);
        REQUIRE(report.kinds_known);
        REQUIRE(report.kinds_count == 1);
        CHECK(report.kinds[0].pages == kind);
        CHECK(report.kinds[0].bytes == size);
        if (report.nodes_known)
            CHECK(bytes_on_nodes(report) == size);
        report = where(memory.at + base_bytes, 3 * base_bytes, kind);
        CHECK(report.resident_bytes == 3 * base_bytes);
        CHECK(bytes_of(report, ROMA_PAGE_CLASS_HUGETLB) == 3 * base_bytes);
    }
}

TEST_CASE("many runs are all visited, scanned or read, and a visitor may stop")
{
    SKIP_WITHOUT_PRESENCE();
    mapping memory(1001 * base_bytes, base_bytes);
    madvise(memory.at, memory.bytes, MADV_NOHUGEPAGE);
    for (unsigned page = 1; page < 1001; page += 2)
        memory.at[page * base_bytes] = 1;
    memory.at[0] = memory.at[1000 * base_bytes] = 1;
    const auto start = reinterpret_cast<uintptr_t>(memory.at);
    for (bool can_scan : {true, false}) {
        const kernel_that kernel(can_scan);
        std::vector<roma__present> runs;
        bool huge_known = false;
        CHECK(roma__pagemap_each(
                  start, start + memory.bytes, base_bytes, &huge_known,
                  [](void *context, const roma__present *run) {
                      static_cast<std::vector<roma__present> *>(context)->push_back(*run);
                      return 0;
                  },
                  &runs) == 0);
        size_t bytes = 0;
        for (size_t i = 0; i < runs.size(); i++) {
            bytes += runs[i].end - runs[i].start;
            CHECK(runs[i].start < runs[i].end);
            CHECK((i == 0 || runs[i - 1].end <= runs[i].start));
        }
        CHECK(bytes == 502 * base_bytes);
        CHECK(runs.size() == 500);
        CHECK(roma__pagemap_each(
                  start, start + memory.bytes, base_bytes, &huge_known,
                  [](void *, const roma__present *) { return 7; }, nullptr) == 7);
    }
}

TEST_CASE("a report that cannot be made says which call failed")
{
    mapping memory(base_bytes, base_bytes);
    roma_report report = {};
    roma_error error = {};
    CHECK(roma__machine_where(memory.at, SIZE_MAX, ROMA_PAGES_BASE, &report, &error) == -EINVAL);
    faulty table;
    table.calls.pagemap_scan = no_scan;
    table.calls.pread = [](int, void *, size_t, off_t) -> ssize_t {
        errno = EIO;
        return -1;
    };
    CHECK(roma__machine_where(memory.at, base_bytes, ROMA_PAGES_BASE, &report, &error) == -EIO);
    CHECK(error.why == ROMA_WHY_CALL);
    CHECK(report.bytes == 0);
    table.calls.open = [](const char *, int) {
        errno = EMFILE;
        return -1;
    };
    CHECK(roma__machine_where(memory.at, base_bytes, ROMA_PAGES_BASE, &report, &error) == -EMFILE);
}

TEST_CASE("a scan that makes no progress is not repeated for ever")
{
    mapping memory(2 * base_bytes, base_bytes);
    memory.at[0] = 1;
    faulty table;
    table.calls.pagemap_scan = [](int, void *argument) {
        auto *scan = static_cast<roma__pagemap_argument *>(argument);
        scan->walk_end = scan->start;
        return 0;
    };
    roma_report report = {};
    roma_error error = {};
    CHECK(roma__machine_where(memory.at, memory.bytes, ROMA_PAGES_BASE, &report, &error) == 0);
    CHECK(report.bytes == memory.bytes); /* entry by entry instead */
}
