"""report - what was measured of prefetch as tables and as CSV, and what was expected of it."""

import collections
import csv
import math
import statistics

from figures import GIB, Figure

# Seconds of rest before each; into how many parts the file of the others is divided.
Flush = collections.namedtuple("Flush", "rest parts", defaults=(0, 1))
FLUSHES = {"written": Flush(), "mapped": Flush(), "rested": Flush(rest=3), "small": Flush(),
           "short": Flush(parts=16)}
POOLED = ["written", "mapped", "rested"]  # of which the figure of the reference is


def read_expected(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def print_expected(expected):
    print("Expected (of the prototype on the reference machine in brackets)\n")
    for row in expected:
        sign = "≥" if row["rule"] == "at-least" else "≤"
        needs = "" if row["needs"] == "-" else f" (with {row['needs'].replace(' ', ', ')})"
        print(f"  {row['name']:28} {sign} {row['target']:5} [{row['reference']}]  {row['what']}"
              f"{needs}")
    print()


def figures_of(seen):
    """What `expected` names -> Figure, or None where it was not measured."""
    found = {}
    settings = sorted({key[2] for key in seen.rows if key[0] == "dense"}, reverse=True)
    if settings:
        most = settings[0]
        roma = seen.rates(("dense", "dense-roma", most))
        found["dense / O_DIRECT limit"] = seen.ratio(
            roma, seen.rates(("dense", "dense-direct", most)))
        found["dense / synchronous"] = seen.ratio(
            roma, seen.rates(("dense", "dense-populate", most)))
        if len(settings) > 1:
            found["read-ahead 128 / 8192"] = seen.ratio(
                seen.rates(("dense", "dense-roma", settings[-1])), roma)
        rows = seen.rows.get(("dense", "dense-roma", most), [])
        found["caller ms per GiB"] = Figure([row["caller_ms"] / (row["bytes"] / GIB)
                                             for row in rows]) if rows else None
        found["CPU s per GiB"] = Figure([row["cpu_seconds"] / (row["bytes"] / GIB)
                                         for row in rows]) if rows else None
    for most, kib in settings_of(seen, "random"):
        rows = seen.rows[("random", "random-roma", kib)]
        limit = "fio" if ("random", "fio", kib) in seen.rows else "random-direct"
        ratio = seen.ratio([row["pages"] / row["seconds"] for row in rows],
                           seen.rates(("random", limit, kib), "pages"))
        found["random / fio limit" if most else "random, read-ahead 128"] = ratio
        if most:
            found["random caller us per page"] = Figure(
                [row["caller_ms"] * 1e3 / row["pages"] for row in rows])
    for most, setting in settings_of(seen, "overlap"):
        rows = seen.rows[("overlap", "scan-roma", setting)]
        alone = [max(pair) for pair in zip(
            seen.values(("overlap", "scan-resident", setting), "seconds"),
            seen.values(("overlap", "dense-roma", setting), "seconds"))]
        ratio = seen.ratio([row["seconds"] for row in rows], alone)
        compute = setting.split()[0]
        found[f"overlap, {compute} compute" + ("" if most else ", 128")] = ratio
        if most and compute == "long":
            found["overlap p99 wait ms"] = Figure([row["wait_p99_ms"] for row in rows])
    rows = seen.rows.get(("resident", "resident-roma", ""), [])
    if rows:
        found["resident ms per GiB"] = Figure([row["seconds"] * 1e3 / (row["bytes"] / GIB)
                                               for row in rows])
    flushes = {setting: flush_ratio(seen, setting, "roma", "msync") for setting in FLUSHES}
    found["flush / msync"] = pooled(flushes)
    for setting, ratio in flushes.items():
        found[f"flush / msync, {setting}"] = ratio
    return found


def flush_ratio(seen, setting, above, below):
    return seen.ratio(*(seen.values(("flush", f"flush-{method}", setting), "seconds")
                        for method in (above, below)))


def pooled(ratios):
    """The pairs of several settings as one figure; None where one has none."""
    if not all(ratios[setting] for setting in POOLED):
        return None
    return Figure([value for setting in POOLED for value in ratios[setting].values])


def settings_of(seen, test):
    """(whether read_ahead_kb is the larger one, setting) of all that roma was measured at."""
    settings = [key[2] for key in seen.rows if key[0] == test and key[1].endswith("-roma")
                and not key[1].startswith("dense")]
    kib = {setting: int(str(setting).split()[-1]) for setting in settings}
    return [(kib[setting] == max(kib.values()), setting) for setting in settings]


def verdict(row, figure, options, state):
    if figure is None:
        return "not measured"
    if options.quick:
        return "not judged"
    missing = [need for need in row["needs"].split() if need != "-" and not has(state, need)]
    good, value, target = row["rule"] == "at-least", figure.median(), float(row["target"])
    if value >= target if good else value <= target:
        return "met"
    if missing:
        return f"missed; not promised without {', '.join(missing)}"
    interval = figure.interval()
    if interval and (interval[1] >= target if good else interval[0] <= target):
        return "missed, within the interval"
    return "MISSED"


def has(state, need):
    return state["cachestat"] > 0 if need == "cachestat" else state["large_folio_share"] > .5


def print_rates(seen):
    rows = [(key, values) for key, values in seen.rows.items() if key[0] == "dense"]
    if rows:
        print("\nA long range from cold\n")
        print(f"  {'method':18} {'read_ahead_kb':>13} {'GB/s':>24} {'caller ms':>10} {'CPU s':>7}")
        for (_, method, kib), values in rows:
            rate = Figure([row["bytes"] / row["seconds"] / 1e9 for row in values])
            caller = Figure([row.get("caller_ms", row["seconds"] * 1e3) for row in values])
            cpu = Figure([row["cpu_seconds"] for row in values])
            blocked = f"{caller.median():.2f}" if method in ("dense-roma", "dense-willneed") \
                else "all"
            print(f"  {method:18} {kib:13} {rate.text():>24} {blocked:>10} {cpu.median():7.3f}")
    rows = [(key, values) for key, values in seen.rows.items() if key[0] == "random"]
    if rows:
        print("\nA list of random pages of 16 KiB from cold\n")
        print(f"  {'method':18} {'read_ahead_kb':>13} {'pages/s':>30} {'caller us per page':>20}")
        for (_, method, kib), values in rows:
            rate = Figure([row["pages"] / row["seconds"] for row in values])
            caller = [row["caller_ms"] * 1e3 / row["pages"] for row in values
                      if "caller_ms" in row]
            text = f"{statistics.median(caller):.3f}" if caller else "all"
            print(f"  {method:18} {kib:13} {rate.text():>30} {text:>20}")
    rows = [(key, values) for key, values in seen.rows.items() if key[0] == "overlap"]
    if rows:
        print("\nA scan with compute from cold: `long` compute takes about three times as long as "
              "the reading, `even` about as long;\nbehind that read_ahead_kb\n")
        print(f"  {'method':18} {'compute':10} {'s':>22}  first step ms  p99 of later ones")
        for (_, method, name), values in rows:
            took = Figure([row["seconds"] for row in values])
            text = "  ".join(
                f"{statistics.median(row[key] for row in values):13.2f}"
                for key in ("first_ms", "wait_p99_ms") if key in values[0])
            print(f"  {method:18} {name:10} {took.text():>22}  {text}")
        print_waits(seen)
    rows = [(key, values) for key, values in seen.rows.items() if key[0] == "flush"]
    if rows:
        print("\nFlushing dirty pages: `written` by write(), huge ones; `mapped`, brought by page "
              "faults; `rested`, these\non a disk that had a rest; `small`, pages of the base "
              "size, as all are on kernels without large folios;\n`short`, a sixteenth of these. "
              "flush-begun is the plain way through io_uring, by which the target was set\non "
              "another disk. flush-direct shows what the disk can do: O_DIRECT writes pages of "
              "the page cache to the\nsame place\n")
        for (_, method, setting), values in rows:
            took = Figure([row["seconds"] for row in values])
            caller = [row["caller_ms"] for row in values if "caller_ms" in row]
            text = f"{statistics.median(caller):.3f} ms" if caller else "throughout"
            print(f"  {method:18} {setting:8} {took.text():>22} s  caller blocked {text}")
        for above, below in (("begun", "msync"), ("direct", "msync"), ("roma", "begun"),
                             ("roma", "direct")):
            ratios = {setting: flush_ratio(seen, setting, above, below) for setting in FLUSHES}
            for setting, ratio in {**ratios, "three": pooled(ratios)}.items():
                if ratio is not None:
                    print(f"  {above + ' / ' + below:18} {setting:8} {ratio.text():>22}")


def print_waits(seen):
    """All steps of all passes, but each scan's first, by how long they took."""
    for most, name in settings_of(seen, "overlap"):
        if not most:
            continue
        buckets = {}
        scans = seen.rows.get(("overlap", "scan-roma", name), [])
        for row in scans:
            for key, value in row.items():
                if key.startswith("waits_below_2^"):
                    power = int(key.split("^")[1].split("_")[0])
                    buckets[power] = buckets.get(power, 0) + int(value)
        if not buckets:
            continue
        total, sofar, most = sum(buckets.values()), 0, max(buckets.values())
        waits = sum(row["waits"] for row in scans)
        print(f"\n  How long roma_scan_next() took, {name.split()[0]} compute, {total} steps, "
              f"and for {waits:.0f} pieces\n  (first ones included) the device was waited for:")
        for power in range(min(buckets), max(buckets) + 1):
            count = buckets.get(power, 0)
            sofar += count
            print(f"    < {duration(2 ** power):>8} {count:8} {sofar / total:7.2%}  "
                  f"{'#' * math.ceil(40 * count / most)}")


def duration(ns):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= scale:
            return f"{ns / scale:.3g} {unit}"
    return f"{ns} ns"


def print_report(expected, seen, options, state, facts):
    print("\nSeen\n")
    for key, value in facts:
        print(f"  {key}: {value}")
    print_rates(seen)
    print("\nTargets\n")
    print(f"  {'figure':28} {'target':>8} {'median [95 % interval]':>26} {'pairs':>5}  verdict")
    found = figures_of(seen)
    for row in expected:
        figure = found.get(row["name"])
        sign = "≥" if row["rule"] == "at-least" else "≤"
        text, count = (figure.text(), len(figure.values)) if figure else ("", 0)
        print(f"  {row['name']:28} {sign + ' ' + row['target']:>8} {text:>26} {count:5}  "
              f"{verdict(row, figure, options, state)}")
    print_kernel(state)
    if seen.repeated:
        print(f"\n{seen.repeated} measurements were made again, since the kernel had taken some of "
              "the pages away before they were counted.")
    for what, why in seen.skipped:
        print(f"missing: {what}: {why}")


def print_kernel(state):
    if not has(state, "large-folios"):
        print("\nThis kernel or file system reads this file into pages of the base size (ext4 has "
              "large folios since\nLinux 6.16, XFS since 5.18): each of them costs CPU time, "
              "whoever reads. What holds here is the\nratio to the synchronous call, the time "
              "that the caller is blocked, the random list and the overlap.")
    if not has(state, "cachestat"):
        print("\nThis kernel has no cachestat (Linux 6.5): what is resident is found by mincore, "
              "page by page, which costs\nsome ms a GiB.")


def write_csv(path, seen, facts):
    with open(path, "w", encoding="utf-8", newline="") as file:
        for key, value in facts:
            file.write(f"# {key}: {value}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["test", "method", "setting", "pass", "figure", "value"])
        for (test, method, setting), rows in seen.rows.items():
            for number, row in enumerate(rows, 1):
                for name, value in row.items():
                    writer.writerow([test, method, setting, number, name, value])
