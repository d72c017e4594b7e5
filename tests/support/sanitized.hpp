/* sanitized.hpp - what the tests run under: gcc and clang say so in different ways. */
#ifndef ROMA_TESTS_SANITIZED_HPP
#define ROMA_TESTS_SANITIZED_HPP

#if defined(__SANITIZE_ADDRESS__)
#define ROMA_TESTS_UNDER_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define ROMA_TESTS_UNDER_SANITIZER 1
#define ROMA_TESTS_UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ROMA_TESTS_UNDER_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define ROMA_TESTS_UNDER_SANITIZER 1
#define ROMA_TESTS_UNDER_TSAN 1
#endif
#endif

#endif
