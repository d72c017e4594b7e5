/* stats.cpp - a manager's figures, as a walk and as JSON. */
#include "catch.hpp"

#include <roma.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

struct figures {
    std::vector<std::string> keys;
    std::map<std::string, uint64_t> numbers;
    std::map<std::string, std::string> texts;
};

int collect(void *context, const char *key, const roma_value *value)
{
    auto *into = static_cast<figures *>(context);
    into->keys.push_back(key);
    if (value->type == ROMA_VALUE_TEXT)
        into->texts[key] = value->text;
    else
        into->numbers[key] = value->number;
    return 0;
}

figures figures_of(roma_manager *manager)
{
    figures all;
    REQUIRE(roma_manager_stats(manager, collect, &all) == 0);
    return all;
}

std::string json_of(roma_manager *manager)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    REQUIRE(roma_manager_json(manager, ends[1]) == 0);
    close(ends[1]);
    std::string text;
    char buffer[256];
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<size_t>(got));
    close(ends[0]);
    return text;
}

roma_manager *make(const char *name)
{
    roma_options options = roma_options_default();
    options.name = name;
    options.limit_bytes = 1u << 30;
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    return manager;
}

} // namespace

TEST_CASE("the figures come in the order that the header promises")
{
    roma_manager *manager = make("figures");
    const std::vector<std::string> promised = {"name",
                                               "blocks.live",
                                               "blocks.bytes",
                                               "blocks.usable_bytes",
                                               "blocks.peak_bytes",
                                               "allocations.count",
                                               "releases.count",
                                               "failures.count",
                                               "extents.live",
                                               "extents.bytes",
                                               "extents.peak_bytes",
                                               "free.bytes",
                                               "returned.bytes",
                                               "metadata.bytes",
                                               "limit.bytes",
                                               "misuse.count"};
    CHECK(figures_of(manager).keys == promised);
    CHECK(roma_manager_destroy(manager) == 0);
}

TEST_CASE("the figures follow blocks through allocation, resize and release")
{
    roma_manager *manager = make("figures");
    void *first = roma_alloc(manager, 1000);
    void *second = roma_alloc(manager, 3u << 20);
    figures now = figures_of(manager);
    CHECK(now.texts["name"] == "figures");
    CHECK(now.numbers["blocks.live"] == 2);
    CHECK(now.numbers["blocks.bytes"] == 1000 + (3u << 20));
    CHECK(now.numbers["blocks.usable_bytes"] == roma_usable(first) + roma_usable(second));
    CHECK(now.numbers["extents.live"] == 2);
    CHECK(now.numbers["extents.bytes"] >= now.numbers["blocks.usable_bytes"]);
    CHECK(now.numbers["metadata.bytes"] > 0);
    CHECK(now.numbers["limit.bytes"] == 1u << 30);
    uint64_t peak = now.numbers["blocks.peak_bytes"];
    CHECK(peak >= now.numbers["blocks.usable_bytes"]);
    CHECK(peak <= now.numbers["blocks.usable_bytes"] + 2 * 16); /* a memory tool's redzones */
    CHECK(now.numbers["free.bytes"] + now.numbers["returned.bytes"] <=
          now.numbers["extents.bytes"] - now.numbers["blocks.usable_bytes"]);

    first = roma_resize(first, 500);
    second = roma_resize(second, 10);
    now = figures_of(manager);
    CHECK(now.numbers["blocks.live"] == 2);
    CHECK(now.numbers["blocks.bytes"] == 510);
    CHECK(now.numbers["blocks.usable_bytes"] == roma_usable(first) + roma_usable(second));
    CHECK(now.numbers["blocks.peak_bytes"] >= peak);

    roma_free(first);
    roma_free(second);
    now = figures_of(manager);
    CHECK(now.numbers["blocks.live"] == 0);
    CHECK(now.numbers["blocks.bytes"] == 0);
    CHECK(now.numbers["blocks.usable_bytes"] == 0);
    CHECK(now.numbers["allocations.count"] == now.numbers["releases.count"]);
    CHECK(now.numbers["failures.count"] == 0);
    CHECK(now.numbers["misuse.count"] == 0);
    CHECK(now.numbers["extents.peak_bytes"] >= peak);
    CHECK(roma_manager_destroy(manager) == 0);
}

TEST_CASE("a visitor ends the walk with its own number")
{
    int calls = 0;
    auto visit = [](void *context, const char *, const roma_value *) {
        return ++*static_cast<int *>(context) == 3 ? 42 : 0;
    };
    CHECK(roma_manager_stats(roma_default(), visit, &calls) == 42);
    CHECK(calls == 3);
    CHECK(roma_manager_stats(roma_default(), nullptr, nullptr) == -EINVAL);
}

TEST_CASE("the figures as JSON are one object, nested by the dots, with text escaped")
{
    roma_manager *manager = make("a \"b\"\\\n");
    void *block = roma_alloc(manager, 100);
    std::string json = json_of(manager);
    const std::string start = "{\"name\":\"a \\\"b\\\"\\\\\\u000a\",\"blocks\":{\"live\":1";
    CHECK(json.substr(0, start.size()) == start);
    CHECK(json.find(",\"bytes\":100,\"usable_bytes\":") != std::string::npos);
    CHECK(json.find("},\"allocations\":{\"count\":1},\"releases\":{\"count\":0}") !=
          std::string::npos);
    const std::string end = ",\"misuse\":{\"count\":0}}\n";
    CHECK(json.substr(json.size() - end.size()) == end);
    int depth = 0;
    for (char character : json)
        depth += (character == '{') - (character == '}');
    CHECK(depth == 0);
    roma_free(block);
    CHECK(roma_manager_destroy(manager) == 0);
}

TEST_CASE("JSON that cannot be written is -errno of writing")
{
    CHECK(roma_manager_json(roma_default(), -1) == -EBADF);
    int full = open("/dev/full", O_WRONLY);
    REQUIRE(full >= 0);
    CHECK(roma_manager_json(roma_default(), full) == -ENOSPC);
    close(full);
}
