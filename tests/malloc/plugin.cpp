// plugin.cpp - a library that is loaded and unloaded: blocks of its constructors, of its
// thread-local objects, and blocks that outlive it.
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

std::string *made_by_constructor = new std::string(300, 'c');

struct Local {
    char *bytes = static_cast<char *>(std::malloc(2000));
    ~Local() { std::free(bytes); }
};

thread_local Local local;

} // namespace

extern "C" void *plugin_block(std::size_t bytes);
extern "C" void plugin_free(void *block);
extern "C" std::size_t plugin_length();

void *plugin_block(std::size_t bytes)
{
    std::memset(local.bytes, 1, 2000);
    return std::memset(std::malloc(bytes), 42, bytes);
}

void plugin_free(void *block)
{
    std::free(block);
}

std::size_t plugin_length()
{
    return made_by_constructor->size();
}

__attribute__((destructor)) static void unloaded()
{
    delete made_by_constructor;
}
