#!/usr/bin/env python3
"""host - runs a command while the host of this virtual machine takes no free memory back.

    perf/support/host.py COMMAND [ARGUMENT...]

A guest may report its free memory to the host, which takes it, some two seconds after it was freed
(free page reporting, virtio-balloon). Whoever gets such memory next waits at each first touch until
the host has found a page for it: up to thirty times what the touch costs else. What frees memory
and takes it anew, as reading a file that was evicted does, is then fast or slow by when the kernel
reported last, and an average over that says nothing of the program.

So the drivers of perf/ set the least order of what is reported above all that there are, where root
runs them and the kernel has such a thing, and put it back at the end, also on Ctrl-C and TERM. What
the host has taken before is asked back by touching half of the free memory once, at most 8 GiB: the
kernel hands out first what was freed last. On other machines this does nothing.
"""

import mmap
import pathlib
import signal
import subprocess
import sys

ORDER = pathlib.Path("/sys/module/page_reporting/parameters/page_reporting_order")
TOUCHED_MOST = 8 << 30
MADV_POPULATE_WRITE = 23  # Linux 5.14


def largest_order():
    """Of free blocks: /proc/buddyinfo has a column for each."""
    with open("/proc/buddyinfo", encoding="ascii") as file:
        return len(file.readline().split("zone")[1].split()) - 2


def touch_free_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) for line in file if line.startswith("MemFree:")) << 10
    size = max(min(TOUCHED_MOST, free // 2) // mmap.PAGESIZE, 1) * mmap.PAGESIZE
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_HUGEPAGE)
        area.madvise(MADV_POPULATE_WRITE)


class KeptMemory:
    """While in it, the host takes no memory back; `words` says whether that is so. Not for a quick
    run, which is judged by nobody, and may be beside another one."""

    def __init__(self, quick=False):
        self.before, self.words = None, "this kernel reports none to a host"
        self.quick = quick

    def __enter__(self):
        if self.quick:
            self.words = "as it is"
            return self
        try:
            before = ORDER.read_text(encoding="ascii")
            reports = int(before) >= 0  # else no host has asked for it
        except (OSError, ValueError):
            return self
        if not reports:
            return self
        self.words = "reported to the host: first touches may take long (root can forbid it)"
        try:
            self.forbid(before)
            if self.before is not None:
                touch_free_memory()
        except OSError as error:
            print(f"host: {error}", file=sys.stderr)
        except BaseException:  # a signal, meanwhile
            self.__exit__()
            raise
        return self

    def forbid(self, before):
        largest = largest_order()
        for order, words in ((largest + 1, "not reported to the host while this ran"),
                             (largest, f"reported to the host in blocks of order {largest} alone")):
            try:
                ORDER.write_text(f"{order}\n", encoding="ascii")
            except PermissionError:
                return
            except OSError:
                continue  # kernels differ in how much they take
            self.before, self.words = before, words
            return

    def __exit__(self, *_):
        before, self.before = self.before, None
        if before is not None:
            try:
                ORDER.write_text(before, encoding="ascii")
            except OSError as error:
                print(f"host: {ORDER} is not as it was, {before.strip()}: {error}", file=sys.stderr)


def end_on_signals():
    """As exceptions, so that what was changed is put back."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(2)
    end_on_signals()
    try:
        with KeptMemory():
            sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
    except KeyboardInterrupt:
        sys.exit(130)
