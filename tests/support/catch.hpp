/* catch.hpp - Catch2 of either major version, chosen by what is installed. Version 3 has its header
 * in parts and its main part in a library; version 2 is one header and main.cpp compiles it. */
#ifndef ROMA_TESTS_CATCH_HPP
#define ROMA_TESTS_CATCH_HPP

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define ROMA_TESTS_CATCH_VERSION 3
#else
#include <catch2/catch.hpp>
#define ROMA_TESTS_CATCH_VERSION 2
#endif

#endif
