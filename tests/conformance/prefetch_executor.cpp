/* prefetch_executor.cpp - engines as what providers and managers hand their files to, in each way:
 * long ranges are read by the engine, needs are submissions, what is cold goes, and the engine
 * stays as long as a manager has it. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "filed.hpp"
#include "skip.hpp"

#include <roma.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <sys/wait.h>
#include <thread>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

TEMPLATE_TEST_CASE("long ranges of files are read by the engine before they are populated",
                   "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, MiB);
    const roma_executor executor = engine.executor();
    for (bool by_options : {false, true}) {
        filed pages(file, 24 * MiB, by_options ? &executor : nullptr);
        SKIP_WITHOUT(pages);
        pages.write_pattern();
        const roma_populate_options options = {sizeof options, 2, by_options ? nullptr : &executor};
        const roma_range all = pages.all(), head = pages.part(0, 16 * page_bytes());
        REQUIRE(pages.chill());
        uint64_t submits = engine.figure("submits.count");
        REQUIRE(roma_provider_populate(pages.self, &head, &options, nullptr) == 0);
        CHECK(engine.figure("submits.count") == submits); /* too short to be worth it */
        const uint64_t read = engine.figure("read.bytes");
        REQUIRE(roma_provider_populate(pages.self, &all, &options, nullptr) == 0);
        CHECK(engine.figure("submits.count") == submits + 1);
        CHECK(engine.figure("read.bytes") > read);
        CHECK(pages.resident() == pages.extent.bytes);
        CHECK(disk_file::holds(pages.address(), 0, pages.extent.bytes));

        REQUIRE(roma_provider_advise(pages.self, &all, ROMA_ADVICE_COLD, options.executor,
                                     nullptr) == 0);
        REQUIRE(pages.chill()); /* by PAGEOUT, in the second round through the engine */
        submits = engine.figure("submits.count");
        REQUIRE(roma_provider_advise(pages.self, &all, ROMA_ADVICE_NEED, options.executor,
                                     nullptr) == 0);
        CHECK(engine.figure("submits.count") == submits + 1);
        CHECK(pages.becomes_resident());
        CHECK(disk_file::holds(pages.address(), 0, pages.extent.bytes));
    }
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(engine.figure("handles.live") == 0);
}

TEMPLATE_TEST_CASE("what is needed is read on though its provider is gone", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, MiB);
    const roma_executor executor = engine.executor();
    {
        filed pages(file, 32 * MiB, &executor);
        SKIP_WITHOUT(pages);
        pages.write_pattern();
        REQUIRE(pages.chill());
        const roma_range all = pages.all();
        REQUIRE(roma_provider_advise(pages.self, &all, ROMA_ADVICE_NEED, nullptr, nullptr) == 0);
    }
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(engine.figure("flying.bytes") == 0);
}

TEST_CASE("an executor is checked as other structures are", "[prefetch]")
{
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    REQUIRE(engine.self != nullptr);
    roma_executor executor = engine.executor();
    CHECK(roma_prefetch_executor(nullptr, &executor) == -EINVAL);
    CHECK(roma_prefetch_executor(engine.self, nullptr) == -EINVAL);
    disk_file file(MiB);
    filed pages(file, page_bytes());
    const roma_range all = pages.all();
    roma_error error = {};
    executor.file_advise = nullptr; /* both or none */
    roma_populate_options options = {sizeof options, 1, &executor};
    if (pages.lacks.empty())
        CHECK(roma_provider_populate(pages.self, &all, &options, &error) == -EINVAL);
    roma_file_options wrong = roma_file_options_default();
    wrong.executor = &executor;
    roma_provider *provider = nullptr;
    CHECK(roma_provider_file(path_beside(file, "none").c_str(), &wrong, &provider, &error) ==
          -EINVAL);
    CHECK(std::string(error.subject) == "executor");
}

TEMPLATE_TEST_CASE("an engine that runs no work leaves it to threads of the call", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const roma_executor executor = engine.executor();
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = 8 * MiB;
    wish.pages = (roma_page_kind)ROMA_PAGES_BASE;
    roma_extent extent;
    roma_provider *provider = roma_provider_anonymous();
    REQUIRE(roma_provider_acquire(provider, &wish, &extent, nullptr) == 0);
    const roma_range all = {&extent, 0, extent.bytes};
    const roma_populate_options options = {sizeof options, 4, &executor};
    CHECK(roma_provider_populate(provider, &all, &options, nullptr) == 0);
    roma_report report;
    REQUIRE(roma_provider_query(provider, &all, &report, nullptr) == 0);
    CHECK(report.resident_bytes == extent.bytes);
    CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
}

TEMPLATE_TEST_CASE("populating in a callback is refused, and does not wait for itself",
                   "[prefetch]", by_ring, by_threads)
{
    roma_prefetch_options one = owned_engine::with_way(TestType::way);
    one.threads = 1;
    owned_engine engine(one);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 24 * MiB);
    const roma_executor executor = engine.executor();
    filed pages(file, 8 * MiB, &executor);
    SKIP_WITHOUT(pages);
    pages.write_pattern();
    struct seen {
        const filed *pages;
        std::atomic<int> code;
        roma_error error = {};
    } seen = {&pages, {1}, {}};
    REQUIRE(file.chill());
    owned_handle handle(engine, file.range(0, file.bytes));
    const int set = roma_prefetch_on_done(
        handle.self,
        [](void *context, roma_prefetch_handle *, int) {
            auto *told = static_cast<struct seen *>(context);
            const roma_range all = told->pages->all();
            told->code = roma_provider_populate(told->pages->self, &all, nullptr, &told->error);
        },
        &seen);
    REQUIRE(set >= 0);
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    if (set == 0) {
        CHECK(seen.code == -EDEADLK);
        CHECK(seen.error.code == -EDEADLK);
    }
}

TEMPLATE_TEST_CASE("a manager has an engine read its blocks of files, and keeps it", "[prefetch]",
                   EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, MiB);
    roma_provider *provider = nullptr;
    REQUIRE(roma_provider_file(path_beside(file, "heap").c_str(), nullptr, &provider, nullptr) ==
            0);
    roma_options options = roma_options_default();
    options.providers = &provider;
    options.providers_count = 1;
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    REQUIRE(roma_manager_engine(manager, engine.self, nullptr) == 0);
    CHECK(roma_prefetch_destroy(engine.self) == -EBUSY);
    const size_t bytes = 24 * MiB;
    auto *block = static_cast<unsigned char *>(roma_alloc(manager, bytes));
    if (block == nullptr) {
        CHECK(roma_manager_destroy(manager) == 0);
        CHECK(roma_provider_unregister(provider) == 0);
        SKIP_TEST("this file system cannot reserve space");
    }
    std::memset(block, 5, bytes);
    roma_error error = {};
    for (int tries = 0; tries < 20; tries++)
        REQUIRE(roma_advise(block, 0, bytes, ROMA_ADVICE_PAGEOUT, nullptr) == 0);
    const uint64_t submits = engine.figure("submits.count");
    CHECK(roma_populate(block, 5, bytes - 5, 2, &error) == 0);
    CHECK(engine.figure("submits.count") == submits + 1);
    roma_report report;
    REQUIRE(roma_where(block, &report) == 0);
    CHECK(report.resident_bytes >= bytes); /* a tool's redzone comes behind */
    CHECK(block[0] == 5);
    CHECK(block[bytes - 1] == 5);
    CHECK(roma_advise(block, 0, bytes, ROMA_ADVICE_NEED, &error) == 0);
    CHECK(engine.figure("submits.count") == submits + 2);

    CHECK(roma_populate(block, 0, roma_usable(block) + 1, 1, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "bytes");
    CHECK(roma_populate(block, roma_usable(block) + 1, 0, 1, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "offset");
    CHECK(roma_populate(block + 1, 0, 1, 1, &error) == -EINVAL);
    CHECK(roma_populate(block, 0, 0, 1, &error) == 0);
    CHECK(roma_advise(block, 0, 100, ROMA_ADVICE_COLD, &error) == 0); /* no whole page */
    CHECK(roma_advise(block, 0, 100, ROMA_ADVICE_DISCARD, &error) == -EOPNOTSUPP);
    CHECK(roma_advise(block, 0, 100, (roma_advice)77, &error) == -EINVAL);
    CHECK(roma_manager_engine(nullptr, engine.self, &error) == -EINVAL);

    CHECK(roma_manager_engine(manager, nullptr, &error) == 0); /* all goes on without */
    CHECK(roma_populate(block, 0, bytes, 2, &error) == 0);
    CHECK(engine.figure("submits.count") == submits + 2);
    CHECK(roma_manager_engine(manager, engine.self, nullptr) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) { /* has no engine, and a manager that does without */
        int wrong = roma_prefetch_destroy(engine.self) != 0;
        void *own = roma_alloc(manager, 8 * MiB);
        wrong += own != nullptr && roma_populate(own, 0, 8 * MiB, 1, nullptr) != 0;
        roma_free(own);
        _exit(wrong);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    roma_free(block);
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(roma_manager_destroy(manager) == 0); /* and the engine may go */
    CHECK(roma_provider_unregister(provider) == 0);
}

TEMPLATE_TEST_CASE("a store has an engine read its blocks, and keeps it until it is closed",
                   "[prefetch][store]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, MiB);
    const std::string path = path_beside(file, "store");
    roma_store *store = nullptr;
    REQUIRE(roma_store_create(path.c_str(), nullptr, &store, nullptr) == 0);
    roma_manager *manager = roma_store_manager(store);
    REQUIRE(manager != nullptr);
    REQUIRE(roma_manager_engine(manager, engine.self, nullptr) == 0);
    const size_t bytes = 16 * MiB;
    auto *block = static_cast<unsigned char *>(roma_alloc(manager, bytes));
    REQUIRE(block != nullptr);
    std::memset(block, 9, bytes);
    REQUIRE(roma_store_sync(store) == 0);
    for (int tries = 0; tries < 20; tries++)
        REQUIRE(roma_advise(block, 0, bytes, ROMA_ADVICE_PAGEOUT, nullptr) == 0);
    const uint64_t submits = engine.figure("submits.count");
    roma_error error = {};
    CHECK(roma_populate(block, 0, bytes, 2, &error) == 0);
    CHECK(engine.figure("submits.count") == submits + 1);
    roma_report report;
    REQUIRE(roma_where(block, &report) == 0);
    CHECK(report.resident_bytes == report.bytes);
    CHECK(block[bytes - 1] == 9);
    CHECK(roma_advise(block, 0, bytes, ROMA_ADVICE_COLD, &error) == 0);
    CHECK(roma_advise(block, 0, bytes, ROMA_ADVICE_NEED, &error) == 0);
    CHECK(engine.figure("submits.count") == submits + 2);
    CHECK(roma_advise(block, 0, bytes, ROMA_ADVICE_NODUMP, &error) == -EOPNOTSUPP);
    CHECK(roma_populate(block, 0, 64 * bytes, 1, &error) == -EINVAL);
    roma_request request = roma_request_default();
    request.bytes = 8 * MiB;
    request.populate_threads = 1;
    void *populated = roma_alloc_with(manager, &request, nullptr);
    CHECK(populated != nullptr);
    CHECK(engine.figure("submits.count") == submits + 3);
    roma_free(populated);
    CHECK(roma_prefetch_destroy(engine.self) == -EBUSY);
    roma_free(block);
    CHECK(roma_store_close(store) == 0);
    unlink(path.c_str());
}

TEST_CASE("without an engine blocks are populated and advised all the same", "[prefetch][store]")
{
    SKIP_WHERE_EMULATED();
    roma_store *store = nullptr;
    REQUIRE(roma_store_create_memory("advised", nullptr, &store, nullptr) == 0);
    for (roma_manager *manager : {roma_default(), roma_store_manager(store)}) {
        auto *block = static_cast<char *>(roma_alloc(manager, 6 * MiB));
        REQUIRE(block != nullptr);
        block[0] = 3;
        roma_error error = {};
        CHECK(roma_populate(block, 0, 6 * MiB, 2, &error) == 0);
        roma_report report;
        REQUIRE(roma_where(block, &report) == 0);
        CHECK(report.resident_bytes >= 6 * MiB); /* a tool's redzone comes behind */
        for (roma_advice advice : {ROMA_ADVICE_COLD, ROMA_ADVICE_PAGEOUT, ROMA_ADVICE_NEED})
            CHECK(roma_advise(block, 0, 6 * MiB, advice, &error) == 0);
        CHECK(block[0] == 3);
        roma_free(block);
    }
    CHECK(roma_store_close(store) == 0);
}
