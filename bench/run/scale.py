# SPDX-License-Identifier: MIT
"""Runs bench/scale for the cost of thousands of idle connections, judges the promises, and writes both into
doc/benchmarks.md.

python3 bench/run/scale.py --build build/bench [--quick] [--count N] [--write FILE]
"""

import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import sys

import document
import machine
import tables
from targets import Verdict, time_name

KIB, MIB = 1 << 10, 1 << 20
COUNT, QUICK_COUNT = 10000, 1000
SIDE_LIMIT = 16 * KIB  # of memory, each idle connection, each side
RATE_LIMIT = 2000  # connections a second
BESIDE_LIMIT = 1.2  # of a call's time at a server without idle connections
LEFT_LIMIT = MIB  # of a process, when the last connection has ended

KINDS = {"anon": "private", "shmem": "shared", "tables": "page tables"}
SIDES = {"servers": "server", "clients": "client"}

TEXT = """
`./dev bench scale` wrote this section on {date}, apart from the rest of this page.

{machine}

{spread}

The program opened each connection and then left it alone. The figures are of the kernel: private memory is RssAnon,
shared memory Pss_Shmem, page tables VmPTE, of the processes of a side; the slab (sockets, files, mappings) is of the
whole machine, a half for each side. After the end the kernel keeps some of the slab for later connections, so that the
verdicts on the memory that is left do not count it. The program timed a call of 64 bytes there and back on 8 active
connections that sleep: by turns on a server that has the idle connections too, and on a server that has nothing else.
The ratio is the median of the rounds' ratios.

{memory}

{verdicts}
"""


def run(program, options):
    rounds = ["--rounds", "16"] if options.quick else []
    command = [str(program), "--count", str(options.count or (QUICK_COUNT if options.quick else COUNT)), *rounds]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else None


class Found:
    """The results of one run of bench/scale."""

    def __init__(self, lines):
        self.lines = lines
        self.spread = next(line for line in lines if "rate" in line)
        self.count = self.spread["count"]

    def memory(self, moment, who):
        """A line for each process."""
        return [line for line in self.lines if line.get("moment") == moment and line["who"] == who]

    def grown(self, moment, who, kind):
        """Bytes since the start, of all processes."""
        return sum(
            after[kind] - before[kind] for before, after in zip(self.memory("start", who), self.memory(moment, who))
        )

    def slab(self, moment):
        return self.grown(moment, "machine", "slab") / 2

    def side(self, moment, who):
        """Bytes since the start, all kinds, with a half of the slab."""
        return sum(self.grown(moment, who, kind) for kind in KINDS) + self.slab(moment)

    def left(self, who):
        """The bytes of the process in which most stays, without the slab, which the kernel keeps for later
        connections."""
        pairs = zip(self.memory("start", who), self.memory("closed", who))
        return max(sum(after[kind] - before[kind] for kind in KINDS) for before, after in pairs)

    def times(self):
        """p50 alone, p50 beside the idle connections, and the median of the rounds' ratios."""
        rounds = [line for line in self.lines if "round" in line]
        alone, beside = (statistics.median(line[name] for line in rounds) for name in ("alone_ns", "beside_ns"))
        return alone, beside, statistics.median(line["beside_ns"] / line["alone_ns"] for line in rounds)


def kib(value):
    return f"{value / KIB:.1f} KiB"


def mib(value):
    return f"{value / MIB:.2f} MiB"


def judge(found):
    verdicts = []
    for who, side in SIDES.items():
        each = found.side("idle", who) / found.count
        what = f"memory of an idle connection, {side}"
        verdicts.append(Verdict(what, f"<= {kib(SIDE_LIMIT)}", kib(each), each <= SIDE_LIMIT))
    rate = found.spread["rate"]
    verdicts.append(Verdict("connections a second", f">= {RATE_LIMIT}", f"{rate:.0f}", rate >= RATE_LIMIT))
    alone, beside, ratio = found.times()
    measured = f"{ratio:.2f} ({time_name(beside)}, alone {time_name(alone)})"
    verdicts.append(
        Verdict("a call beside the idle ones / alone", f"<= {BESIDE_LIMIT:.2f}", measured, ratio <= BESIDE_LIMIT)
    )
    for who, side in SIDES.items():
        left = found.left(who)
        verdicts.append(
            Verdict(f"left in a {side} after the last end", f"<= {mib(LEFT_LIMIT)}", mib(left), left <= LEFT_LIMIT)
        )
    return verdicts


def memory_rows(found):
    """Growth by kind: for each connection while all are open, and in all after the last one."""
    rows = [
        (
            "memory",
            *(f"{side}, a connection" for side in SIDES.values()),
            *(f"{side}, after the end" for side in SIDES.values()),
        )
    ]
    for kind, name in KINDS.items():
        each = (kib(found.grown("idle", who, kind) / found.count) for who in SIDES)
        rows.append((name, *each, *(mib(found.grown("closed", who, kind)) for who in SIDES)))
    rows.append(("slab, a half", *2 * [kib(found.slab("idle") / found.count)], *2 * [mib(found.slab("closed"))]))
    rows.append(
        (
            "in all",
            *(kib(found.side("idle", who) / found.count) for who in SIDES),
            *(mib(found.side("closed", who)) for who in SIDES),
        )
    )
    return rows


def spread_text(found):
    spread = found.spread
    servers = "one server" if spread["servers"] == 1 else f"{spread['servers']} servers"
    why = ""
    if spread["servers"] != 1:
        why = f": RLIMIT_NOFILE lets one have {spread['per_server']}, with two descriptors each"
    return f"{spread['count']} connections of {spread['clients']} client processes to {servers}{why}."


def section(found, verdicts):
    """The section for doc/benchmarks.md."""
    head, *rows = memory_rows(found)
    judged = [(v.what, v.limit, v.measured, "holds" if v.holds else "**misses**") for v in verdicts]
    return TEXT.format(
        date=datetime.date.today().isoformat(),
        machine=tables.markdown(("", ""), machine.facts()),
        spread=document.paragraph(spread_text(found)),
        memory=tables.markdown(head, rows),
        verdicts=tables.markdown(("promise", "limit", "measured", ""), judged),
    )


def parse(arguments):
    parser = argparse.ArgumentParser(prog="bench scale", description="Measures what idle connections cost.")
    parser.add_argument("--build", type=pathlib.Path, required=True, help="where it was built: build/bench")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_COUNT} connections and not {COUNT}; nothing is written"
    )
    parser.add_argument("--count", type=int, help="so many connections; nothing is written")
    parser.add_argument(
        "--write", type=pathlib.Path, default="doc/benchmarks.md", help="the document that gets the table"
    )
    return parser.parse_args(arguments)


def main(arguments):
    options = parse(arguments)
    for name, value in machine.facts():
        print(f"{name}: {value}")
    print(flush=True)
    lines = run(options.build / "bench" / "scale", options)
    if lines is None:
        return 1
    found = Found(lines)
    verdicts = judge(found)
    output = options.build / "bench" / "results"
    output.mkdir(exist_ok=True)
    (output / "scale.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    print(spread_text(found), end="\n\n")
    print("\n".join(tables.columns(memory_rows(found))), end="\n\n")
    rows = [(v.what, v.limit, v.measured, "HOLDS" if v.holds else "MISSES") for v in verdicts]
    print("\n".join(tables.columns([("what", "limit", "measured", "")] + rows)))
    if not options.quick and not options.count:
        document.write_section(options.write, document.SCALE, section(found, verdicts))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
