/* routed.cpp - a program that knows nothing of roma: it takes memory by malloc and says on which
 * nodes it lies, by the kernel's word.
 *
 *   routed BYTES...    for each length, blocks of it up to 16 MiB, written to: a line
 *                      "BYTES NODE BYTES-ON-IT" for each node that has some
 *
 *   routed around BYTES    on a CPU of each node in turn, twice: takes one block, writes to it and
 *                          frees it: a line "NODE-OF-THE-CPU NODE BYTES-ON-IT"
 *
 * shim.cpp runs it under libroma_malloc.so, and a policy. Blocks are looked at page by page, of
 * those shorter than a page the page that they begin on. */
#include "vm/oracle.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>

namespace {

bool run_on(unsigned node)
{
    const std::string list = roma_tests::read_text("/sys/devices/system/node/node" +
                                                   std::to_string(node) + "/cpulist");
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)std::atoi(list.c_str()), &set);
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

int go_around(size_t bytes)
{
    for (int round = 0; round < 2; round++)
        for (const unsigned node : roma_tests::cpu_nodes()) {
            void *block = run_on(node) ? std::malloc(bytes) : nullptr;
            if (block == nullptr)
                return 1;
            std::memset(block, 1, bytes);
            for (const auto &[found, sum] : roma_tests::bytes_by_node(block, bytes))
                std::printf("%u %d %zu\n", node, found, sum);
            std::free(block);
        }
    return 0;
}

} // namespace

int main(int count, char **arguments)
{
    if (count == 3 && std::strcmp(arguments[1], "around") == 0)
        return go_around(std::strtoul(arguments[2], nullptr, 10));
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
