# SPDX-License-Identifier: MIT
"""Runs the cases of bench/memory, and prints which promises about memory hold: one line for each.

python3 bench/run/memory.py --build build/bench [--quick] [--only WORD] [--soak SECONDS]
"""

import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys

import machine
import tables
from cells import size_name
from plots import TERMINALS
from targets import Verdict

MIB = 1 << 20
LOAN_LIMIT = 1.5
SPIKE_LIMIT = 1.05  # resident memory over the expected memory, after each spike
WASTE_LIMIT = 1.25  # mapped memory over the requested memory
FAIR_LIMIT = 0.9  # of the rate beside others without faults
BACK_LIMIT = 0.9  # of the rate before a limit was small, when it is lifted

# Limits of a figure's growth at the end of a soak: a share of its mean, and an amount that is allowed in any case.
SOAK_SHARE = 0.05
SOAK_SLACK = {"fds": 4, "mappings": 8, "resident": MIB, "shmem": MIB}
SOAK_BINS, SOAK_ERRORS = 12, 2  # what lies within two standard errors may be chance
SOAK_NOISE = 0.5  # of the mean, and the slack: where chance may be more than that, nothing can be said
# seconds: in less, a few clients that are large by chance make all the difference, and no more than a jump is found
SOAK_LONG = 180
SOAK_START = 0.25  # of the time, which does not count: the first clients begin, caches fill

# Other allocators, as Debian installs them; those that are not installed are left out.
LIBRARIES = {
    "glibc": None,
    "jemalloc": "libjemalloc.so.2",
    "mimalloc": "libmimalloc.so.2",
}


class Cases:
    """Runs the cases of bench/memory, and keeps their lines."""

    def __init__(self, program, is_quick):
        self.program = program
        self.is_quick = is_quick
        self.lines = []

    def ask(self, *words, preload=None, progress=None):
        """The lines of one case, as dictionaries; each goes to `progress` as it comes. None: the case failed, and
        has printed the reason."""
        command = ["env", f"LD_PRELOAD={preload}"] if preload else []
        command += [str(self.program), *words]
        lines = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                lines.append(json.loads(line))
                if progress:
                    progress(lines[-1])
        self.lines += lines
        return lines if process.returncode == 0 else None


def library_path(name):
    """The path at which the loader finds the library; None: there is none."""
    found = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE, text=True, check=False).stdout
    paths = [line.rpartition(" => ")[2] for line in found.splitlines() if line.split(" ")[0].strip() == name]
    return paths[0] if paths else None


def speeds(cases):
    """The cost of a loan: {(pattern, size): [{system: ns}, one for each round]}. The systems of a round are measured
    within a second."""
    paths = {system: library and library_path(library) for system, library in LIBRARIES.items()}
    there = [system for system, library in LIBRARIES.items() if library is None or paths[system]]
    found = {}
    for _ in range(10 if cases.is_quick else 25):
        this_round = {}
        for system in ["sealane"] + there:
            for line in cases.ask("speed", "--system", system, preload=paths.get(system)) or []:
                this_round.setdefault((line["pattern"], line["size"]), {})[system] = line["ns"]
        for key, by_system in this_round.items():
            found.setdefault(key, []).append(by_system)
    return found


def least(rounds):
    """Each system's least disturbed round: the host slows a CPU down for seconds, and not for all systems equally."""
    return {system: min(r[system] for r in rounds if system in r) for system in set().union(*rounds)}


def loan_ratio(rounds):
    """The ratio of our cost to the best other system's, and the name of that system."""
    ns = least(rounds)
    best = min((system for system in ns if system != "sealane"), key=ns.get)
    return ns["sealane"] / ns[best], best


def loan_table(found):
    systems = ["sealane"] + list(LIBRARIES)
    rows = [("size", "pattern", *systems, "ours / best")]
    for (pattern, size), rounds in sorted(found.items(), key=lambda entry: (entry[0][1], entry[0][0])):
        ns = least(rounds)
        times = (f"{ns[system]:.1f} ns" if system in ns else "-" for system in systems)
        rows.append((size_name(size), pattern, *times, f"{loan_ratio(rounds)[0]:.2f}"))
    return tables.columns(rows)


def judge_loans(cases):
    what, limit = "loan and release / best of malloc", f"<= {LOAN_LIMIT:.2f}"
    found = speeds(cases)
    if not all("sealane" in r and len(r) > 1 for rounds in found.values() for r in rounds) or not found:
        return [Verdict(what, limit, "not measured", False)], []
    (ratio, best), (pattern, size) = max((loan_ratio(rounds), key) for key, rounds in found.items())
    measured = f"{ratio:.2f} ({pattern}, {size_name(size)}, against {best})"
    return [Verdict(what, limit, measured, ratio <= LOAN_LIMIT)], loan_table(found)


SPIKES = {"rotate": "spikes, rotated", "rotate-pair": "spikes, rotated, two processes"}
STILL = {"still": "spikes, not rotated", "still-pair": "spikes, not rotated, two processes"}


def spike_ratio(lines):
    """The worst cycle's ratio: memory that stayed over the expected memory."""
    return max(line["resident"] / line["expected"] for line in lines if line["moment"] == "after")


def judge_spikes(cases):
    """Rotation must bring memory back; and only rotation, otherwise the case would prove nothing."""
    size = ["--count", "5", "--bytes", str(256 * MIB)] if cases.is_quick else []
    verdicts = []
    for variant, what in (SPIKES | STILL).items():
        lines = cases.ask("spikes", "--variant", variant, *size)
        if not lines:
            verdicts.append(Verdict(what, "", "not measured", False))
            continue
        ratio, rotates = spike_ratio(lines), variant in SPIKES
        limit = f"{'<=' if rotates else '>'} {SPIKE_LIMIT:.2f}"
        peak = max(line["resident"] for line in lines) // MIB
        base = min(line["expected"] for line in lines) / MIB
        measured = f"{ratio:.2f} (the worst cycle; {peak} MiB at its height, {base:.1f} expected)"
        verdicts.append(Verdict(what, limit, measured, (ratio <= SPIKE_LIMIT) == rotates))
    return verdicts, []


WASTE = {"default": "mapped / asked for, a day of mixed load", "spare": "the same, 1 MiB kept free"}


def judge_waste(cases):
    """Judges with the pools' defaults, and as tuned for the case."""
    limit, verdicts = f"<= {WASTE_LIMIT:.2f}", []
    for variant, what in WASTE.items():
        lines = cases.ask("waste", "--variant", variant)
        if not lines:
            verdicts.append(Verdict(what, limit, "not measured", False))
            continue
        ratio = sum(line["mapped"] for line in lines) / sum(line["asked"] for line in lines)
        worst = max(line["mapped"] / line["asked"] for line in lines)
        verdicts.append(Verdict(what, limit, f"{ratio:.3f} (at worst {worst:.2f})", ratio <= WASTE_LIMIT))
    return verdicts, []


def fair_ratio(rates):
    """Of rounds alone, beside, alone, ..., alone: the median of the ratios of each "beside" round to the mean of its
    two neighbours."""
    return statistics.median(2 * rates[i] / (rates[i - 1] + rates[i + 1]) for i in range(1, len(rates) - 1, 2))


def judge_fair(cases):
    what, limit = "nine good clients beside three bad ones", f">= {FAIR_LIMIT:.2f}"
    lines = cases.ask("fair", "--count", "20", "--seconds", "0.4" if cases.is_quick else "1")
    if not lines:
        return [Verdict(what, limit, "not measured", False)], []
    ratio = fair_ratio([line["rate"] for line in lines])
    alone = statistics.median(line["rate"] for line in lines if not line["bad"])
    measured = f"{ratio:.2f} (of {alone:.4g} calls a second)"
    return [Verdict(what, limit, measured, ratio >= FAIR_LIMIT)], []


def back_ratio(lines):
    """For the trials of each limit with each class: the median of the rate after to the rate before; returns the
    least, and its limit."""
    ratios = {}
    for line in lines:
        ratios.setdefault(f"{line['limit']}, {line['class']}", []).append(line["after"] / line["before"])
    return min((statistics.median(some), name) for name, some in ratios.items())


def judge_refusals(cases):
    """Names the limits that cannot be made small here, without judging them."""
    what, limit = "refused, explained, lifted: of the rate before", f">= {BACK_LIMIT:.2f}"
    lines = cases.ask("refusals", "--count", "3" if cases.is_quick else "5")
    tried = [line for line in lines or [] if "why" not in line]
    if not tried:
        return [Verdict(what, limit, "not measured", False)], []
    explained = {line["limit"]: (line["limit"], line["refusal"]) for line in tried if "refusal" in line}
    table = tables.columns([("limit", "refusal"), *explained.values()])
    wrong = sorted({line["limit"] for line in tried if not (line.get("named") and line.get("served"))})
    if wrong:
        return [Verdict(what, limit, "wrong: " + ", ".join(wrong), False)], table
    untried = "".join(f"; not tried: {name}" for name in sorted({line["limit"] for line in lines if "why" in line}))
    ratio, name = back_ratio(tried)
    return [Verdict(what, limit, f"{ratio:.2f} ({name}; {len(explained)} limits{untried})", ratio >= BACK_LIMIT)], table


def bins(points):
    """The means of a tenth of the points each: neighbours in time are not independent of each other."""
    size = max(1, len(points) // SOAK_BINS)
    return [tuple(map(statistics.fmean, zip(*points[i : i + size]))) for i in range(0, len(points) - size + 1, size)]


def growth(points):
    """The rise of the line through the points (least squares) from the first to the last, and the part of it that
    may be chance."""
    mean_t, mean = (statistics.fmean(values) for values in zip(*points))
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    slope = sum((t - mean_t) * (value - mean) for t, value in points) / spread
    rest = sum((value - mean - slope * (t - mean_t)) ** 2 for t, value in points)
    error = (rest / (len(points) - 2) / spread) ** 0.5
    time = points[-1][0] - points[0][0]
    return slope * time, SOAK_ERRORS * error * time


class Log:
    """Prints the state of a soak once a minute."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.due = 60

    def __call__(self, line):
        if line["t"] >= self.due:
            self.due += 60
            print(
                f"soak: {line['t'] / 60:.0f} of {self.seconds / 60:.0f} min, {line['who']}: "
                f"{line['fds']} fds, {line['mappings']} mappings,"
                f" {line['resident'] / MIB:.1f} MiB resident, {line['shmem'] / MIB:.1f} of them shmem",
                file=sys.stderr,
                flush=True,
            )


def judge_soak(cases, seconds):
    lines = cases.ask("soak", "--seconds", str(seconds), progress=Log(seconds))
    if not lines:
        return [Verdict(f"soak, {seconds} s", "", "not measured", False)]
    counted = [line for line in lines if line["t"] >= SOAK_START * seconds]
    verdicts = []
    for who in ("server", "client"):
        for figure, slack in SOAK_SLACK.items():
            points = [(line["t"], line[figure]) for line in counted if line["who"] == who]
            mean = statistics.fmean(value for _, value in points)
            grown, chance = growth(bins(points))
            most = SOAK_SHARE * mean + slack
            is_noisy = seconds >= SOAK_LONG and chance > SOAK_NOISE * mean + slack
            noise = ": too noisy" if is_noisy else ""
            measured = f"{grown:+.4g} (give or take {chance:.4g}{noise}) at a mean of {mean:.4g}"
            what = f"soak, {seconds:g} s: growth of {figure}, {who}"
            verdicts.append(Verdict(what, f"<= {most:.4g}", measured, not is_noisy and grown - chance <= most))
    return verdicts


def judge_short_soak(cases):
    return judge_soak(cases, 60 if cases.is_quick else 300), []


QUESTIONS = {
    "loans": judge_loans,
    "spikes": judge_spikes,
    "waste": judge_waste,
    "refusals": judge_refusals,
    "fair": judge_fair,
    "soak": judge_short_soak,
}

PLOT = """
set terminal {terminal}
set output "{path}"
set multiplot layout {layout} title "{title}"
set grid ytics linecolor rgb "#dddddd"
set border 3
set tics nomirror
"""


def plot(directory, name, layout, title, blocks, panels):
    """Panels of inline data, in each format."""
    for suffix, terminal in TERMINALS.items():
        head = PLOT.format(terminal=terminal, path=directory / f"{name}.{suffix}", layout=layout, title=title)
        script = "\n".join(blocks) + head + "\n".join(panels) + "\nunset multiplot\n"
        subprocess.run(["gnuplot"], input=script, text=True, check=True)


def draw_soak(lines, directory):
    """Each figure over time."""
    soak = [line for line in lines if line["case"] == "soak"]
    if not soak:
        return
    blocks = []
    for who in ("server", "client"):
        rows = [
            f"{m['t'] / 60} {m['fds']} {m['mappings']} {m['resident'] / MIB} {m['shmem'] / MIB}"
            for m in soak
            if m["who"] == who
        ]
        blocks.append(f"${who} << END\n" + "\n".join(rows) + "\nEND")
    panels = ['set xlabel "minutes"\nset yrange [0:*]']
    for column, title in enumerate(("descriptors", "mappings", "resident, MiB", "of them shmem, MiB"), start=2):
        parts = [f'${who} using 1:{column} with lines title "{who}"' for who in ("server", "client")]
        panels.append(f'set title "{title}"\nplot ' + ", ".join(parts))
    plot(directory, "soak", "2,2", "Mixed load with kills, rotations and reconnects", blocks, panels)


def draw_spikes(lines, directory):
    """Resident memory over time, rotated and not."""
    spikes = [line for line in lines if line["case"] == "spikes"]
    if not spikes:
        return
    blocks, panels = [], ['set xlabel "seconds"\nset ylabel "MiB"']
    for variant in sorted({line["variant"] for line in spikes}):
        rows = [f"{m['t']} {m['resident'] / MIB:.2f}" for m in spikes if m["variant"] == variant]
        blocks.append(f"${variant.replace('-', '_')} << END\n" + "\n".join(rows) + "\nEND")
    for title, variants in (("rotated", SPIKES), ("not rotated", STILL)):
        parts = [
            f'${variant.replace("-", "_")} using 1:2 with lines '
            f'title "{"two processes" if "pair" in variant else "one process"}"'
            for variant in variants
            if any(line["variant"] == variant for line in spikes)
        ]
        if parts:
            panels.append(f'set title "{title}"\nplot ' + ", ".join(parts))
    plot(
        directory,
        "spikes",
        "1,2",
        "Resident memory over spikes (of both processes, where there are two)",
        blocks,
        panels,
    )


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench memory", description="Measures what Sealane does with memory.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where it was built: build/bench")
    parser.add_argument("--quick", action="store_true", help="within five minutes")
    parser.add_argument("--only", default="", help="only cases with this text in their names")
    parser.add_argument(
        "--soak", type=float, metavar="SECONDS", help="instead: mixed load with kills, and nothing may grow"
    )
    return parser.parse_args(arguments)


def answer(cases, only):
    verdicts = []
    for question, judge in QUESTIONS.items():
        if only in question:
            found, table = judge(cases)
            verdicts += found
            if table:
                print("\n".join(table) + "\n", flush=True)
    return verdicts


def main(arguments):
    options = parse(arguments)
    cases = Cases(options.build / "bench" / "memory", options.quick)
    for name, value in machine.facts():
        print(f"{name}: {value}")
    print(flush=True)
    verdicts = judge_soak(cases, options.soak) if options.soak else answer(cases, options.only)
    output = options.build / "bench" / "results"
    output.mkdir(exist_ok=True)
    name = "soak" if options.soak else "memory"
    (output / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in cases.lines))
    if shutil.which("gnuplot"):
        draw_spikes(cases.lines, output)
        draw_soak(cases.lines, output)
    rows = [(v.what, v.limit, v.measured, "HOLDS" if v.holds else "MISSES") for v in verdicts]
    print("\n".join(tables.columns([("what", "limit", "measured", "")] + rows)))
    return 0 if verdicts and all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
