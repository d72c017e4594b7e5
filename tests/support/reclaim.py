#!/usr/bin/env python3
"""reclaim - runs a test while pages of its files are reclaimed, far more often than a kernel does.

    tests/support/reclaim.py [--every MS] COMMAND [ARGUMENT...]

A kernel may reclaim a clean page of a file at any time, also on an idle machine: DAMON's `pageout`
takes what lies in memory that has not been touched for long. A test that counts on a page that it
read a moment ago then fails once in a hundred runs; with this it fails at once.

The command has a temporary folder of its own, on a disk (TMPDIR). Each 250 ms a quarter of the runs
of four pages of a file below it, picked at random for each file, are reclaimed by MADV_PAGEOUT,
which spares what another process has mapped and leaves the kernel's notes that cachestat() counts,
as any reclaim does. What is not in memory is left alone.

Ends with the command's status and says how many pages went: where none did nothing was shown.
"""

import argparse
import ctypes
import mmap
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile

MADV_PAGEOUT = 21  # Linux 5.4
MADV_POPULATE_READ = 22  # Linux 5.14
RUN_BYTES = 4 * mmap.PAGESIZE
FILE_LARGEST = 64 << 20  # of a larger one its beginning

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
LIBC.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
LIBC.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]


def resident_pages(start, length):
    seen = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
    if LIBC.mincore(start, length, seen) != 0:
        return []
    return [one & 1 for one in seen]


def reclaim_run(descriptor, offset, length):
    """Pages of a run that went. Only what is in the page table goes; what is not in memory would be
    read for that. Mapped is the run alone: an eviction meanwhile spares what is mapped."""
    start = LIBC.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, offset)
    if start == ctypes.c_void_p(-1).value:
        return 0
    before, left = resident_pages(start, length), 0
    if before and all(before):
        LIBC.madvise(start, length, MADV_POPULATE_READ)
        LIBC.madvise(start, length, MADV_PAGEOUT)
        left = sum(resident_pages(start, length))
    LIBC.munmap(start, length)
    return len(before) - left if before and all(before) else 0


def reclaim_of(path):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0  # it has gone since, or is no file
    try:
        found = os.fstat(descriptor)
        length = min(found.st_size, FILE_LARGEST) if stat.S_ISREG(found.st_mode) else 0
        return sum(
            reclaim_run(descriptor, at, min(RUN_BYTES, length - at))
            for at in range(0, length, RUN_BYTES)
            if random.random() < 0.25
        )
    finally:
        os.close(descriptor)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--every", type=int, default=250, metavar="MS")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    asked = parser.parse_args()
    if not asked.command:
        parser.error("COMMAND is missing")
    taken = 0
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="roma-reclaim-") as folder:
        os.chmod(folder, 0o755)
        signal.signal(signal.SIGINT, lambda *_: None)  # the command's to answer
        with subprocess.Popen(asked.command, env={**os.environ, "TMPDIR": folder}) as command:
            while True:
                try:
                    command.wait(asked.every / 1000)
                    break
                except subprocess.TimeoutExpired:
                    for below, _, names in os.walk(folder):  # much of it goes meanwhile
                        taken += sum(reclaim_of(os.path.join(below, name)) for name in names)
    print(f"reclaim: {taken} pages were reclaimed", file=sys.stderr)
    return command.returncode if command.returncode >= 0 else 128 - command.returncode


if __name__ == "__main__":
    sys.exit(main())
