# SPDX-License-Identifier: MIT
"""doc/benchmarks.md: written by the program, from one run; targets that are missed are shown as clearly as targets
that hold."""

import datetime
import shutil

import tables
from cells import size_name
from compare import MODES, ONEWAY_SIZES, SIZES
from targets import sealane, time_name

INTRODUCTION = """# Benchmarks

Written by `./dev bench --compare` on {date}; run it on your machine, and it describes yours. What is here is one run on
one machine:

{machine}

## How it is measured

Two processes, pinned to two CPUs (or to one), each cell a pair of its own. Of a *round trip*, the request is written in
full by one side and read in full by the other, and so is the reply of 32 bytes; `ends` means that only the first and last
word are touched. *Asleep*: neither side ever looks twice before it sleeps. Every payload is checked: each word counts.
A round trip's time has the clock's own cost taken off, for all systems alike.

The machine's floor is the time that a cache line needs from one process to the other and back. It has three states, near
(below 80 ns), middle (below 280 ns) and far, and flips between them when the host moves its virtual CPUs. Each cell has the
floor measured before and after; a cell during which it changed is run again, and only cells of the same state are compared.
Cells that are compared are run by turns, in {rounds} rounds, and of each the least disturbed one counts, ours and others' alike.

Other systems are used as their own documentation advises for speed, by programs that you can read: `bench/peer_*.c`. Theirs
are the figures that they reach here, in our hands; whoever knows how to make one faster is invited to.
"""

OTHERS = """
## Other systems

Of round trips p50 (small and spinning: how many floors that is) and 99.9 %, in the {state} state of the floor where nothing
else is said. A dash: the system cannot do that."""

FEW_BYTES = 4096

PLOTS = """
## Plots

{plots}
"""

# The headings of sections that other programs write (bench/run/scale.py). They are the last sections of the document.
SCALE = "## Many idle connections"


def section_of(path, heading):
    """Returns the section from its heading on; "": there is none."""
    text = path.read_text() if path.exists() else ""
    return text[text.index(heading) :] if heading in text else ""


def write_section(path, heading, text):
    """Replaces the section with that heading, or appends a new one."""
    rest = path.read_text().removesuffix(section_of(path, heading)) if path.exists() else ""
    path.write_text(f"{rest.rstrip()}\n\n{heading}\n\n{text.strip()}\n")


def markdown(headings, rows):
    lines = ["| " + " | ".join(headings) + " |", "|" + "---|" * len(headings)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def verdicts_table(verdicts):
    rows = [(v.what, v.limit, v.measured, v.beside or "-", "holds" if v.holds else "**misses**") for v in verdicts]
    held = sum(v.holds for v in verdicts)
    return (
        f"\n## Targets\n\n{held} of {len(verdicts)} hold in this run. With several sizes the worst one is shown; the limit is "
        "for all of them. Why some miss, and what was\ntried, is in [tuning.md](tuning.md): the frame ring, the short way "
        "of a small call, which block is used again (and between far cores), huge pages.\n\n"
        + markdown(("target", "limit", "measured", "p50 and 99.9 %, awake and asleep", ""), rows)
    )


def figure(results, cell):
    """p50, 99.9 % and the floor's ratio; or a rate."""
    usual = results.usual_state()
    best = results.best(cell, usual) or results.best(cell)
    if not best:
        return "-" if results.cannot(cell) else "failed"
    if cell.case == "oneway":
        return f"{best['rate']:.3g}/s, {best['gb_s']:.2g} GB/s"
    ratio = f" ({best['ratio']:.1f})" if best["ratio"] and cell.mode == "spin" and cell.size <= FEW_BYTES else ""
    mark = f" *{best['state']}*" if best["state"] != usual else ""
    return f"{time_name(best['p50_ns'])}{ratio}, {time_name(best['p999_ns'])}{mark}"


def systems_table(results, peers, case, mode, sizes):
    rows = []
    systems = [("**Sealane**", lambda **shape: sealane(**shape))] + [(peer.name, peer.make) for peer in peers]
    for name, make in systems:
        cells = [make(case=case, mode=mode, size=size) for size in sizes]
        if any(cell in results.by_cell for cell in cells):
            rows.append((name, *(figure(results, cell) for cell in cells)))
    return markdown(("system", *(size_name(size) for size in sizes)), rows)


def comparison(results, peers):
    parts = [OTHERS.format(state=results.usual_state())]
    for mode in MODES:
        name = "spinning" if mode == "spin" else "asleep"
        parts.append(f"\n### Round trip, {name}\n\n" + systems_table(results, peers, "roundtrip", mode, SIZES))
        parts.append(f"\n### One way, {name}\n\n" + systems_table(results, peers, "oneway", mode, ONEWAY_SIZES))
    return "\n".join(parts)


def failures(results):
    failed = [f"* {cell.name()}: {why}" for cell, why in results.reasons.items() if not results.cannot(cell)]
    return "\n\n## What failed\n\n" + "\n".join(failed) if failed else ""


def write(path, facts, run, verdicts, peers, plots, pictures):
    """Writes the document at `path`; copies the pictures from `pictures` into a directory beside it."""
    results, rounds = run
    directory = path.parent / path.stem
    directory.mkdir(exist_ok=True)
    for plot in plots:
        for suffix in ("svg", "png"):
            shutil.copy(pictures / f"{plot.file}.{suffix}", directory)
    shown = "\n\n".join(f"![{plot.title}]({directory.name}/{plot.file}.svg)" for plot in plots)
    machine = markdown(("", ""), facts)
    text = INTRODUCTION.format(date=datetime.date.today().isoformat(), machine=machine, rounds=rounds)
    text += verdicts_table(verdicts) + "\n" + comparison(results, peers) + failures(results)
    if plots:
        text += "\n" + PLOTS.format(plots=shown)
    others = section_of(path, SCALE)
    if others:
        text = text.rstrip() + "\n\n" + others
    path.write_text(text.rstrip() + "\n")
