/* store_place.hpp - a folder for the stores of a test, stores that are closed with it, and children
 * that end as the test says. */
#ifndef ROMA_TESTS_STORE_PLACE_HPP
#define ROMA_TESTS_STORE_PLACE_HPP

#include "catch.hpp"
#include "tree.hpp"

#include "store/view.h"
#include "sys/sys.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

namespace roma_tests {

/* Sanitizers refuse reservations of many TiB, and tests need no room. */
inline roma_store_options small_options()
{
    roma_store_options options = roma_store_options_default();
    options.max_bytes = UINT64_C(256) << 20;
    options.sessions = 16;
    options.lanes = 64;
    return options;
}

class held_store {
public:
    roma_store *self = nullptr;

    explicit held_store(roma_store *given) : self(given) {}
    held_store(const held_store &) = delete;
    held_store &operator=(const held_store &) = delete;
    ~held_store() { close(); }

    static roma_store *create(const std::string &path,
                              const roma_store_options &options = small_options())
    {
        roma_store *store = nullptr;
        roma_error error{};
        const int code = roma_store_create(path.c_str(), &options, &store, &error);
        INFO(text_of(error));
        REQUIRE(code == 0);
        return store;
    }
    static roma_store *open(const std::string &path, bool read_only = false)
    {
        roma_store_options options = roma_store_options_default();
        roma_store *store = nullptr;
        roma_error error{};
        options.read_only = read_only;
        const int code = roma_store_open(path.c_str(), &options, &store, &error);
        INFO(text_of(error));
        REQUIRE(code == 0);
        return store;
    }
    static std::string text_of(const roma_error &error)
    {
        char text[256];
        return roma_error_text(&error, text, sizeof text);
    }

    operator roma_store *() const { return self; } /* NOLINT: it stands for the store */

    void close()
    {
        if (self != nullptr)
            CHECK(roma_store_close(self) == 0);
        self = nullptr;
    }

};

/* A folder with a store in it. */
class store_place {
public:
    tree folder;
    std::string path = std::string(folder.root()) + "/store";

    std::string beside(const char *name) const { return std::string(folder.root()) + "/" + name; }
    static bool is_there(const std::string &path) { return access(path.c_str(), F_OK) == 0; }
};

/* Was the store closed by all who had it open? 1 or 0, or -errno. Any thread may ask. */
inline int cleanness(const std::string &path)
{
    roma_store_info info;
    const int code = roma_store_info_of(path.c_str(), &info, nullptr);
    return code == 0 ? info.is_clean : code;
}

/* Change the superblock of a file that nobody has open, and make its checksum right again. */
template <typename function> void edit_super(const std::string &path, function edit)
{
    char first[2 * ROMA__SUPER_BYTES];
    roma__super super;
    roma__regions regions;
    unsigned index = 0;
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(pread(fd, first, sizeof first, 0) == ssize_t(sizeof first));
    REQUIRE(roma__super_choose(first, &super, &index, &regions) == 0);
    edit(super);
    super.generation++;
    super.checksum = roma__checksum(&super, offsetof(roma__super, checksum));
    for (const off_t at : {off_t(ROMA__AT_SUPER_A), off_t(ROMA__AT_SUPER_B)})
        REQUIRE(pwrite(fd, &super, sizeof super, at) == ssize_t(sizeof super));
    close(fd);
}

/* In the place of fstatfs: the file system may share pages, as XFS may. */
inline int answer_xfs(int fd, struct statfs *status)
{
    const int code = roma__sys_kernel.fstatfs(fd, status);
    status->f_type = 0x58465342;
    return code;
}

/* As if the machine had crashed while that store was in use. */
inline void crash_machine(const std::string &path)
{
    edit_super(path, [](roma__super &super) {
        super.flags &= ~uint32_t(ROMA__SUPER_CLEAN);
        std::memset(super.boot_id, 0, sizeof super.boot_id);
        std::strcpy(super.boot_id, "00000000-0000-0000-0000-000000000000");
    });
}

/* A block of that text, named by a root; the session keeps nothing. */
inline void put_text(roma_store *store, unsigned root, const char *text)
{
    void *block = roma_store_alloc(store, std::strlen(text) + 1);
    REQUIRE(block != nullptr);
    std::strcpy(static_cast<char *>(block), text);
    REQUIRE(roma_store_relink(store, roma_store_root(store, root), block) == 0);
    REQUIRE(roma_store_release(store, block) == 0);
}

inline std::string text_at(roma_store *store, unsigned root)
{
    errno = 0;
    void *block = roma_store_load(store, roma_store_root(store, root));
    if (block == nullptr)
        return errno == 0 ? "(empty)" : std::strerror(errno);
    std::string text = static_cast<char *>(block);
    CHECK(roma_store_release(store, block) == 0);
    return text;
}

/* Faults of a store at rest; 0 when it is sound. What they are is told. */
inline int64_t faults_in(roma_store *store)
{
    std::string told;
    const int64_t count = roma_store_check(
        store,
        [](void *context, const roma_store_fault *fault) {
            *static_cast<std::string *>(context) +=
                std::to_string(fault->offset) + ": " + fault->text + "\n";
            return 0;
        },
        &told);
    UNSCOPED_INFO(told);
    return count;
}

/* What a root of a closed store says, and that the store is sound. */
inline std::string text_in(const std::string &path, unsigned root = 0)
{
    held_store store(held_store::open(path));
    CHECK(roma_store_recover(store) >= 0);
    CHECK(faults_in(store) == 0);
    return text_at(store, root);
}

/* A child process that runs `body` and ends with what it returns, by _exit. */
template <typename function> pid_t start_child(function body)
{
    const pid_t child = fork();
    if (child == 0)
        _exit(body());
    REQUIRE(child > 0);
    return child;
}

/* Wait for it: its exit status, or 1000 + the signal that ended it. */
inline int end_of(pid_t child)
{
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

inline int kill_child(pid_t child)
{
    kill(child, SIGKILL);
    return end_of(child);
}

/* A child with a session of its own that says when it is ready and then waits to be killed. */
template <typename function> pid_t start_session(const std::string &path, function act)
{
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t child = start_child([&] {
        roma_store_options options = roma_store_options_default();
        roma_store *own = nullptr;
        options.label = "the other one";
        if (roma_store_open(path.c_str(), &options, &own, nullptr) < 0 || !act(own))
            return 1;
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    });
    close(ready[1]);
    char word = 0;
    REQUIRE(read(ready[0], &word, 1) == 1);
    close(ready[0]);
    return child;
}

} // namespace roma_tests

#endif
