/* consumer.cpp - the same in C++17: the headers are C++, handles and segments fit in. */
#include <roma.h>

#include <cstdio>
#include <memory>

int main()
{
    auto free_block = [](void *block) { roma_free(block); };
    std::unique_ptr<void, decltype(free_block)> owned(roma_alloc_zeroed(roma_default(), 4096),
                                                      free_block);
    if (!owned)
        return 1;

    roma_block handle = roma_block_of(owned.get());
    roma_segment segment = roma_block_segment(handle);
    if (segment.bytes != 4096 || roma_block_retain(handle) != 2)
        return 1;
    static_cast<char *>(segment.address)[0] = 'r';
    if (roma_block_release(&handle) != 1 || handle.address != nullptr)
        return 1;

    roma_request want = roma_request_default();
    want.bytes = 1u << 20;
    want.zero = true;
    roma_grant got;
    void *block = roma_alloc_with(roma_default(), &want, &got);
    if (block == nullptr || got.bytes < want.bytes)
        return 1;
    std::printf("roma %s: %zu bytes, %zu usable\n", roma_version(), roma_bytes(block),
                roma_usable(block));
    return roma_release(block);
}
