/* interleave.cpp - the scheduler that the interleaved tests stand on: it runs what it says, and
 * finds what is there to be found. */
#include "interleave.hpp"

#include <set>
#include <vector>

namespace {

/* What the threads below do to one another. */
struct scene {
    int number = 0, seen[INTERLEAVE_THREADS_MAX] = {};
    bool flag = false;
    char locks[2] = {};
    unsigned points = 1;
    std::set<int> *ends = nullptr;
} now;

void only_points(void *, unsigned)
{
    for (unsigned i = 0; i < now.points; i++)
        interleave_point(&now.number, __func__);
}

/* Adds one by a load and a store. */
void add(void *, unsigned number)
{
    interleave_point(&now.number, __func__);
    now.seen[number] = now.number;
    interleave_point(&now.number, __func__);
    now.number = now.seen[number] + 1;
}

void add_locked(void *context, unsigned number)
{
    interleave_lock(&now.locks[0], __func__);
    add(context, number);
    interleave_unlock(&now.locks[0], __func__);
}

/* One takes the locks in this order, one in that. */
void cross(void *, unsigned number)
{
    interleave_lock(&now.locks[number], __func__);
    interleave_lock(&now.locks[1 - number], __func__);
    interleave_unlock(&now.locks[1 - number], __func__);
    interleave_unlock(&now.locks[number], __func__);
}

void cross_trying(void *, unsigned number)
{
    interleave_lock(&now.locks[number], __func__);
    if (interleave_trylock(&now.locks[1 - number], __func__) == 0)
        interleave_unlock(&now.locks[1 - number], __func__);
    else
        now.number++;
    interleave_unlock(&now.locks[number], __func__);
}

void wait_for_flag(void *, unsigned number)
{
    if (number == 0) {
        interleave_point(&now.flag, __func__);
        now.flag = true;
    }
    for (interleave_point(&now.flag, __func__); !now.flag; interleave_point(&now.flag, __func__))
        interleave_yield(__func__);
}

void wait_for_nobody(void *, unsigned)
{
    for (interleave_point(&now.flag, __func__); !now.flag; interleave_point(&now.flag, __func__))
        interleave_yield(__func__);
}

void begin(void *)
{
    now.number = 0;
    now.flag = false;
    for (int &seen : now.seen)
        seen = 0;
}

const char *judge_nothing(void *)
{
    if (now.ends != nullptr)
        now.ends->insert(now.number);
    return nullptr;
}

const char *judge_sum(void *context)
{
    const auto *plan = static_cast<const interleave_plan *>(context);
    return now.number == static_cast<int>(plan->threads) ? nullptr : "an addition is lost";
}

interleave_plan plan_of(unsigned threads, void (*thread)(void *, unsigned))
{
    interleave_plan plan = {};
    plan.threads = threads;
    plan.begin = begin;
    plan.thread = thread;
    plan.judge = judge_nothing;
    return plan;
}

long factorial(unsigned n)
{
    return n < 2 ? 1 : n * factorial(n - 1);
}

std::set<int> ends_of(interleave_plan plan)
{
    std::set<int> ends;
    now.ends = &ends;
    CHECK(runs_of(interleave_run(&plan)) > 0);
    now.ends = nullptr;
    return ends;
}

} // namespace

TEST_CASE("each interleaving of threads is run once", "[interleave]")
{
    NEEDS_COROUTINES();
    for (unsigned threads = 1; threads <= 3; threads++)
        for (now.points = 0; now.points <= 3 - threads / 3; now.points++) {
            /* a thread of n points has n + 1 steps */
            long count = factorial(threads * (now.points + 1));
            for (unsigned i = 0; i < threads; i++)
                count /= factorial(now.points + 1);
            const interleave_plan plan = plan_of(threads, only_points);
            INFO(threads << " threads of " << now.points << " points");
            CHECK(runs_of(interleave_run(&plan)) == count);
        }
}

TEST_CASE("an addition by load and store is found to be lost, and not under a lock", "[interleave]")
{
    NEEDS_COROUTINES();
    interleave_plan plan = plan_of(3, add);
    plan.context = &plan;
    plan.judge = judge_sum;
    const interleave_result broken = interleave_run(&plan);
    REQUIRE(broken.message != nullptr);
    CHECK(std::string(broken.message) == "an addition is lost");
    CHECK(std::string(broken.trace).find("add") != std::string::npos);
    plan.thread = add_locked;
    plan.threads = 2;
    CHECK(runs_of(interleave_run(&plan)) > 2);
}

TEST_CASE("two locks in either order are found to be a deadlock, and not where one is tried",
          "[interleave]")
{
    NEEDS_COROUTINES();
    interleave_plan plan = plan_of(2, cross);
    const interleave_result stuck = interleave_run(&plan);
    REQUIRE(stuck.message != nullptr);
    CHECK(std::string(stuck.message).find("deadlock") != std::string::npos);
    plan = plan_of(2, cross_trying);
    /* How often a lock was not to be had. Twice takes that giving the own one back is a step. */
    CHECK(ends_of(plan) == std::set<int>{0, 1});
    plan.tries_locks = true;
    CHECK(ends_of(plan) == std::set<int>{0, 1, 2});
}

TEST_CASE("a loop that waits ends when another thread acts, and is found out when none does",
          "[interleave]")
{
    NEEDS_COROUTINES();
    interleave_plan plan = plan_of(2, wait_for_flag);
    CHECK(runs_of(interleave_run(&plan)) > 2);
    plan = plan_of(2, wait_for_nobody);
    CHECK(interleave_run(&plan).message != nullptr);
}

TEST_CASE("with a bound on preemptions fewer interleavings are run, and no others", "[interleave]")
{
    NEEDS_COROUTINES();
    now.points = 2;
    interleave_plan plan = plan_of(3, only_points);
    long before = 0;
    for (plan.preemptions_max = 1; plan.preemptions_max <= 6; plan.preemptions_max++) {
        const long runs = runs_of(interleave_run(&plan));
        CHECK(runs > before);
        before = runs;
    }
    plan.preemptions_max = 0;
    CHECK(runs_of(interleave_run(&plan)) == before); /* 3 threads of 3 steps can have no more */
}

TEST_CASE("a search by states meets the ends that all interleavings have, in fewer runs",
          "[interleave]")
{
    NEEDS_COROUTINES();
    const std::vector<interleave_memory> memory = {{&now.number, sizeof now.number},
                                                   {now.seen, sizeof now.seen},
                                                   {&now.flag, sizeof now.flag}};
    for (auto *thread : {add, add_locked, cross_trying, wait_for_flag}) {
        interleave_plan plan = plan_of(thread == add ? 3 : 2, thread);
        const std::set<int> ends = ends_of(plan);
        const long runs = interleave_run(&plan).runs;
        plan.memory = memory.data();
        plan.memory_count = memory.size();
        CHECK(ends_of(plan) == ends);
        const interleave_result result = interleave_run(&plan);
        CHECK(result.runs < runs);
        CHECK(result.states > 1);
    }
}
