"""results - figures by allocator and test: collected, written as CSV, read back.

A file of results has comment lines, `# key: value` for the machine and `# skipped ALLOCATOR TEST:
reason`, and one line a measurement:

    pass,test,allocator,median,min,max,spread,unit,operations,repeats

The figure of a test is the median of its passes' medians; its spread is (max - min) / median of
those, or, where there was one pass, the spread of the repeats within that process.
"""

import csv
import statistics

HEADER = "pass test allocator median min max spread unit operations repeats".split()
HIGHER_IS_BETTER = {"GB/s", "Mop/s"}


class Results:
    def __init__(self, machine):
        self.machine = machine  # (key, value) pairs
        self.rows = []          # as in the file
        self.skipped = {}       # (allocator, test): reason
        self.has_failed = False

    # ---- collecting ----

    def add(self, number, rows):
        self.rows += [[str(number)] + row for row in rows]

    def add_skipped(self, allocator, skipped):
        for test, reason in skipped:
            self.skipped[allocator, test] = reason
            self.has_failed = self.has_failed or reason.startswith("ended with")

    def write(self, path):
        with open(path, "w", encoding="utf-8", newline="") as file:
            for key, value in self.machine:
                file.write(f"# {key}: {value}\n")
            for (allocator, test), reason in self.skipped.items():
                file.write(f"# skipped {allocator} {test}: {reason}\n")
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            writer.writerows(self.rows)

    @staticmethod
    def read(path):
        found = Results([])
        with open(path, encoding="utf-8", newline="") as file:
            lines = file.read().splitlines()
        for line in lines:
            key, _, value = line[2:].partition(": ")
            if line.startswith("# skipped "):
                _, allocator, test = key.split(" ", 2)
                found.add_skipped(allocator, [(test, value)])
            elif line.startswith("# "):
                found.machine.append((key, value))
        table = list(csv.reader(line for line in lines if line and not line.startswith("#")))
        if not table or table[0] != HEADER:
            raise SystemExit(f"run: {path} is not a file of results")
        found.rows = table[1:]
        return found

    # ---- asking ----

    @property
    def is_quick(self):
        return dict(self.machine).get("quick") == "yes"

    def rows_of(self, allocator, test):
        return [row for row in self.rows if row[1] == test and row[2] == allocator]

    def value(self, allocator, test):
        """The figure, or None."""
        rows = self.rows_of(allocator, test)
        return statistics.median(float(row[3]) for row in rows) if rows else None

    def spread(self, allocator, test):
        rows = self.rows_of(allocator, test)
        if len(rows) == 1:
            return float(rows[0][6])
        values = [float(row[3]) for row in rows]
        middle = statistics.median(values) if values else 0
        return (max(values) - min(values)) / abs(middle) if middle else 0

    def unit(self, test):
        return next((row[7] for row in self.rows if row[1] == test), "ns")

    def tests(self):
        """In the order in which they were measured first."""
        return list(dict.fromkeys(row[1] for row in self.rows))

    def allocators(self):
        return list(dict.fromkeys(sorted((row[2] for row in self.rows), key=order)))

    def peers(self):
        return [name for name in self.allocators() if is_peer(name)]

    def romas(self):
        return [name for name in self.allocators() if name.startswith("roma")]

    def best_peer(self, test):
        """(name, value) of the best peer, or (None, None)."""
        values = [(self.value(name, test), name) for name in self.peers()]
        values = [pair for pair in values if pair[0] is not None]
        if not values:
            return None, None
        best = max(values) if self.unit(test) in HIGHER_IS_BETTER else min(values)
        return best[1], best[0]

    def cost_ratio(self, test, value, other):
        """How much more `value` costs than `other`: below 1 it is the better one."""
        if value is None or other is None or value <= 0 or other <= 0:
            return None
        return other / value if self.unit(test) in HIGHER_IS_BETTER else value / other

    def freelist(self):
        return self.value("limit", "limit-freelist")


def is_peer(name):
    return not name.startswith("roma") and name != "limit"


def order(name):
    """Peers as Debian's come, then others, then roma's, then the limit."""
    known = ["glibc", "jemalloc", "tcmalloc", "mimalloc"]
    if name in known:
        return (0, known.index(name), name)
    return (1, 0, name) if is_peer(name) else (3, 0, name) if name == "limit" else (2, 0, name)
