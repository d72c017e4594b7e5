/* prefetch_overlay.cpp - files of an overlay (overlayfs, as containers have it), whose pages are
 * those of a file in one of its layers. cachestat() looks at the overlay's own, which has none. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "private_mounts.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <filesystem>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* A file, seen through an overlay whose lower layer has it. */
class overlaid {
  public:
    int fd = -1; /* below 0: nothing can be mounted here */

    overlaid(const disk_file &file, int flags) : folder(file.path + ".layers")
    {
        namespace fs = std::filesystem;
        for (const char *name : {"/lower", "/upper", "/work", "/merged"})
            fs::create_directories(folder + name);
        fs::create_hard_link(file.path, folder + "/lower/file");
        (void)with_private_mounts([&] {
            const std::string layers = "lowerdir=" + folder + "/lower,upperdir=" + folder +
                                       "/upper,workdir=" + folder + "/work";
            const std::string merged = folder + "/merged";
            if (mount("overlay", merged.c_str(), "overlay", 0, layers.c_str()) == 0)
                fd = open((merged + "/file").c_str(), flags | O_CLOEXEC);
        });
    }
    overlaid(const overlaid &) = delete;
    overlaid &operator=(const overlaid &) = delete;
    ~overlaid()
    {
        if (fd >= 0)
            close(fd);
        std::error_code code;
        std::filesystem::remove_all(folder, code);
    }

    roma_file_range range(size_t offset, size_t length) const
    {
        return roma_file_range_own(fd, offset, nullptr, length);
    }

    roma_residency residency(size_t length) const
    {
        const roma_file_range all = range(0, length);
        roma_residency found = {};
        found.size = sizeof found;
        REQUIRE(roma_residency_of(&all, 1, &found, nullptr) == 0);
        return found;
    }

  private:
    const std::string folder;
};

/* All of it is there, and nobody asks the kernel to read it. */
void check_found(const owned_engine &engine, const std::vector<roma_file_range> &ranges,
                 roma_prefetch_level level)
{
    owned_handle handle(engine, ranges.data(), ranges.size(), level);
    CHECK(handle.wait() == 0);
    const roma_prefetch_progress progress = handle.progress();
    CHECK(progress.resident_bytes == progress.total_bytes);
    CHECK(progress.calls == 0);
}

} // namespace

#define SKIP_WITHOUT_OVERLAY(file)                                                                 \
    if ((file).fd < 0)                                                                             \
    SKIP_TEST("no overlay can be mounted here")

TEMPLATE_TEST_CASE("what is in memory of a file of an overlay is known, and not read again",
                   "[prefetch]", EVERY_WAY)
{
    const owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    COLD_FILE(below, 12 * MiB);
    const overlaid file(below, O_RDONLY);
    SKIP_WITHOUT_OVERLAY(file);
    CHECK(file.residency(below.bytes).resident_bytes == 0);
    {
        owned_handle handle(engine, file.range(0, below.bytes));
        CHECK(handle.wait() == 0);
        CHECK(handle.progress().resident_bytes == 0);
    }
    REQUIRE(below.came(0, below.bytes) == below.bytes);
    {
        const kept_warm kept(below);
        CHECK(file.residency(below.bytes).resident_bytes == below.bytes);
        check_found(engine, {file.range(0, below.bytes)}, ROMA_PREFETCH_RESIDENT);
        std::vector<roma_file_range> pages;
        for (size_t at = 0; at < below.bytes; at += 16 * page_bytes())
            pages.push_back(file.range(at, page_bytes()));
        check_found(engine, pages, ROMA_PREFETCH_RESIDENT);
    }
    const roma_file_range all = file.range(0, below.bytes);
    CHECK(roma_evict(&all, 1, ROMA_EVICT_DROP, nullptr) == 0);
    CHECK(file.residency(below.bytes).resident_bytes == 0);
}

TEST_CASE("dirty pages of a file of an overlay are there until they are flushed", "[prefetch]")
{
    const owned_engine engine(ROMA_PREFETCH_AUTO);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(below, 4 * MiB);
    const overlaid file(below, O_RDWR); /* a copy of it in the upper layer */
    SKIP_WITHOUT_OVERLAY(file);
    const std::vector<unsigned char> words(below.bytes, 7);
    REQUIRE(pwrite(file.fd, words.data(), words.size(), 0) == (ssize_t)words.size());
    const roma_file_range all = file.range(0, below.bytes);
    const roma_residency before = file.residency(below.bytes);
    CHECK(before.resident_bytes == below.bytes);
    CHECK_FALSE(before.details); /* mincore() tells nothing of these */
    {
        owned_flush flush(engine, all);
        CHECK(flush.wait() == 0);
    }
    CHECK(roma_evict(&all, 1, ROMA_EVICT_DROP, nullptr) == 0);
    CHECK(file.residency(below.bytes).resident_bytes == 0);
}
