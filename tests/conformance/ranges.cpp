/* ranges.cpp - every provider: populating, advising and asking about ranges; bad input; groups. */
#include "emulated.hpp"
#include "subjects.hpp"

#include <cerrno>
#include <thread>
#include <vector>

using namespace roma_tests;

namespace {

/* An executor that keeps what it accepts; it runs it at once, on threads, at the end, or not at
 * all. */
struct keeper {
    enum class when { at_once, on_threads, late, refused };
    explicit keeper(when how) : mode(how)
    {
        executor.size = sizeof executor;
        executor.self = this;
        executor.submit = [](void *self, void (*work)(void *), void *argument) {
            return static_cast<keeper *>(self)->take(work, argument);
        };
    }
    ~keeper()
    {
        for (auto &thread : threads)
            thread.join();
        for (auto &item : kept)
            item.first(item.second);
    }
    int take(void (*work)(void *), void *argument)
    {
        taken++;
        switch (mode) {
        case when::at_once: work(argument); return 0;
        case when::on_threads: threads.emplace_back(work, argument); return 0;
        case when::late: kept.emplace_back(work, argument); return 0;
        case when::refused: break;
        }
        return -EAGAIN;
    }
    when mode;
    unsigned taken = 0;
    roma_executor executor = {};
    std::vector<std::thread> threads;
    std::vector<std::pair<void (*)(void *), void *>> kept;
};

} // namespace

PROVIDERS_CONFORM("populate makes every page present on any number of threads, and keeps contents")
{
    SUBJECT(subject);
    SKIP_WHERE_EMULATED();
    for (unsigned threads : {0u, 1u, 2u, 3u, 64u}) {
        held got(subject);
        auto wish = subject.request(16 * subject.page_bytes);
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
        write_marks(got.bytes() + 3 * subject.page_bytes, 61, 6);
        roma_range all = {&got.extent, 0, got.extent.bytes};
        roma_populate_options options = {sizeof options, threads, nullptr};
        REQUIRE(roma_provider_populate(subject.provider, &all, &options, nullptr) == 0);
        CHECK(resident_by_mincore(got.extent.address, got.extent.bytes) == got.extent.bytes);
        roma_report report;
        REQUIRE(roma_provider_query(subject.provider, &all, &report, nullptr) == 0);
        CHECK(report.resident_bytes == got.extent.bytes);
        CHECK(wrong_marks(got.bytes() + 3 * subject.page_bytes, 61, 6) == 0);
    }
}

PROVIDERS_CONFORM("populate on an executor is complete however the executor behaves")
{
    SUBJECT(subject);
    SKIP_WHERE_EMULATED();
    for (auto mode : {keeper::when::at_once, keeper::when::on_threads, keeper::when::late,
                      keeper::when::refused}) {
        held got(subject);
        keeper keeper(mode);
        auto wish = subject.request(12 * subject.page_bytes);
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
        roma_range all = {&got.extent, 0, got.extent.bytes};
        roma_populate_options options = {sizeof options, 4, &keeper.executor};
        REQUIRE(roma_provider_populate(subject.provider, &all, &options, nullptr) == 0);
        CHECK(resident_by_mincore(got.extent.address, got.extent.bytes) == got.extent.bytes);
    }
}

PROVIDERS_CONFORM("populate touches the pages of its range and no others")
{
    SUBJECT(subject);
    SKIP_WHERE_EMULATED();
    held got(subject);
    auto wish = subject.request(8 * subject.page_bytes);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    roma_range part = {&got.extent, 2 * subject.page_bytes, 3 * subject.page_bytes};
    REQUIRE(roma_provider_populate(subject.provider, &part, nullptr, nullptr) == 0);
    CHECK(resident_by_mincore(got.bytes() + part.offset, part.bytes) == part.bytes);
    if (!got.extent.populated && !subject.reads_ahead)
        CHECK(resident_by_mincore(got.extent.address, got.extent.bytes) == part.bytes);
}

PROVIDERS_CONFORM("an extent asked to be populated is, and says so")
{
    SUBJECT(subject);
    SKIP_WHERE_EMULATED();
    held got(subject);
    auto wish = subject.request(6 * subject.page_bytes);
    wish.populate_threads = 2;
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    CHECK(got.extent.populated);
    CHECK(resident_by_mincore(got.extent.address, got.extent.bytes) == got.extent.bytes);
    if (roma_provider_resize(subject.provider, &got.extent, 9 * subject.page_bytes, true,
                             nullptr) == 0)
        CHECK(resident_by_mincore(got.extent.address, got.extent.bytes) == got.extent.bytes);
}

PROVIDERS_CONFORM("a report's sums agree with what is resident")
{
    SUBJECT(subject);
    SKIP_WHERE_EMULATED();
    held got(subject);
    auto wish = subject.request(4 * subject.page_bytes);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    got.bytes()[0] = 1;
    roma_range all = {&got.extent, 0, got.extent.bytes};
    roma_report report;
    REQUIRE(roma_provider_query(subject.provider, &all, &report, nullptr) == 0);
    CHECK(report.bytes == got.extent.bytes);
    CHECK(report.resident_bytes > 0);
    CHECK(report.resident_bytes <= report.bytes);
    size_t by_node = 0, by_kind = 0;
    for (unsigned i = 0; i < report.nodes_count; i++)
        by_node += report.nodes[i].bytes;
    for (unsigned i = 0; i < report.kinds_count; i++)
        by_kind += report.kinds[i].bytes;
    if (report.nodes_known)
        CHECK(by_node == report.resident_bytes);
    if (report.kinds_known)
        CHECK(by_kind == report.resident_bytes);
    if (report.kinds_known && roma_page_class(subject.pages) == ROMA_PAGE_CLASS_HUGETLB) {
        CHECK(report.kinds_count == 1);
        CHECK(report.kinds[0].pages == subject.pages);
    }
}

PROVIDERS_CONFORM("every advice is taken or refused by name, and discarding leaves zero or the old")
{
    SUBJECT(subject);
    for (int advice = ROMA_ADVICE_NEED; advice < ROMA_ADVICE_COUNT; advice++) {
        held got(subject);
        auto wish = subject.request(2 * subject.page_bytes);
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
        std::memset(got.extent.address, 0x77, got.extent.bytes);
        roma_range all = {&got.extent, 0, got.extent.bytes};
        roma_error error = {};
        int code = roma_provider_advise(subject.provider, &all, (roma_advice)advice, nullptr,
                                        &error);
        INFO("advice " << advice);
        CHECK((code == 0 || code == -EOPNOTSUPP));
        CHECK(error.code == code);
        CHECK((error.why == ROMA_WHY_NONE) == (code == 0));
        size_t odd = 0;
        bool may_be_zero = advice == ROMA_ADVICE_DISCARD && code == 0;
        for (size_t i = 0; i < got.extent.bytes; i++)
            odd += got.bytes()[i] != 0x77 && !(may_be_zero && got.bytes()[i] == 0);
        CHECK(odd == 0);
    }
}

PROVIDERS_CONFORM("bad requests are refused by the name of the field, and change nothing")
{
    SUBJECT(subject);
    const uint64_t live = figure(subject.provider, "extents.live");
    const size_t page = subject.page_bytes;
    struct {
        const char *field;
        int code;
        roma_extent_request wish;
    } rows[] = {
        {"bytes", -EINVAL, subject.request(0)},
        {"", -EOVERFLOW, subject.request(SIZE_MAX)},
        {"", -EOVERFLOW, subject.request((size_t)PTRDIFF_MAX + 1)},
        {"align", -EINVAL, subject.request(page)},
        {"align", -EINVAL, subject.request(page)},
        {"pages", -EINVAL, subject.request(page)},
        {"pages", -EINVAL, subject.request(page)},
        {"request", -EINVAL, subject.request(page)},
        {"request", -EINVAL, subject.request(page)},
        {"request", -EINVAL, subject.request(page)},
    };
    rows[3].wish.align = 3;
    rows[4].wish.align = page + 1;
    rows[5].wish.pages = 0;
    rows[6].wish.pages = 21;
    rows[7].wish.size = 0;
    rows[8].wish.size = 8;
    rows[9].wish.size = SIZE_MAX;
    for (auto &row : rows) {
        roma_error error = {};
        roma_extent extent;
        INFO(row.field);
        CHECK(roma_provider_probe(subject.provider, &row.wish, &error) == row.code);
        CHECK(roma_provider_acquire(subject.provider, &row.wish, &extent, &error) == row.code);
        CHECK(error.code == row.code);
        CHECK(std::string(error.subject) == row.field);
    }
    struct {
        roma_extent_request wish;
        char tail[16];
    } newer = {subject.request(page), {}};
    roma_extent extent;
    roma_error error = {};
    newer.wish.size = sizeof newer;
    REQUIRE(roma_provider_acquire(subject.provider, &newer.wish, &extent, &error) == 0);
    REQUIRE(roma_provider_release(subject.provider, &extent, nullptr) == 0);
    newer.tail[15] = 1;
    CHECK(roma_provider_acquire(subject.provider, &newer.wish, &extent, &error) == -E2BIG);
    CHECK(error.why == ROMA_WHY_UNKNOWN_OPTION);

    auto wish = subject.request(page);
    CHECK(roma_provider_acquire(nullptr, &wish, &extent, &error) == -EINVAL);
    CHECK(roma_provider_acquire(subject.provider, nullptr, &extent, &error) == -EINVAL);
    CHECK(roma_provider_acquire(subject.provider, &wish, nullptr, &error) == -EINVAL);
    CHECK(roma_provider_probe(subject.provider, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_stats(subject.provider, nullptr, nullptr) == -EINVAL);
    CHECK(figure(subject.provider, "extents.live") == live);
}

PROVIDERS_CONFORM("bad ranges and extents are refused, and change nothing")
{
    SUBJECT(subject);
    const size_t page = subject.page_bytes;
    held got(subject);
    auto wish = subject.request(4 * page);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    roma_extent cleared = {};
    const roma_range bad[] = {
        {nullptr, 0, page},
        {&cleared, 0, page},
        {&got.extent, 1, page},
        {&got.extent, 0, page + 1},
        {&got.extent, 5 * page, 0},
        {&got.extent, 3 * page, 2 * page},
        {&got.extent, page, 0 - page},
        {&got.extent, 0 - page, 2 * page},
    };
    roma_report report;
    for (auto &range : bad) {
        CHECK(roma_provider_populate(subject.provider, &range, nullptr, nullptr) == -EINVAL);
        CHECK(roma_provider_query(subject.provider, &range, &report, nullptr) == -EINVAL);
        CHECK(roma_provider_advise(subject.provider, &range, ROMA_ADVICE_NEED, nullptr, nullptr) ==
              -EINVAL);
    }
    roma_range all = {&got.extent, 0, got.extent.bytes};
    CHECK(roma_provider_populate(subject.provider, nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_query(subject.provider, &all, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_advise(subject.provider, &all, (roma_advice)0, nullptr, nullptr) ==
          -EINVAL);
    CHECK(roma_provider_advise(subject.provider, &all, ROMA_ADVICE_COUNT, nullptr, nullptr) ==
          -EINVAL);
    roma_executor executor = {};
    executor.size = sizeof executor;
    roma_populate_options options = {sizeof options, 1, &executor};
    CHECK(roma_provider_populate(subject.provider, &all, &options, nullptr) == -EINVAL);
    options = {1, 1, nullptr};
    CHECK(roma_provider_populate(subject.provider, &all, &options, nullptr) == -EINVAL);
    CHECK(roma_provider_release(subject.provider, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_release(subject.provider, &cleared, nullptr) == -EINVAL);
    CHECK(roma_provider_resize(subject.provider, &cleared, page, true, nullptr) == -EINVAL);

    roma_range nothing = {&got.extent, page, 0};
    CHECK(roma_provider_populate(subject.provider, &nothing, nullptr, nullptr) == 0);
    CHECK(roma_provider_advise(subject.provider, &nothing, ROMA_ADVICE_DISCARD, nullptr, nullptr) ==
          0);
    CHECK(roma_provider_query(subject.provider, &nothing, &report, nullptr) == 0);
    CHECK(report.bytes == 0);
}

PROVIDERS_CONFORM("an optional group works when it is announced and is refused when not")
{
    SUBJECT(subject);
    held got(subject);
    auto wish = subject.request(subject.page_bytes);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    roma_range all = {&got.extent, 0, got.extent.bytes};
    const uint32_t can = roma_provider_capabilities(subject.provider);
    roma_error error = {};
    if ((can & ROMA_CAN_SYNC) == 0)
        CHECK(roma_provider_sync(subject.provider, &all, &error) == -EOPNOTSUPP);
    if ((can & ROMA_CAN_MIGRATE) == 0) {
        roma_nodes zero = roma_nodes_one(0);
        CHECK(roma_provider_migrate(subject.provider, &all, &zero, nullptr, &error) == -EOPNOTSUPP);
        CHECK(std::string(error.subject) == "migrate");
    }
    if ((can & ROMA_CAN_SHARE) == 0) {
        roma_extent none;
        CHECK(roma_provider_export_fd(subject.provider, &got.extent, &error) == -EOPNOTSUPP);
        CHECK(roma_provider_import_fd(subject.provider, 0, &none, &error) == -EOPNOTSUPP);
        return;
    }
    int fd = roma_provider_export_fd(subject.provider, &got.extent, &error);
    REQUIRE(fd >= 0);
    held shared(subject);
    REQUIRE(roma_provider_import_fd(subject.provider, fd, &shared.extent, &error) == 0);
    close(fd);
    CHECK(shared.extent.address != got.extent.address);
    got.bytes()[7] = 42;
    CHECK(shared.bytes()[7] == 42);
}

PROVIDERS_CONFORM("a migration counts every page once, keeps the contents and the extent")
{
    SUBJECT(subject);
    if ((roma_provider_capabilities(subject.provider) & ROMA_CAN_MIGRATE) == 0)
        return; /* refused by name: tested above */
    SKIP_WHERE_EMULATED();
    held got(subject);
    const size_t page = subject.page_bytes;
    auto wish = subject.request(5 * page);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    write_marks(got.bytes() + page, 2 * page, 9);
    roma_range all = {&got.extent, 0, got.extent.bytes};
    roma_report report;
    REQUIRE(roma_provider_query(subject.provider, &all, &report, nullptr) == 0);
    if (!report.nodes_known)
        SKIP_TEST("this kernel does not tell where pages are");
    REQUIRE(report.nodes_count > 0);
    const size_t resident = report.resident_bytes;
    const roma_nodes nodes = roma_nodes_one((unsigned)report.nodes[0].node);
    const roma_extent before = got.extent;
    roma_migration migration;
    roma_error error = {};
    for (const size_t first : {(size_t)0, page}) { /* all of it, and a part */
        roma_range range = {&got.extent, first, got.extent.bytes - 2 * first};
        INFO("from " << first);
        REQUIRE(roma_provider_migrate(subject.provider, &range, &nodes, &migration, &error) == 0);
        CHECK(error.why == ROMA_WHY_NONE);
        CHECK(migration.error.code == 0);
        CHECK(migration.page_bytes > 0);
        const size_t counted = migration.moved + migration.already + migration.absent;
        CHECK(counted * migration.page_bytes == range.bytes);
        CHECK(migration.failed == 0);
        CHECK(migration.reasons_count == 0);
        if (first == 0)
            CHECK((migration.moved + migration.already) * migration.page_bytes == resident);
        CHECK(std::memcmp(&before, &got.extent, sizeof before) == 0);
        CHECK(wrong_marks(got.bytes() + page, 2 * page, 9) == 0);
    }
    /* What was absent comes, and where the rest is. */
    write_marks(got.bytes(), got.extent.bytes, 10);
    REQUIRE(roma_provider_migrate(subject.provider, &all, &nodes, &migration, nullptr) == 0);
    CHECK(migration.absent == 0);
    CHECK(wrong_marks(got.bytes(), got.extent.bytes, 10) == 0);

    const roma_nodes absent = roma_nodes_one(ROMA_NODES_MAX - 1);
    const int code = roma_provider_migrate(subject.provider, &all, &absent, &migration, &error);
    CHECK((code == -EINVAL || code == -EXDEV)); /* no such node; not one of the provider's */
    CHECK(error.why != ROMA_WHY_NONE);
    CHECK(error.node == ROMA_NODES_MAX - 1);
    CHECK(migration.error.why == error.why);
    CHECK(migration.page_bytes == 0);
    roma_range nothing = {&got.extent, page, 0};
    CHECK(roma_provider_migrate(subject.provider, &nothing, &nodes, &migration, &error) == 0);
    CHECK(wrong_marks(got.bytes(), got.extent.bytes, 10) == 0);
}
