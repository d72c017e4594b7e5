/* soft_ring.cpp - see soft_ring.hpp. A held call stays in its ring until let_go, as one does that
 * the kernel has not answered yet. */
#include "soft_ring.hpp"

#include "base/error.h"

#include <cerrno>
#include <cstdlib>
#include <deque>
#include <poll.h>
#include <unistd.h>

using namespace roma_tests;

namespace soft_rings {

struct script script;
std::atomic<bool> let_go{false};

namespace {

struct queued {
    roma__call call;
    uint64_t tag;
    bool linked;
};

std::atomic<unsigned> held_calls{0};
std::atomic<bool> sleeps{false};

struct soft_ring {
    std::deque<queued> queue, held;
    std::deque<roma__answer> answers;
    int poll_fd = -1;
    uint64_t poll_tag = 0;
    bool was_waited_for =
        true; /* the last enter did                                              */
};

soft_ring *of(roma__ring *ring)
{
    return reinterpret_cast<soft_ring *>(ring);
}

int soft_open(roma__ring **ring, unsigned entries, unsigned, bool, roma_error *error)
{
    const auto code = script.open_codes.find(entries);
    if (code != script.open_codes.end() && code->second != 0)
        return roma__error_call(error, "io_uring_setup", -code->second);
    script.opened = entries;
    *ring = reinterpret_cast<roma__ring *>(new soft_ring);
    return 0;
}

void soft_close(roma__ring *ring)
{
    delete of(ring);
}

unsigned soft_room(roma__ring *ring)
{
    return script.room - static_cast<unsigned>(of(ring)->queue.size());
}

void soft_queue(roma__ring *ring, const roma__call *call, uint64_t tag, bool linked)
{
    of(ring)->queue.push_back({*call, tag, linked});
}

void soft_queue_poll(roma__ring *ring, int fd, uint64_t tag)
{
    const int code = script.poll ? script.poll() : 0;
    of(ring)->poll_fd = code < 0 ? -1 : fd;
    of(ring)->poll_tag = tag;
    if (code < 0)
        of(ring)->answers.push_back({tag, code});
}

int result_of(const roma__call &call)
{
    const unsigned nth = ++script.calls;
    const int result = script.result ? script.result(call, nth) : 0;
    return result == 0 ? roma__call_make(&call) : result;
}

int soft_make(roma__ring *, const roma__call *call)
{
    script.made++;
    return result_of(*call);
}

void carry_out(soft_ring *ring)
{
    bool broken_link = false, in_link = false;
    for (unsigned i = 0; (i < script.answers || in_link) && !ring->queue.empty(); i++) {
        const queued next = ring->queue.front();
        ring->queue.pop_front();
        int result = -ECANCELED;
        if (script.holds && script.holds(next.call) && !let_go) {
            ring->held.push_back(next);
            held_calls++;
            in_link = false;
            continue;
        }
        if (!(in_link && broken_link))
            result = result_of(next.call);
        broken_link = result < 0;
        in_link = next.linked;
        ring->answers.push_back({next.tag, result});
    }
}

int soft_enter(roma__ring *self, unsigned wait)
{
    soft_ring *ring = of(self);
    const unsigned nth = ++script.enters;
    const int code = script.enter ? script.enter(nth) : 0;
    if (code < 0)
        return code;
    carry_out(ring);
    ring->was_waited_for = wait > 0;
    for (int ms = 0; wait > 0 && ring->answers.empty(); ms++) {
        sleeps = true;
        if (let_go && !ring->held.empty()) {
            ring->queue.swap(ring->held);
            carry_out(ring);
            continue;
        }
        if (script.interrupts && script.interrupts())
            return -EINTR;
        struct pollfd readable = {ring->poll_fd, POLLIN, 0};
        if (poll(&readable, 1, 1) == 1)
            ring->answers.push_back({ring->poll_tag, POLLIN});
        else if (ms == 60000)
            std::abort(); /* not the thread of the test */
    }
    sleeps = false;
    return 0;
}

unsigned soft_reap(roma__ring *ring, roma__answer *answers, unsigned most)
{
    unsigned count = 0;
    if (script.together && !of(ring)->was_waited_for)
        return 0;
    if (script.unasked && let_go && !of(ring)->held.empty()) {
        of(ring)->queue.swap(of(ring)->held); /* a ring that is not entered any more queues none */
        carry_out(of(ring));
    }
    for (; count < most && !of(ring)->answers.empty(); count++) {
        answers[count] = of(ring)->answers.front();
        of(ring)->answers.pop_front();
    }
    return count;
}

bool soft_unqueue(roma__ring *ring, uint64_t *tag)
{
    if (of(ring)->queue.empty())
        return false;
    *tag = of(ring)->queue.front().tag;
    of(ring)->queue.pop_front();
    return true;
}

const struct roma__rings table = {soft_open, soft_close,      soft_close, soft_room, soft_queue,
                                  soft_make, soft_queue_poll, soft_enter, soft_reap, soft_unqueue};

} // namespace

void await_held()
{
    while (held_calls == 0)
        usleep(1000);
}

void await_sleep()
{
    while (!sleeps)
        usleep(1000);
}

with_soft_rings::with_soft_rings()
{
    script = {};
    let_go = false;
    held_calls = 0;
    sleeps = false;
    before = roma__rings_replace(&table);
}

with_soft_rings::~with_soft_rings()
{
    roma__rings_replace(before);
}

outcome read_ranges(const disk_file &file, const std::vector<roma_file_range> &ranges,
                    unsigned room)
{
    script.room = room;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    (void)file.chill();
    owned_handle handle(engine, ranges.data(), ranges.size());
    outcome seen = {};
    seen.code = handle.wait();
    for (size_t i = 0; i < ranges.size(); i++) {
        roma_error error = {};
        if (roma_prefetch_range_error(handle.self, i, &error) != 0 && seen.error.code == 0)
            seen.error = error;
    }
    seen.progress = handle.progress();
    CHECK(adds_up(seen.progress));
    CHECK(engine.figure("flying.bytes") == 0);
    return seen;
}

outcome read_with(const disk_file &file, unsigned room)
{
    return read_ranges(
        file, {file.range(0, 8 * MiB), file.range(10 * MiB, 4096), file.range(12 * MiB, 4096)},
        room);
}

} // namespace soft_rings
