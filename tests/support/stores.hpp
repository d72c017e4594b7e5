/* stores.hpp - stores for tests: in a file that goes with the test, or in memory, and processes
 * that have them open and end as they are told. */
#ifndef ROMA_TESTS_STORES_HPP
#define ROMA_TESTS_STORES_HPP

#include "catch.hpp"
#include "child.hpp"
#include "figure.hpp"

#include <roma.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <unistd.h>

namespace roma_tests {

/* A name for a file in a folder of memory (else in /tmp) that is removed at the end. */
struct store_path {
    std::string text;

    store_path()
    {
        static int serial;
        const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
        text = std::string(folder) + "/roma-test-" + std::to_string(getpid()) + "-" +
               std::to_string(++serial) + ".roma";
        unlink(text.c_str());
    }
    store_path(const store_path &) = delete;
    store_path &operator=(const store_path &) = delete;
    ~store_path() { unlink(text.c_str()); }
    const char *c_str() const { return text.c_str(); }
};

/* Small enough for sanitizers, and for how many lanes and sessions tests have. */
inline roma_store_options small_store(uint64_t max_bytes = 64u << 20)
{
    roma_store_options options = roma_store_options_default();
    options.max_bytes = max_bytes;
    options.sessions = 16;
    options.lanes = 64;
    options.unsynced = true;
    return options;
}

inline std::string told(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

struct fault_list {
    std::string text;
    static int visit(void *context, const roma_store_fault *fault)
    {
        static_cast<fault_list *>(context)->text += std::string(fault->text) + "\n";
        return 0;
    }
};

/* What the oracle finds, as text: "" for a sound store. */
inline std::string faults_of(roma_store *store)
{
    fault_list list;
    const int64_t count = roma_store_check(store, fault_list::visit, &list);
    if (count != 0 && list.text.empty())
        list.text = "check returned " + std::to_string(count);
    return list.text;
}

inline uint64_t figure_of(roma_store *store, const char *key)
{
    sought_figure want{key};
    REQUIRE(roma_store_stats(store, want.visit, &want) == 0);
    REQUIRE(want.is_found);
    return want.number;
}

/* A store that is sound, and is closed, at the end. */
struct open_store {
    roma_store *self = nullptr;

    explicit open_store(roma_store *store) : self(store) {}
    open_store(const char *path, bool create, const roma_store_options &options = small_store())
    {
        roma_error error = {};
        const int code = create ? roma_store_create(path, &options, &self, &error)
                                : roma_store_open(path, &options, &self, &error);
        INFO(told(error));
        REQUIRE(code == 0);
    }
    open_store(const open_store &) = delete;
    open_store &operator=(const open_store &) = delete;
    ~open_store()
    {
        if (self == nullptr)
            return;
        CHECK(faults_of(self) == "");
        CHECK(roma_store_close(self) == 0);
    }
    void close()
    {
        CHECK(faults_of(self) == "");
        CHECK(roma_store_close(self) == 0);
        self = nullptr;
    }
    operator roma_store *() const { return self; }
};

/* In a child, which ends with 90 where there is no store to be had. */
inline roma_store *open_in_child(const store_path &path)
{
    roma_store *store = nullptr;
    const roma_store_options options = small_store();
    if (roma_store_open(path.c_str(), &options, &store, nullptr) != 0)
        _exit(90);
    return store;
}

inline roma_store *memory_store(const roma_store_options &options = small_store())
{
    roma_store *store = nullptr;
    roma_error error = {};
    const int code = roma_store_create_memory("test", &options, &store, &error);
    INFO(told(error));
    REQUIRE(code == 0);
    return store;
}

inline uint64_t live_blocks(roma_store *store)
{
    return figure_of(store, "blocks.live_count");
}

} // namespace roma_tests

#endif
