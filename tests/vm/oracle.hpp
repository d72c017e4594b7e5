/* oracle.hpp - what the kernel says of memory, asked without roma: the rig's second opinion. */
#ifndef ROMA_TESTS_VM_ORACLE_HPP
#define ROMA_TESTS_VM_ORACLE_HPP

#include <roma.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace roma_tests {

/* Bytes of a range by the node that has them, by move_pages(); key -1: not present. */
std::map<int, size_t> bytes_by_node(const void *address, size_t bytes);

/* The number behind a word of a file, such as "MemFree:" or "oom_kill"; 0 where it is not there. */
uint64_t number_in(const std::string &path, const std::string &word);

std::string read_text(const std::string &path);
bool write_text(const std::string &path, const std::string &text);

/* Bytes of a node that are free. */
uint64_t free_on(unsigned node);

/* Free hugetlb pages of 2 MiB on a node. */
uint64_t free_huge_on(unsigned node);

/* How often the kernel has killed for want of memory since it booted. */
uint64_t kills_count();

/* The nodes with memory, by sysfs. */
std::vector<unsigned> memory_nodes();

/* The nodes with CPUs, by sysfs. */
std::vector<unsigned> cpu_nodes();

} // namespace roma_tests

#endif
