"""chart - one SVG of a run: ratios of the small measurements, and the two curves."""

import sys

MICRO = ("pair lifo fifo random batch mixed-1k mixed-32k mixed-1k-touched mixed-32k-touched "
         "remote-64 remote-512 large-64k large-64m touched-1m touched-64m touched-64m-8live "
         "realloc-1g chase").split()

PEER_MARKERS = "osD^vPX*"
PEER_COLORS = ("#555555 #8c6d31 #7b4173 #3d6a8a #637939 #843c39 #393b79 #888888").split()
ROMA_COLORS = ("#1b9e77 #66c2a5 #0b5d46 #a6d854 #d95f02 #fdae61 #7570b3 #bcbddc").split()


def draw(found, path):
    try:
        import matplotlib
    except ImportError:
        print("\nNo chart: matplotlib is not installed (Debian: python3-matplotlib).")
        return
    matplotlib.use("svg")
    matplotlib.rcParams.update({
        "svg.hashsalt": "roma", "svg.fonttype": "path", "font.size": 10, "axes.grid": True,
        "grid.color": "#dddddd", "axes.axisbelow": True, "axes.spines.top": False,
        "axes.spines.right": False, "figure.facecolor": "white", "legend.frameon": False})
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(14, 11), layout="constrained")
    rows = figure.add_gridspec(2, 2, height_ratios=[1.15, 1])
    draw_ratios(found, figure.add_subplot(rows[0, :]))
    draw_curve(found, figure.add_subplot(rows[1, 0]), "scaling", "threads",
               "million pairs a second, all threads",
               "Throughput against threads: mixed sizes, 1 k live each (higher is better)", 2)
    draw_curve(found, figure.add_subplot(rows[1, 1]), "live", "live blocks", "ns a pair",
               "Cost against live blocks of 16-128 B (lower is better)", 10)
    about = dict(found.machine)
    words = [about.get(key, "?") for key in ("processor", "cpus", "kernel", "time")]
    title = "roma beside other allocators: {}, {} CPUs, {}, {}".format(*words)
    figure.suptitle(title + (" (quick run: figures mean nothing)" if found.is_quick else ""))
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    print(f"\nChart: {path}", file=sys.stderr)


def style_of(found, name):
    """Color, marker and line of an allocator, the same in every panel."""
    if name in found.romas():
        index = found.romas().index(name)
        return ROMA_COLORS[index % len(ROMA_COLORS)], "", "-"
    index = found.peers().index(name)
    return PEER_COLORS[index % len(PEER_COLORS)], PEER_MARKERS[index % len(PEER_MARKERS)], "--"


def draw_ratios(found, axes):
    """Bars for roma's rows, marks for the peers, all relative to the best peer of the run."""
    tests = [test for test in MICRO if found.best_peer(test)[1]]
    romas, peers = found.romas(), found.peers()
    width = .8 / max(len(romas), 1)
    for index, name in enumerate(romas):
        color, _, _ = style_of(found, name)
        points = ratios(found, name, tests, index * width - .4 + width / 2)
        # From 1, where the best peer is: a bar that goes down is a gain.
        axes.bar([x for x, _ in points], [ratio - 1 for _, ratio in points], width, bottom=1,
                 color=color, label=name)
    for index, name in enumerate(peers):
        color, marker, _ = style_of(found, name)
        points = ratios(found, name, tests, (index - (len(peers) - 1) / 2) * .12)
        axes.plot([x for x, _ in points], [ratio for _, ratio in points], marker, color=color,
                  label=name, markersize=6, markeredgecolor="white", markeredgewidth=.6)
    axes.axhline(1, color="black", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xticks(range(len(tests)), tests, rotation=30, ha="right")
    axes.set_ylabel("cost relative to the best peer (log)")
    axes.set_title("One operation: 1 is the best peer of the run, below is better")
    axes.legend(ncols=5, loc="upper left")


def ratios(found, name, tests, shift):
    values = [(x + shift, found.cost_ratio(test, found.value(name, test), found.best_peer(test)[1]))
              for x, test in enumerate(tests)]
    return [(x, ratio) for x, ratio in values if ratio is not None]


def draw_curve(found, axes, prefix, x_label, y_label, title, base):
    points_x = sorted(int(test.split("-")[1]) for test in found.tests()
                      if test.startswith(prefix + "-"))
    for name in found.peers() + found.romas():
        color, marker, line = style_of(found, name)
        points = [(x, found.value(name, f"{prefix}-{x}")) for x in points_x]
        points = [(x, y) for x, y in points if y is not None]
        if points:
            axes.plot(*zip(*points), line, marker=marker or ".", color=color, label=name,
                      linewidth=2 if line == "-" else 1.3)
    if not points_x:
        axes.text(.5, .5, "not measured", ha="center", transform=axes.transAxes)
        return
    axes.set_xscale("log", base=base)
    axes.set_xticks(points_x, [short(x) for x in points_x])
    axes.set_xticks([], minor=True)
    if prefix == "live":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title)
    axes.legend(ncols=2, fontsize=8)


def short(number):
    for size, unit in ((10**6, " M"), (10**3, " k")):
        if number >= size:
            return f"{number // size}{unit}"
    return str(number)
