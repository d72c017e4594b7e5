"""report - tables of what was measured: figures, ratios to the best peer, targets met or missed."""

from results import HIGHER_IS_BETTER
from table import print_table

# In small ns the distance to a bare free list says something; a 64 MiB block's does not.
MULTIPLES_MAX_NS = 1000

SECTIONS = [
    ("small blocks", ("pair", "lifo", "fifo", "random", "batch", "mixed", "remote")),
    ("large blocks", ("large", "touched", "realloc", "chase")),
    ("populate", ("populate",)),
    ("threads", ("scaling",)),
    ("live blocks", ("live",)),
    ("memory", ("memory", "overhead")),
    ("limits of the machine", ("limit",)),
]


# ---- what is expected ---------------------------------------------------------------------------

class Target:
    """A line of the file `expected`."""

    def __init__(self, test, allocator, rule, target, peer):
        self.test, self.allocator, self.rule = test, allocator, rule
        self.target, self.peer = float(target), peer


def read_expected(path):
    """The bare list's time on the reference machine, and the targets."""
    freelist, targets = None, []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.startswith("# FREELIST"):
                freelist = float(line.rsplit(":", 1)[1])
            elif not line.startswith("#") and not line.startswith("test,"):
                targets.append(Target(*line.strip().split(",")))
    return freelist, targets


# ---- text ---------------------------------------------------------------------------------------

def digits(value):
    """Three significant digits, without exponents."""
    size = abs(value)
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def amount(value, unit):
    """A figure with its unit; ns become what reads well."""
    if value is None:
        return "-"
    if unit != "ns":
        return f"{digits(value)} {unit}"
    for size, name in ((1e9, "s"), (1e6, "ms"), (1e4, "us")):
        if abs(value) >= size:
            return f"{digits(value / (1e3 if name == 'us' else size))} {name}"
    return f"{digits(value)} ns"


def sections(found):
    """(title, tests) of those that were measured."""
    for title, prefixes in SECTIONS:
        tests = [test for test in found.tests() if test.split("-")[0] in prefixes]
        if tests:
            yield title, tests


# ---- tables -------------------------------------------------------------------------------------

def print_expected(expected):
    freelist, targets = expected
    rows = []
    for target in targets:
        rows.append([target.test, target.allocator, rule_text(target, freelist)])
    print_table("Expected, on the reference machine; elsewhere the ratios count",
                ["test", "allocator", "rule"], rows)


def rule_text(target, freelist):
    if target.rule == "at-most":
        text = f"at most {amount(target.target, 'ns')}"
        if target.peer != "-":
            text += f"; best peer there {amount(float(target.peer), 'ns')}"
        if target.target < MULTIPLES_MAX_NS:
            text += f"; {target.target / freelist:.1f} x a free list"
        return text
    return {
        "of-limit": f"at least {target.target} of the limit",
        "of-test": f"at least {target.target} of {target.peer}",
        "of-leaner": f"at most {target.target} of the leaner of {target.peer}",
        "of-peak": f"at most {target.target} of the peak",
    }[target.rule]


def print_figures(found, names, title):
    for section, tests in sections(found):
        present = [name for name in names if any(found.rows_of(name, test) for test in tests)]
        if not present:
            continue
        rows = []
        for test in tests:
            cells = []
            for name in present:
                value = found.value(name, test)
                text = amount(value, found.unit(test))
                if value is not None and found.unit(test) not in ("MiB", "B"):
                    text += f" {100 * found.spread(name, test):3.0f}%"
                cells.append(text)
            if any(cell != "-" for cell in cells):
                rows.append([test] + cells)
        print_table(f"{title}: {section}", ["test"] + present, rows)


def print_ratios(found):
    """Costs of roma's rows relative to the best peer, and in bare free lists."""
    freelist, romas = found.freelist(), found.romas()
    rows = []
    for test in found.tests():
        name, best = found.best_peer(test)
        if test.startswith("limit") or test.startswith("memory-asked"):
            continue
        cells = []
        for roma in romas:
            value = found.value(roma, test)
            ratio = found.cost_ratio(test, value, best)
            text = "-" if ratio is None else f"{ratio:.2f}"
            small = value is not None and value < MULTIPLES_MAX_NS and found.unit(test) == "ns"
            if freelist and small:
                text += f" ({value / freelist:.1f}x)"
            cells.append(text)
        if any(cell != "-" for cell in cells):
            rows.append([test, name or "-"] + cells)
    if rows:
        print_table("Cost relative to the best peer of this run, below 1 is better; in brackets "
                    "multiples of limit-freelist", ["test", "best peer"] + romas, rows)


# ---- targets ------------------------------------------------------------------------------------

def judge(found, target, freelist_there):
    """(seen, expected, word): two texts, and whether the target is met; None where not measured."""
    value = found.value(target.allocator, target.test)
    if value is None:
        return None
    if target.rule == "at-most":
        return judge_at_most(found, target, value, freelist_there)
    unit = found.unit(target.test)
    if target.rule == "of-limit":
        base = found.value("limit", target.peer)
    elif target.rule == "of-test":
        base = found.value(target.allocator, target.peer)
    elif target.rule == "of-leaner":
        values = [found.value(name, target.test) for name in target.peer.split()]
        base = min((other for other in values if other is not None), default=None)
    else:
        base = found.value(target.allocator, "memory-peak")
    if not base or base <= 0:
        return None
    ratio = value / base
    is_least = target.rule in ("of-limit", "of-test")
    is_met = ratio >= target.target if is_least else ratio <= target.target
    seen = f"{amount(value, unit)} / {amount(base, unit)} = {ratio:.3f}"
    return seen, f"{'>=' if is_least else '<='} {target.target}", "met" if is_met else "MISSED"


def judge_at_most(found, target, value, freelist_there):
    unit, freelist = found.unit(target.test), found.freelist()
    peer_name, peer = found.best_peer(target.test)
    seen, expected, held = [amount(value, unit)], [amount(target.target, unit)], []
    if target.peer != "-" and peer:
        ratio, limit = value / peer, target.target / float(target.peer)
        seen.append(f"{ratio:.2f} of {peer_name}")
        expected.append(f"{limit:.2f}")
        held.append(ratio <= limit)
    if freelist and target.target < MULTIPLES_MAX_NS:
        multiple, limit = value / freelist, target.target / freelist_there
        seen.append(f"{multiple:.1f}x list")
        expected.append(f"{limit:.1f}x")
        held.append(multiple <= limit)
    if not held:
        held.append(value <= target.target)
    return "; ".join(seen), "; ".join(expected), "met" if all(held) else "MISSED"


def print_targets(found, expected):
    freelist_there, targets = expected
    rows, missing = [], []
    for target in targets:
        judged = judge(found, target, freelist_there)
        if judged is None:
            missing.append(f"{target.test} on {target.allocator}")
            continue
        seen, wanted, word = judged
        word = "not judged" if found.is_quick else word
        rows.append([target.test, target.allocator, seen, wanted, word])
    if rows:
        print_table("Targets", ["test", "allocator", "seen", "expected", ""], rows)
    if missing:
        print(f"\n  not measured in this run: {', '.join(missing)}")


# ---- the whole ----------------------------------------------------------------------------------

def print_report(found, expected):
    print()
    for key, value in found.machine:
        print(f"  {key}: {value}")
    if found.is_quick:
        print("\n  A quick run: sizes are small and times short. Its figures mean nothing.")
    print("\n  Time of one operation (ns to s), or a rate (" + ", ".join(sorted(HIGHER_IS_BETTER)) +
          "); behind it the spread, (max - min) / median.")
    print_figures(found, found.peers(), "Peers")
    print_figures(found, found.romas(), "roma")
    print_figures(found, ["limit"], "Limits")
    print_ratios(found)
    print_targets(found, expected)
    if found.skipped:
        print("\nNot measured\n")
        for (allocator, test), reason in found.skipped.items():
            print(f"  {allocator} {test}: {reason}")
