/* figure.hpp - one figure of all those that a visitor is told.
 *
 *     roma_tests::sought_figure wanted{"extents.live"};
 *     roma_manager_stats(manager, wanted.visit, &wanted);
 *     REQUIRE(wanted.is_found); */
#ifndef ROMA_TESTS_FIGURE_HPP
#define ROMA_TESTS_FIGURE_HPP

#include <roma/visitor.h>

#include <cstdint>
#include <string>

namespace roma_tests {

struct sought_figure {
    std::string key;
    uint64_t number = 0;
    bool is_found = false;

    static int visit(void *context, const char *key, const roma_value *value)
    {
        auto *self = static_cast<sought_figure *>(context);
        if (self->key == key) {
            self->number = value->number;
            self->is_found = true;
        }
        return 0;
    }
};

} // namespace roma_tests

#endif
