# SPDX-License-Identifier: MIT
"""Runs the benchmark: many cells, one table, and an exit status that says whether all targets hold.

    python3 bench/run --build build/gcc [--quick] [--compare] [--json] [--plots DIRECTORY]
"""

import argparse
import json
import os
import pathlib
import signal
import sys

import compare
import document
import plan
import plots
import tables
from cells import Runner
from targets import targets

QUICK_SECONDS, QUICK_ROUNDS = 0.08, 2
FULL_SECONDS, FULL_ROUNDS = 0.4, 4


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench", description="Measures Sealane against the floors of this machine.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where it was built: build/gcc")
    parser.add_argument("--quick", action="store_true", help="the targets alone, within two minutes")
    parser.add_argument("--compare", action="store_true", help="with the peers that were built; writes doc/benchmarks.md")
    parser.add_argument("--json", action="store_true", help="print the measurements, a line of JSON each, and no table")
    parser.add_argument("--only", default="", help="only targets whose names have this in them")
    return parser.parse_args(arguments)


def measure(options, runner):
    """Runs what was asked for; returns the targets that can be judged."""
    judged = [target for target in targets(options.quick) if options.only in target.what]
    plan.run_targets(runner, judged, QUICK_ROUNDS if options.quick else FULL_ROUNDS, options.quick)
    if not options.quick:
        plan.run_landscape(runner)
    if options.compare:
        judged += compare.run(runner)
    return judged


def main(arguments):
    options = parse(arguments)
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("bench: two processes that spin need two CPUs")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that settings are put back
    runner = Runner(options.build / "bench", QUICK_SECONDS if options.quick else FULL_SECONDS, options.json)
    judged = measure(options, runner)
    verdicts = [target.verdict(runner.results) for target in judged]
    output = options.build / "bench" / "results"
    output.mkdir(exist_ok=True)
    (output / "measurements.jsonl").write_text("".join(json.dumps(m) + "\n" for m in runner.results.lines))
    if not options.quick:
        plots.draw(runner.results.lines, output)
    if options.compare:
        document.write(runner.results, verdicts, output)
    if not options.json:
        if not options.quick:
            print("\n".join(tables.measurement_lines(runner.results.lines)), end="\n\n")
        print("\n".join(tables.target_lines(verdicts)))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
