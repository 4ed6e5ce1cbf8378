# SPDX-License-Identifier: MIT
"""Counts the instructions that the library takes for one call or one message, on each side, and judges the counts.

    bench/run/instructions.py PROGRAM BASELINE [--list | --lines | --renew] [CASE...]

PROGRAM is bench/instructions of a build with bench/lockstep_pause.h, which ./dev instructions makes; it runs under
`valgrind --tool=callgrind`. The script prints a table with the instructions of each case and side, their baseline and
the limit, LEEWAY above it, and exits with 1 if a count is above its limit. --list prints the functions of each case
with their instructions for one call or message, --lines the source lines too; CASE limits both to cases whose names
begin so.
--renew writes the counts to BASELINE. Counts depend on the compiler: the script skips, with exit status 77, where
BASELINE was made with another one.

Why the counts are right, and the same each time:

* Two processes that spin look at an empty ring as often as chance has it. Here they run in lockstep: the pause of the
  library's waiting loops is a trap, at which one side hands over to the other and waits in the kernel for its turn. A
  loop pauses only after a look that found nothing, so each wait has exactly one such look, and the next one finds what
  the other side has published: the way of peers that spin. The pause is one instruction, as it is in other builds; no
  other instruction of the library differs.
* Each side is a process of its own with one thread, as in bench/sealane, so that each one takes the way of a process
  with one thread.
* The clock of both sides is the program's: it advances by a fixed step for each call and message, so that the work that
  is due once a millisecond comes after the same number of calls each time, about as many as at full speed.
* The counts are differences: callgrind counts from a mark to a mark, both in the same function, after warm-up calls,
  and the sum is divided by the number of calls. A server's marks are in its handler, so that all that follows a message
  counts, and as often as there are messages.
* All functions count but those of bench/instructions.c, its handlers and its clock among them: also the C library's,
  because the library called them. The clock of the C library itself, some 25 ns for each reading, is not counted.
"""

import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

LEEWAY = 0.02

SIDES = ["client", "server"]

HARNESS = "bench/instructions.c"
# Of the C library, but called by the harness or by the kernel on its behalf.
HARNESS_FUNCTIONS = {"__restore_rt", "__libc_sigaction"}

# The most instructions that the library may take, for these sides together: (case, sides, budget).
BUDGETS = [
    ("call-64", SIDES, 450),
    ("call-1k", SIDES, 1400),
    ("send-64", ["client"], 100),
    ("send-64", ["server"], 100),
]

# Does a count above its budget fail? Not until the short way is short enough: until then only the baseline, which goes
# down with each commit that shortens the way, keeps the counts from growing.
BUDGETS_ARE_BINDING = False

LISTED_LEAST = 0.5  # instructions for one call: functions and lines with fewer are summed up

SKIPPED = 77


class Trouble(Exception):
    """The counts cannot be had."""


class Part:
    """The costs that one dump of callgrind has: by function, and by function and source line."""

    def __init__(self):
        self.functions = collections.Counter()
        self.lines = collections.Counter()  # (function, file, line)

    def total(self):
        return sum(self.functions.values())


def parse(text):
    """Part of one dump. Names and positions are not compressed. The costs of what a function calls are left out: the
    line after "calls=" has them."""
    part, file, function, is_inclusive, is_harness = Part(), "", "", False, False
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key in ("fl", "fi", "fe") and value:
            file = value
        elif key == "fn":
            function = value
            is_harness = file.endswith(HARNESS) or function in HARNESS_FUNCTIONS
        elif key == "calls":
            is_inclusive = True
        elif re.match(r"\d+ \d+$", line):
            number, cost = map(int, line.split())
            if not is_inclusive and not is_harness:
                part.functions[function] += cost
                part.lines[function, short_name(file), number] += cost
            is_inclusive = False
    return part


def short_name(file):
    """A file of the library from its layer on, any other by its name."""
    _, found, rest = file.rpartition("/transport/")
    return rest if found else pathlib.PurePath(file).name


def parse_output(text):
    """What the program says: ({"compiler": name, "libc": name}, {case: class of its payloads}, [(case, count)])"""
    told, cases, classes = {}, [], {}
    for line in text.splitlines():
        key, _, rest = line.partition(" ")
        if key == "case":
            name, count, classes[name] = rest.split()
            cases.append((name, int(count)))
        else:
            told[key] = rest
    return told, classes, cases


def environment():
    """Ours, but for what changes the library's ways: a table of this machine, and checks for misuse."""
    return {name: value for name, value in os.environ.items() if name != "SEALANE_CHECK"} | {"SEALANE_CALIBRATION": ""}


def run(program):
    """(told, classes, {(case, side): (Part, count)}), see parse_output(); told is None where the program cannot run."""
    with tempfile.TemporaryDirectory(prefix="sealane-instructions-") as folder:
        command = ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={folder}/%p",
                   "--compress-strings=no", "--compress-pos=no", "--dump-line=yes", "--zero-before=count_begin",
                   "--dump-before=count_end", program]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment()) as process:
            output, errors = process.communicate()
        if process.returncode == SKIPPED:
            return None, {}, {}
        if process.returncode != 0:
            raise Trouble(f"{program} failed with {process.returncode}: {errors}")
        told, classes, cases = parse_output(output)
        return told, classes, read_dumps(pathlib.Path(folder), process.pid, cases)


def read_dumps(folder, client, cases):
    """The dumps are FOLDER/PID.1, PID.2 and so on, in the order of the cases."""
    servers = {int(path.name.split(".")[0]) for path in folder.iterdir()} - {client}
    if len(servers) != 1:
        raise Trouble(f"dumps of {len(servers)} servers")
    found, pids = {}, [client, servers.pop()]
    for number, (case, count) in enumerate(cases, 1):
        for side, pid in zip(SIDES, pids):
            path = folder / f"{pid}.{number}"
            if not path.exists():
                raise Trouble(f"no dump of {case}, {side}")
            found[case, side] = (parse(path.read_text()), count)
    return found


def read_baseline(text):
    """({"compiler": name, "libc": name}, {(case, side): instructions})"""
    told, counts = {}, {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            key, _, rest = line.partition(" ")
            if key in ("compiler", "libc"):
                told[key] = rest
            else:
                side, count = rest.split()
                counts[key, side] = float(count)
    return told, counts


def format_baseline(told, counts):
    lines = ["# SPDX-License-Identifier: MIT",
             "# Instructions of the library for one call or message: case, side, count. ./dev instructions --renew",
             "# writes this file. The counts hold for this compiler and this C library."]
    lines += [f"{key} {told[key]}" for key in ("compiler", "libc")]
    lines += [f"{case} {side} {count:.1f}" for (case, side), count in counts.items()]
    return "\n".join(lines) + "\n"


def limit_of(baseline):
    return baseline * (1 + LEEWAY)


def judge(counts, baseline):
    """[(case, side, count, baseline or None, verdict)]: "ABOVE" fails, as does what has no baseline."""
    rows = []
    for (case, side), count in counts.items():
        before = baseline.get((case, side))
        verdict = ("NO BASELINE" if before is None else "ABOVE" if count > limit_of(before)
                   else "below: renew the baseline" if count < before * (1 - LEEWAY) else "")
        rows.append((case, side, count, before, verdict))
    return rows


def fails(verdict):
    return verdict in ("ABOVE", "NO BASELINE")


def judge_budgets(counts):
    """[(case, sides, count, budget, holds)]"""
    rows = []
    for case, sides, budget in BUDGETS:
        count = sum(counts[case, side] for side in sides)
        rows.append((case, sides, count, budget, count <= budget))
    return rows


def name_of(case, side):
    """A call has a client and a server; a message a sender and a receiver."""
    return side if case.startswith("call") else {"client": "sender", "server": "receiver"}[side]


def print_table(rows, classes, budgets):
    print(f"{'what':<15}{'as':<8}{'side':<10}{'instructions':>12}{'baseline':>10}{'limit':>10}")
    for case, side, count, before, verdict in rows:
        known = ["-", "-"] if before is None else [f"{before:.1f}", f"{limit_of(before):.1f}"]
        what = f"{case:<15}{classes[case]:<8}{name_of(case, side):<10}"
        print(f"{what}{count:>12.1f}{known[0]:>10}{known[1]:>10}  {verdict}".rstrip())
    print()
    for case, sides, count, budget, holds in budgets:
        names = " and ".join(name_of(case, side) for side in sides)
        print(f"{'HOLDS' if holds else 'MISSES'}  {case}, {names}: {count:.0f} of at most {budget}")
    if not BUDGETS_ARE_BINDING and not all(holds for *_, holds in budgets):
        print("Budgets do not fail yet: only a count above its baseline's limit does.")


def print_list(found, with_lines):
    for (case, side), (part, count) in found.items():
        print(f"--- {case}, {name_of(case, side)}: {part.total() / count:.1f}")
        rest = 0
        for function, cost in part.functions.most_common():
            if cost / count < LISTED_LEAST:
                rest += cost
                continue
            print(f"{cost / count:>9.1f}  {function}")
            if with_lines:
                print_lines(part, count, function)
        print(f"{rest / count:>9.1f}  functions with less than {LISTED_LEAST} each")


def print_lines(part, count, function):
    lines = [(file, number, cost) for (of, file, number), cost in part.lines.items()
             if of == function and cost / count >= LISTED_LEAST]
    for file, number, cost in sorted(lines):
        print(f"{cost / count:>19.1f}  {file}:{number}")


def main(program, baseline_path, *arguments):
    options = {argument for argument in arguments if argument.startswith("--")}
    prefixes = tuple(argument for argument in arguments if not argument.startswith("--"))
    path = pathlib.Path(baseline_path)
    if options - {"--list", "--lines", "--renew"}:
        print("./dev instructions knows --list, --lines and --renew alone")
        return 2
    told, classes, found = run(program)
    if told is None:
        print("SKIP: instructions: this process may use one CPU only, so both sides of a connection cannot spin")
        return SKIPPED
    counts = {key: part.total() / count for key, (part, count) in found.items()}
    if "--renew" in options:
        path.write_text(format_baseline(told, counts))
    if options & {"--list", "--lines"}:
        print_list({key: value for key, value in found.items() if not prefixes or key[0].startswith(prefixes)},
                   "--lines" in options)
    made_with, baseline = read_baseline(path.read_text()) if path.exists() else (told, {})
    rows, budgets = judge(counts, baseline), judge_budgets(counts)
    print_table(rows, classes, budgets)
    if made_with != told:
        print(f"SKIP: instructions: the baseline is of {made_with.get('compiler')} and {made_with.get('libc')}; "
              f"here are {told['compiler']} and {told['libc']}, which it says nothing about")
        return SKIPPED
    is_bad = any(fails(verdict) for *_, verdict in rows)
    if BUDGETS_ARE_BINDING:
        is_bad = is_bad or not all(holds for *_, holds in budgets)
    return 1 if is_bad else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Trouble as trouble:
        sys.exit(f"instructions: {trouble}")
