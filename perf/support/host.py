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
MORE_THAN_ALL = (64, 32, 16, 11, 10)  # kernels differ in what they take
TOUCHED_MOST = 8 << 30
MADV_POPULATE_WRITE = 23  # Linux 5.14


def touch_free_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) for line in file if line.startswith("MemFree:")) << 10
    size = min(TOUCHED_MOST, free // 2) // mmap.PAGESIZE * mmap.PAGESIZE
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
        except OSError:
            return self
        self.words = "reported to the host: first touches may take long (root can forbid it)"
        for order in MORE_THAN_ALL:
            try:
                ORDER.write_text(f"{order}\n", encoding="ascii")
            except PermissionError:
                break
            except OSError:
                continue
            self.before, self.words = before, "not reported to the host while this ran"
            break
        if self.before is not None:
            try:
                touch_free_memory()
            except OSError as error:  # no such advice, or no memory: first passes are thrown away
                print(f"host: free memory is not touched first: {error}", file=sys.stderr)
        return self

    def __exit__(self, *_):
        if self.before is not None:
            ORDER.write_text(self.before, encoding="ascii")
            self.before = None


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
