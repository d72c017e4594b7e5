"""figures - what was measured of prefetch: a value a pass, medians and their intervals, ratios."""

import math
import statistics

MIB = 1 << 20
GIB = 1 << 30


def rank_of_interval(count):
    """How many values from either end the 95 % interval of a median leaves out; None: too few."""
    below, rank = 0.0, None
    for k in range(count // 2):
        below += math.comb(count, k) / 2 ** count
        if 2 * below > .05:
            break
        rank = k
    return rank


class Figure:
    """Values of one thing, a pass each."""

    def __init__(self, values):
        self.values = sorted(values)

    def median(self):
        return statistics.median(self.values)

    def interval(self):
        rank = rank_of_interval(len(self.values))
        return None if rank is None else (self.values[rank], self.values[-1 - rank])

    def text(self):
        text = f"{self.median():.3g}"
        interval = self.interval()
        return text + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else "")


class Seen:
    """All figures: (test, method, setting) -> a list of one dictionary a pass."""

    def __init__(self):
        self.rows = {}
        self.skipped = []
        self.repeated = 0  # measurements

    def add(self, key, figures):
        self.rows.setdefault(key, []).append(figures)

    def values(self, key, name):
        return [row[name] for row in self.rows.get(key, []) if name in row]

    def rates(self, key, name="bytes"):
        return [row[name] / row["seconds"] for row in self.rows.get(key, [])]

    def ratio(self, above, below):
        """Pass by pass, of two lists of the same length."""
        if not above or len(above) != len(below):
            return None
        return Figure([a / b for a, b in zip(above, below)])
