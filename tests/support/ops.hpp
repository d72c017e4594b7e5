/* ops.hpp - the table of a provider that a test writes: the mandatory part, nothing optional. */
#ifndef ROMA_TESTS_OPS_HPP
#define ROMA_TESTS_OPS_HPP

#include <roma/provider.h>

namespace roma_tests {

inline roma_provider_ops mandatory_ops(const char *name, decltype(roma_provider_ops::probe) probe,
                                       decltype(roma_provider_ops::acquire) acquire,
                                       decltype(roma_provider_ops::release) release,
                                       decltype(roma_provider_ops::resize) resize,
                                       decltype(roma_provider_ops::populate) populate,
                                       decltype(roma_provider_ops::advise) advise,
                                       decltype(roma_provider_ops::query) query,
                                       decltype(roma_provider_ops::stats) stats)
{
    roma_provider_ops ops{};
    ops.size = sizeof ops;
    ops.version = ROMA_PROVIDER_VERSION;
    ops.name = name;
    ops.probe = probe;
    ops.acquire = acquire;
    ops.release = release;
    ops.resize = resize;
    ops.populate = populate;
    ops.advise = advise;
    ops.query = query;
    ops.stats = stats;
    return ops;
}

} // namespace roma_tests

#endif
