/* store_format.cpp - what stands in the file does not change: places, sizes of slabs, words; and a
 * superblock that is not whole is not believed. */
#include "store_place.hpp"
#include "stores.hpp"

#include "store/internal.h"

#include <cerrno>
#include <cstring>

using namespace roma_tests;

namespace {

/* Both superblocks of a new store, and the one of them that counts. */
struct super_pair {
    alignas(8) char image[8192];
    roma__super super;
    roma__regions regions;
    unsigned index = 9;

    super_pair()
    {
        store_path path;
        open_store store(path.c_str(), true);
        std::memcpy(image, store.self->view.base, sizeof image);
        REQUIRE(roma__super_choose(image, &super, &index, &regions) == 0);
    }
    int choose_again() { return roma__super_choose(image, &super, &index, &regions); }
};

} // namespace

TEST_CASE("the geometry of slabs is the format's", "[store]")
{
    /* bytes of a block, units of a slab, blocks */
    static const uint32_t kept[ROMA__CLASSES_COUNT][3] = {
        {16, 1, 2040},  {32, 1, 1361}, {48, 1, 1022},  {64, 1, 817},   {80, 1, 681},
        {96, 1, 584},   {112, 1, 511}, {128, 1, 454},  {160, 1, 372},  {192, 1, 314},
        {224, 1, 272},  {256, 1, 240}, {320, 1, 194},  {384, 1, 163},  {448, 1, 141},
        {512, 1, 124},  {640, 1, 99},  {768, 1, 83},   {896, 1, 71},   {1024, 1, 63},
        {1280, 1, 50},  {1536, 1, 42}, {1792, 1, 36},  {2048, 1, 31},  {2560, 1, 25},
        {3072, 1, 21},  {3584, 1, 18}, {4096, 1, 15},  {5120, 1, 12},  {6144, 1, 10},
        {7168, 1, 9},   {8192, 2, 15}, {10240, 2, 12}, {12288, 2, 10}, {14336, 2, 9},
        {16384, 4, 15}, {20480, 3, 9}, {24576, 4, 10}, {28672, 4, 9},  {32768, 8, 15},
        {40960, 6, 9},  {49152, 7, 9}, {57344, 8, 9},  {65536, 16, 15}};
    for (unsigned i = 0; i < ROMA__CLASSES_COUNT; i++) {
        const roma__geometry &g = roma__geometries()[i];
        INFO(i);
        CHECK(g.bytes == kept[i][0]);
        CHECK(g.units == kept[i][1]);
        CHECK(g.count == kept[i][2]);
        CHECK(g.count * g.bytes <= g.words_at);
        CHECK(g.words_at + g.count * 16 <= g.remote_at);
        CHECK(g.remote_at + g.remote_words * 8 == g.units * ROMA__UNIT_BYTES);
        for (uint64_t k = 0; k < g.count; k++)
            for (uint64_t offset : {k * g.bytes, (k + 1) * g.bytes - 1})
                if (offset * g.reciprocal >> 40 != k)
                    FAIL("class " << i << ": offset " << offset << " is not of block " << k);
    }
    CHECK(roma__store_class(65537, 0) == ROMA__CLASSES_COUNT);
    CHECK(roma__store_class(8, 131072) == ROMA__CLASSES_COUNT);
    CHECK(roma__store_class(100, 4096) == 27);
}

TEST_CASE("regions hold what they are for, and do not overlap", "[store]")
{
    for (uint64_t room : {1, 16, 1000, 1 << 20, 1 << 27}) {
        roma__regions regions;
        REQUIRE(roma__regions_of(128, 1024, room, &regions) == 0);
        INFO(room);
        CHECK(regions.max_units >= regions.first_unit + room);
        CHECK(regions.lanes_at >= ROMA__AT_SESSIONS + 128 * sizeof(roma__session));
        CHECK(regions.unit_maps_at >= regions.lanes_at + 1024 * sizeof(roma__lane));
        CHECK(regions.unit_map_bytes * 8 >= regions.max_units);
        CHECK(regions.unit_table_at >= regions.unit_maps_at + 3 * regions.unit_map_bytes);
        CHECK(regions.first_unit * ROMA__UNIT_BYTES >=
              regions.unit_table_at + regions.max_units * sizeof(roma__unit));
    }
    roma__regions regions;
    CHECK(roma__regions_of(0, 1, 1, &regions) == -EINVAL);
    CHECK(roma__regions_of(1, 40000, 1, &regions) == -EINVAL);
    CHECK(roma__regions_of(1, 1, ROMA__STORE_UNITS_MAX, &regions) == -EINVAL);
}

TEST_CASE("each byte of a superblock counts, and the better copy does", "[store]")
{
    super_pair both;
    const uint64_t generation = both.super.generation;
    const size_t at = both.index == 0 ? 0 : 4096;
    for (size_t i = 0; i < sizeof both.super; i++) {
        both.image[at + i] ^= 0x40;
        const int code = both.choose_again();
        INFO(i);
        CHECK((code < 0 || both.super.generation < generation));
        both.image[at + i] ^= 0x40;
    }
    std::memset(both.image, 0, sizeof both.image);
    CHECK(both.choose_again() == -EMEDIUMTYPE);
}

TEST_CASE("the later copy of a superblock counts though a newer roma wrote it", "[store]")
{
    super_pair both;
    roma__super super = both.super;
    super.version = 2;
    for (const int later : {1, 0}) {
        super.generation += later ? 1 : -uint64_t(2);
        super.checksum = roma__checksum(&super, offsetof(roma__super, checksum));
        std::memcpy(both.image + (both.index == 0 ? 4096 : 0), &super, sizeof super);
        roma__super chosen;
        unsigned at = 9;
        CHECK(roma__super_choose(both.image, &chosen, &at, &both.regions) ==
              (later ? -EPROTONOSUPPORT : 0));
    }
}

TEST_CASE("features of a newer roma forbid to write, and not to read", "[store]")
{
    store_path path;
    {
        open_store store(path.c_str(), true);
    }
    roma_tests::edit_super(path.c_str(), [](roma__super &super) { super.features_write = 8; });
    roma_store *store = nullptr;
    roma_error error{};
    CHECK(roma_store_open(path.c_str(), nullptr, &store, &error) == -EPROTONOSUPPORT);
    CHECK(error.why == ROMA_WHY_STORE_NEWER);
    roma_store_options options = roma_store_options_default();
    options.read_only = true;
    REQUIRE(roma_store_open(path.c_str(), &options, &store, &error) == 0);
    CHECK(roma_store_close(store) == 0);
}

TEST_CASE("a newer format is refused as such", "[store]")
{
    super_pair both;
    const roma__super super = both.super;
    const auto judge = [&](roma__super changed) {
        changed.checksum = roma__checksum(&changed, offsetof(roma__super, checksum));
        return roma__super_judge(&changed, &both.regions);
    };
    CHECK(judge(super) == 0);
    roma__super changed = super;
    changed.version = 2;
    CHECK(judge(changed) == -EPROTONOSUPPORT);
    changed = super;
    changed.features |= 1u << 7;
    CHECK(judge(changed) == -EPROTONOSUPPORT);
    changed = super;
    changed.features_hint = ~UINT64_C(0);
    CHECK(judge(changed) == 0);
    changed = super;
    changed.max_units = super.max_units * 2;
    CHECK(judge(changed) == -EUCLEAN);
    changed = super;
    changed.byte_order = 0x0201;
    CHECK(judge(changed) == -EMEDIUMTYPE);
}
