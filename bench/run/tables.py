# SPDX-License-Identifier: MIT
"""Tables for people: the targets, and all measurements."""

from cells import size_name
from targets import time_name


def columns(rows, gap="  "):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [gap.join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows]


def markdown(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def target_lines(verdicts):
    """One line for each target, ending with HOLDS, MISSES or SKIPPED."""
    rows = [("target", "limit", "measured", "p50 and 99.9 %", "")]
    for verdict in verdicts:
        rows.append((verdict.what, verdict.limit, verdict.measured, verdict.beside, verdict.word()))
    return columns(rows)


def miss_lines(verdicts):
    """For each target that several sizes miss: all of them."""
    return [f"misses of {v.what}: {' · '.join(v.misses)}" for v in verdicts if len(v.misses) > 1]


def or_dash(value, text):
    return "-" if value is None else text(value)


def measurement_row(m):
    return (
        " ".join(word for word in (m["system"], m["variant"]) if word),
        m["case"] + (", ends" if m["touch"] == "ends" else ""),
        m["mode"],
        "1 CPU" if m["floor_ns"] is None else "2 CPUs",
        str(m["clients"]),
        size_name(m["size"]),
        or_dash(m["p50_ns"], time_name),
        or_dash(m["p99_ns"], time_name),
        or_dash(m["p999_ns"], time_name),
        or_dash(m["rate"], lambda rate: f"{rate:.4g}"),
        or_dash(m["gb_s"], lambda rate: f"{rate:.3g}"),
        or_dash(m["floor_ns"], lambda ns: f"{ns:.0f} ns"),
        or_dash(m["ratio"], lambda ratio: f"{ratio:.2f}"),
        or_dash(m["syscalls_per_msg"], lambda count: f"{count:.3g}"),
        m["note"],
    )


HEADINGS = (
    *("system", "case", "wait", "on", "clients", "size", "p50", "99 %", "99.9 %", "a second", "GB/s", "floor"),
    *("p50 / floor", "calls", "note"),
)


def measurement_lines(measurements):
    return columns([HEADINGS] + [measurement_row(m) for m in measurements])
