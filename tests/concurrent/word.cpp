/* word.cpp - the state word under every interleaving of two and three threads. */
#include "interleave.hpp"
#include "word_interleaved.h"

#include <cerrno>

namespace {

/* What must hold whatever the interleaving: as many references as retains and drops that succeeded
 * leave; exactly one drop sees 0, if the count gets there, and moves the generation on by one;
 * after that nothing succeeds; the side table holds an entry exactly for a saturated word. */
const char *judge(const interleaved_scenario *scenario, const interleaved_outcome *outcome)
{
    int references = static_cast<int>(scenario->count);
    int ended = 0;
    for (unsigned t = 0; t < scenario->threads; t++) {
        for (unsigned i = 0; i < INTERLEAVED_OPS_MAX; i++) {
            int result = outcome->results[t][i];
            switch (scenario->ops[t][i]) {
            case OP_RETAIN:
                if (result < 0 && result != -ESTALE)
                    return "a retain failed in another way than stale";
                references += result > 0;
                break;
            case OP_DROP:
            case OP_DROP_ANY:
                if (result < 0 && result != -ESTALE)
                    return "a drop failed in another way than stale";
                references -= result >= 0;
                ended += result == 0;
                break;
            case OP_END_SOLE:
                if (result != 0 && result != -EBUSY)
                    return "ending failed in another way than busy";
                references -= result == 0;
                ended += result == 0;
                break;
            default: break;
            }
        }
    }
    if (ended > 1)
        return "two threads were told to recycle the cell";
    if (references != outcome->references)
        return "the references do not add up";
    if ((references == 0) != (ended == 1))
        return "the count is 0 and nobody was told, or the other way round";
    if (outcome->generation != scenario->generation + static_cast<unsigned>(ended))
        return "the generation did not move exactly with the end of the life";
    if ((references >= 1023) != (outcome->table_used == 1))
        return "the side table and the word disagree";
    return nullptr;
}

long run(const interleaved_scenario &scenario)
{
    return runs_of(interleaved_run(&scenario, judge));
}

} // namespace

TEST_CASE("of racing releases one ends the life and the rest are stale, in every interleaving",
          "[word]")
{
    NEEDS_COROUTINES();
    CHECK(run({1, 7, 2, {{OP_DROP}, {OP_DROP}}}) > 2);
    CHECK(run({1, 7, 3, {{OP_DROP}, {OP_DROP_ANY}, {OP_DROP}}}) > 6);
    CHECK(run({2, 7, 3, {{OP_DROP}, {OP_DROP}, {OP_DROP}}}) > 6);
}

TEST_CASE("a retain from a weak handle wins or is stale, never both, in every interleaving",
          "[word]")
{
    NEEDS_COROUTINES();
    CHECK(run({1, 0, 2, {{OP_RETAIN, OP_DROP}, {OP_DROP}}}) > 2);
    CHECK(run({1, 0, 3, {{OP_RETAIN, OP_DROP}, {OP_DROP}, {OP_RETAIN}}}) > 6);
    CHECK(run({1, 0, 2, {{OP_RETAIN, OP_DROP}, {OP_END_SOLE}}}) > 2);
    CHECK(run({1, 0, 3, {{OP_RETAIN, OP_DROP}, {OP_END_SOLE}, {OP_DROP}}}) > 6);
}

TEST_CASE("counts pass in and out of the side table without loss, in every interleaving", "[word]")
{
    NEEDS_COROUTINES();
    CHECK(run({1022, 3, 2, {{OP_RETAIN, OP_DROP}, {OP_RETAIN}}}) > 2);
    CHECK(run({1022, 3, 2, {{OP_RETAIN}, {OP_DROP, OP_RETAIN}}}) > 2);
    CHECK(run({1021, 3, 2, {{OP_RETAIN, OP_RETAIN}, {OP_DROP}}}) > 2);
    CHECK(run({1021, 3, 3, {{OP_RETAIN}, {OP_DROP}, {OP_RETAIN}}}) > 6);
}

TEST_CASE("a word that is changed by load and store is found to lose references", "[word]")
{
    NEEDS_COROUTINES();
    static constexpr interleaved_scenario releases = {1, 7, 2, {{OP_DROP}, {OP_DROP}}},
                                          weak = {1, 0, 2, {{OP_RETAIN, OP_DROP}, {OP_DROP}}},
                                          sole = {1, 0, 2, {{OP_RETAIN, OP_DROP}, {OP_END_SOLE}}};
    check_is_noticed(torn("interleaved_word_drop"),
                     [] { return interleaved_run(&releases, judge); });
    check_is_noticed(torn("interleaved_word_retain"), [] { return interleaved_run(&weak, judge); });
    check_is_noticed(torn("interleaved_word_end_sole"),
                     [] { return interleaved_run(&sole, judge); });
}
