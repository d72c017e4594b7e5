"""table - a table as text: for every report under perf."""


def print_table(title, header, rows):
    """Columns as wide as their widest word; the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header] + rows) for i in range(len(header))]
    print(f"\n{title}\n")
    for row in [header] + rows:
        cells = [row[0].ljust(widths[0])] + [row[i].rjust(widths[i]) for i in range(1, len(row))]
        print("  " + "  ".join(cells).rstrip())
