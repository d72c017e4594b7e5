/* heap.cpp - the heap over a provider that does as it is told: where cells come from, what they
 * keep, and what is left behind when memory cannot be had. */
#include "catch.hpp"
#include "ops.hpp"

#include "heap/heap.h"

#include <roma.h>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <vector>

extern "C" int roma__resizing_begin(void); /* heap/extents.h has C11's _Atomic */
extern "C" void roma__resizing_end(int cancelling);

namespace {

/* A provider over mmap that counts, and fails when told to. */
struct obedient {
    int acquired = 0, released = 0, moved = 0;
    bool refuse_acquire = false, refuse_resize = false;
    size_t largest = SIZE_MAX;     /* acquire nothing longer */
    void *near = nullptr;          /* acquire about there, where that is free */
    std::function<void()> between; /* the moving of pages and telling where they are now */
};

int obedient_probe(void *, const roma_extent_request *, roma_error *)
{
    return 0;
}

int obedient_acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                     roma_error *error)
{
    auto *me = static_cast<obedient *>(self);
    if (me->refuse_acquire || request->bytes > me->largest) {
        error->why = ROMA_WHY_PROVIDER;
        return -ENOMEM;
    }
    const size_t page = roma_page_bytes(request->pages);
    size_t align = std::max(request->align, page);
    size_t length = (request->bytes + page - 1) / page * page;
    auto *raw = static_cast<char *>(mmap(me->near, length + align, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (raw == MAP_FAILED)
        return -errno;
    char *start = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(raw) + align - 1) / align *
                                           align);
    if (start > raw)
        munmap(raw, static_cast<size_t>(start - raw));
    munmap(start + length, align - static_cast<size_t>(start - raw));
    extent->address = start;
    extent->bytes = length;
    extent->page_bytes = page;
    extent->pages = request->pages;
    extent->zeroed = true;
    extent->inherited = true;
    me->acquired++;
    return 0;
}

int obedient_release(void *self, const roma_extent *extent, roma_error *)
{
    static_cast<obedient *>(self)->released++;
    return munmap(extent->address, extent->bytes) == 0 ? 0 : -errno;
}

int obedient_resize(void *self, roma_extent *extent, size_t bytes, bool may_move, roma_error *)
{
    auto *me = static_cast<obedient *>(self);
    if (me->refuse_resize || (!may_move && bytes > extent->bytes))
        return -ENOMEM;
    size_t length = (bytes + 4095) / 4096 * 4096;
    if (!may_move) {
        munmap(static_cast<char *>(extent->address) + length, extent->bytes - length);
        extent->bytes = length;
        return 0;
    }
    /* Always move, to an address aligned to a granule. */
    size_t align = 64 << 10;
    auto *raw = static_cast<char *>(
        mmap(nullptr, length + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char *start = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(raw) + align - 1) / align *
                                           align);
    void *to = mremap(extent->address, extent->bytes, length, MREMAP_MAYMOVE | MREMAP_FIXED, start);
    if (to == MAP_FAILED)
        return -errno;
    if (me->between)
        me->between();
    extent->address = to;
    extent->bytes = length;
    me->moved++;
    return 0;
}

int obedient_populate(void *, const roma_range *range, const roma_populate_options *, roma_error *)
{
    memset(static_cast<char *>(range->extent->address) + range->offset, 0, range->bytes);
    return 0;
}

int obedient_advise(void *, const roma_range *, roma_advice, const roma_executor *, roma_error *)
{
    return 0;
}

int obedient_query(void *, const roma_range *range, roma_report *report, roma_error *)
{
    report->bytes = range->bytes;
    return 0;
}

int obedient_stats(void *, roma_visit, void *)
{
    return 0;
}

/* The far end of a range so long that nothing has been there yet. */
void *fresh_addresses()
{
    const size_t bytes = static_cast<size_t>(64) << 30;
    void *range = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                       0);
    REQUIRE(range != MAP_FAILED);
    munmap(range, bytes);
    return range;
}

struct fixture {
    obedient memory;
    roma_provider *provider = nullptr;
    roma__heap *heap = nullptr;
    size_t charged = 0, limit = SIZE_MAX;
    uint64_t held_when_told = 0; /* of memory that was obtained */

    explicit fixture(size_t growth = 0, roma_page_kind before_base = 0)
    {
        const roma_provider_ops ops = roma_tests::mandatory_ops(
            "obedient", obedient_probe, obedient_acquire, obedient_release, obedient_resize,
            obedient_populate, obedient_advise, obedient_query, obedient_stats);
        REQUIRE(roma_provider_register(&ops, &memory, &provider, nullptr) == 0);
        roma__heap_options options{};
        options.words = ROMA__WORDS_EXACT;
        options.owner = this;
        for (roma_page_kind kind : {before_base, roma_page_kind{ROMA_PAGE_CLASS_BASE | 12}})
            if (kind != 0) {
                options.ladder.steps[options.ladder.count].provider = provider;
                options.ladder.steps[options.ladder.count++].pages = kind;
            }
        options.growth_bytes = growth;
        options.label = "test";
        options.charge = [](void *owner, size_t bytes) {
            auto *me = static_cast<fixture *>(owner);
            if (bytes > me->limit - me->charged)
                return -ENOMEM;
            me->charged += bytes;
            return 0;
        };
        options.credit = [](void *owner, size_t bytes) {
            static_cast<fixture *>(owner)->charged -= bytes;
        };
        options.obtained = [](void *owner) {
            auto *me = static_cast<fixture *>(owner);
            me->held_when_told = roma__heap_held_bytes(me->heap);
        };
        REQUIRE(roma__heap_open(&options, &heap, nullptr) == 0);
    }

    ~fixture()
    {
        roma__heap_close(heap);
        CHECK(memory.acquired == memory.released);
        CHECK(charged == 0);
        CHECK(roma_provider_unregister(provider) == 0);
    }

    int take(size_t bytes, roma__cell *cell, size_t align = 16, roma_grant *grant = nullptr)
    {
        roma__take want{};
        want.bytes = bytes;
        want.align = align;
        roma_error error = {};
        return roma__heap_take(heap, &want, cell, grant, &error);
    }

    roma__cell must_take(size_t bytes, size_t align = 16)
    {
        roma__cell cell{};
        REQUIRE(take(bytes, &cell, align) == 0);
        return cell;
    }

    static void free(roma__cell cell)
    {
        REQUIRE(roma__cell_drop(&cell, cell.generation) == 0);
        roma__cell_recycle(&cell);
    }

    void must_be_sound()
    {
        std::string said;
        auto report = [](void *context, const char *sentence) {
            *static_cast<std::string *>(context) += std::string(sentence) + "\n";
        };
        uint64_t faults = roma__heap_check(heap, report, &said);
        INFO(said);
        CHECK(faults == 0);
    }
};

} // namespace

TEST_CASE("cells of all lengths are apart, aligned, and keep their length", "[heap]")
{
    fixture f;
    std::map<char *, roma__cell> cells; /* by address, to find overlaps */
    for (size_t bytes : {0, 1, 15, 16, 17, 64, 100, 129, 1000, 4096, 5000, 65536, 262144, 262145,
                         1000000, 1048575, 1048576, 5000000})
        for (size_t align : {16, 64, 4096, 65536, 1 << 21}) {
            roma__cell cell = f.must_take(bytes, align);
            CHECK(reinterpret_cast<uintptr_t>(cell.address) % align == 0);
            CHECK(cell.bytes == bytes);
            CHECK(cell.usable >= bytes);
            CHECK(cell.count == 1);
            cells[static_cast<char *>(cell.address)] = cell;
        }
    CHECK(cells.size() == 18 * 5);
    char *end = nullptr;
    for (auto &[address, cell] : cells) {
        CHECK(address >= end);
        end = address + cell.usable;
    }
    f.must_be_sound();
    for (auto &[address, cell] : cells)
        f.free(cell);
    f.must_be_sound();
    CHECK(roma__heap_figures_of(f.heap).cells_live == 0);
}

TEST_CASE("an address finds its cell, an interior one the cell around it", "[heap]")
{
    fixture f;
    for (size_t bytes : {16, 4096, 262145, 5000000}) {
        INFO("length " << bytes);
        roma__cell cell = f.must_take(bytes), found{};
        REQUIRE(roma__cell_find(cell.address, &found) == 0);
        CHECK(found.generation == cell.generation);
        CHECK(found.owner == &f);
        for (size_t inside : {size_t{1}, bytes / 2, bytes - 1}) {
            char *within = static_cast<char *>(cell.address) + inside;
            int code = roma__cell_find(within, &found);
            if (bytes > 262144 && inside >= 65536) {
                CHECK((code == -ENOENT || code == -ESTALE));
                REQUIRE(roma__cell_around(within, &found) == 0);
            } else {
                CHECK(code == -EINVAL);
                REQUIRE(found.slab != nullptr);
            }
            CHECK(found.address == cell.address);
        }
        void *address = cell.address;
        f.free(cell);
        int code = roma__cell_find(address, &found);
        CHECK((code == -ESTALE || (code == 0 && found.count == 0)));
    }
    int on_stack = 0;
    roma__cell none{};
    CHECK(roma__cell_find(&on_stack, &none) == -ENOENT);
    CHECK(roma__cell_find(nullptr, &none) == -ENOENT);
    CHECK(roma__cell_find(reinterpret_cast<void *>(UINTPTR_MAX), &none) == -ENOENT);
}

TEST_CASE("a handle stays stale through every reuse of its address", "[heap]")
{
    fixture f;
    std::set<std::pair<void *, uint32_t>> seen;
    /* The same granules as cells of many classes, as runs and again: generations only grow. */
    for (int round = 0; round < 50; round++)
        for (size_t bytes : {16, 48, 4096, 100000, 300000}) {
            roma__cell cell = f.must_take(bytes);
            CHECK(seen.insert({cell.address, cell.generation}).second);
            f.free(cell);
            CHECK(roma__cell_drop(&cell, cell.generation) == -ESTALE);
            CHECK(roma__cell_retain(&cell, cell.generation) == -ESTALE);
            if (round % 10 == 0)
                roma__heap_trim(f.heap, 0);
        }
    f.must_be_sound();
}

TEST_CASE("blocks of at least own_bytes get exactly their pages, and give them back", "[heap]")
{
    fixture f;
    roma__cell cell = f.must_take(3 << 20);
    CHECK(cell.usable == 3 << 20);
    CHECK(roma__heap_figures_of(f.heap).extents_bytes == 3 << 20);
    f.free(cell);
    CHECK(roma__heap_figures_of(f.heap).extents_live == 0);
}

TEST_CASE("one empty extent is kept, a second given back; trim gives back all", "[heap]")
{
    fixture f;
    std::vector<roma__cell> cells;
    for (int i = 0; i < 6; i++)
        cells.push_back(f.must_take(1000000)); /* two to an extent of 2 MiB */
    CHECK(roma__heap_figures_of(f.heap).extents_live == 3);
    for (auto &cell : cells)
        f.free(cell);
    CHECK(roma__heap_figures_of(f.heap).extents_live == 1);
    f.must_be_sound();
    CHECK(roma__heap_trim(f.heap, 2 << 20) == 0);
    CHECK(roma__heap_trim(f.heap, 1) == 0); /* the whole extent is needed to keep 1 byte */
    CHECK(roma__heap_trim(f.heap, 0) == 2 << 20);
    CHECK(roma__heap_figures_of(f.heap).extents_bytes == 0);
}

TEST_CASE("where a comfortable extent is not to be had, a small one serves", "[heap]")
{
    fixture f;
    f.memory.largest = 256 << 10;
    roma__cell cell = f.must_take(4096); /* a slab of 256 KiB */
    CHECK(roma__heap_figures_of(f.heap).extents_bytes == 256 << 10);
    roma__cell more{};
    CHECK(f.take(300000, &more) == -ENOMEM);
    f.free(cell);
}

TEST_CASE("trim gives back what empty slabs held, all of it counted, and keeps what it was told to",
          "[heap]")
{
    fixture f;
    std::vector<roma__cell> cells;
    for (size_t bytes : {64, 100000, 200000, 262144}) /* a slab of each class stays when empty */
        for (int i = 0; i < 8; i++)
            cells.push_back(f.must_take(bytes));
    for (auto &cell : cells)
        f.free(cell);
    uint64_t held = roma__heap_figures_of(f.heap).extents_bytes;
    REQUIRE(held > 4 << 20);
    CHECK(roma__heap_trim(f.heap, 4 << 20) == held - (4 << 20));
    CHECK(roma__heap_figures_of(f.heap).extents_bytes == 4 << 20);
    CHECK(roma__heap_trim(f.heap, 0) == 4 << 20);
    f.must_be_sound();
}

TEST_CASE("a handle of yesterday is not revived when generations have wrapped", "[heap][long]")
{
    fixture f;
    const uint32_t turn = 1u << 22;
    /* The lowest free cell is always the same. Without an assertion for each of the eight million
     * lives, which would take longer than they do. */
    auto live_on = [&](roma__cell cell, uint32_t until) {
        while (cell.generation != until) {
            if (roma__cell_drop(&cell, cell.generation) != 0)
                FAIL("the only reference did not end the life");
            roma__cell_recycle(&cell);
            roma__cell next{};
            f.take(64, &next);
            if (next.address != cell.address)
                FAIL("another cell was taken");
            cell = next;
        }
        return cell;
    };
    roma__cell a = f.must_take(64);
    roma__cell b = live_on(f.must_take(64), turn - 1), old = b;
    b = live_on(b, 1); /* around */
    a = live_on(a, turn - 2);
    f.free(a);
    f.free(b);
    roma__heap_trim(f.heap, 0);
    std::vector<roma__cell> cells;
    for (int i = 0; i < 100; i++) {
        cells.push_back(f.must_take(64));
        CHECK((cells.back().address != old.address || cells.back().generation != old.generation));
    }
    for (auto &cell : cells)
        f.free(cell);
}

TEST_CASE("a slab over granules with different pasts starts beyond all of them", "[heap]")
{
    constexpr uint32_t turn = 1u << 22;
    fixture f;
    f.memory.near = fresh_addresses();
    roma__cell grown = f.must_take(300000); /* five granules at the start of a fresh extent */
    roma__cell worn = f.must_take(300000);  /* the next five                                */
    REQUIRE(static_cast<char *>(worn.address) == static_cast<char *>(grown.address) + 5 * 65536);
    REQUIRE(grown.generation == 0);                  /* else the addresses were not fresh        */
    REQUIRE(roma__cell_resize(&grown, 310000) == 0); /* grows in its first life: nothing wrapped */
    void *const at = worn.address;
    for (int i = 0; i < 20; i++) {
        f.free(worn);
        worn = f.must_take(300000);
        REQUIRE(worn.address == at);
    }
    const roma__cell old = worn;
    f.free(worn);
    f.free(grown);
    std::vector<roma__cell> cells; /* one slab over both */
    for (int i = 0; i < 16; i++)
        cells.push_back(f.must_take(65536));
    bool met = false;
    for (roma__cell &cell : cells) {
        if (cell.address == at) {
            met = true;
            CHECK(((cell.generation - old.generation) & (turn - 1)) - 1 < turn / 2);
        }
        f.free(cell);
    }
    CHECK(met);
}

TEST_CASE("a limit that large pages would pass is met by the next step's small ones", "[heap]")
{
    fixture f(0, ROMA_PAGE_CLASS_THP | 21);
    f.limit = 1 << 20;
    roma__cell cell{};
    roma_grant grant;
    REQUIRE(f.take(64, &cell, 16, &grant) == 0);
    CHECK(grant.steps_count == 2);
    CHECK(grant.steps[0].error.why == ROMA_WHY_MANAGER_LIMIT);
    CHECK(grant.pages == (ROMA_PAGE_CLASS_BASE | 12));
    CHECK(f.charged <= f.limit);
    f.free(cell);
}

TEST_CASE("cells resize in place within cell, run and extent", "[heap]")
{
    fixture f;
    roma__cell small = f.must_take(100);
    uint32_t generation = small.generation;
    CHECK(roma__cell_resize(&small, 112) == 0);
    CHECK(small.generation == generation);
    CHECK(roma__cell_resize(&small, 50) == 0);
    CHECK(small.generation != generation); /* a shrink makes handles stale */
    CHECK(roma__cell_resize(&small, 113) == -ENOMEM);
    CHECK(small.bytes == 50);
    f.free(small);

    roma__cell run = f.must_take(300000);
    memset(run.address, 1, run.bytes);
    CHECK(roma__cell_resize(&run, 900000) == 0); /* the rest of the extent is free */
    CHECK(run.usable >= 900000);
    CHECK(roma__cell_resize(&run, 3 << 20) == -ENOMEM);
    CHECK(roma__cell_resize(&run, 70000) == 0);
    CHECK(run.usable == 2 * 65536);
    f.must_be_sound();
    f.free(run);

    roma__cell own = f.must_take(8 << 20);
    CHECK(roma__cell_resize(&own, 2 << 20) == 0);
    CHECK(own.usable == 2 << 20);
    CHECK(f.charged >= 2 << 20);
    f.free(own);
    f.must_be_sound();
}

TEST_CASE("a block moves by its page tables, with its contents, and the old address is nobody's",
          "[heap]")
{
    fixture f;
    roma__cell cell = f.must_take(2 << 20), before = cell, found{};
    memset(cell.address, 0x42, cell.bytes);
    REQUIRE(roma__cell_move(&cell, 6 << 20) == 0);
    CHECK(f.memory.moved == 1);
    CHECK(cell.address != before.address);
    CHECK(cell.usable == 6 << 20);
    CHECK(cell.bytes == 6 << 20);
    CHECK(static_cast<char *>(cell.address)[(2 << 20) - 1] == 0x42);
    CHECK(roma__cell_find(before.address, &found) == -ESTALE);
    CHECK(roma__cell_drop(&before, before.generation) == -ESTALE);
    REQUIRE(roma__cell_find(cell.address, &found) == 0);
    CHECK(found.count == 1);
    f.must_be_sound();
    f.free(cell);
}

TEST_CASE("a fork waits for a block that is on its way to another address", "[heap]")
{
    fixture f;
    roma__cell cell = f.must_take(5 << 20);
    std::atomic<bool> is_on_its_way{false}, is_held{false};
    f.memory.between = [&] { /* as long as a fork would need that does not wait */
                             const auto end = std::chrono::steady_clock::now() +
                                              std::chrono::milliseconds(300);
                             is_on_its_way = true;
                             while (!is_held && std::chrono::steady_clock::now() < end)
                                 std::this_thread::yield();
                             is_on_its_way = false;
    };
    int code = -1;
    std::thread mover([&] { code = roma__cell_move(&cell, 9 << 20); });
    while (!is_on_its_way)
        std::this_thread::yield();
    roma__heaps_fork_hold();
    const bool has_waited = !is_on_its_way;
    is_held = true;
    roma__heaps_fork_free();
    mover.join();
    CHECK(has_waited);
    CHECK(code == 0);
    CHECK(f.memory.moved == 1);
    fixture::free(cell);
}

TEST_CASE("a fork comes by threads that resize all the time", "[heap]")
{
    using clock = std::chrono::steady_clock;
    const auto start = clock::now();
    const auto most = std::chrono::seconds(10);
    std::atomic<bool> is_over{false};
    std::vector<std::thread> resizing(8); /* of whom some do at any time */
    for (std::thread &thread : resizing)
        thread = std::thread([&] {
            while (!is_over && clock::now() - start < most) {
                const int state = roma__resizing_begin();
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
                roma__resizing_end(state);
            }
        });
    for (int i = 0; i < 10; i++) {
        roma__heaps_fork_hold();
        roma__heaps_fork_free();
    }
    const auto took = clock::now() - start;
    is_over = true;
    for (std::thread &thread : resizing)
        thread.join();
    CHECK(took < most);
}

TEST_CASE("a move that fails leaves the cell and its handles as they were", "[heap]")
{
    fixture f;
    roma__cell cell = f.must_take(2 << 20), found{};
    uint32_t generation = cell.generation;
    f.memory.refuse_resize = true;
    CHECK(roma__cell_move(&cell, 6 << 20) == -ENOMEM);
    REQUIRE(roma__cell_find(cell.address, &found) == 0);
    CHECK(found.generation == generation);
    CHECK(found.count == 1);
    CHECK(found.bytes == 2 << 20);
    CHECK(roma__cell_retain(&cell, generation) == 2);
    CHECK(roma__cell_move(&cell, 6 << 20) == -EBUSY); /* not the only holder */
    CHECK(roma__cell_drop(&cell, generation) == 1);
    f.must_be_sound();
    f.free(cell);
}

TEST_CASE("a refused extent and a reached limit are errors that change nothing", "[heap]")
{
    fixture f;
    roma_grant grant;
    roma__cell cell{};
    f.memory.refuse_acquire = true;
    for (size_t bytes : {16, 300000, 5000000}) {
        CHECK(f.take(bytes, &cell, 16, &grant) == -ENOMEM);
        CHECK(grant.code == -ENOMEM);
        CHECK(grant.steps_count == 1);
        CHECK(grant.steps[0].error.why == ROMA_WHY_PROVIDER);
    }
    f.memory.refuse_acquire = false;
    f.limit = 1 << 20;
    CHECK(f.take(5000000, &cell, 16, &grant) == -ENOMEM);
    CHECK(grant.error.why == ROMA_WHY_MANAGER_LIMIT);
    CHECK(f.charged == 0);
    CHECK(f.take(SIZE_MAX, &cell, 16, &grant) == -EOVERFLOW);
    CHECK(f.take(SIZE_MAX / 2, &cell, 1 << 30, &grant) == -EOVERFLOW);
    CHECK(f.take(64, &cell) == 0); /* a slab of one granule fits the limit */
    f.free(cell);
    f.must_be_sound();
}

TEST_CASE("an owner is told of memory that is there, and not of what was not to be had", "[heap]")
{
    fixture f;
    roma__cell cell{};
    f.memory.refuse_acquire = true;
    CHECK(f.take(8 << 20, &cell) == -ENOMEM);
    CHECK(f.held_when_told == 0);
    f.memory.refuse_acquire = false;
    cell = f.must_take(2 << 20);
    CHECK(f.held_when_told == 2 << 20);
    f.memory.refuse_resize = true;
    CHECK(roma__cell_resize(&cell, 6 << 20) == -ENOMEM);
    CHECK(roma__cell_move(&cell, 6 << 20) == -ENOMEM);
    CHECK(f.held_when_told == 2 << 20);
    f.memory.refuse_resize = false;
    CHECK(roma__cell_move(&cell, 6 << 20) == 0);
    CHECK(f.held_when_told == 6 << 20);
    f.free(cell);
}

TEST_CASE("zeroed cells read as zero on used memory, in each place that cells come from", "[heap]")
{
    fixture f;
    for (size_t bytes : {100, 4096, 300000, 3 << 20}) {
        roma__cell dirty = f.must_take(bytes);
        memset(dirty.address, 0xFF, dirty.bytes);
        f.free(dirty);
        roma__take want{};
        want.bytes = bytes;
        want.align = 16;
        want.zero = true;
        roma__cell cell{};
        roma_error error = {};
        REQUIRE(roma__heap_take(f.heap, &want, &cell, nullptr, &error) == 0);
        const auto *bytes_of = static_cast<const unsigned char *>(cell.address);
        bool all_zero = true;
        for (size_t i = 0; i < bytes; i++)
            all_zero = all_zero && bytes_of[i] == 0;
        CHECK(all_zero);
        f.free(cell);
    }
}

TEST_CASE("descriptors for 4 KiB cells cost less than half a percent", "[heap]")
{
    fixture f(64 << 20);
    /* Where slabs of smaller cells stood, their longer descriptors are used again. */
    f.memory.near = fresh_addresses();
    std::vector<roma__cell> cells;
    for (int i = 0; i < 16384; i++) /* 64 MiB */
        cells.push_back(f.must_take(4096));
    uint64_t metadata = roma__heap_figures_of(f.heap).metadata_bytes;
    INFO("metadata " << metadata << " bytes for " << (64 << 20));
    CHECK(metadata * 200 < 64 << 20);
    for (auto &cell : cells)
        f.free(cell);
}

TEST_CASE("clearing ends every life whatever its count", "[heap]")
{
    fixture f;
    roma__cell a = f.must_take(64), b = f.must_take(300000), c = f.must_take(5 << 20);
    for (int i = 0; i < 2000; i++)
        roma__cell_retain(&a, a.generation);
    CHECK(roma__heap_clear(f.heap) == 3);
    CHECK(roma__cell_retain(&a, a.generation) == -ESTALE);
    CHECK(roma__cell_retain(&b, b.generation) == -ESTALE);
    CHECK(roma__cell_retain(&c, c.generation) == -ESTALE);
    CHECK(f.memory.acquired == f.memory.released);
    f.must_be_sound();
    roma__cell again = f.must_take(64);
    f.free(again);
}
