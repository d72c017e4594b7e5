/* store_mounts.cpp - stores on file systems of a test's own: full ones, read-only ones, one that
 * shares pages (XFS), and overlays. Root alone can mount, and mkfs.xfs or mkfs.ext4 must be there;
 * else they are skipped by name. Each test has its mounts in a namespace of a child process. */
#include "skip.hpp"
#include "store_place.hpp"
#include "wish.hpp"

#include <functional>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <vector>

using roma_tests::end_of;
using roma_tests::held_store;
using roma_tests::kill_child;
using roma_tests::start_child;
using roma_tests::start_session;
using roma_tests::store_place;
using roma_tests::tree;

namespace {

enum : int { cannot_mount = 77 };

/* A child that sees the folder `at` as a mount of its own, made by `mount_it`. */
int inside(const std::function<bool()> &mount_it, const std::function<int()> &body)
{
    return end_of(start_child([&] {
        if (unshare(CLONE_NEWNS) < 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr))
            return int(cannot_mount);
        return mount_it() ? body() : int(cannot_mount);
    }));
}

#define RUN_INSIDE(mount_it, body)                                                                 \
    do {                                                                                           \
        const int end_ = inside(mount_it, body);                                                   \
        if (end_ == cannot_mount)                                                                  \
            SKIP_TEST("this file system cannot be mounted here");                                  \
        CHECK(end_ == 0);                                                                          \
    } while (0)

bool run(const std::string &command)
{
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

/* A file system in a file of so many MiB, on a loop device, at `at`. */
bool mount_image(const std::string &make, const tree &images, const std::string &at, int mebibytes)
{
    const std::string image = std::string(images.root()) + "/i";
    return run("truncate -s " + std::to_string(mebibytes) + "M " + image) &&
           run(make + " " + image) && run("mount -o loop " + image + " " + at);
}

/* A smaller one cannot be made. */
bool mount_xfs(const tree &images, const std::string &at)
{
    return mount_image("mkfs.xfs -q", images, at, 320);
}

roma_store *create(const std::string &path)
{
    roma_store *store = nullptr;
    roma_store_options options = roma_tests::small_options();
    return roma_store_create(path.c_str(), &options, &store, nullptr) == 0 ? store : nullptr;
}

roma_store *open(const std::string &path)
{
    roma_store *store = nullptr;
    return roma_store_open(path.c_str(), nullptr, &store, nullptr) == 0 ? store : nullptr;
}

int64_t check(roma_store *store)
{
    return roma_store_check(store, nullptr, nullptr);
}

bool keeps_promise(roma_store *store)
{
    return (roma_store_capabilities(store) & ROMA_STORE_FULL_IS_ERROR) != 0;
}

/* Fill the disk up, write all that was given, give it back: nothing but ENOSPC happens. */
int fill_disk(const std::string &folder)
{
    roma_store *store = create(folder + "/store");
    WISH(store != nullptr);
    WISH(keeps_promise(store));
    void *kept = roma_store_alloc(store, 1000);
    WISH(kept != nullptr && roma_store_link(store, roma_store_root(store, 0), kept) == 0);
    WISH(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
    std::vector<void *> blocks;
    while (void *block = roma_store_alloc(store, 100000))
        blocks.push_back(block);
    WISH(errno == ENOSPC);
    WISH(blocks.size() > 10);
    for (void *block : blocks)
        std::memset(block, 1, 100000);
    WISH(check(store) == 0);
    WISH(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == -ENOSPC);
    WISH(check(store) == 0);
    WISH(access((folder + "/store.checkpoint.roma-part").c_str(), F_OK) != 0);
    WISH(roma_store_check_file((folder + "/store.checkpoint").c_str(), nullptr, nullptr, nullptr) ==
         0); /* the one before */
    roma_store *more = nullptr;
    WISH(roma_store_create((folder + "/more").c_str(), nullptr, &more, nullptr) == -ENOSPC);
    WISH(access((folder + "/more").c_str(), F_OK) != 0);
    for (void *block : blocks)
        WISH(roma_store_release(store, block) == 0);
    WISH(roma_store_alloc(store, 500000) != nullptr);
    WISH(roma_store_trim(store, 0) >= 0);
    WISH(check(store) == 0);
    WISH(roma_store_close(store) == 0);
    return 0;
}

/* Checkpoints that share pages, on a file system that can. */
int share_pages(const std::string &folder)
{
    roma_store *store = create(folder + "/store");
    WISH(store != nullptr);
    WISH((roma_store_capabilities(store) & ROMA_STORE_REFLINKS) != 0);
    WISH(keeps_promise(store));
    char *block = static_cast<char *>(roma_store_alloc(store, 8 << 20));
    WISH(block != nullptr);
    std::memset(block, 1, 8 << 20);
    WISH(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    roma_store_checkpoint_options options{};
    options.size = sizeof options;
    WISH(roma_store_checkpoint(store, nullptr, &options, nullptr) == 0);
    WISH(keeps_promise(store)); /* it was unshared before anybody wrote again */
    options.stay_shared = true;
    WISH(roma_store_checkpoint(store, nullptr, &options, nullptr) == 0);
    WISH(!keeps_promise(store));
    roma_store *other = open(folder + "/store");
    WISH(other != nullptr && !keeps_promise(other)); /* others know, too */
    std::memset(block, 2, 8 << 20);
    options.stay_shared = false;
    WISH(roma_store_checkpoint(other, nullptr, &options, nullptr) == 0);
    WISH(keeps_promise(store) && keeps_promise(other));
    WISH(roma_store_close(other) == 0);
    WISH(roma_store_close(store) == 0);
    store = open(folder + "/store.checkpoint");
    WISH(store != nullptr && roma_store_recover(store) >= 0 && check(store) == 0);
    WISH(keeps_promise(store)); /* it has pages of its own, all of them */
    block = static_cast<char *>(roma_store_load(store, roma_store_root(store, 0)));
    WISH(block != nullptr && block[0] == 2 && block[(8 << 20) - 1] == 2);
    WISH(roma_store_close(store) == 0);
    WISH(roma_store_restore((folder + "/store").c_str(), nullptr, nullptr) == 0);
    store = open(folder + "/store");
    WISH(store != nullptr && keeps_promise(store) && check(store) == 0);
    WISH(roma_store_close(store) == 0);
    return 0;
}

/* No room to unshare: the promise is withdrawn, and the checkpoint is there. */
int share_when_full(const std::string &folder)
{
    roma_store *store = create(folder + "/store");
    WISH(store != nullptr);
    std::vector<char *> blocks;
    for (int i = 0; i < 60; i++) {
        auto *block = static_cast<char *>(roma_store_alloc(store, 1 << 20));
        WISH(block != nullptr);
        std::memset(block, 1, 1 << 20);
        blocks.push_back(block);
    }
    WISH(run("fallocate -l 1T " + folder + "/rest || dd if=/dev/zero of=" + folder +
             "/rest bs=1M; truncate -s -8M " + folder + "/rest; sync"));
    roma_store_checkpoint_options options{};
    options.size = sizeof options;
    WISH(roma_store_checkpoint(store, nullptr, &options, nullptr) == 0);
    WISH(!keeps_promise(store));
    WISH(run("rm " + folder + "/rest"));
    WISH(roma_store_checkpoint(store, nullptr, &options, nullptr) == 0);
    WISH(keeps_promise(store));
    WISH(roma_store_close(store) == 0);
    return 0;
}

int refuse_read_only(const std::string &folder)
{
    roma_store *store = create(folder + "/store");
    roma_error error{};
    WISH(store != nullptr);
    WISH(roma_store_close(store) == 0);
    WISH(run("mount -o remount,ro " + folder));
    store = nullptr;
    WISH(roma_store_open((folder + "/store").c_str(), nullptr, &store, &error) == -EROFS);
    WISH(roma_store_create((folder + "/other").c_str(), nullptr, &store, &error) == -EROFS);
    WISH(roma_store_restore((folder + "/store").c_str(), (folder + "/store").c_str(), &error) ==
         -EROFS);
    roma_store_options options = roma_store_options_default();
    options.read_only = true;
    WISH(roma_store_open((folder + "/store").c_str(), &options, &store, &error) == 0);
    WISH(check(store) == 0);
    WISH(roma_store_close(store) == 0);
    WISH(run("mount -o remount,rw " + folder));
    store = open(folder + "/store");
    WISH(store != nullptr && check(store) == 0);
    WISH(roma_store_close(store) == 0);
    return 0;
}

/* `folder` has lower, upper, work and merged. */
int refuse_lower(const std::string &folder, bool read_only)
{
    const std::string merged = folder + "/merged";
    roma_store *store = create(folder + "/lower/store");
    roma_error error{};
    roma_store_options options = roma_store_options_default();
    options.read_only = read_only;
    WISH(store != nullptr);
    WISH(roma_store_close(store) == 0);
    const std::string layers = "lowerdir=" + folder + "/lower,upperdir=" + folder +
                               "/upper,workdir=" + folder + "/work";
    if (mount("overlay", merged.c_str(), "overlay", 0, layers.c_str()) < 0)
        return cannot_mount;
    store = nullptr;
    const std::string path = merged + "/store";
    WISH(roma_store_open(path.c_str(), &options, &store, &error) == -EOPNOTSUPP);
    WISH(error.why == ROMA_WHY_STORE_FILESYSTEM);
    WISH(std::string(error.subject).find("lower layer") != std::string::npos);
    /* From now on it is in the upper one. */
    WISH(roma_store_open(path.c_str(), &options, &store, &error) == 0);
    WISH(!keeps_promise(store)); /* what lies below is not known */
    WISH(check(store) == 0);
    WISH(roma_store_close(store) == 0);
    store = create(merged + "/fresh");
    WISH(store != nullptr);
    roma_store *again = open(merged + "/fresh");
    WISH(again != nullptr);
    WISH(roma_store_close(again) == 0);
    WISH(roma_store_close(store) == 0);
    return 0;
}

int alive_in(roma_store *store)
{
    int alive = 0;
    const auto count = [](void *context, const roma_store_session *session) {
        *static_cast<int *>(context) += session->is_alive;
        return 0;
    };
    return roma_store_sessions(store, count, &alive) == 0 ? alive : -1;
}

/* A mapping of a file of an overlay keeps no lock: sessions live all the same, until they end. */
int share_overlay(const std::string &folder)
{
    const std::string path = folder + "/merged/store",
                      layers = "lowerdir=" + folder + "/lower,upperdir=" + folder +
                               "/upper,workdir=" + folder + "/work";
    if (mount("overlay", (folder + "/merged").c_str(), "overlay", 0, layers.c_str()) < 0)
        return cannot_mount;
    roma_store *store = create(path), *other = open(path);
    WISH(store != nullptr && other != nullptr);
    WISH(alive_in(store) == 2 && alive_in(other) == 2);
    char *block = static_cast<char *>(roma_store_alloc(store, 100));
    WISH(block != nullptr);
    std::strcpy(block, "text");
    WISH(roma_store_recover(other) == 0); /* nobody is dead */
    for (int i = 0; i < 1000; i++)
        WISH(roma_store_alloc(other, 100) != nullptr);
    WISH(std::string(block) == "text");
    const pid_t third = start_session(
        path, [](roma_store *own) { return roma_store_alloc(own, 100) != nullptr; });
    WISH(alive_in(store) == 3);
    WISH(kill_child(third) == 1000 + SIGKILL);
    WISH(alive_in(store) == 2);
    WISH(roma_store_recover(other) == 1);
    int ready[2];
    char byte = 0;
    WISH(pipe(ready) == 0);
    const pid_t child = start_child([&] { /* has no part in what its parent has open */
                                          (void)!write(ready[1], &byte, 1);
                                          return pause();
    });
    WISH(read(ready[0], &byte, 1) == 1);
    WISH(roma_store_close(store) == 0);
    WISH(alive_in(other) == 1);
    WISH(check(other) == 0);
    WISH(roma_store_close(other) == 0);
    store = open(path);
    WISH(store != nullptr && alive_in(store) == 1);
    WISH(roma_store_close(store) == 0);
    WISH(kill_child(child) == 1000 + SIGKILL);
    return 0;
}

bool mount_tmpfs(const std::string &at, const char *size)
{
    return mount("roma", at.c_str(), "tmpfs", 0, size) == 0;
}

bool make_layers(const std::string &at)
{
    return run("mkdir " + at + "/lower " + at + "/upper " + at + "/work " + at + "/merged");
}

} // namespace

TEST_CASE("store mounts: a full tmpfs is an error, and nothing is lost")
{
    tree folder;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_tmpfs(at, "size=12m"); }, [&] { return fill_disk(at); });
}

TEST_CASE("store mounts: a full ext4 is an error, and nothing is lost")
{
    tree folder, images;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_image("mkfs.ext4 -q", images, at, 24); },
               [&] { return fill_disk(at); });
}

TEST_CASE("store mounts: a full XFS is an error, and nothing is lost")
{
    tree folder, images;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_xfs(images, at); },
               [&] {
                   const int code = run("fallocate -l 230M " + at + "/other") ? 0 : 1;
                   return code != 0 ? code : fill_disk(at);
               });
}

TEST_CASE("store mounts: on XFS checkpoints share pages, and the promise is kept or withdrawn")
{
    tree folder, images;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_xfs(images, at); }, [&] { return share_pages(at); });
}

TEST_CASE("store mounts: on a full XFS that cannot be unshared the promise is withdrawn")
{
    tree folder, images;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_xfs(images, at); }, [&] { return share_when_full(at); });
}

TEST_CASE("store mounts: a read-only file system")
{
    tree folder;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_tmpfs(at, "size=64m"); }, [&] { return refuse_read_only(at); });
}

TEST_CASE("store mounts: sessions of a store on an overlay live until they end")
{
    tree folder;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_tmpfs(at, "size=64m") && make_layers(at); },
               [&] { return share_overlay(at); });
}

TEST_CASE("store mounts: a file in the lower layer of an overlay, opened for writing")
{
    tree folder;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_tmpfs(at, "size=64m") && make_layers(at); },
               [&] { return refuse_lower(at, false); });
}

TEST_CASE("store mounts: a file in the lower layer of an overlay, opened to look")
{
    tree folder;
    const std::string at = folder.root();
    RUN_INSIDE([&] { return mount_tmpfs(at, "size=64m") && make_layers(at); },
               [&] { return refuse_lower(at, true); });
}
