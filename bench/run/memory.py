# SPDX-License-Identifier: MIT
"""Asks bench/memory its questions, and says which promises about memory hold: one line for each.

    python3 bench/run/memory.py --build build/bench [--quick] [--only WORD]
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

import machine
import tables
from cells import size_name
from targets import Verdict

LOAN_LIMIT = 1.5
TIMEOUT = 3600  # seconds, of any case

# Other allocators, as Debian installs them; those that are not there are left out.
LIBRARIES = {
    "glibc": None,
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2",
}


class Cases:
    """Runs the cases of bench/memory, and keeps what they said."""

    def __init__(self, program, is_quick):
        self.program = program
        self.is_quick = is_quick
        self.lines = []

    def ask(self, *words, preload=None):
        """The lines of one case, as dictionaries. None: it failed, and has said why."""
        command = ["env", f"LD_PRELOAD={preload}"] if preload else []
        command += [str(self.program), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False)
        if done.returncode != 0:
            return None
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.lines += lines
        return lines


def library_path(name):
    """Where the loader finds it; None: nowhere."""
    found = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=False).stdout
    paths = [line.rpartition(" => ")[2] for line in found.splitlines() if line.split(" ")[0].strip() == name]
    return paths[0] if paths else None


def speeds(cases):
    """What a loan costs: {(pattern, size): [{system: ns}, one for each round]}. The systems of a round are measured within a second."""
    paths = {system: library and library_path(library) for system, library in LIBRARIES.items()}
    there = [system for system, library in LIBRARIES.items() if library is None or paths[system]]
    found = {}
    for _ in range(5 if cases.is_quick else 15):
        this_round = {}
        for system in ["sealane"] + there:
            for line in cases.ask("speed", "--system", system, preload=paths.get(system)) or []:
                this_round.setdefault((line["pattern"], line["size"]), {})[system] = line["ns"]
        for key, by_system in this_round.items():
            found.setdefault(key, []).append(by_system)
    return found


def loan_ratio(rounds):
    """The median over the rounds of ours to the best other's; and whose that was, most often."""
    whole = [r for r in rounds if "sealane" in r and len(r) > 1]
    best = [min((ns, system) for system, ns in r.items() if system != "sealane") for r in whole]
    ratios = [r["sealane"] / ns for r, (ns, _) in zip(whole, best)]
    return statistics.median(ratios), statistics.mode(system for _, system in best)


def loan_table(found):
    systems = ["sealane"] + list(LIBRARIES)
    rows = [("size", "pattern", *systems, "ours / best")]
    for (pattern, size), rounds in sorted(found.items(), key=lambda entry: (entry[0][1], entry[0][0])):
        medians = [statistics.median([r[s] for r in rounds if s in r] or [0]) for s in systems]
        rows.append((size_name(size), pattern, *(f"{ns:.1f} ns" for ns in medians), f"{loan_ratio(rounds)[0]:.2f}"))
    return tables.columns(rows)


def judge_loans(cases):
    what, limit = "loan and release / best of malloc", f"<= {LOAN_LIMIT:.2f}"
    found = speeds(cases)
    if not found:
        return [Verdict(what, limit, "not measured", False)], []
    (ratio, best), (pattern, size) = max((loan_ratio(rounds), key) for key, rounds in found.items())
    measured = f"{ratio:.2f} ({pattern}, {size_name(size)}, against {best})"
    return [Verdict(what, limit, measured, ratio <= LOAN_LIMIT)], loan_table(found)


QUESTIONS = {"loans": judge_loans}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench memory", description="Measures what Sealane does with memory.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where it was built: build/bench")
    parser.add_argument("--quick", action="store_true", help="within five minutes")
    parser.add_argument("--only", default="", help="only questions whose names have this in them")
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    cases = Cases(options.build / "bench" / "memory", options.quick)
    verdicts = []
    for name, value in machine.facts():
        print(f"{name}: {value}")
    for question, judge in QUESTIONS.items():
        if options.only in question:
            found, table = judge(cases)
            verdicts += found
            print("\n" + "\n".join(table) if table else "", flush=True)
    output = options.build / "bench" / "results"
    output.mkdir(exist_ok=True)
    (output / "memory.jsonl").write_text("".join(json.dumps(line) + "\n" for line in cases.lines))
    print("\n".join(tables.target_lines(verdicts)))
    return 0 if verdicts and all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
