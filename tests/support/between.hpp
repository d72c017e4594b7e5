/* between.hpp - a test's own steps between an engine and the kernel, whichever way the engine goes.
 *
 *     roma_tests::between calls;          before the engine, whose threads read the tables
 *     calls.begins = [&](const made_call &call) { if (call.nth == 1) cut(); };
 *
 * Calls of threads are met in the table of system calls, those of a ring where they are queued and
 * where their answers come back. The rings are the kernel's own: what a ring does with a call is
 * what it always does. One engine at a time; what a test is told it is told on the engine's thread,
 * where it must not assert. */
#ifndef ROMA_TESTS_BETWEEN_HPP
#define ROMA_TESTS_BETWEEN_HPP

#include "faulty.hpp"

#include "prefetch/ring.h"
#include "sys/kernel.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <deque>
#include <fcntl.h>
#include <functional>
#include <list>
#include <map>
#include <unistd.h>

namespace roma_tests {

struct made_call {
    roma__call_kind kind;
    int fd;       /* -1: of addresses */
    unsigned nth; /* of its kind, from 1 */
};

class between {
  public:
    /* It is about to be made. */
    std::function<void(const made_call &)> begins;
    /* It came back; as long as this is so the engine does not learn of it. */
    std::function<bool(const made_call &)> holds;
    /* And now the engine does: with this result, 0 or -errno. */
    std::function<int(const made_call &, int result)> ends;
    /* When each inode was made, in seconds; 0: as the kernel says. */
    std::atomic<int64_t> born{0};

    between() : rings_before_(roma__rings_replace(&rings_))
    {
        now_ = this;
        table_.calls.madvise = madvise;
        table_.calls.fadvise = [](int fd, off_t offset, off_t bytes, int advice) {
            return passed(ROMA__CALL_FADVISE, fd, [&] {
                return roma__sys_kernel.fadvise(fd, offset, bytes, advice);
            });
        };
        table_.calls.sync_file_range = [](int fd, off_t offset, off_t bytes, unsigned flags) {
            if (fd < 0) /* an engine asks whether it may */
                return roma__sys_kernel.sync_file_range(fd, offset, bytes, flags);
            const bool waits = flags == SYNC_FILE_RANGE_WAIT_BEFORE;
            return passed(waits ? ROMA__CALL_AWAIT_WRITE : ROMA__CALL_WRITE_RANGE, fd, [&] {
                return roma__sys_kernel.sync_file_range(fd, offset, bytes, flags);
            });
        };
        table_.calls.fdatasync = [](int fd) {
            return passed(ROMA__CALL_SYNC, fd, [&] { return roma__sys_kernel.fdatasync(fd); });
        };
        table_.calls.statx = [](int fd, unsigned mask, void *status) {
            if (now_->born == 0)
                return roma__sys_kernel.statx(fd, mask, status);
            auto *told = static_cast<roma__statx *>(status);
            told->mask = ROMA__STATX_BIRTH;
            told->birth_seconds = now_->born;
            return 0;
        };
    }
    between(const between &) = delete;
    between &operator=(const between &) = delete;
    ~between()
    {
        roma__rings_replace(rings_before_);
        now_ = nullptr;
    }

    unsigned count(roma__call_kind kind) const { return counts_[kind]; }

  private:
    struct returned {
        made_call call;
        roma__answer answer;
    };

    static inline between *now_;
    faulty table_;
    const struct roma__rings *rings_before_;
    std::array<std::atomic<unsigned>, 16> counts_{};

    /* Of a ring: the engine's thread has these. */
    std::map<uint64_t, made_call> flying_;
    std::list<returned> held_;
    std::deque<roma__answer> answers_;

    made_call begin(roma__call_kind kind, int fd)
    {
        const made_call call = {kind, fd, ++counts_[kind]};
        if (begins)
            begins(call);
        return call;
    }

    bool is_held(const made_call &call) const { return holds && holds(call); }
    int told(const made_call &call, int result) const
    {
        return ends ? ends(call, result) : result;
    }

    /* ---- threads ---------------------------------------------------------------------------- */

    template <typename function>
    static int passed(roma__call_kind kind, int fd, const function &make)
    {
        const made_call call = now_->begin(kind, fd);
        const int code = make() < 0 ? -errno : 0;
        while (now_->is_held(call))
            usleep(1000);
        const int result = now_->told(call, code);
        if (result == 0)
            return 0;
        errno = -result;
        return -1;
    }

    static int madvise(void *address, size_t bytes, int advice)
    {
        const int will_need = 3, populate_read = 22;
        const auto make = [&] { return roma__sys_kernel.madvise(address, bytes, advice); };
        if (address == nullptr || (advice != will_need && advice != populate_read))
            return make(); /* the engine's own business */
        return passed(advice == will_need ? ROMA__CALL_WILLNEED : ROMA__CALL_POPULATE, -1, make);
    }

    /* ---- rings ------------------------------------------------------------------------------ */

    static bool is_of_addresses(const roma__call &call)
    {
        return call.kind == ROMA__CALL_POPULATE || call.kind == ROMA__CALL_WILLNEED;
    }

    static void queue(roma__ring *ring, const roma__call *call, uint64_t tag, bool linked)
    {
        now_->flying_[tag] = now_->begin(call->kind, is_of_addresses(*call) ? -1 : call->fd);
        roma__rings_kernel.queue(ring, call, tag, linked);
    }

    /* What has come back, and of that what the engine may know. */
    void collect(roma__ring *ring)
    {
        roma__answer answer;
        while (roma__rings_kernel.reap(ring, &answer, 1) == 1) {
            const auto call = flying_.find(answer.tag);
            if (call == flying_.end()) {
                answers_.push_back(answer); /* of the poll */
                continue;
            }
            held_.push_back({call->second, answer});
            flying_.erase(call);
        }
        for (auto it = held_.begin(); it != held_.end();) {
            if (is_held(it->call)) {
                ++it;
                continue;
            }
            answers_.push_back({it->answer.tag, told(it->call, it->answer.result)});
            it = held_.erase(it);
        }
    }

    /* Without waiting in the kernel: what is held may be let go of at any time. */
    static int enter(roma__ring *ring, unsigned wait)
    {
        for (;;) {
            const int code = roma__rings_kernel.enter(ring, 0);
            if (code < 0)
                return code;
            now_->collect(ring);
            if (wait == 0 || !now_->answers_.empty())
                return 0;
            usleep(1000);
        }
    }

    static unsigned reap(roma__ring *, roma__answer *answers, unsigned most)
    {
        unsigned count = 0;
        for (; count < most && !now_->answers_.empty(); count++) {
            answers[count] = now_->answers_.front();
            now_->answers_.pop_front();
        }
        return count;
    }

    static bool unqueue(roma__ring *ring, uint64_t *tag)
    {
        const bool had_one = roma__rings_kernel.unqueue(ring, tag);
        if (had_one)
            now_->flying_.erase(*tag);
        return had_one;
    }

    static struct roma__rings watched()
    {
        struct roma__rings rings = roma__rings_kernel;
        rings.queue = queue;
        rings.enter = enter;
        rings.reap = reap;
        rings.unqueue = unqueue;
        return rings;
    }

    const struct roma__rings rings_ = watched();
};

} // namespace roma_tests

#endif
