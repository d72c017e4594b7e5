/* badinput_options.cpp - requests, options and texts that mean nothing are refused by name. */
#include "badinput.hpp"

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <fcntl.h>
#include <functional>
#include <unistd.h>

using namespace badinput;

TEST_CASE("requests with unknown values and tails are refused by name", "[badinput]")
{
    const owned_manager manager;
    const std::string before = figures_of(manager.self);
    struct row {
        const char *subject;
        int code;
        std::function<void(roma_request &)> spoil;
    };
    const row rows[] = {
        {"placement", -EINVAL,
         [](roma_request &r) { r.placement = static_cast<roma_placement>(17); }},
        {"weights", -EINVAL, [](roma_request &r) { r.weights[0] = 1; }},
        {"lifetime", -EINVAL, [](roma_request &r) { r.lifetime = static_cast<roma_lifetime>(-1); }},
        {"access", -EINVAL, [](roma_request &r) { r.access = static_cast<roma_access>(4); }},
        {"pages", -EINVAL, [](roma_request &r) { r.pages = 0x15; }},
        {"pages", -EINVAL, [](roma_request &r) { r.pages = ROMA_PAGES_2M << 8; }},
        {"pages", -EINVAL,
         [](roma_request &r) { r.pages = ROMA_PAGES_BASE | ROMA_PAGES_2M << 16; }},
        {"size", -EINVAL, [](roma_request &r) { r.size = 0; }},
        {"size", -EINVAL, [](roma_request &r) { r.size = 3; }},
        {"reserved", -EINVAL, [](roma_request &r) { r.reserved[0] = true; }},
    };
    for (const row &row : rows) {
        INFO(row.subject);
        roma_request request = roma_request_default();
        request.bytes = 64;
        row.spoil(request);
        roma_grant grant;
        errno = 0;
        void *block = roma_alloc_with(manager.self, &request, &grant);
        CHECK(block == nullptr);
        CHECK(errno == -row.code);
        if (block == nullptr)
            check_record(grant.error, row.code, row.subject);
        roma_free(block);
        CHECK(roma_explain(manager.self, &request, &grant) == row.code);
    }
    struct longer {
        roma_request request;
        uint64_t tail;
    };
    longer next = {roma_request_default(), 0};
    next.request.size = sizeof next;
    next.request.bytes = 64;
    roma_grant grant;
    void *block = roma_alloc_with(manager.self, &next.request, &grant);
    CHECK(block != nullptr); /* a later version's struct, nothing new asked for */
    roma_free(block);
    CHECK(roma_explain(manager.self, &next.request, &grant) == 0);
    const std::string with_extent = figures_of(manager.self);
    next.tail = uint64_t(1) << 63;
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &next.request, &grant) == nullptr);
    CHECK(errno == E2BIG);
    CHECK(grant.error.why == ROMA_WHY_UNKNOWN_OPTION);
    CHECK(roma_explain(manager.self, &next.request, &grant) == -E2BIG);
    CHECK(figures_of(manager.self) == with_extent);
}

TEST_CASE("a node that is not there is an error with its number when strict, else a weaker step",
          "[badinput]")
{
    const owned_manager manager;
    roma_request request = roma_request_default();
    request.bytes = 64;
    request.placement = ROMA_NODES;
    request.nodes = roma_nodes_one(ROMA_NODES_MAX - 1);
    request.strict = true;
    roma_grant grant;
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &request, &grant) == nullptr);
    CHECK((errno == EXDEV || errno == ENOMEM || errno == EINVAL));
    CHECK(grant.error.why == ROMA_WHY_NODE_ABSENT);
    CHECK(sentence_of(grant.error).find("1023") != std::string::npos);
    request.strict = false;
    void *block = roma_alloc_with(manager.self, &request, &grant);
    REQUIRE(block != nullptr);
    CHECK(grant.steps_count >= 2);
    CHECK(grant.steps[0].error.why == ROMA_WHY_NODE_ABSENT);
    roma_free(block);
}

TEST_CASE("manager options with mistakes and unknown tails are refused by name", "[badinput]")
{
    struct row {
        const char *subject;
        int code;
        std::function<void(roma_options &)> spoil;
    };
    static roma_request bad_request;
    bad_request = roma_request_default();
    bad_request.placement = static_cast<roma_placement>(99);
    static roma_request long_request;
    long_request = roma_request_default();
    long_request.size = 5;
    static roma_provider *no_providers[1] = {nullptr};
    const row rows[] = {
        {"size", -EINVAL, [](roma_options &o) { o.size = 0; }},
        {"size", -EINVAL, [](roma_options &o) { o.size = 7; }},
        {"debug", -EINVAL, [](roma_options &o) { o.debug = 1u << 20; }},
        {"providers", -EINVAL,
         [](roma_options &o) {
             o.providers = no_providers;
             o.providers_count = 1;
         }},
        {"providers", -EINVAL,
         [](roma_options &o) {
             o.providers = no_providers;
             o.providers_count = 0;
         }},
        {"providers", -EINVAL, [](roma_options &o) { o.providers_count = 2; }},
        {"", -EINVAL, [](roma_options &o) { o.request = &bad_request; }},
        {"", -EINVAL, [](roma_options &o) { o.request = &long_request; }},
    };
    for (const row &row : rows) {
        roma_options options = roma_options_default();
        row.spoil(options);
        roma_manager *manager = nullptr;
        roma_error error = {};
        INFO("the wrong option: " << row.subject << " " << (&row - rows));
        const int code = roma_manager_create(&manager, &options, &error);
        CHECK(code == row.code);
        CHECK(manager == nullptr);
        if (code != 0)
            check_record(error, row.code, row.subject);
        if (manager != nullptr)
            roma_manager_destroy_all(manager);
    }
    struct longer {
        roma_options options;
        char tail[24];
    };
    longer next = {roma_options_default(), {}};
    next.options.size = sizeof next;
    roma_manager *manager = nullptr;
    roma_error error = {};
    REQUIRE(roma_manager_create(&manager, &next.options, &error) == 0);
    CHECK(roma_manager_destroy(manager) == 0);
    next.tail[23] = 1;
    manager = nullptr;
    CHECK(roma_manager_create(&manager, &next.options, &error) == -E2BIG);
    CHECK(manager == nullptr);
    CHECK(error.why == ROMA_WHY_UNKNOWN_OPTION);
    CHECK(error.code == -E2BIG);
}

TEST_CASE("a manager's limit is an error that says so, and holds", "[badinput]")
{
    roma_options options = roma_options_default();
    options.limit_bytes = 4 << 20;
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    roma_request request = roma_request_default();
    request.bytes = 64 << 20;
    roma_grant grant;
    errno = 0;
    CHECK(roma_alloc_with(manager, &request, &grant) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK(grant.error.why == ROMA_WHY_MANAGER_LIMIT);
    check_record(grant.error, -ENOMEM, nullptr);
    void *block = roma_alloc(manager, 1 << 20);
    REQUIRE(block != nullptr);
    std::memset(block, 9, 1 << 20);
    errno = 0;
    CHECK(roma_resize(block, 64 << 20) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK(roma_bytes(block) == 1 << 20);
    CHECK(static_cast<char *>(block)[(1 << 20) - 1] == 9);
    roma_free(block);
    CHECK(roma_manager_destroy(manager) == 0);
}

TEST_CASE("text that is not a size, page kinds or nodes leaves the value untouched", "[badinput]")
{
    struct row {
        const char *text;
        int code;
    };
    const row sizes[] = {
        {"", -EINVAL},
        {" ", -EINVAL},
        {"x", -EINVAL},
        {"-1", -EINVAL},
        {"+1", -EINVAL},
        {" 1", -EINVAL},
        {"1 ", -EINVAL},
        {"1 K", -EINVAL},
        {"1.5K", -EINVAL},
        {"1KK", -EINVAL},
        {"1KiBB", -EINVAL},
        {"1i", -EINVAL},
        {"K", -EINVAL},
        {"0x10", -EINVAL},
        {"1Ki", -EINVAL},
        {"1E", -EINVAL},
        {"1P", -EINVAL},
        {"1,000", -EINVAL},
        {"1\n", -EINVAL},
        {"iB", -EINVAL},
        {"18446744073709551616", -ERANGE},
        {"99999999999999999999999", -ERANGE},
        {"16777216T", -ERANGE},
        {"18446744073709551615K", -ERANGE},
        {nullptr, -EINVAL},
    };
    for (const row &row : sizes) {
        uint64_t size = 12345;
        INFO((row.text != nullptr ? row.text : "NULL"));
        CHECK(roma_size_parse(row.text, &size) == row.code);
        CHECK(size == 12345);
    }
    CHECK(roma_size_parse("1", nullptr) == -EINVAL);
    uint64_t size = 0;
    CHECK(roma_size_parse("18446744073709551615", &size) == 0);
    CHECK(size == UINT64_MAX);
    CHECK(roma_size_parse("16777215T", &size) == 0);
    CHECK(size == uint64_t(16777215) << 40);
    CHECK(roma_size_parse("0", &size) == 0);
    CHECK(size == 0);
    CHECK(roma_size_parse("007kib", &size) == 0);
    CHECK(size == 7168);

    for (const char *text : {"",
                             ",",
                             "base,",
                             ",base",
                             "bass",
                             "base thp",
                             "3M",
                             "2M,,1G",
                             "thp:",
                             "thp:3K",
                             "thp:-1",
                             "thp:64K:2",
                             "0",
                             "1",
                             "base;thp",
                             "BASE2",
                             "2M1G",
                             "1K,2K,4K,8K,16K,32K,64K,128K,256K",
                             "99999999999999999999",
                             "thp:1"}) {
        roma_pages pages = 0x77;
        INFO("'" << text << "'");
        const int code = roma_pages_parse(text, &pages);
        CHECK(code == -EINVAL);
        CHECK(pages == 0x77);
    }
    roma_pages pages = 0x77;
    CHECK(roma_pages_parse(nullptr, &pages) == -EINVAL);
    CHECK(roma_pages_parse("base", nullptr) == -EINVAL);

    const row sets[] = {
        {"x", -EINVAL},
        {"1-", -EINVAL},
        {"-1", -EINVAL},
        {"3-1", -EINVAL},
        {"1,", -EINVAL},
        {",1", -EINVAL},
        {"1,,2", -EINVAL},
        {"1 2", -EINVAL},
        {"1-2-3", -EINVAL},
        {"1024", -ERANGE},
        {"0-1024", -ERANGE},
        {"99999999999999999999", -ERANGE},
        {"0-99999999999999999999", -ERANGE},
        {nullptr, -EINVAL},
    };
    for (const row &row : sets) {
        roma_nodes nodes = roma_nodes_one(5);
        INFO((row.text != nullptr ? row.text : "NULL"));
        CHECK(roma_nodes_parse(row.text, &nodes) == row.code);
        const roma_nodes five = roma_nodes_one(5);
        CHECK(roma_nodes_equal(&nodes, &five));
    }
    roma_nodes nodes = roma_nodes_one(5);
    CHECK(roma_nodes_parse("", &nodes) == 0);
    CHECK(roma_nodes_is_empty(&nodes));
    CHECK(roma_nodes_parse("0-1023", &nodes) == 0);
    CHECK(roma_nodes_count(&nodes) == ROMA_NODES_MAX);
}

TEST_CASE("texts are cut and always terminated where the buffer is short", "[badinput]")
{
    char buffer[300];
    roma_error error = {};
    error.code = -ENOMEM;
    error.why = ROMA_WHY_POOL_EMPTY;
    error.pages = ROMA_PAGE_CLASS_HUGETLB | 21;
    error.node = 0;
    error.need = 4;
    error.total = 512;
    roma_nodes nodes = roma_nodes_none();
    for (unsigned node = 0; node < ROMA_NODES_MAX; node += 2)
        roma_nodes_add(&nodes, node);
    for (size_t bytes = 0; bytes <= 40; bytes++) {
        const auto check = [&](const char *returned) {
            CHECK(returned == buffer);
            if (bytes > 0)
                CHECK(std::memchr(buffer, 0, bytes) != nullptr);
            for (size_t i = bytes; i < sizeof buffer; i++)
                if (buffer[i] != 0x6A)
                    FAIL("written past the end of " << bytes << " bytes");
            std::memset(buffer, 0x6A, sizeof buffer);
        };
        std::memset(buffer, 0x6A, sizeof buffer);
        check(roma_error_text(&error, buffer, bytes));
        check(roma_size_text(UINT64_MAX, buffer, bytes));
        check(roma_page_kind_text(ROMA_PAGE_CLASS_HUGETLB | 63, buffer, bytes));
        check(roma_page_kind_text(0x3F, buffer, bytes));
        check(roma_nodes_text(&nodes, buffer, bytes));
    }
    for (int why = 0; why <= ROMA_WHY_COUNT + 1; why++) {
        error = {};
        error.code = -ENOMEM;
        error.cause = 9999;
        error.why = static_cast<roma_why>(why);
        error.node = INT_MIN;
        error.pages = 0xFF;
        error.need = error.have = error.total = UINT64_MAX;
        std::memset(error.subject, 'x', sizeof error.subject); /* not terminated */
        std::memset(buffer, 0x6A, sizeof buffer);
        roma_error_text(&error, buffer, 256);
        CHECK(std::memchr(buffer, 0, 256) != nullptr);
        CHECK(std::strlen(buffer) > 0);
        CHECK(buffer[256] == 0x6A);
    }
}

TEST_CASE("streams that cannot be written to are reported", "[badinput]")
{
    const owned_manager manager;
    const int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        SKIP_TEST("there is no /dev/full");
    CHECK(roma_manager_json(manager.self, fd) == -ENOSPC);
    close(fd);
    const int read_only = open("/dev/null", O_RDONLY);
    REQUIRE(read_only >= 0);
    CHECK(roma_manager_json(manager.self, read_only) == -EBADF);
    close(read_only);
    FILE *stream = std::fopen("/dev/full", "w");
    REQUIRE(stream != nullptr);
    std::setvbuf(stream, nullptr, _IONBF, 0);
    roma_error error = {};
    error.code = -ENOMEM;
    error.why = ROMA_WHY_OUT_OF_MEMORY;
    CHECK(roma_error_print(stream, &error) < 0);
    roma_grant grant;
    std::memset(&grant, 0, sizeof grant);
    CHECK(roma_grant_print(stream, &grant) < 0);
    std::fclose(stream);
}
