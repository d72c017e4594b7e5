/* tree.hpp - a folder of made-up /sys and /proc files for the readers, gone when the test ends. */
#ifndef ROMA_TESTS_TREE_HPP
#define ROMA_TESTS_TREE_HPP

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace roma_tests {

class tree {
public:
    tree()
    {
        std::string name = (std::filesystem::temp_directory_path() / "roma-tree-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary folder");
        root_ = name;
    }
    /* A copy of a captured tree, to change one thing in it. */
    explicit tree(const std::string &fixture) : tree()
    {
        using std::filesystem::copy_options; /* links stay links: the kernel's lead in circles */
        std::filesystem::copy(fixture, root_,
                              copy_options::recursive | copy_options::copy_symlinks);
    }
    tree(const tree &) = delete;
    tree &operator=(const tree &) = delete;
    ~tree()
    {
        std::error_code ignored;
        std::filesystem::remove_all(root_, ignored);
    }

    const char *root() const { return root_.c_str(); }

    void put(const std::string &path, const std::string &text) const
    {
        const std::filesystem::path full = root_ + path;
        std::filesystem::create_directories(full.parent_path());
        std::ofstream(full, std::ios::binary) << text;
    }

    void remove(const std::string &path) const { std::filesystem::remove_all(root_ + path); }

private:
    std::string root_;
};

inline std::string fixture(const std::string &name)
{
    return std::string(ROMA_SOURCE_DIR) + "/tests/fixtures/" + name;
}

} // namespace roma_tests

#endif
