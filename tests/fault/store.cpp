/* store.cpp - each system call of a store's life failed in turn, once and for good: what fails says
 * so by name, nothing is lost of what was linked, no descriptor or mapping stays behind, and the
 * store is sound afterwards. */
#include "descriptors.hpp"
#include "faults.hpp"
#include "stores.hpp"

#include <cerrno>
#include <cstring>
#include <vector>

using namespace roma_tests;

namespace {

roma_store_options options()
{
    roma_store_options wanted = small_store(16u << 20);
    wanted.unsynced = false;
    wanted.shrink = true;
    return wanted;
}

/* What a call that failed must tell. */
void judge(int code, const roma_error &error, std::string &complaint)
{
    if (code >= 0)
        return;
    char text[256];
    if (error.code != code || error.why == ROMA_WHY_NONE)
        complaint += "code " + std::to_string(code) + " without a named error\n";
    else if (std::strlen(roma_error_text(&error, text, sizeof text)) < 10)
        complaint += "no sentence\n";
}

/* Blocks of all kinds come and go; `linked` says whether the root names one in the end. */
void use(roma_store *store, bool &linked)
{
    void *kept = roma_store_alloc(store, 5000);
    void *large = roma_store_alloc(store, 3u << 20);
    if (large != nullptr)
        std::memset(large, 1, 3u << 20);
    if (kept != nullptr)
        linked = roma_store_relink(store, roma_store_root(store, 0), kept) == 0 || linked;
    (void)roma_store_release(store, large);
    (void)roma_store_trim(store, 0);
    (void)roma_store_release(store, roma_store_alloc(store, 4u << 20));
    (void)roma_store_sync(store);
}

/* Returns what is to be complained of. */
std::string live(const char *path, bool in_memory, bool &linked)
{
    std::string complaint;
    roma_error error = {};
    roma_store *store = nullptr, *other = nullptr;
    const roma_store_options wanted = options();
    std::memset(&error, 0, sizeof error);
    int code = in_memory ? roma_store_create_memory("faults", &wanted, &store, &error)
                         : roma_store_create(path, &wanted, &store, &error);
    judge(code, error, complaint);
    if (code < 0)
        return store != nullptr ? complaint + "a store in spite of it\n" : complaint;
    use(store, linked);
    std::memset(&error, 0, sizeof error);
    code = roma_store_attach(roma_store_fd(store), &wanted, &other, &error);
    judge(code, error, complaint);
    if (code == 0) {
        use(other, linked);
        (void)roma_store_close(other);
    }
    (void)roma_store_close(store);
    if (in_memory)
        return complaint;
    code = roma_store_open(path, &wanted, &store, &error);
    judge(code, error, complaint);
    if (code == 0) {
        use(store, linked);
        (void)roma_store_close(store);
    }
    return complaint;
}

/* The file is what it was before whatever failed. */
void look_after(const char *path, bool linked)
{
    if (access(path, F_OK) != 0) {
        CHECK_FALSE(linked);
        return;
    }
    open_store store(path, false, options());
    (void)roma_store_recover(store);
    CHECK(live_blocks(store) == (linked ? 1 : 0));
    CHECK((*roma_store_root(store, 0) != 0) == linked);
}

const faults::entry entries[] = {
    faults::at_mmap,     faults::at_munmap,  faults::at_madvise,   faults::at_open,
    faults::at_read,     faults::at_pread,   faults::at_close,     faults::at_create,
    faults::at_fstat,    faults::at_fstatfs, faults::at_fallocate, faults::at_ftruncate,
    faults::at_lock,     faults::at_fsync,   faults::at_readlink,  faults::at_memfd_create,
    faults::at_add_seals};

} // namespace

TEST_CASE("a store stands each failure of each call", "[store]")
{
    const bool in_memory = GENERATE(false, true);
    int cases = 0;
    for (faults::entry which : entries)
        for (faults::mode how : {faults::mode::once, faults::mode::for_good})
            for (int error : faults::errors_of(which)) {
                if (error == EINTR && how == faults::mode::for_good)
                    continue; /* no kernel interrupts for ever */
                for (unsigned long nth = 1;; nth = faults::next_use(nth, faults::stride())) {
                    store_path path;
                    bool linked = false;
                    const int before = open_descriptors();
                    const size_t mapped = faults::mapped_bytes();
                    faults::arm({which, nth, how, error});
                    const std::string complaint = live(path.c_str(), in_memory, linked);
                    const bool has_fired = faults::has_fired();
                    faults::disarm();
                    INFO(faults::name_of(which)
                         << " number " << nth << (how == faults::mode::once ? " once" : " for good")
                         << ", " << strerror(error));
                    CHECK(complaint == "");
                    CHECK(open_descriptors() == before);
                    if (which != faults::at_munmap) /* what was kept cannot be told apart */
                        CHECK(faults::mapped_bytes() == mapped);
                    if (!in_memory && which != faults::at_munmap)
                        look_after(path.c_str(), linked);
                    if (!has_fired)
                        break;
                    cases++;
                }
            }
    CHECK(cases > 100);
    roma__sys_replace(nullptr);
}
