/* claim.cpp - the protocol of src/heap/claim.h on a processor that delays stores, in every order.
 *
 * A model, not the source: the source's loads and stores are those of one processor after the other
 * wherever it is run under test, and what the protocol is about is that they are not. Each step
 * here stands for one of the source:
 *
 *   owner    take, put     roma__cache_take(), _put_plain(): read top, store the cell and the new
 *            top look          roma__cache_commit(): read closed
 *            settle        roma__cache_settle() and roma__claim_settle(), in one step under the
 *                          lock
 *   claimer  lock, close, barrier, see, take away, unlock: roma__claim(); the barrier may be
 *            refused
 *   kernel   a store of the owner reaches memory: one at a time and in their order, at any time
 *            (total store order); all of them at a barrier, and where the owner takes the lock
 *
 * All states that some order of these steps reaches are visited. In each last one every cell is in
 * exactly one place: the owner's hands, the magazine, or at home. */
#include "catch.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

namespace {

constexpr unsigned cells_count = 4;

enum mutation { AS_IT_IS, NO_BARRIER, LOOK_BEFORE_COMMIT, NO_COMPARISON, DROP_WHAT_IS_ABOVE };

enum owner_step : uint8_t { NEXT, LOOK, COMMIT_LATE, LOCK, SETTLE };
enum claimer_step : uint8_t { C_LOCK, C_CLOSE, C_BARRIER, C_SEE, C_TAKE_AWAY, C_UNLOCK, C_DONE };
enum lock_holder : uint8_t { NOBODY, OWNER, CLAIMER };

/* One store that has not reached memory: of a cell, or (place == top_place) of the top. */
constexpr uint8_t top_place = 0xFF;
struct store {
    uint8_t place, value;
};

struct state {
    std::array<uint8_t, cells_count + 1> entries{}; /* of the magazine, in memory             */
    uint8_t top = 0, closed = 0, seen = 0;
    std::array<store, 6> delayed{}; /* the owner's, oldest first                           */
    uint8_t delayed_count = 0;
    lock_holder lock = NOBODY;
    owner_step owner = NEXT;
    uint8_t op = 0, cell = 0, new_top = 0, is_take = 0;
    claimer_step claimer = C_LOCK;
    uint8_t claims_left = 0;
    std::array<uint8_t, cells_count> in_hands{}, at_home{};

    std::string key() const
    {
        return std::string(reinterpret_cast<const char *>(this), sizeof *this);
    }
};

static_assert(std::is_trivially_copyable<state>::value, "states are told apart by their bytes");

class search {
    const std::string ops; /* t: take, p: put */
    const mutation how;
    std::set<std::string> known;
    std::vector<state> open;

    void add(const state &next)
    {
        if (known.insert(next.key()).second)
            open.push_back(next);
    }

    static void reach(state &at) /* the oldest delayed store is in memory */
    {
        const store first = at.delayed[0];
        if (first.place == top_place)
            at.top = first.value;
        else
            at.entries[first.place] = first.value;
        for (unsigned i = 1; i < at.delayed_count; i++)
            at.delayed[i - 1] = at.delayed[i];
        at.delayed[--at.delayed_count] = {};
    }

    static void reach_all(state &at)
    {
        while (at.delayed_count > 0)
            reach(at);
    }

    static void delay(state &at, uint8_t place, uint8_t value)
    {
        at.delayed[at.delayed_count++] = {place, value};
    }

    /* The owner reads what it stored last, in memory or not. */
    static uint8_t own_view(const state &at, uint8_t place)
    {
        uint8_t value = place == top_place ? at.top : at.entries[place];
        for (unsigned i = 0; i < at.delayed_count; i++)
            if (at.delayed[i].place == place)
                value = at.delayed[i].value;
        return value;
    }

    static void end_op(state &at, bool is_mine)
    {
        if (at.is_take && is_mine)
            at.in_hands[at.cell]++;
        at.owner = NEXT;
        at.op++;
        at.cell = at.new_top = at.is_take = 0;
    }

    void skip_op(state at)
    {
        at.cell = at.is_take = 0;
        at.op++;
        add(at);
    }

    void step_owner(state at)
    {
        switch (at.owner) {
        case NEXT: {
            if (at.op == ops.size())
                return;
            const uint8_t top = own_view(at, top_place);
            at.is_take = ops[at.op] == 't';
            if (at.is_take ? top == 0 : top == cells_count)
                return skip_op(at); /* a slow path: not looked at here */
            if (at.is_take) {
                at.cell = own_view(at, uint8_t(top - 1));
                at.new_top = uint8_t(top - 1);
            } else {
                while (at.cell < cells_count && at.in_hands[at.cell] == 0)
                    at.cell++;
                if (at.cell == cells_count)
                    return skip_op(at);
                at.in_hands[at.cell]--;
                at.new_top = uint8_t(top + 1);
                delay(at, top, at.cell);
            }
            if (how == LOOK_BEFORE_COMMIT) {
                at.owner = at.closed ? LOCK : COMMIT_LATE;
                if (at.owner == LOCK)
                    delay(at, top_place, at.new_top);
            } else {
                delay(at, top_place, at.new_top);
                at.owner = LOOK;
            }
            return add(at);
        }
        case COMMIT_LATE:
            delay(at, top_place, at.new_top);
            end_op(at, true);
            return add(at);
        case LOOK:
            if (at.closed)
                at.owner = LOCK;
            else
                end_op(at, true);
            return add(at);
        case LOCK:
            if (at.lock != NOBODY)
                return;
            reach_all(at);
            at.lock = OWNER;
            at.owner = SETTLE;
            return add(at);
        case SETTLE: {
            const bool in_time = how == NO_COMPARISON || !at.closed || at.new_top >= at.seen;
            if (at.closed) {
                uint8_t left = at.top > at.seen ? uint8_t(at.top - at.seen) : uint8_t(0);
                if (how == DROP_WHAT_IS_ABOVE)
                    left = 0;
                for (unsigned i = 0; i < left; i++)
                    at.entries[i] = at.entries[at.seen + i];
                at.top = left;
                at.closed = 0;
                at.seen = 0;
            }
            at.lock = NOBODY;
            end_op(at, in_time);
            return add(at);
        }
        }
    }

    void step_claimer(state at)
    {
        switch (at.claimer) {
        case C_LOCK:
            if (at.lock != NOBODY)
                return;
            at.lock = CLAIMER;
            at.claimer = at.closed ? C_UNLOCK : C_CLOSE; /* all that there was is taken */
            return add(at);
        case C_CLOSE:
            at.closed = 1;
            at.claimer = C_BARRIER;
            return add(at);
        case C_BARRIER: {
            state refused = at;
            refused.closed = 0;
            refused.claimer = C_UNLOCK;
            add(refused);
            if (how != NO_BARRIER)
                reach_all(at);
            at.claimer = C_SEE;
            return add(at);
        }
        case C_SEE:
            at.seen = at.top;
            at.claimer = C_TAKE_AWAY;
            return add(at);
        case C_TAKE_AWAY:
            for (unsigned i = 0; i < at.seen; i++)
                at.at_home[at.entries[i]]++;
            at.claimer = C_UNLOCK;
            return add(at);
        case C_UNLOCK:
            at.lock = NOBODY;
            at.claimer = --at.claims_left > 0 ? C_LOCK : C_DONE;
            return add(at);
        case C_DONE: return;
        }
    }

    bool is_last(const state &at) const
    {
        return at.owner == NEXT && at.op == ops.size() && at.claimer == C_DONE &&
               at.delayed_count == 0;
    }

    static bool is_right(const state &at)
    {
        std::array<unsigned, cells_count> found{};
        for (unsigned i = at.closed ? at.seen : 0; i < at.top; i++)
            found[at.entries[i]]++;
        for (unsigned i = 0; i < cells_count; i++)
            if (found[i] + at.in_hands[i] + at.at_home[i] != 1)
                return false;
        return true;
    }

  public:
    unsigned long lasts = 0, wrong = 0;

    /* `held` cells are in the magazine at the start, the others in the owner's hands. */
    search(const std::string &script, unsigned held, unsigned claims, mutation mutant)
        : ops(script), how(mutant)
    {
        state first;
        std::memset(static_cast<void *>(&first), 0, sizeof first);
        for (unsigned i = 0; i < cells_count; i++) {
            if (i < held)
                first.entries[i] = uint8_t(i);
            else
                first.in_hands[i] = 1;
        }
        first.top = uint8_t(held);
        first.claims_left = uint8_t(claims);
        add(first);
        while (!open.empty()) {
            const state at = open.back();
            open.pop_back();
            if (is_last(at)) {
                lasts++;
                wrong += !is_right(at);
            }
            step_owner(at);
            step_claimer(at);
            if (at.delayed_count > 0) {
                state next = at;
                reach(next);
                add(next);
            }
        }
    }

    size_t states() const { return known.size(); }
};

const char *const scripts[] = {"t",   "p",   "tt",   "tp",   "pt",   "pp",   "ttp", "tpt",
                               "ptp", "ppt", "tptp", "ptpt", "ttpp", "pptt", "tttp"};

unsigned long wrong_ends(mutation how)
{
    unsigned long wrong = 0;
    for (const char *ops : scripts)
        for (unsigned held = 0; held <= 3; held++)
            wrong += search(ops, held, 2, how).wrong;
    return wrong;
}

} // namespace

TEST_CASE(
    "whoever claims a cache, whenever: each cell is the owner's or the claimer's, and never both",
    "[claim]")
{
    for (const char *ops : scripts)
        for (unsigned held = 0; held <= 3; held++)
            for (unsigned claims = 1; claims <= 3; claims++) {
                const search all(ops, held, claims, AS_IT_IS);
                INFO(ops << " with " << held << " held, " << claims << " claims: " << all.states()
                         << " states, " << all.lasts << " of them last");
                CHECK(all.lasts > 0);
                CHECK(all.wrong == 0);
            }
}

TEST_CASE(
    "a claim without a barrier, or settled without looking what was seen, loses or doubles cells",
    "[claim]")
{
    CHECK(wrong_ends(AS_IT_IS) == 0);
    CHECK(wrong_ends(NO_BARRIER) > 0);
    CHECK(wrong_ends(LOOK_BEFORE_COMMIT) > 0);
    CHECK(wrong_ends(NO_COMPARISON) > 0);
    CHECK(wrong_ends(DROP_WHAT_IS_ABOVE) > 0);
}
