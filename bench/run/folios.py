# SPDX-License-Identifier: MIT
"""Measures what pages between the base page and 2 MiB bring to arenas: with and without them by turns.

    python3 bench/run/folios.py --build build/bench [--rounds N] [--size 64]

Needs the right to change hugepages-64kB/shmem_enabled, a setting of the whole machine. The setting is restored at the
end, also after an interrupt.
"""

import argparse
import pathlib
import signal
import statistics
import subprocess
import sys

import huge
import tables
from cells import size_name

PARTS = ("make", "write", "read", "free")
ROUNDS = 5


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench folios", description="Measures arenas with and without larger pages.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where it was built: build/bench")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each setting")
    parser.add_argument("--size", type=int, default=64, help="of the pages, KiB")
    return parser.parse_args(arguments)


def why_not(path):
    """The reason why no measurement is possible, or None."""
    if not path.exists():
        return f"this kernel gives memfds no pages of that size: {path} is missing (Linux 6.11 has it)"
    if huge.transparent() == "deny":
        return f"{huge.SHARED_MEMORY} says deny: no memfd gets larger pages, whatever the other settings say"
    try:
        path.open("r+", encoding="ascii").close()
    except OSError as error:
        return f"{path} cannot be changed: {error.strerror}"
    return None


def ask(program):
    """For each size, the microseconds of each part."""
    lines = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return {int(size): [float(part) for part in parts] for size, *parts in map(str.split, lines)}


def by_turns(path, program, rounds):
    """Pairs of measurements without and with larger pages."""
    pairs = []
    with huge.setting(path, lambda before: before, lambda before, after, now: before):
        for _ in range(rounds):
            path.write_text("never")
            without = ask(program)
            path.write_text("advise")
            pairs.append((without, ask(program)))
    return pairs


def row(size, pairs):
    """The medians of each part without and with larger pages, and the median of the ratios of all parts together,
    each within its turn."""
    cells = [size_name(size)]
    for part in range(len(PARTS)):
        cells += [f"{statistics.median(pair[side][size][part] for pair in pairs):.0f}" for side in (0, 1)]
    ratios = [sum(with_them[size]) / sum(without[size]) for without, with_them in pairs]
    return (*cells, f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f} to {max(ratios):.2f}")


def headings(kib):
    parts = [f"{part}, {pages}" for part in PARTS for pages in ("base", f"{kib} KiB")]
    return ("block", *parts, "with / without", "of all turns")


def main(arguments):
    options = parse(arguments)
    path = huge.SHARED_MEMORY.parent / f"hugepages-{options.size}kB" / "shmem_enabled"
    why = why_not(path)
    if why:
        print(f"bench folios: {why}", file=sys.stderr)
        return 77
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # so that the setting is put back
    pairs = by_turns(path, options.build / "bench" / "folios", options.rounds)
    rows = [headings(options.size)] + [row(size, pairs) for size in pairs[0][0]]
    print("\n".join(tables.columns(rows)))
    print(f"\nMicroseconds, medians of {options.rounds} turns; `base` and `{options.size} KiB` took turns.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
