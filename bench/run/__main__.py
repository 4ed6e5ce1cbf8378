# SPDX-License-Identifier: MIT
"""Runs the benchmark: many cells, one table, and an exit status that says whether all targets hold.

    python3 bench/run --build build/gcc [--quick] [--compare] [--against COMMIT] [--json]

With --against alone it compares this build with that commit's, and judges nothing else.
"""

import argparse
import json
import os
import pathlib
import signal
import sys

import against
import commit
import compare
import distance
import document
import machine
import plan
import plots
import tables
from cells import Runner
from promises import promises

QUICK_SECONDS, QUICK_ROUNDS = 0.05, 4
FULL_SECONDS, FULL_ROUNDS = 0.4, 4
BUSY = 0.7  # from this load on other processes disturb the measurements


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench", description="Measures Sealane against the floors of this machine.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where it was built: build/gcc")
    parser.add_argument("--quick", action="store_true", help="the targets alone, within three minutes")
    parser.add_argument("--compare", action="store_true",
                        help="other systems too; without --quick it writes doc/benchmarks.md")
    parser.add_argument("--peers", type=pathlib.Path, default="build/peers", help="where their programs were built")
    parser.add_argument("--against", metavar="COMMIT", action="append", default=[],
                        help="build that commit, and measure both by turns; may be repeated")
    parser.add_argument("--json", action="store_true", help="print the measurements, a line of JSON each, and no table")
    parser.add_argument("--seconds", type=float, help="of a cell; otherwise as is enough")
    parser.add_argument("--only", default="", help="only targets with this text in their names")
    return parser.parse_args(arguments)


ROOT = pathlib.Path(__file__).resolve().parents[2]


def opponents_of(options):
    """Builds the earlier commits that the command line names, before anything is measured."""
    found = []
    for name in options.against:
        print(f"bench: building {name}", file=sys.stderr, flush=True)
        found.append(against.opponent_of(ROOT, options.build.resolve(), name))
    return found


def measure(options, runner, peers, opponents):
    """Runs the requested measurements; returns the targets that can be judged."""
    judged = []
    for opponent in opponents:
        against.run(runner, opponent, options.quick)
        judged += against.targets_of(opponent)
    if opponents and not options.compare:
        return judged
    places = [options.peers, options.build / "bench"]
    wanted = [target for target in promises(options.quick, places) if options.only in target.what]
    known = {target.what for target in judged}
    wanted += against.milestones(
        ROOT, options.build.resolve(), lambda what: options.only in what and what not in known
    )
    plan.run_targets(runner, wanted, QUICK_ROUNDS if options.quick else FULL_ROUNDS)
    if not options.quick and not options.only:
        plan.run_landscape(runner)
        distance.run(runner, peers)
    return wanted + judged + (compare.run(runner, peers) if options.compare else [])


def show(options, results, verdicts, drawn, peers, opponents):
    for opponent in opponents:
        print("\n".join(against.lines(results, opponent, options.quick)), end="\n\n")
    if not options.quick and not opponents:
        print("\n".join(tables.measurement_lines(results.lines)), end="\n\n")
    if not options.quick and (options.compare or not opponents):
        print("\n".join(distance.lines(results, peers)))
    if verdicts:
        print("\n".join([*tables.target_lines(verdicts), "", *tables.miss_lines(verdicts)]).rstrip())
    if drawn:
        print(f"\nPlots and measurements: {options.build / 'bench' / 'results'}")


def main(arguments):
    options = parse(arguments)
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: two processes that spin need two CPUs")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that settings are put back
    facts = machine.facts()
    if machine.load() > BUSY:
        print(f"bench: this machine is busy (load {machine.load():.1f}): what follows is disturbed", file=sys.stderr)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else FULL_SECONDS)
    runner = Runner(options.build / "bench", seconds, options.json)
    peers = compare.peers_in(options.peers, options.build / "bench") if options.compare else []
    try:
        opponents = opponents_of(options)
    except commit.Error as error:
        sys.exit(f"bench: {error}")
    verdicts = [target.verdict(runner.results) for target in measure(options, runner, peers, opponents)]
    output = options.build / "bench" / "results"
    output.mkdir(exist_ok=True)
    (output / "measurements.jsonl").write_text("".join(json.dumps(m) + "\n" for m in runner.results.lines))
    drawn = []
    if options.compare or not (options.quick or opponents):
        names = [peer.system for peer in peers if peer.system]
        drawn = plots.draw(runner.results, output, names, [opponent.short for opponent in opponents])
    if options.compare and not options.quick:
        path = ROOT / "doc" / "benchmarks.md"
        sections = [distance.section(runner.results, peers)]
        if opponents:
            sections.append(against.section(runner.results, opponents, options.quick))
        document.write(path, facts, (runner.results, FULL_ROUNDS), verdicts, peers, drawn, output, sections)
    if not options.json:
        show(options, runner.results, verdicts, drawn, peers, opponents)
    return 0 if all(verdict.holds or verdict.is_skipped for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
