/* prefetch_callbacks_nested.cpp - callbacks and several engines: one that submits to an engine of
 * plain calls runs that one's callbacks on its own thread, and none of them may wait for anybody.
 *
 * All of it runs in a child, where a wait without end is a signal. */
#include "between.hpp"
#include "child.hpp"
#include "disk_file.hpp"
#include "engine.hpp"

#include <roma/prefetch.h>

#include <atomic>
#include <cerrno>
#include <unistd.h>

using namespace roma_tests;

namespace {

constexpr uint64_t MOMENT_NS = 200000000;

enum : int { IS_WELL, LACKS_WAY, NOT_CALLED, WAITS, WAITS_INSIDE, DRAINS, ENDS, CANCELS, IS_OPEN };

/* One engine of a single thread, one of plain calls, and what their callbacks saw. */
struct scene {
    roma_prefetch_engine *first = nullptr, *plain = nullptr;
    roma_prefetch_handle *called = nullptr, *busy = nullptr, *nested = nullptr;
    roma_file_range range;
    std::atomic<bool> is_held{true}, is_over{false}, is_set{false};
    int waited = 0, waited_inside = 0, drained = 0, destroyed = 0, cancelled = 0;

    /* Of the plain engine, on the thread of the first. */
    static void inside(void *context, roma_prefetch_handle *, int)
    {
        auto *me = static_cast<scene *>(context);
        me->waited_inside = roma_prefetch_wait(me->busy, MOMENT_NS);
        me->drained = roma_prefetch_drain(me->first, MOMENT_NS);
        roma_prefetch_close(me->called); /* its callback is below this one */
    }
    /* Of the first. */
    static void outside(void *context, roma_prefetch_handle *, int)
    {
        auto *me = static_cast<scene *>(context);
        (void)roma_prefetch_submit(me->plain, &me->range, 1, ROMA_PREFETCH_RESIDENT, &me->nested,
                                   nullptr);
        me->waited = roma_prefetch_wait(me->busy, MOMENT_NS);
        me->cancelled = static_cast<int>(roma_prefetch_cancel_all(me->plain));
        me->destroyed = roma_prefetch_destroy(me->plain);
        me->is_over = true;
    }
};

roma_prefetch_engine *new_engine(roma_prefetch_way way)
{
    roma_prefetch_engine *engine = nullptr;
    roma_prefetch_options options = owned_engine::with_way(way);
    options.threads = 1;
    options.chunk_bytes = 2 * MiB;
    return roma_prefetch_create(&engine, &options, nullptr) == 0 ? engine : nullptr;
}

int play(const disk_file &file, roma_prefetch_way way)
{
    static scene scene;
    between calls; /* the first read ends when its callback is set */
    calls.holds = [](const made_call &) { return scene.is_held.load(); };
    calls.begins = [](const made_call &) { /* on the thread that is in the callback */
                                           if (!scene.is_held && scene.nested != nullptr &&
                                               !scene.is_set.exchange(true))
                                               (void)roma_prefetch_on_done(scene.nested,
                                                                           scene::inside, &scene);
    };
    alarm(30);
    scene.first = new_engine(way);
    scene.plain = new_engine(ROMA_PREFETCH_PLAIN);
    if (scene.first == nullptr || scene.plain == nullptr)
        return LACKS_WAY;
    scene.range = file.range(64 * MiB, 8 * MiB);
    const roma_file_range small = file.range(0, 8 * MiB), large = file.range(8 * MiB, 56 * MiB);
    (void)roma_prefetch_submit(scene.first, &small, 1, ROMA_PREFETCH_RESIDENT, &scene.called,
                               nullptr);
    while (calls.count(ROMA__CALL_POPULATE) == 0)
        usleep(1000);
    if (roma_prefetch_on_done(scene.called, scene::outside, &scene) != 0)
        return NOT_CALLED;
    (void)roma_prefetch_submit(scene.first, &large, 1, ROMA_PREFETCH_RESIDENT, &scene.busy,
                               nullptr);
    scene.is_held = false;
    while (!scene.is_over)
        usleep(1000);
    if (scene.waited != -EDEADLK)
        return WAITS;
    if (scene.waited_inside != -EDEADLK)
        return WAITS_INSIDE;
    if (scene.drained != -EDEADLK)
        return DRAINS;
    if (scene.destroyed != -EDEADLK)
        return ENDS;
    if (scene.cancelled != -EDEADLK)
        return CANCELS;
    const bool done = roma_prefetch_wait(scene.busy, ROMA_FOREVER) == 0 &&
                      roma_prefetch_poll(scene.nested) == 1;
    roma_prefetch_close(scene.busy);
    roma_prefetch_close(scene.nested);
    return done && roma_prefetch_destroy(scene.plain) == 0 &&
                   roma_prefetch_destroy(scene.first) == 0
               ? IS_WELL
               : IS_OPEN;
}

} // namespace

TEMPLATE_TEST_CASE("no callback waits, of whichever engine it is, and for whichever", "[prefetch]",
                   by_ring, by_threads)
{
    SKIP_WITHOUT(owned_engine(TestType::way));
    COLD_FILE(file, 72 * MiB);
    CHECK(in_child([&] { return play(file, TestType::way); }) == IS_WELL);
}
