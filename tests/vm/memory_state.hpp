/* memory_state.hpp - the movable node of the machine `hotplug`, and putting it on- and offline. */
#ifndef ROMA_TESTS_VM_MEMORY_STATE_HPP
#define ROMA_TESTS_VM_MEMORY_STATE_HPP

#include "oracle.hpp"

#include <algorithm>
#include <glob.h>
#include <string>

namespace roma_tests {

constexpr unsigned movable_node = 2;

/* Put all memory of the node into a state; what is there already stays. */
inline bool set_movable(const std::string &state)
{
    glob_t found;
    const std::string pattern = "/sys/devices/system/node/node" + std::to_string(movable_node) +
                                "/memory*/state";
    if (glob(pattern.c_str(), 0, nullptr, &found) != 0)
        return false;
    bool all = true;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const bool is_online = read_text(found.gl_pathv[i]) == "online\n";
        if (is_online != (state != "offline"))
            all = write_text(found.gl_pathv[i], state) && all;
    }
    globfree(&found);
    return all;
}

inline bool movable_has_memory()
{
    const auto nodes = memory_nodes();
    return std::count(nodes.begin(), nodes.end(), movable_node) == 1;
}

} // namespace roma_tests

#endif
