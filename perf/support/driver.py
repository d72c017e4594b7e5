"""driver - what perf/bench/run and perf/store/run do alike: plan, start processes, go in passes.

What is compared (an allocator, a subject) has a `name`, and a `program` that measures it and takes
the options of perf/support/options.h. Each process measures one group of tests on one of them.
Passes go over all of them in turn, each pass beginning with another; the first is thrown away.
Groups that take long run in fewer passes and rely on the repeats within the process.
"""

import pathlib
import subprocess
import sys
import time

SLOW_PASSES = 2
PROCESS_SECONDS_MAX = 1800
TOP = pathlib.Path(__file__).resolve().parents[2]


def fail(text):
    sys.exit(f"run: {text}")


def build_folder(name):
    """Where the project was built: as told, else build/release, else build."""
    if name:
        return pathlib.Path(name).resolve()
    top = TOP / "build"
    return top / "release" if (top / "release" / "perf").is_dir() else top


def tests_of(program):
    """(group, test) pairs of a program, in its order."""
    text = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    return [tuple(line.split()) for line in text.splitlines()]


def plan(chosen, wanted):
    """Groups in order, each with who has it, and with which of the tests that are wanted."""
    groups, known = {}, set()
    for one in chosen:
        for group, test in tests_of(one.program):
            known |= {group, test}
            if wanted is None or group in wanted or test in wanted:
                groups.setdefault(group, {}).setdefault(one.name, []).append(test)
    for word in wanted or []:
        if word not in known:
            fail(f"no test or group is named {word}; --list shows them")
    return groups


def each(groups, slow, passes):
    """(pass, name, tests) of every process, in the order in which they are to be started; pass 0
    is not to be counted. Tells on stderr how far it got."""
    started = time.monotonic()
    for number in range(passes + 1):
        for group, tests_by_name in groups.items():
            if group in slow and not 0 < number <= SLOW_PASSES:
                continue
            names = list(tests_by_name)
            first = number % len(names)
            for name in names[first:] + names[:first]:
                yield number, name, tests_by_name[name]
        print(f"pass {number} of {passes}{' (thrown away)' if number == 0 else ''}: "
              f"{time.monotonic() - started:.0f} s since the start", file=sys.stderr)


def command_of(one, tests, options, names):
    """The program's command line; `names` are the options with a number that it takes."""
    command = [str(one.program), "--allocator", one.name, "--tests", ",".join(tests)]
    if options.quick:
        command.append("--quick")
    for name in names:
        if getattr(options, name) is not None:
            command += [f"--{name}", str(getattr(options, name))]
    return command


def start(command, environment):
    """Run a process to its end; subprocess.TimeoutExpired when there is none."""
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment,
                          timeout=PROCESS_SECONDS_MAX)


def read_output(one, tests, done):
    """(rows, skipped) as a process has printed them, and what it did not come to."""
    rows, skipped = [], []
    for line in done.stdout.splitlines():
        if line.startswith("# skipped "):
            test, _, reason = line[len("# skipped "):].partition(": ")
            skipped.append((test, reason))
        elif not line.startswith("#"):
            rows.append(line.split(","))
    if done.returncode != 0:
        end = done.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        reason = f"ended with {done.returncode}: {end[0]}"
        print(f"FAILED: {one.name} {','.join(tests)}: {reason}", file=sys.stderr)
        seen = {row[0] for row in rows} | {test for test, _ in skipped}
        skipped += [(test, reason) for test in tests if test not in seen]
    return rows, skipped
