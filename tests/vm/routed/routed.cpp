/* routed.cpp - a program that knows nothing of roma: it takes memory by malloc and says on which
 * nodes it lies, by the kernel's word.
 *
 *   routed BYTES...    for each length, blocks of it up to 16 MiB, written to: a line
 *                      "BYTES NODE BYTES-ON-IT" for each node that has some
 *
 * shim.cpp runs it under libroma_malloc.so, and a policy. Blocks are looked at page by page, of
 * those shorter than a page the page that they begin on. */
#include "vm/oracle.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int count, char **arguments)
{
    constexpr size_t all_bytes = (size_t)16 << 20;
    for (int i = 1; i < count; i++) {
        const size_t bytes = std::strtoul(arguments[i], nullptr, 10);
        std::map<int, size_t> sum;
        std::vector<void *> blocks;
        for (size_t taken = 0; taken < all_bytes; taken += bytes) {
            void *block = std::malloc(bytes);
            if (block == nullptr)
                return 1;
            std::memset(block, 1, bytes);
            blocks.push_back(block);
        }
        for (size_t at = 0; at < blocks.size(); at += 1 + blocks.size() / 512)
            for (const auto &[node, found] : roma_tests::bytes_by_node(blocks[at], bytes))
                sum[node] += found;
        for (const auto &[node, found] : sum)
            std::printf("%zu %d %zu\n", bytes, node, found);
        for (void *block : blocks)
            std::free(block);
    }
    return 0;
}
