/* store_checkpoint.cpp - each system call of a checkpoint and of a restore failed in turn: what is
 * at the path afterwards is the old one or the new one, whole, and the store goes on.
 *
 * An error that is returned leaves the old one, but where only the last step failed, writing out
 * the folder: then the new one is there already. Success is the new one. */
#include "faults.hpp"
#include "store_place.hpp"

#include <functional>
#include <sys/stat.h>

using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::store_place;

namespace {

struct scene {
    const char *what;
    std::function<int()> act;                          /* what is failed                  */
    std::function<void(int code, bool is_last)> judge; /* is_last: the folder's fsync     */
};

/* EINTR for good is no world, and only these can do less than they were asked. */
bool is_possible(unsigned entry, faults::mode how, int error)
{
    if (how == faults::mode::for_good)
        return error != EINTR;
    return how == faults::mode::once || entry == faults::at_pread || entry == faults::at_pwrite ||
           entry == faults::at_read;
}

/* The N-th use of an entry failed for every N that there is (faults.hpp: or a sample of them).
 * Returns how many were. */
unsigned fail_each(const scene &one, unsigned entry, faults::mode how, int error)
{
    unsigned failed = 0;
    for (unsigned long nth = 1;; nth = faults::next_use(nth, faults::stride())) {
        INFO(one.what << ": " << faults::name_of(faults::entry(entry)) << " number " << nth
                      << ", errno " << error << ", mode " << int(how));
        faults::arm({faults::entry(entry), nth, how, error});
        const int code = one.act();
        const bool has_fired = faults::has_fired();
        faults::disarm();
        one.judge(code, entry == faults::at_fsync || entry == faults::at_open);
        if (!has_fired) {
            CHECK(code == 0);
            return failed;
        }
        failed++;
    }
}

unsigned fail_all(const scene &one)
{
    unsigned failed = 0;
    for (unsigned entry = 0; entry < faults::entry_count; entry++)
        for (const faults::mode how :
             {faults::mode::once, faults::mode::for_good, faults::mode::dribble})
            for (const int error : faults::errors_of(faults::entry(entry)))
                if (is_possible(entry, how, error))
                    failed += fail_each(one, entry, how, error);
    roma__sys_replace(nullptr);
    return failed;
}

} // namespace

TEST_CASE("store checkpoint: each of its system calls failed leaves the old one or the new one")
{
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    unsigned round = 0;
    std::string before, now;
    const auto next = [&] {
        before = now;
        now = "text " + std::to_string(++round);
        roma_tests::put_text(store, 0, now.c_str());
    };
    next();
    REQUIRE(roma_store_checkpoint(store, copy.c_str(), nullptr, nullptr) == 0);
    next();
    std::string there = before;
    const unsigned failed = fail_all({"checkpoint",
                                      [&] {
                                          roma_error error{};
                                          const int code = roma_store_checkpoint(
                                              store, copy.c_str(), nullptr, &error);
                                          CHECK(error.code == code);
                                          return code;
                                      },
                                      [&](int code, bool is_last) {
                                          const std::string seen = roma_tests::text_in(copy);
                                          if (code == 0)
                                              CHECK(seen == now);
                                          else if (!(is_last && seen == now))
                                              CHECK(seen == there);
                                          there = seen;
                                          next();
                                          CHECK(roma_tests::text_at(store, 0) == now);
                                      }});
    CHECK(failed > 50);
    CHECK(faults_in(store) == 0);
    REQUIRE(roma_store_checkpoint(store, copy.c_str(), nullptr, nullptr) == 0);
    CHECK(roma_tests::text_in(copy) == now);
    CHECK_FALSE(store_place::is_there(copy + ".roma-part"));
}

TEST_CASE("store restore: each of its system calls failed leaves the crashed store or the new one")
{
    store_place place;
    const std::string copy = place.path + ".checkpoint";
    {
        held_store store(held_store::create(place.path));
        roma_tests::put_text(store, 0, "kept");
        REQUIRE(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
        roma_tests::put_text(store, 0, "lost");
    }
    roma_tests::crash_machine(place.path);
    const unsigned failed = fail_all(
        {"restore", [&] { return roma_store_restore(place.path.c_str(), nullptr, nullptr); },
         [&](int code, bool is_last) {
             roma_store_info info;
             REQUIRE(roma_store_info_of(place.path.c_str(), &info, nullptr) == 0);
             CHECK((code == 0 ? !info.is_crashed : info.is_crashed || is_last));
             if (!info.is_crashed) {
                 CHECK(roma_tests::text_in(place.path) == "kept");
                 roma_tests::crash_machine(place.path); /* for the next one */
             }
             CHECK(roma_tests::text_in(copy) == "kept");
         }});
    CHECK(failed > 50);
    REQUIRE(roma_store_restore(place.path.c_str(), nullptr, nullptr) == 0);
    CHECK(roma_tests::text_in(place.path) == "kept");
}
