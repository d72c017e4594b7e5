/* bounds_huge.cpp - hugetlb blocks: exactly as many pages as they are long, an error with its
 * figures when there are too few, direct I/O, and what a child has of them. */
#include "bounds.hpp"
#include "emulated.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sys/file.h>
#include <sys/wait.h>
#include <vector>

using namespace bounds;

namespace {

/* ---- page pools ------------------------------------------------------------------------------ */

uint64_t meminfo(const char *key)
{
    std::ifstream file("/proc/meminfo");
    std::string word;
    uint64_t number = 0;
    while (file >> word) {
        if (word == std::string(key) + ":") {
            file >> number;
            return number;
        }
    }
    return 0;
}

size_t huge_bytes()
{
    return static_cast<size_t>(meminfo("Hugepagesize")) << 10;
}

/* Free huge pages for one test: those that are there, or as root some reserved and given back. The
 * lock keeps others who do the same from counting at the same time. */
class page_pool {
    int lock = -1;
    uint64_t before = 0;
    bool has_reserved = false;

    static uint64_t total()
    {
        uint64_t number = 0;
        std::ifstream("/proc/sys/vm/nr_hugepages") >> number;
        return number;
    }
    static void set_total(uint64_t number)
    {
        std::ofstream("/proc/sys/vm/nr_hugepages") << number << std::endl;
    }

  public:
    explicit page_pool(uint64_t need)
    {
        std::error_code ignored;
        const auto path = std::filesystem::temp_directory_path(ignored) / "roma-hugepages.lock";
        lock = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0666);
        if (lock >= 0)
            flock(lock, LOCK_EX);
        if (meminfo("HugePages_Free") < need + meminfo("HugePages_Rsvd")) {
            before = total();
            has_reserved = true;
            set_total(before + need);
        }
    }
    page_pool(const page_pool &) = delete;
    page_pool &operator=(const page_pool &) = delete;
    ~page_pool()
    {
        if (has_reserved)
            set_total(before);
        if (lock >= 0)
            close(lock);
    }
    bool has(uint64_t need) const
    {
        return huge_bytes() > 0 && meminfo("HugePages_Free") >= need + meminfo("HugePages_Rsvd");
    }
};

const char *const no_pages = "no free hugetlb pages, and none could be reserved";

} // namespace

TEST_CASE("direct I/O works on blocks of hugetlb pages", "[bounds]")
{
    SKIP_WHERE_EMULATED();
    const direct_file file;
    if (file.fd < 0)
        SKIP_TEST("no folder here is on a file system with O_DIRECT");
    const page_pool pool(4);
    if (!pool.has(4))
        SKIP_TEST_HUGE(no_pages);
    const owned_manager manager(ROMA_PAGES_HUGETLB, true);
    void *out = roma_alloc(manager.self, 4096);
    void *in = roma_alloc(manager.self, 4096);
    REQUIRE(out != nullptr);
    REQUIRE(in != nullptr);
    write_and_read_directly(file.fd, out, in, 4096);
    roma_free(out);
    roma_free(in);
}

/* ---- huge pages ------------------------------------------------------------------------------ */

TEST_CASE("a block of n huge pages uses exactly n, after others came and went", "[bounds]")
{
    SKIP_WHERE_EMULATED();
    const page_pool pool(24);
    if (!pool.has(24))
        SKIP_TEST_HUGE(no_pages);
    const size_t page_bytes = huge_bytes();
    const owned_manager manager(ROMA_PAGES_HUGETLB, true);
    const uint64_t at_start = meminfo("HugePages_Free");
    for (unsigned round = 0; round < 3; round++) {
        std::vector<void *> others;
        for (size_t bytes : {size_t(1), size_t(5000), page_bytes / 2, page_bytes, 2 * page_bytes}) {
            others.push_back(roma_alloc(manager.self, bytes));
            REQUIRE(others.back() != nullptr);
        }
        std::swap(others[0], others[3]);
        for (void *other : others)
            roma_free(other);
        REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
        REQUIRE(meminfo("HugePages_Free") == at_start);

        for (uint64_t n : {1, 2, 3, 7}) {
            const uint64_t before = meminfo("HugePages_Free");
            roma_request request = roma_request_default();
            request.bytes = n * page_bytes;
            request.pages = ROMA_PAGES_HUGETLB;
            request.strict = true;
            roma_grant grant;
            auto *block = static_cast<char *>(roma_alloc_with(manager.self, &request, &grant));
            INFO(n << " pages, round " << round);
            REQUIRE(block != nullptr);
            CHECK(is_aligned(block, page_bytes));
            CHECK(grant.page_bytes == page_bytes);
            CHECK(before - meminfo("HugePages_Free") == n);
            std::memset(block, 1, n * page_bytes);
            CHECK(before - meminfo("HugePages_Free") == n);
            roma_report report;
            REQUIRE(roma_where(block, &report) == 0);
            CHECK(report.resident_bytes == n * page_bytes);
            roma_free(block);
            REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
            CHECK(meminfo("HugePages_Free") == before);
        }
    }
}

TEST_CASE(
    "a pool without enough pages is an error with its figures when strict, else a weaker step",
    "[bounds]")
{
    SKIP_WHERE_EMULATED();
    if (huge_bytes() == 0)
        SKIP_TEST("this kernel has no hugetlb pages");
    const owned_manager manager;
    const uint64_t pages = meminfo("HugePages_Total") + 1000000;
    roma_request request = roma_request_default();
    request.bytes = pages * huge_bytes();
    request.pages = ROMA_PAGES_HUGETLB;
    request.strict = true;
    roma_grant grant;
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &request, &grant) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK((grant.error.why == ROMA_WHY_POOL_EMPTY || grant.error.why == ROMA_WHY_CGROUP_HUGETLB ||
           grant.error.why == ROMA_WHY_CGROUP_HUGETLB_RSVD));
    CHECK(grant.error.need >= pages);
    CHECK(grant.error.have < pages);
    request.bytes = 100;
    if (meminfo("HugePages_Free") == 0) {
        request.strict = false;
        void *block = roma_alloc_with(manager.self, &request, &grant);
        REQUIRE(block != nullptr);
        CHECK(grant.steps_count >= 2);
        CHECK(grant.steps[0].error.why == ROMA_WHY_POOL_EMPTY);
        CHECK(roma_page_class(grant.pages) != ROMA_PAGE_CLASS_HUGETLB);
        roma_free(block);
    }
}

/* ---- fork ------------------------------------------------------------------------------------ */

namespace {

/* In the child of a fork. 0 is well; the number says which promise broke. */
int look_from_child(roma_manager *manager, roma_block huge, roma_block ordinary)
{
    alarm(30);
    if (roma_block_is_live(huge) || roma_block_retain(huge) != -ESTALE)
        return 2;
    errno = 0;
    if (roma_block_get(huge) != nullptr || errno != ESTALE)
        return 3;
    roma_block copy = huge;
    if (roma_block_release(&copy) != -ESTALE)
        return 4;
    if (roma_count(huge.address) >= 0 || roma_release(huge.address) >= 0)
        return 5;
    if (static_cast<char *>(roma_block_get(ordinary))[99] != 'o')
        return 6;
    static_cast<char *>(ordinary.address)[99] = 'c'; /* the parent must not see it */
    if (roma_block_release(&ordinary) != 0)
        return 7;
    for (size_t bytes : {size_t(100), size_t(40000), size_t(3) << 20}) {
        void *block = roma_alloc(manager, bytes);
        if (block == nullptr)
            return 8;
        std::memset(block, 'n', bytes);
        if (roma_release(block) != 0)
            return 9;
    }
    return roma_manager_trim(manager, 0) >= 0 && roma_manager_check(manager) == 0 ? 0 : 10;
}

} // namespace

TEST_CASE("a child has no hugetlb blocks, says so through handles, and can allocate", "[bounds]")
{
    SKIP_WHERE_EMULATED();
    const page_pool pool(4);
    if (!pool.has(4))
        SKIP_TEST_HUGE(no_pages);
    const owned_manager manager(ROMA_PAGES_HUGETLB);
    roma_request request = roma_request_default();
    request.bytes = 2 * huge_bytes();
    request.pages = ROMA_PAGES_HUGETLB;
    request.strict = true;
    auto *huge = static_cast<char *>(roma_alloc_with(manager.self, &request, nullptr));
    request.bytes = 5000;
    request.pages = ROMA_PAGES_BASE;
    auto *ordinary = static_cast<char *>(roma_alloc_with(manager.self, &request, nullptr));
    REQUIRE(huge != nullptr);
    REQUIRE(ordinary != nullptr);
    std::memset(huge, 'h', 2 * huge_bytes());
    std::memset(ordinary, 'o', 5000);

    const roma_block huge_handle = roma_block_of(huge), ordinary_handle = roma_block_of(ordinary);
    std::fflush(nullptr);
    pid_t child = fork();
    if (child == 0)
        _exit(look_from_child(manager.self, huge_handle, ordinary_handle));
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);

    child = fork(); /* an access is SIGSEGV, not SIGBUS and not the parent's bytes */
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL);
        std::signal(SIGBUS, SIG_DFL);
        _exit(static_cast<volatile char *>(huge)[0]);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    if (is_sanitized) /* it may see the access before the kernel does */
        CHECK(status != 'h' << 8);
    else
        CHECK((WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status)) == SIGSEGV);
    CHECK(roma_block_is_live(huge_handle));
    CHECK(roma_block_is_live(ordinary_handle));
    CHECK(huge[0] == 'h');
    CHECK(huge[2 * huge_bytes() - 1] == 'h');
    CHECK(ordinary[99] == 'o');
    CHECK(roma_release(huge) == 0);
    CHECK(roma_release(ordinary) == 0);
}

TEST_CASE("hugetlb blocks that are to be inherited are the child's copies", "[bounds]")
{
    SKIP_WHERE_EMULATED();
    const page_pool pool(4);
    if (!pool.has(4))
        SKIP_TEST_HUGE(no_pages);
    const owned_manager manager(ROMA_PAGES_HUGETLB, true, true);
    auto *huge = static_cast<char *>(roma_alloc(manager.self, huge_bytes()));
    REQUIRE(huge != nullptr);
    std::memset(huge, 'h', huge_bytes());
    const roma_block handle = roma_block_of(huge);
    const pid_t child = fork();
    if (child == 0) {
        alarm(30);
        auto *data = static_cast<char *>(roma_block_get(handle));
        if (data != huge || data[1] != 'h')
            _exit(2);
        data[1] = 'c';
        roma_block copy = handle;
        _exit(roma_block_release(&copy) == 0 ? 0 : 3);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(huge[1] == 'h');
    CHECK(roma_release(huge) == 0);
}
