/* prefetch_cpus.cpp - where the threads of an engine run, and the kernel's workers for its ring. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "threads.hpp"

#include <cerrno>
#include <cstring>
#include <sched.h>
#include <set>
#include <string>
#include <vector>

using namespace roma_tests;

namespace {

/* Sets as large as the kernel's, so that this holds on large machines. */
struct cpu_mask {
    unsigned long words[8192 / 64] = {};

    static cpu_mask of(pid_t thread)
    {
        cpu_mask mask;
        if (sched_getaffinity(thread, sizeof mask, reinterpret_cast<cpu_set_t *>(&mask)) != 0)
            return {};
        return mask;
    }
    static cpu_mask only(unsigned cpu)
    {
        cpu_mask mask;
        mask.words[cpu / 64] |= 1ul << cpu % 64;
        return mask;
    }
    void apply() const
    {
        REQUIRE(sched_setaffinity(0, sizeof *this, reinterpret_cast<const cpu_set_t *>(this)) == 0);
    }
    std::vector<unsigned> all() const
    {
        std::vector<unsigned> cpus;
        for (unsigned cpu = 0; cpu < 8192; cpu++)
            if ((words[cpu / 64] >> cpu % 64 & 1) != 0)
                cpus.push_back(cpu);
        return cpus;
    }
};

/* The calling thread runs on one CPU alone, of those that this process may use, for the time of a
 * test. */
class pinned {
  public:
    std::vector<unsigned> allowed;

    pinned()
    {
        cpu_mask any;
        memset(any.words, 0xFF, sizeof any.words);
        any.apply(); /* the kernel leaves out what is not allowed */
        allowed = cpu_mask::of(0).all();
        REQUIRE(!allowed.empty());
        cpu_mask::only(first()).apply();
    }
    pinned(const pinned &) = delete;
    pinned &operator=(const pinned &) = delete;
    ~pinned() { before_.apply(); }

    unsigned first() const { return allowed.front(); }
    unsigned last() const { return allowed.back(); }

  private:
    const cpu_mask before_ = cpu_mask::of(0);
};

#define NEEDS_TWO_CPUS(here)                                                                       \
    if ((here).allowed.size() < 2)                                                                 \
    SKIP_TEST("this process may use one CPU alone")

using places = std::vector<std::vector<unsigned>>;

/* Make an engine, have it read and flush enough for several threads or workers, and tell where
 * these may run; each mask once. */
places places_of(roma_prefetch_way way, const char *cpus)
{
    disk_file file(24 * MiB);
    (void)file.chill();
    const std::set<std::string> before = threads_now();
    roma_prefetch_options options = owned_engine::with_way(way);
    options.cpus = cpus;
    owned_engine engine(options);
    REQUIRE(engine.lacks.empty());
    const owned_map map(file);
    std::vector<roma_file_range> ranges = {map.range(0, 16 * MiB)};
    for (size_t at = 17 * MiB; at < file.bytes; at += MiB / 2)
        ranges.push_back(map.range(at, 4096));
    owned_handle handle(engine, ranges.data(), ranges.size());
    CHECK(handle.wait() == 0);
    owned_flush flush(engine, map.all());
    CHECK(flush.wait() == 0);
    std::set<std::vector<unsigned>> seen;
    unsigned count = 0;
    for (const std::string &thread : threads_now()) {
        const std::vector<unsigned> where = cpu_mask::of(std::stoi(thread)).all();
        if (before.count(thread) != 0 || where.empty()) /* one that ended meanwhile */
            continue;
        seen.insert(where);
        count++;
    }
    CHECK(count > 1); /* not its first one alone */
    return {seen.begin(), seen.end()};
}

int made_with(roma_prefetch_way way, const char *cpus, roma_error *error)
{
    roma_prefetch_options options = owned_engine::with_way(way);
    options.cpus = cpus;
    roma_prefetch_engine *engine = nullptr;
    const int code = roma_prefetch_create(&engine, &options, error);
    CHECK((engine == nullptr) == (code < 0));
    (void)roma_prefetch_destroy(engine);
    return code;
}

} // namespace

TEMPLATE_TEST_CASE("an engine's threads and workers run where its options say", "[prefetch]",
                   by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    SKIP_WITHOUT(owned_engine(TestType::way));
    const pinned here;
    NEEDS_TWO_CPUS(here);
    const std::string last = std::to_string(here.last());
    CHECK(places_of(TestType::way, last.c_str()) == places{{here.last()}});
    /* Those that this process may not use are left out. */
    CHECK(places_of(TestType::way, (last + ",8191").c_str()) == places{{here.last()}});
    CHECK(places_of(TestType::way, "0-8191") == places{here.allowed});
    /* Who makes it stays where it was. */
    CHECK(cpu_mask::of(0).all() == std::vector<unsigned>{here.first()});
}

TEST_CASE("the threads of an engine run where who makes it does, unless told else", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    const pinned here;
    NEEDS_TWO_CPUS(here);
    CHECK(places_of(ROMA_PREFETCH_POOL, nullptr) == places{{here.first()}});
}

TEMPLATE_TEST_CASE("no CPU that is allowed is a wrong option", "[prefetch]", by_ring, by_threads)
{
    SKIP_WITHOUT(owned_engine(TestType::way));
    roma_error error = {};
    for (roma_prefetch_way way : {TestType::way, ROMA_PREFETCH_AUTO}) {
        CHECK(made_with(way, "8191", &error) == -EINVAL);
        CHECK(std::string(error.subject) == "cpus");
    }
}

TEST_CASE("plain calls have no threads to be anywhere", "[prefetch]")
{
    CHECK(made_with(ROMA_PREFETCH_PLAIN, "8191", nullptr) == 0);
}
