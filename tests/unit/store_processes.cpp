/* store_processes.cpp - sessions of several processes: who lives, who is dead, and what becomes of
 * what the dead had. */
#include "emulated.hpp"
#include "stores.hpp"

#include "store/internal.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/mman.h>
#include <thread>
#include <vector>

using namespace roma_tests;

namespace {

int end_by_kill()
{
    kill(getpid(), SIGKILL);
    return 1;
}

/* What adopts a slab for each of 16 classes and leaves it, with another block in use. */
void link_pairs(roma_store *store, unsigned pairs)
{
    const size_t sizes[] = {16,  32,  48,  64,  80,  96,  112, 128,
                            160, 192, 224, 256, 320, 384, 448, 512};
    for (unsigned i = 0; i < 2 * pairs; i++) {
        void *block = roma_store_alloc(store, sizes[i / 2]);
        REQUIRE(roma_store_link(store, roma_store_root(store, i), block) == 0);
        REQUIRE(roma_store_release(store, block) == 0);
    }
}

/* Has the lane's list no entry that is 0, but for those of its pages? */
bool is_list_full(const roma__lane *lane, unsigned kept, unsigned first_plain)
{
    for (unsigned i = 0; i < ROMA__LANE_LIST; i++)
        if ((i <= kept || i >= first_plain) && lane->list[i] == 0)
            return false;
    return true;
}

struct seen {
    int alive = 0, dead = 0, own = 0;
    uint64_t slabs = 0, cells = 0;
    std::string label;
    static int visit(void *context, const roma_store_session *session)
    {
        auto *self = static_cast<seen *>(context);
        self->alive += session->is_alive;
        self->dead += !session->is_alive;
        self->own += session->is_own;
        if (!session->is_own) {
            self->slabs += session->slabs;
            self->cells += session->cells;
            self->label = session->label;
        }
        return 0;
    }
};

seen sessions_of(roma_store *store)
{
    seen found;
    REQUIRE(roma_store_sessions(store, seen::visit, &found) == 0);
    return found;
}

} // namespace

TEST_CASE("a mapping keeps the lock of its description when the descriptor is closed", "[store]")
{
    SKIP_WHERE_EMULATED();
    store_path path;
    const int64_t byte = (INT64_C(1) << 62) + 5000;
    const int other = open(path.c_str(), O_RDWR | O_CREAT, 0600);
    REQUIRE(other >= 0);
    REQUIRE(ftruncate(other, 65536) == 0);
    const int fd = open(path.c_str(), O_RDWR);
    REQUIRE(fd >= 0);
    void *mapped = mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(mapped != MAP_FAILED);
    REQUIRE(madvise(mapped, 65536, MADV_DONTFORK) == 0);
    REQUIRE(roma__byte_lock(fd, byte, false) == 0);
    close(fd);
    CHECK(roma__byte_is_held(other, byte) == 1);
    CHECK(roma__byte_lock(other, byte, false) == -EAGAIN);
    int ready[2], end[2]; /* a child that lives does not keep it */
    REQUIRE(pipe(ready) == 0);
    REQUIRE(pipe(end) == 0);
    const pid_t child = fork();
    if (child == 0) {
        char c = 0;
        _exit(write(ready[1], &c, 1) == 1 && read(end[0], &c, 1) == 1 ? 0 : 1);
    }
    char c = 0;
    REQUIRE(read(ready[0], &c, 1) == 1);
    REQUIRE(munmap(mapped, 65536) == 0);
    CHECK(roma__byte_is_held(other, byte) == 0);
    CHECK(roma__byte_lock(other, byte, false) == 0);
    REQUIRE(write(end[1], &c, 1) == 1);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    for (int pipe_end : {ready[0], ready[1], end[0], end[1], other})
        close(pipe_end);
}

TEST_CASE("what a killed process held goes, what it linked stays", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    const int end = in_child([&] {
        roma_store *own = open_in_child(path);
        for (int i = 0; i < 10000; i++)
            if (roma_store_alloc(own, 100) == nullptr)
                return 91;
        if (roma_store_alloc(own, 1 << 20) == nullptr)
            return 92;
        void *kept = roma_store_alloc(own, 2000);
        std::strcpy(static_cast<char *>(kept), "kept");
        if (roma_store_link(own, roma_store_root(own, 9), kept) != 0)
            return 93;
        return end_by_kill();
    });
    REQUIRE(end == -SIGKILL);
    CHECK(live_blocks(store) == 10002);
    const seen before = sessions_of(store);
    CHECK(before.alive == 1);
    CHECK(before.dead == 1);
    CHECK(before.slabs > 10);
    CHECK(before.label.find("test_unit") != std::string::npos);
    CHECK(roma_store_recover(store) == 1);
    CHECK(roma_store_recover(store) == 0);
    CHECK(sessions_of(store).dead == 0);
    CHECK(live_blocks(store) == 1);
    auto *kept = static_cast<char *>(roma_store_load(store, roma_store_root(store, 9)));
    REQUIRE(kept != nullptr);
    CHECK(std::string(kept) == "kept");
    CHECK(roma_store_release_from(store, roma_store_root(store, 9)) == 1);
    CHECK(roma_store_release(store, kept) == 0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("a killed process's references to others' blocks are given up", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    void *block = roma_store_alloc(store, 100);
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    REQUIRE(roma_store_release(store, block) == 0);
    const int end = in_child([&] {
        roma_store *own = open_in_child(path);
        void *held = roma_store_load(own, roma_store_root(own, 0));
        if (held == nullptr || roma_store_retain(own, held) != 0 ||
            roma_store_release_from(own, roma_store_root(own, 0)) != 1)
            return 91;
        return end_by_kill();
    });
    REQUIRE(end == -SIGKILL);
    CHECK(sessions_of(store).cells == 1);
    CHECK(live_blocks(store) == 1);
    CHECK(roma_store_recover(store) == 1);
    CHECK(roma_store_trim(store, 0) >= 0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("what a dead lane with a full list in a full store held goes, too", "[store]")
{
    const unsigned kept = 16, first_plain = 49; /* of a lane's list, as lane.c has them */
    store_path path;
    {
        open_store maker(path.c_str(), true, small_store(128u << 20));
        link_pairs(maker, kept);
    }
    open_store store(path.c_str(), false);
    const int end = in_child([&] {
        roma_store *own = open_in_child(path), *other = open_in_child(path);
        roma_store_request request = roma_store_request_of(4000);
        request.refs_count = 1;
        void *parent = roma_store_alloc_with(own, &request);
        if (roma_store_alloc(own, 4000) == nullptr ||
            roma_store_link(own, roma_store_root(own, 40), parent) != 0 ||
            roma_store_release(own, parent) != 0)
            return 91;
        for (unsigned i = 1; i < ROMA__LANE_LIST - first_plain; i++)
            for (unsigned k = 0; k < 31; k++) /* blocks a slab */
                if (roma_store_alloc(own, 2000) == nullptr)
                    return 92;
        while (roma_store_alloc(other, 2000) != nullptr)
            continue;
        for (unsigned i = 0; i < kept; i++)
            if (roma_store_release_from(own, roma_store_root(own, 2 * i)) != 1)
                return 93;
        /* The slab that the first lane's records name last is its own, and holds a block for it. */
        if (roma_store_release_from(own, roma_store_root(own, 40)) != 1)
            return 94;
        const roma__lane *lanes = own->view.lanes;
        return is_list_full(&lanes[0], kept, first_plain) ? end_by_kill() : 95;
    });
    REQUIRE(end == -SIGKILL);
    CHECK(roma_store_recover(store) == 2);
    CHECK(live_blocks(store) == kept);
}

TEST_CASE("the slot of a dead session is taken over when there is no other", "[store]")
{
    store_path path;
    roma_store_options options = small_store();
    options.sessions = 2;
    open_store store(path.c_str(), true, options);
    const int end = in_child([&] {
        roma_store *own = open_in_child(path);
        return roma_store_alloc(own, 100) == nullptr ? 91 : end_by_kill();
    });
    REQUIRE(end == -SIGKILL);
    CHECK(live_blocks(store) == 1);
    open_store other(path.c_str(), false);
    CHECK(live_blocks(store) == 0);
    CHECK(sessions_of(store).alive == 2);
}

TEST_CASE("a child made by fork does not have the store, and may open it anew", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    void *block = roma_store_alloc(store, 100);
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    const int end = in_child([&] {
        if (!roma_store_is_stale(store))
            return 91;
        errno = 0;
        if (roma_store_alloc(store, 8) != nullptr || errno != ESTALE)
            return 92;
        if (roma_store_release(store, block) != -ESTALE ||
            roma_store_load(store, nullptr) != nullptr || roma_store_root(store, 0) != nullptr ||
            roma_store_recover(store) != -ESTALE || roma_store_sync(store) != -ESTALE ||
            roma_store_check(store, nullptr, nullptr) != -ESTALE)
            return 93;
        roma_store *own = nullptr;
        const roma_store_options options = small_store();
        if (roma_store_attach(roma_store_fd(store), &options, &own, nullptr) != 0)
            return 94;
        if (roma_store_close(store) != 0)
            return 95;
        void *same = roma_store_load(own, roma_store_root(own, 0));
        if (same == nullptr || roma_store_release(own, same) != 0)
            return 96;
        return roma_store_close(own) == 0 ? 0 : 97;
    });
    CHECK(end == 0);
    CHECK_FALSE(roma_store_is_stale(store));
    CHECK(roma_store_release(store, block) == 0);
    CHECK(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
}

TEST_CASE("a forked child that lives on does not keep its parent's session alive", "[store]")
{
    SKIP_WHERE_EMULATED();
    store_path path;
    open_store store(path.c_str(), true);
    int news[2];
    REQUIRE(pipe(news) == 0);
    const int end = in_child([&] {
        roma_store *own = open_in_child(path);
        if (roma_store_alloc(own, 100) == nullptr)
            return 91;
        const pid_t grandchild = fork();
        if (grandchild == 0) {
            sleep(30);
            _exit(0);
        }
        if (write(news[1], &grandchild, sizeof grandchild) != sizeof grandchild)
            return 92;
        return end_by_kill();
    });
    REQUIRE(end == -SIGKILL);
    pid_t grandchild = 0;
    REQUIRE(read(news[0], &grandchild, sizeof grandchild) == sizeof grandchild);
    CHECK(kill(grandchild, 0) == 0);
    CHECK(roma_store_recover(store) == 1);
    CHECK(live_blocks(store) == 0);
    kill(grandchild, SIGKILL);
    close(news[0]);
    close(news[1]);
}

TEST_CASE("a million blocks of a dead session are recovered in well under a second", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true, small_store(256u << 20));
    const int end = in_child([&] {
        roma_store *own = open_in_child(path);
        for (int i = 0; i < 1000000; i++)
            if (roma_store_alloc(own, 64) == nullptr)
                return 91;
        return end_by_kill();
    });
    REQUIRE(end == -SIGKILL);
    CHECK(live_blocks(store) == 1000000);
    timespec before, after; /* what this thread needed, not what others of the machine took */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    CHECK(roma_store_recover(store) == 1);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    const double seconds = static_cast<double>(after.tv_sec - before.tv_sec) +
                           1e-9 * static_cast<double>(after.tv_nsec - before.tv_nsec);
    CHECK(seconds < 1.0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("the last one out marks the store clean, and a killed one does not", "[store]")
{
    store_path path;
    const auto flags = [&] {
        char first[8192];
        const int fd = open(path.c_str(), O_RDONLY);
        REQUIRE(pread(fd, first, sizeof first, 0) == sizeof first);
        close(fd);
        roma__super super;
        roma__regions regions;
        unsigned index;
        REQUIRE(roma__super_choose(first, &super, &index, &regions) == 0);
        return super.flags;
    };
    {
        open_store store(path.c_str(), true);
        CHECK((flags() & ROMA__SUPER_CLEAN) == 0);
        open_store second(path.c_str(), false);
        second.close();
        CHECK((flags() & ROMA__SUPER_CLEAN) == 0);
    }
    CHECK((flags() & ROMA__SUPER_CLEAN) != 0);
    REQUIRE(in_child([&] {
                roma_store *own = open_in_child(path);
                return roma_store_alloc(own, 8) == nullptr ? 91 : end_by_kill();
            }) == -SIGKILL);
    CHECK((flags() & ROMA__SUPER_CLEAN) == 0);
    open_store store(path.c_str(), false);
    store.close(); /* it recovers who is dead before it marks */
    CHECK((flags() & ROMA__SUPER_CLEAN) != 0);
    open_store again(path.c_str(), false);
    CHECK(live_blocks(again) == 0);
}

TEST_CASE("processes that are killed at any moment leave a sound store without a block too many",
          "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    unsigned seed = 1;
    for (int round = 0; round < 40; round++) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            roma_store *own = open_in_child(path);
            roma_store_request request = roma_store_request_of(64);
            request.refs_count = 4;
            for (unsigned i = 0;; i++) {
                roma_ref *root = roma_store_root(own, i % 8);
                auto *block = static_cast<roma_ref *>(roma_store_alloc_with(own, &request));
                void *held = roma_store_load(own, root);
                if (block != nullptr && held != nullptr)
                    (void)roma_store_link(own, &block[i % 4], held);
                (void)roma_store_relink(own, root, block);
                if (i % 5 == 0)
                    (void)roma_store_release_from(own, root);
                (void)roma_store_release(own, block);
                (void)roma_store_release(own, held);
            }
        }
        seed = seed * 1103515245 + 12345;
        usleep(2000 + seed / 65536 % 5000);
        kill(child, SIGKILL);
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(WIFSIGNALED(status));
        if (round % 4 == 3) {
            (void)roma_store_recover(store);
            REQUIRE(faults_of(store) == "");
        }
    }
    (void)roma_store_recover(store);
    for (unsigned i = 0; i < 8; i++)
        CHECK(roma_store_release_from(store, roma_store_root(store, i)) >= 0);
    CHECK(live_blocks(store) == 0);
}
