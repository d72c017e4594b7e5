/* session_judge.hpp - how the scripted session judges answers by the headers and notes them. */
#ifndef ROMA_TESTS_SESSION_JUDGE_HPP
#define ROMA_TESTS_SESSION_JUDGE_HPP

#include "figure.hpp"
#include "session_script.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace session {

inline record *now;
inline const char *where = ""; /* which part of the script runs, for notes */

__attribute__((format(printf, 3, 4))) inline void add(char *text, size_t bytes,
                                                      const char *format, ...)
{
    const size_t used = std::strlen(text);
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text + used, bytes - used, format, arguments);
    va_end(arguments);
}

inline void broken(const char *call, const char *what)
{
    now->broken_count++;
    add(now->broken, sizeof now->broken, "    %s: %s: %s\n", where, call, what);
}

inline bool require(bool holds, const char *call, const char *what)
{
    if (!holds)
        broken(call, what);
    return holds;
}

/* What error.h keeps for mistakes of the caller: no failure of a system call means them. */
inline bool is_callers(int code)
{
    return code == -EINVAL || code == -E2BIG || code == -ESTALE || code == -EBUSY;
}

inline void judge_error(const char *call, int code, const roma_error &error)
{
    char text[512] = "";
    require(error.code == code, call, "the error's code is not the returned one");
    require(error.why > ROMA_WHY_NONE && error.why < ROMA_WHY_COUNT, call,
            "the error does not say why");
    roma_error_text(&error, text, sizeof text);
    require(std::strlen(text) > 10 && std::strlen(text) < 256, call,
            "the error is no sentence of up to 255 bytes");
    if (error.why == ROMA_WHY_CALL || error.why == ROMA_WHY_CALL_REFUSED)
        require(error.call != nullptr && error.cause > 0, call,
                "the error does not name the call and its errno");
}

/* A call that returns 0 or -errno with a record. */
inline bool judged(const char *call, int code, const roma_error &error, bool any_code = false)
{
    add(now->notes, sizeof now->notes, "%s: %s: %d/%d\n", where, call, code,
        code != 0 ? static_cast<int>(error.why) : 0);
    if (code == 0)
        return true;
    now->errors_count++;
    if (require(code < 0, call, "neither 0 nor an error")) {
        require(any_code || !is_callers(code), call, "the code means a mistake of the caller");
        judge_error(call, code, error);
    }
    return false;
}

/* A call that returns a number, or -errno, without a record. */
inline bool counted(const char *call, int64_t code)
{
    add(now->notes, sizeof now->notes, "%s: %s: %lld\n", where, call,
        static_cast<long long>(std::min<int64_t>(code, 0)));
    if (code >= 0)
        return true;
    now->errors_count++;
    return false;
}

/* A call that returns a pointer, or NULL and errno. */
inline bool given(const char *call, const void *pointer)
{
    const int error = pointer != nullptr ? 0 : errno;
    add(now->notes, sizeof now->notes, "%s: %s: %d\n", where, call, error);
    if (pointer != nullptr)
        return true;
    now->errors_count++;
    require(error > 0 && !is_callers(-error), call, "errno means a mistake of the caller");
    return false;
}

inline void judge_grant(const char *call, bool success, const roma_grant &grant)
{
    require((grant.code == 0) == success, call, "the grant's code disagrees with the call");
    require(grant.steps_count <= ROMA_STEPS_MAX, call, "more steps than a grant holds");
    require(!success || grant.steps_count >= 1, call, "a success without a step");
    for (unsigned i = 0; i < grant.steps_count; i++) {
        const roma_step &step = grant.steps[i];
        const bool last = i + 1 == grant.steps_count;
        require(step.provider[0] != '\0', call, "a step without a provider");
        if (success && last) {
            require(step.error.code == 0, call, "the step that gave the memory has an error");
        } else if (require(step.error.code < 0, call, "a failed step without an error")) {
            judge_error(call, step.error.code, step.error);
            now->errors_count++;
        }
    }
    if (!success)
        judge_error(call, grant.code, grant.error);
    add(now->notes, sizeof now->notes, "%s: %s: steps %u kind %x reused %d zeroed %d\n", where,
        call, grant.steps_count, grant.pages, grant.reused, grant.zeroed);
}

/* ---- contents -------------------------------------------------------------------------------- */

inline unsigned char byte_of(size_t offset, unsigned seed)
{
    return static_cast<unsigned char>(offset * 31 + offset / 4096 + seed);
}

/* The first and last bytes of each page stand for all. */
template <typename function> void each_byte(size_t bytes, function call)
{
    for (size_t page = 0; page < bytes; page += 4096) {
        call(page);
        call(std::min(page + 4095, bytes - 1));
    }
}

/* Where the pages are: what is known of it, and which kinds. */
inline void look_where(const void *block)
{
    roma_report report = {};
    if (!counted("where", roma_where(block, &report)))
        return;
    add(now->notes, sizeof now->notes, "where: kinds %d nodes %d:", report.kinds_known,
        report.nodes_known);
    for (unsigned i = 0; i < report.kinds_count; i++)
        add(now->notes, sizeof now->notes, " %x", report.kinds[i].pages);
    add(now->notes, sizeof now->notes, "\n");
}

inline void fill(void *block, size_t bytes, unsigned seed)
{
    auto *data = static_cast<unsigned char *>(block);
    each_byte(bytes, [&](size_t at) { data[at] = byte_of(at, seed); });
}

inline void check_filled(const char *call, const void *block, size_t bytes, unsigned seed)
{
    const auto *data = static_cast<const unsigned char *>(block);
    bool same = true;
    /* Only whole pages' first bytes: where a block was cut, its last page had another last byte. */
    for (size_t page = 0; page < bytes; page += 4096)
        same = same && data[page] == byte_of(page, seed);
    require(same, call, "the block's bytes have changed");
}

inline void check_zero(const char *call, const void *block, size_t bytes)
{
    const auto *data = static_cast<const unsigned char *>(block);
    bool zero = true;
    if (bytes > 0)
        each_byte(bytes, [&](size_t at) { zero = zero && data[at] == 0; });
    require(zero, call, "bytes that must read as zero do not");
}

/* ---- figures --------------------------------------------------------------------------------- */

inline uint64_t figure(roma_provider *provider, const char *key)
{
    roma_tests::sought_figure want{key};
    counted("provider stats", roma_provider_stats(provider, want.visit, &want));
    return want.number;
}

inline uint64_t figure(roma_manager *manager, const char *key)
{
    roma_tests::sought_figure want{key};
    counted("manager stats", roma_manager_stats(manager, want.visit, &want));
    require(want.is_found, "manager stats", key);
    return want.number;
}

} // namespace session

#endif
