# SPDX-License-Identifier: MIT
"""doc/benchmarks.md: written by the program, from one run; targets that are missed are shown as clearly as targets
that hold."""

import datetime
import shutil
import textwrap

from cells import size_name
from compare import MODES, ONEWAY_SIZES, SIZES
from tables import markdown
from targets import sealane, time_name

INTRODUCTION = """# Benchmarks

`./dev bench --compare` wrote this page on {date}. It has one run on one machine; run the command on your
machine, and the page describes yours.

{machine}

## How it is measured

Two processes are pinned to two CPUs (or to one), and each cell has a pair of its own. In a *round trip* one side
writes the request in full and the other reads it in full; the reply of 32 bytes is written and read in full, too.
`ends` means that the sides touch only the first and last word. *Asleep*: each side looks once, and then sleeps. Every
payload is checked: each word counts. The cost of the clock is taken off each round trip, for all systems alike.

The machine's floor is the time that a cache line needs from one process to the other and back. It has three states,
near (below 80 ns), middle (below 280 ns) and far, and flips between them when the host moves its virtual CPUs. The
program measures the floor before and after each cell, and while a cell spins it keeps both CPUs from idling, because a
virtual CPU may wake up in another place. It repeats a cell during which the state changed, and compares only cells of
one state. It runs compared cells by turns, in {rounds} rounds, and the least disturbed round of each cell counts, for
Sealane and for other systems alike.

The programs use other systems as their own documentation advises for speed; you can read them: `bench/peer_*.c`. The
figures are those that these systems reach here, in our hands. If you know how to make one faster, please tell us.
"""

OTHERS = """
## Other systems

Round trips show p50 (small and spinning: also as a multiple of the floor), and in a second table 99.9 %. The floor is
in its {state} state where a cell says nothing else. A dash: the system cannot do that."""

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


WIDTH = 120  # columns of a document


def paragraph(text, first="", rest=""):
    """The text in lines that are no wider than a document."""
    return textwrap.fill(
        text, WIDTH - 4, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def verdicts_table(verdicts):
    """A table of the ratios, and below it a list of the cells that they are of: these texts are long."""
    words = {"HOLDS": "holds", "MISSES": "**misses**", "SKIPPED": "not judged"}
    rows = [(v.what, v.limit, v.measured.partition(" (")[0], words[v.word()]) for v in verdicts]
    cells = [(v.what, v.measured.partition(" (")[2].removesuffix(")"), v.beside.strip(" -")) for v in verdicts]
    judged = [v for v in verdicts if not v.is_skipped]
    held = sum(v.holds for v in judged)
    return (
        f"\n## Targets\n\n{held} of {len(judged)} hold in this run.\n\n"
        + markdown(("target", "limit", "measured", ""), rows)
        + "\n\n"
        + paragraph(
            "With several sizes the worst one counts; the limit is for all of them. The cells of these ratios, and "
            "their p50 and 99.9 %, awake and asleep:"
        )
        + "\n\n"
        + "\n".join(
            paragraph(f"{what}: {'; '.join(filter(None, (cell, beside)))}", "* ", "  ")
            for what, cell, beside in cells
            if cell or beside
        )
        + "\n\n"
        + paragraph(
            "[measurements.md](measurements.md) explains why some targets miss, and the attempts to reach them: the "
            "frame ring, the short way of a small call, which block is used again (and between far cores), fresh "
            "sealed memory."
        )
    )


def figures(results, cell):
    """p50 with the floor's ratio, and 99.9 %; or a rate, and its bytes."""
    usual = results.usual_state()
    best = results.best(cell, usual) or results.best(cell)
    if not best:
        return 2 * ("-" if results.cannot(cell) else "failed",)
    if cell.case == "oneway":
        return f"{best['rate']:.3g}/s", f"{best['gb_s']:.2g} GB/s"
    ratio = f" ({best['ratio']:.1f})" if best["ratio"] and cell.mode == "spin" and cell.size <= FEW_BYTES else ""
    mark = f" *{best['state']}*" if best["state"] != usual else ""
    return f"{time_name(best['p50_ns'])}{ratio}{mark}", f"{time_name(best['p999_ns'])}{mark}"


def systems_table(results, peers, case, mode, sizes):
    """Two tables: each has one of the two figures of a cell."""
    rows = []
    systems = [("**Sealane**", lambda **shape: sealane(**shape))] + [(peer.name, peer.make) for peer in peers]
    for name, make in systems:
        cells = [make(case=case, mode=mode, size=size) for size in sizes]
        if any(cell in results.by_cell for cell in cells):
            rows.append((name, [figures(results, cell) for cell in cells]))
    names = ("messages", "bytes") if case == "oneway" else ("p50", "99.9 %")
    headings = [size_name(size) for size in sizes]
    return "\n\n".join(
        markdown((title, *headings), [(name, *(pair[i] for pair in pairs)) for name, pairs in rows])
        for i, title in enumerate(names)
    )


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


def write(path, facts, run, verdicts, peers, plots, pictures, sections=()):
    """Writes the document at `path`; copies the pictures from `pictures` into a directory beside it. `sections`: texts
    that other modules made of the same run."""
    results, rounds = run
    directory = path.parent / path.stem
    directory.mkdir(exist_ok=True)
    for plot in plots:
        for suffix in ("svg", "png"):
            shutil.copy(pictures / f"{plot.file}.{suffix}", directory)
    shown = "\n\n".join(f"![{plot.title}]({directory.name}/{plot.file}.svg)" for plot in plots)
    machine = markdown(("", ""), facts)
    text = INTRODUCTION.format(date=datetime.date.today().isoformat(), machine=machine, rounds=rounds)
    text += verdicts_table(verdicts) + "\n" + comparison(results, peers)
    text += "".join(f"\n\n{section}" for section in sections) + failures(results)
    if plots:
        text += "\n" + PLOTS.format(plots=shown)
    others = section_of(path, SCALE)
    if others:
        text = text.rstrip() + "\n\n" + others
    path.write_text(text.rstrip() + "\n")
