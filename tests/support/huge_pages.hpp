/* huge_pages.hpp - free hugetlb pages of the machine's default size for the time of a test.
 *
 * Where fewer than asked are free and the process may, the pool is made larger, and put back at the
 * end. Processes that do so take turns by a lock on the pool's own file. */
#ifndef ROMA_TESTS_HUGE_PAGES_HPP
#define ROMA_TESTS_HUGE_PAGES_HPP

#include "skip.hpp"

#include <roma/topology.h>

#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <unistd.h>

namespace roma_tests {

class huge_pages {
  public:
    explicit huge_pages(uint64_t count) : asked(count)
    {
        kind = roma_topology_resolve(roma_topology_get(), (roma_page_kind)ROMA_PAGES_HUGETLB);
        page_bytes = roma_page_bytes(kind);
        if (page_bytes == 0)
            return;
        folder = "/sys/kernel/mm/hugepages/hugepages-" + std::to_string(page_bytes / 1024) + "kB/";
        if (free_count() < count)
            enlarge(count - free_count());
        are_there = free_count() >= count;
    }

    ~huge_pages()
    {
        if (file < 0)
            return;
        /* What was added, not what was before: others may have changed it meanwhile. */
        const uint64_t now = lasting_count();
        set(now > added ? now - added : 0);
        close(file); /* and the lock is gone */
    }

    huge_pages(const huge_pages &) = delete;
    huge_pages &operator=(const huge_pages &) = delete;

    uint64_t figure(const char *name) const
    {
        unsigned long long value = 0;
        if (FILE *stream = std::fopen((folder + name).c_str(), "r")) {
            if (std::fscanf(stream, "%llu", &value) != 1)
                value = 0;
            std::fclose(stream);
        }
        return value;
    }

    /* Free, and promised to nobody. */
    uint64_t free_count() const { return figure("free_hugepages") - figure("resv_hugepages"); }

    void set(uint64_t total) const
    {
        if (FILE *stream = std::fopen((folder + "nr_hugepages").c_str(), "w")) {
            std::fprintf(stream, "%llu", (unsigned long long)total);
            std::fclose(stream);
        }
    }

    /* Why they are not there. */
    std::string lack() const
    {
        return asked == 1 ? "no free hugetlb page, and none can be reserved"
                          : "no " + std::to_string(asked) +
                                " free hugetlb pages, and they cannot be reserved";
    }

    roma_page_kind kind = 0;
    size_t page_bytes = 0;
    bool are_there = false;

  private:
    /* Without pages that go when they are freed. */
    uint64_t lasting_count() const { return figure("nr_hugepages") - figure("surplus_hugepages"); }

    void enlarge(uint64_t more)
    {
        file = open((folder + "nr_hugepages").c_str(), O_RDWR | O_CLOEXEC);
        if (file < 0)
            return;
        flock(file, LOCK_EX);
        const uint64_t before = lasting_count();
        set(before + more);
        added = lasting_count() - before;
    }

    const uint64_t asked;
    std::string folder;
    int file = -1;
    uint64_t added = 0;
};

} // namespace roma_tests

/* Where there are not as many, the test is left out by name. */
#define SKIP_WITHOUT_PAGES(pool)                                                                   \
    if (!(pool).are_there)                                                                         \
    SKIP_TEST_HUGE((pool).lack())

#endif
