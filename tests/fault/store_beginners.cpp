/* store_beginners.cpp - sessions that begin, and threads that make their first call, at each read
 * of a copy: the checkpoint is sound, and can be restored.
 *
 * Reads give a page at a time, so that the copy has as many moments as the tables have pages. In
 * the middle of one of them another session attaches and makes its first call, and a thread of one
 * that was there makes its own. None of it may be seen by half. */
#include "faulty.hpp"
#include "sanitized.hpp"
#include "store_place.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

using roma_tests::held_store;
using roma_tests::store_place;

namespace {

struct paged_reads {
    static constexpr size_t page_bytes = 4096;
    static inline thread_local long left = 0; /* of the thread that copies */
    static inline std::function<void()> act;

    static ssize_t pread(int fd, void *buffer, size_t bytes, off_t offset)
    {
        if (left > 0 && --left == 0)
            act();
        return roma__sys_kernel.pread(fd, buffer, std::min(bytes, page_bytes), offset);
    }
};

/* Two threads that begin when they are told, and come to their end when nobody parks. */
class beginners {
  public:
    explicit beginners(const std::string &path) : path_(path), old_(held_store::open(path)) {}
    beginners(const beginners &) = delete;
    beginners &operator=(const beginners &) = delete;
    ~beginners() { end(); }

    void begin()
    {
        session_ = std::thread([this] {
            roma_store *store = nullptr;
            code_ = roma_store_open(path_.c_str(), nullptr, &store, nullptr);
            is_attached_ = true;
            if (code_ == 0) {
                is_good_ = roma_store_alloc(store, 100) != nullptr;
                code_ = roma_store_close(store);
            }
        });
        thread_ = std::thread([this] { is_old_good_ = roma_store_alloc(old_, 100) != nullptr; });
        while (!is_attached_)
            std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(2)); /* as far as they come */
    }
    /* Did both do what they wanted? */
    bool end()
    {
        if (session_.joinable())
            session_.join();
        if (thread_.joinable())
            thread_.join();
        return code_ == 0 && is_good_ && is_old_good_;
    }

  private:
    std::string path_;
    held_store old_;
    std::thread session_, thread_;
    std::atomic<bool> is_attached_{false}, is_good_{false}, is_old_good_{false};
    std::atomic<int> code_{-1};
};

/* Lanes of a file that nobody has open. */
unsigned lanes_in_use(const std::string &path)
{
    char first[2 * ROMA__SUPER_BYTES];
    roma__super super;
    roma__regions regions;
    unsigned index = 0, count = 0;
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(pread(fd, first, sizeof first, 0) == ssize_t(sizeof first));
    REQUIRE(roma__super_choose(first, &super, &index, &regions) == 0);
    for (uint32_t i = 0; i < regions.lanes; i++) {
        uint32_t word = 0;
        const auto at = off_t(regions.lanes_at + i * sizeof(roma__lane));
        REQUIRE(pread(fd, &word, sizeof word, at) == ssize_t(sizeof word));
        count += word != 0;
    }
    close(fd);
    return count;
}

/* Lanes that were used before are there to be taken; else there are only new ones. */
void leave_lanes(const std::string &path)
{
    held_store one(held_store::open(path)), two(held_store::open(path));
    for (roma_store *store : {one.self, two.self})
        REQUIRE(roma_store_alloc(store, 100) != nullptr);
}

/* Returns whether the copy took so many reads. */
bool begin_at(long number, bool has_lanes)
{
    INFO("a session and a thread begin at read " << number);
    store_place place;
    const std::string copy = place.beside("copy"), restored = place.beside("restored");
    roma_store_options options = roma_tests::small_options();
    options.unsynced = true;
    held_store store(held_store::create(place.path, options));
    roma_tests::put_text(store, 0, "text");
    if (has_lanes)
        leave_lanes(place.path);
    beginners both(place.path);
    bool has_begun = false;
    paged_reads::act = [&] {
        has_begun = true;
        both.begin();
    };
    paged_reads::left = number;
    const int code = roma_store_checkpoint(store, copy.c_str(), nullptr, nullptr);
    paged_reads::left = 0;
    CHECK(code == 0);
    if (has_begun)
        CHECK(both.end());
    roma_error error{};
    CHECK(roma_store_restore(restored.c_str(), copy.c_str(), &error) == 0);
    INFO(held_store::text_of(error));
    for (const std::string &path : {restored, copy}) {
        CHECK(roma_tests::text_in(path) == "text");
        CHECK(lanes_in_use(path) == 0);
    }
    return has_begun;
}

} // namespace

TEST_CASE("store beginners: whoever begins while a store is copied, the copy is sound")
{
    roma_tests::faulty table;
    table.calls.pread = paged_reads::pread;
    table.calls.fsync = [](int) { return 0; }; /* nobody takes the power away here */
    const bool has_lanes = GENERATE(false, true);
#ifdef ROMA_TESTS_UNDER_TSAN /* a race is one whatever the lanes were: each read with one of them */
    long number = has_lanes ? 2 : 1;
    const long step = 2;
#else
    long number = 1;
    const long step = 1;
#endif
    while (begin_at(number, has_lanes))
        number += step;
    CHECK(number > 30);
}
