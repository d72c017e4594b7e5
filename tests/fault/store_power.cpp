/* store_power.cpp - the power goes at any moment of a checkpoint or a restore.
 *
 * What they do to the disk is recorded as it goes through the table of system calls: bytes written,
 * lengths, names, and what was waited for. Then the power fails after every prefix of the record:
 * a file keeps what was written out by its last fsync, and of the pages written after it any subset
 * (several are drawn); of the changes of names that no fsync of the folder waited for, any first
 * part. Each disk that can be there then is put together and looked at: at the path is the old
 * file, or the new one, and it is whole. */
#include "faulty.hpp"
#include "store_place.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sys/stat.h>
#include <vector>

using roma_tests::held_store;
using roma_tests::store_place;

namespace {

enum : size_t { page_bytes = 4096 };
enum : int { draws_count = 6 };

enum class kind { write, truncate, sync, rename, link, unlink, sync_folder };

struct event {
    kind what;
    ino_t inode;     /* of writes, truncations, syncs */
    uint64_t offset; /* or length                     */
    std::string bytes;
    std::string from, to; /* names, without their folder   */
};

std::vector<event> events;

ino_t inode_of(int fd)
{
    struct stat status {};
    return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

std::string name_in_folder(const char *path)
{
    const std::string whole = path;
    return whole.substr(whole.rfind('/') + 1);
}

/* The kernel's table, with what reaches the disk recorded. */
struct recorder {
    roma_tests::faulty table;

    recorder()
    {
        events.clear();
        table.calls.clone_file = [](int, int) {
            errno = EOPNOTSUPP;
            return -1;
        };
        table.calls.pwrite = [](int fd, const void *bytes, size_t count, off_t offset) {
            const ssize_t length = roma__sys_kernel.pwrite(fd, bytes, count, offset);
            if (length > 0)
                events.push_back({kind::write, inode_of(fd), uint64_t(offset),
                                  std::string(static_cast<const char *>(bytes), size_t(length)), "",
                                  ""});
            return length;
        };
        table.calls.ftruncate = [](int fd, off_t bytes) {
            const int code = roma__sys_kernel.ftruncate(fd, bytes);
            if (code == 0)
                events.push_back({kind::truncate, inode_of(fd), uint64_t(bytes), "", "", ""});
            return code;
        };
        table.calls.fsync = [](int fd) {
            struct stat status {};
            const int code = roma__sys_kernel.fsync(fd);
            if (code == 0 && fstat(fd, &status) == 0)
                events.push_back({S_ISDIR(status.st_mode) ? kind::sync_folder : kind::sync,
                                  status.st_ino, 0, "", "", ""});
            return code;
        };
        table.calls.rename = [](const char *from, const char *to) {
            const int code = roma__sys_kernel.rename(from, to);
            if (code == 0)
                events.push_back(
                    {kind::rename, 0, 0, "", name_in_folder(from), name_in_folder(to)});
            return code;
        };
        table.calls.link = [](const char *from, const char *to) {
            const int code = roma__sys_kernel.link(from, to);
            if (code == 0)
                events.push_back({kind::link, 0, 0, "", name_in_folder(from), name_in_folder(to)});
            return code;
        };
        table.calls.unlink = [](const char *path) {
            const int code = roma__sys_kernel.unlink(path);
            if (code == 0)
                events.push_back({kind::unlink, 0, 0, "", name_in_folder(path), ""});
            return code;
        };
    }
};

/* ---- a disk ---------------------------------------------------------------------------------- */

struct disk {
    std::map<std::string, ino_t> names;
    std::map<ino_t, std::string> files;
};

void write_into(std::string &file, uint64_t offset, const char *bytes, size_t count)
{
    if (file.size() < offset + count)
        file.resize(offset + count);
    std::copy(bytes, bytes + count, file.begin() + std::ptrdiff_t(offset));
}

/* All of the event, or each of its pages with a chance of one half. */
void apply_data(disk &d, const event &one, std::mt19937 *draw)
{
    std::string &file = d.files[one.inode];
    if (one.what == kind::truncate) {
        if (draw == nullptr || (*draw)() % 2 == 0)
            file.resize(one.offset);
        return;
    }
    for (size_t at = 0; at < one.bytes.size();) {
        const size_t rest = page_bytes - (one.offset + at) % page_bytes;
        const size_t count = std::min(rest, one.bytes.size() - at);
        if (draw == nullptr || (*draw)() % 2 == 0)
            write_into(file, one.offset + at, one.bytes.data() + at, count);
        at += count;
    }
}

void apply_name(disk &d, const event &one)
{
    if (one.what == kind::unlink) {
        d.names.erase(one.from);
    } else {
        d.names[one.to] = d.names[one.from];
        if (one.what == kind::rename)
            d.names.erase(one.from);
    }
}

bool is_name(const event &one)
{
    return one.what == kind::rename || one.what == kind::link || one.what == kind::unlink;
}

bool is_data(const event &one)
{
    return one.what == kind::write || one.what == kind::truncate;
}

/* What may be there when the power goes after `end` events, `kept` changes of names made it. */
disk disk_after(const disk &start, size_t end, size_t kept, std::mt19937 &draw)
{
    disk now = start;
    std::map<ino_t, size_t> synced;
    for (size_t i = 0; i < end; i++)
        if (events[i].what == kind::sync)
            synced[events[i].inode] = i;
    size_t changes = 0;
    for (size_t i = 0; i < end; i++) {
        const event &one = events[i];
        if (is_data(one)) {
            const auto last = synced.find(one.inode);
            apply_data(now, one, last != synced.end() && i < last->second ? nullptr : &draw);
        } else if (is_name(one) && changes++ < kept) {
            apply_name(now, one);
        }
    }
    return now;
}

/* Changes of names within the first `end` events: that were waited for, and all. */
std::pair<size_t, size_t> changes_in(size_t end)
{
    size_t waited = 0, all = 0;
    for (size_t i = 0; i < end; i++) {
        all += is_name(events[i]) ? 1 : 0;
        if (events[i].what == kind::sync_folder)
            waited = all;
    }
    return {waited, all};
}

std::string contents_of(const std::string &path)
{
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

/* Calls judge(disk) for every disk that there can be. Returns how many there were. */
template <typename function> unsigned replay(const disk &start, function judge)
{
    std::mt19937 draw(20240607);
    unsigned replays = 0;
    for (size_t end = 0; end <= events.size(); end++) {
        const auto changes = changes_in(end);
        for (size_t kept = changes.first; kept <= changes.second; kept++)
            for (int i = 0; i < draws_count; i++) {
                INFO("the power goes after event " << end << " of " << events.size() << ", " << kept
                                                   << " changes of names are there");
                judge(disk_after(start, end, kept, draw));
                replays++;
            }
    }
    return replays;
}

/* The text in a file of the disk, opened as a store; each content is looked at once. */
class opener {
  public:
    std::string text(const std::string &bytes)
    {
        const size_t hash = std::hash<std::string>()(bytes);
        const auto known = seen_.find(hash);
        if (known != seen_.end())
            return known->second;
        const std::string path = place_.beside("replayed");
        std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
        const std::string found = roma_tests::text_in(path);
        seen_[hash] = found;
        return found;
    }

  private:
    store_place place_;
    std::map<size_t, std::string> seen_;
};

} // namespace

TEST_CASE("store power loss: a checkpoint is the old one or the new one, whenever the power goes")
{
    store_place place;
    const std::string copy = place.beside("copy");
    disk start;
    {
        held_store store(held_store::create(place.path));
        roma_tests::put_text(store, 0, "old");
        REQUIRE(roma_store_checkpoint(store, copy.c_str(), nullptr, nullptr) == 0);
        roma_tests::put_text(store, 0, "new");
        struct stat status {};
        REQUIRE(stat(copy.c_str(), &status) == 0);
        start.names["copy"] = status.st_ino;
        start.files[status.st_ino] = contents_of(copy);
        const recorder recording;
        /* The part's name is there as soon as it is made, which no call of the table tells. */
        REQUIRE(roma_store_checkpoint(store, copy.c_str(), nullptr, nullptr) == 0);
    }
    struct stat status {};
    REQUIRE(stat(copy.c_str(), &status) == 0);
    start.names["copy.roma-part"] = status.st_ino;
    opener look;
    std::set<std::string> found;
    const unsigned replays = replay(start, [&](const disk &now) {
        const auto name = now.names.find("copy");
        REQUIRE(name != now.names.end());
        const std::string text = look.text(now.files.at(name->second));
        CHECK((text == "old" || text == "new"));
        found.insert(text);
    });
    CHECK(found.size() == 2);
    WARN("power loss in a checkpoint: " << events.size() << " events, " << replays << " replays");
}

TEST_CASE("store power loss: a store is the crashed one or the restored, whenever the power goes")
{
    store_place place;
    const std::string copy = place.path + ".checkpoint";
    disk start;
    {
        held_store store(held_store::create(place.path));
        roma_tests::put_text(store, 0, "kept");
        REQUIRE(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
    }
    roma_tests::crash_machine(place.path);
    const std::string crashed = contents_of(place.path);
    struct stat status {};
    REQUIRE(stat(place.path.c_str(), &status) == 0);
    start.names["store"] = status.st_ino;
    start.files[status.st_ino] = crashed;
    {
        const recorder recording;
        REQUIRE(roma_store_restore(place.path.c_str(), nullptr, nullptr) == 0);
    }
    REQUIRE(stat(place.path.c_str(), &status) == 0);
    start.names["store.roma-part"] = status.st_ino;
    opener look;
    unsigned restored = 0;
    const unsigned replays = replay(start, [&](const disk &now) {
        const auto name = now.names.find("store");
        REQUIRE(name != now.names.end());
        const std::string &bytes = now.files.at(name->second);
        if (bytes == crashed)
            return;
        CHECK(look.text(bytes) == "kept");
        restored++;
    });
    CHECK(restored > 0);
    WARN("power loss in a restore: " << events.size() << " events, " << replays << " replays");
}
