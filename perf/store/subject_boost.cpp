/* subject_boost.cpp - Boost.Interprocess: a managed_mapped_file, whose allocator stands under one
 * mutex in the file. A batch is its allocate_many() and deallocate_many(). */
#include "subject.h"

#include <boost/interprocess/managed_mapped_file.hpp>
#include <boost/version.hpp>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace ipc = boost::interprocess;

namespace {

using file = ipc::managed_mapped_file;
std::unique_ptr<file> mapped;

template <typename Work> auto guarded(const Work &work) -> decltype(work())
{
    try {
        return work();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "bench: Boost.Interprocess: %s\n", error.what());
        std::exit(1);
    }
}

} // namespace

extern "C" {

const char *subject_version(void)
{
    static const std::string text = "Boost.Interprocess " + std::to_string(BOOST_VERSION / 100000) +
                                    "." + std::to_string(BOOST_VERSION / 100 % 1000);
    return text.c_str();
}

void subject_create(const char *path, uint64_t max_bytes)
{
    guarded([&] { mapped.reset(new file(ipc::create_only, path, max_bytes)); });
}

void subject_open(const char *path)
{
    guarded([&] { mapped.reset(new file(ipc::open_only, path)); });
}

void subject_close(void)
{
    mapped.reset();
}

int subject_is_shared(void)
{
    return 1;
}

void *subject_alloc(void)
{
    return guarded([] { return mapped->allocate(BLOCK_BYTES); });
}

void subject_free(void *block)
{
    mapped->deallocate(block);
}

void subject_alloc_batch(void **blocks)
{
    guarded([&] {
        file::segment_manager::multiallocation_chain chain;
        mapped->get_segment_manager()->allocate_many(BLOCK_BYTES, BATCH_COUNT, chain);
        for (unsigned i = 0; i < BATCH_COUNT; i++)
            blocks[i] = ipc::ipcdetail::to_raw_pointer(chain.pop_front());
    });
}

void subject_free_batch(void **blocks)
{
    file::segment_manager::multiallocation_chain chain;
    for (unsigned i = 0; i < BATCH_COUNT; i++)
        chain.push_back(blocks[i]);
    mapped->get_segment_manager()->deallocate_many(chain);
}

uint64_t *subject_ring_make(size_t slots)
{
    return guarded([&] { return mapped->construct<uint64_t>("ring")[slots](0); });
}

uint64_t *subject_ring_find(void)
{
    return mapped->find<uint64_t>("ring").first;
}

void subject_send(uint64_t *slot)
{
    *slot = (uint64_t)mapped->get_handle_from_address(subject_alloc());
}

void *subject_take(uint64_t *slot)
{
    void *block = mapped->get_address_from_handle((file::handle_t)*slot);
    *slot = 0;
    return block;
}

int subject_has_parcels(void)
{
    return 0;
}

void subject_send_parcel(uint64_t *) {}

void subject_free_parcel(uint64_t *) {}

} // extern "C"
