/* oracle.cpp - see oracle.hpp. */
#include "oracle.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <sys/syscall.h>
#include <unistd.h>

namespace roma_tests {

std::map<int, size_t> bytes_by_node(const void *address, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = (uintptr_t)address / page * page;
    const size_t count = ((uintptr_t)address + bytes - begin + page - 1) / page;
    std::vector<void *> pages(count);
    std::vector<int> nodes(count, -1);
    for (size_t i = 0; i < count; i++)
        pages[i] = (void *)(begin + i * page);
    std::map<int, size_t> found;
    if (syscall(SYS_move_pages, 0, count, pages.data(), nullptr, nodes.data(), 0) != 0)
        return found;
    for (const int node : nodes)
        found[node < 0 ? -1 : node] += page;
    return found;
}

std::string read_text(const std::string &path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

bool write_text(const std::string &path, const std::string &text)
{
    std::ofstream file(path);
    file << text;
    file.close();
    return !file.fail();
}

uint64_t number_in(const std::string &path, const std::string &word)
{
    std::istringstream words(read_text(path));
    std::string seen;
    uint64_t number = 0;
    while (words >> seen)
        if (seen == word && words >> number)
            return number;
    return 0;
}

static std::string folder_of(unsigned node)
{
    return "/sys/devices/system/node/node" + std::to_string(node) + "/";
}

uint64_t free_on(unsigned node)
{
    return number_in(folder_of(node) + "meminfo", "MemFree:") * 1024;
}

uint64_t free_huge_on(unsigned node)
{
    const std::string text = read_text(folder_of(node) +
                                       "hugepages/hugepages-2048kB/free_hugepages");
    return std::strtoull(text.c_str(), nullptr, 10);
}

uint64_t kills_count()
{
    return number_in("/proc/vmstat", "oom_kill");
}

/* "0-1,4\n" */
static std::vector<unsigned> numbers_of(const std::string &list)
{
    std::vector<unsigned> numbers;
    std::istringstream parts(list);
    for (std::string part; std::getline(parts, part, ',');) {
        unsigned first = 0;
        unsigned last = 0;
        const int found = std::sscanf(part.c_str(), "%u-%u", &first, &last);
        for (unsigned i = first; found > 0 && i <= (found == 2 ? last : first); i++)
            numbers.push_back(i);
    }
    return numbers;
}

std::vector<unsigned> memory_nodes()
{
    return numbers_of(read_text("/sys/devices/system/node/has_memory"));
}

std::vector<unsigned> cpu_nodes()
{
    return numbers_of(read_text("/sys/devices/system/node/has_cpu"));
}

} // namespace roma_tests
