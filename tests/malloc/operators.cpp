// operators.cpp - every form of operator new and delete, new handlers, and exceptions that pass
// through a library that is written in C.
#include "expect.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr std::size_t too_much = static_cast<std::size_t>(-1) / 2 - 4096;

struct alignas(256) Wide {
    char bytes[300];
};

bool is_aligned(const void *block, std::size_t align)
{
    return reinterpret_cast<std::uintptr_t>(block) % align == 0;
}

void names_are_ours()
{
    for (const char *name : {"_Znwm",
                             "_Znam",
                             "_ZnwmRKSt9nothrow_t",
                             "_ZnamRKSt9nothrow_t",
                             "_ZnwmSt11align_val_t",
                             "_ZnamSt11align_val_t",
                             "_ZnwmSt11align_val_tRKSt9nothrow_t",
                             "_ZnamSt11align_val_tRKSt9nothrow_t",
                             "_ZdlPv",
                             "_ZdaPv",
                             "_ZdlPvm",
                             "_ZdaPvm",
                             "_ZdlPvRKSt9nothrow_t",
                             "_ZdaPvRKSt9nothrow_t",
                             "_ZdlPvSt11align_val_t",
                             "_ZdaPvSt11align_val_t",
                             "_ZdlPvmSt11align_val_t",
                             "_ZdaPvmSt11align_val_t",
                             "_ZdlPvSt11align_val_tRKSt9nothrow_t",
                             "_ZdaPvSt11align_val_tRKSt9nothrow_t"})
        expect_ours(name);
}

void every_form()
{
    const auto align = std::align_val_t{128};
    for (std::size_t bytes : {0u, 1u, 100u, 5000u, 300000u, 5000000u}) {
        void *block = ::operator new(bytes);
        EXPECT(block != nullptr && is_aligned(block, 16));
        ::operator delete(block);
        block = ::operator new[](bytes);
        EXPECT(block != nullptr);
        ::operator delete[](block);
        block = ::operator new(bytes, std::nothrow);
        EXPECT(block != nullptr);
        ::operator delete(block, std::nothrow);
        block = ::operator new[](bytes, std::nothrow);
        EXPECT(block != nullptr);
        ::operator delete[](block, std::nothrow);
        block = ::operator new(bytes, align);
        EXPECT(block != nullptr && is_aligned(block, 128));
        ::operator delete(block, align);
        block = ::operator new[](bytes, align);
        EXPECT(block != nullptr && is_aligned(block, 128));
        ::operator delete[](block, align);
        block = ::operator new(bytes, align, std::nothrow);
        EXPECT(block != nullptr && is_aligned(block, 128));
        ::operator delete(block, align, std::nothrow);
        block = ::operator new[](bytes, align, std::nothrow);
        EXPECT(block != nullptr && is_aligned(block, 128));
        ::operator delete[](block, align, std::nothrow);
        ::operator delete(::operator new(bytes), bytes);
        ::operator delete[](::operator new[](bytes), bytes);
        ::operator delete(::operator new(bytes, align), bytes, align);
        ::operator delete[](::operator new[](bytes, align), bytes, align);
    }
    ::operator delete(nullptr);
    ::operator delete[](nullptr, std::nothrow);
    auto wide = std::make_unique<Wide>();
    EXPECT(is_aligned(wide.get(), 256));
    auto many = std::make_unique<Wide[]>(7);
    EXPECT(is_aligned(&many[3], 256));
}

template <typename Call> bool throws_bad_alloc(Call call)
{
    try {
        call();
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void without_handler()
{
    volatile std::size_t bytes = too_much;
    EXPECT(throws_bad_alloc([&] { ::operator delete(::operator new(bytes)); }));
    EXPECT(throws_bad_alloc([&] { ::operator delete[](::operator new[](bytes)); }));
    EXPECT(throws_bad_alloc([&] {
        ::operator delete (::operator new (bytes, std::align_val_t{64}), std::align_val_t{64});
    }));
    EXPECT(::operator new(bytes, std::nothrow) == nullptr);
    EXPECT(::operator new[](bytes, std::nothrow) == nullptr);
    EXPECT(::operator new (bytes, std::align_val_t{64}, std::nothrow) == nullptr);
}

int calls;

void gives_up_the_third_time()
{
    if (++calls == 3)
        std::set_new_handler(nullptr);
}

struct Mine {};

void throws_its_own()
{
    calls++;
    throw Mine();
}

void throws_as_it_should()
{
    calls++;
    throw std::bad_alloc();
}

void with_handler()
{
    volatile std::size_t bytes = too_much;
    calls = 0;
    std::set_new_handler(gives_up_the_third_time);
    EXPECT(throws_bad_alloc([&] { ::operator delete(::operator new(bytes)); }));
    EXPECT(calls == 3);

    calls = 0;
    bool caught = false;
    std::set_new_handler(throws_its_own);
    try {
        ::operator delete(::operator new(bytes));
    } catch (const Mine &) {
        caught = true;
    }
    EXPECT(caught && calls == 1);

    calls = 0; // a nothrow form calls the handler, too, and swallows what it throws
    std::set_new_handler(throws_as_it_should);
    EXPECT(::operator new(bytes, std::nothrow) == nullptr);
    EXPECT(::operator new[](bytes, std::nothrow) == nullptr);
    EXPECT(::operator new (bytes, std::align_val_t{64}, std::nothrow) == nullptr);
    EXPECT(calls == 3);
    std::set_new_handler(nullptr);
}

void returns()
{
    if (++calls > 1000)
        throw Mine(); // or new would ask for ever
}

// No handler can help there: a handler that returns is not asked over and over.
void with_too_great_an_alignment()
{
    const auto align = static_cast<std::align_val_t>(std::size_t{1} << 46);
    calls = 0;
    std::set_new_handler(returns);
    bool caught = false;
    try {
        ::operator delete(::operator new(1, align), align);
    } catch (const std::bad_alloc &) {
        caught = true;
    } catch (const Mine &) {
    }
    EXPECT(caught && calls == 0);
    EXPECT(::operator new(1, align, std::nothrow) == nullptr &&calls == 0);
    std::set_new_handler(nullptr);
    const auto least = static_cast<std::align_val_t>(std::size_t{1} << 31);
    EXPECT(throws_bad_alloc([&] { ::operator delete(::operator new(1, least), least); }));
}

// Nodes, strings and vectors; an exception object is malloc's as well.
void containers()
{
    std::map<std::string, std::vector<int>> map;
    for (int i = 0; i < 20000; i++)
        map["a name that is too long for the string itself " + std::to_string(i % 3000)].push_back(
            i);
    std::size_t sum = 0;
    for (const auto &entry : map)
        sum += entry.second.size();
    EXPECT(sum == 20000);
    for (int i = 0; i < 100; i++) {
        try {
            throw std::string(1000, 'x');
        } catch (const std::string &text) {
            EXPECT(text.size() == 1000);
        }
    }
}

// Before main and after it: a global with blocks.
struct Global {
    std::vector<std::string> names{"one", "two", std::string(5000, 'z')};
    ~Global() { names.clear(); }
} global;

} // namespace

int main()
{
    names_are_ours();
    every_form();
    without_handler();
    with_handler();
    with_too_great_an_alignment();
    containers();
    EXPECT(global.names.size() == 3 && global.names[2].size() == 5000);
    return finish("operators");
}
