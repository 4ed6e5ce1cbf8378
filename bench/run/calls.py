# SPDX-License-Identifier: MIT
"""Counts the function calls of one call of the library, by layer and by side.

    bench/run/calls.py PROGRAM [--list]

PROGRAM is bench/calls of a build with -finstrument-functions, which ./dev trace makes. The script prints a table: for
each size and side the number of functions entered, all of them and by layer. A sequence of functions that is repeated
at once counts once, and the trace shown is longer than a tenth of all traces, because chance decides how often a side
looks at an empty ring, and in which turn a release arrives. A function in a header counts, too, though the compiler
puts it into its caller. --list prints each trace, one function a line, in their order. The script exits with 1 if a
number is over its limit.
"""

import collections
import re
import subprocess
import sys

LAYERS = ["sys", "wire", "memory", "registry", "lane", "rpc", "other"]

# Functions of the longest sequence that is looked for.
REPEATED_MOST = 32

# The most functions that one side may enter; inline functions count. A change that costs more has to say why.
LIMITS = {
    ("64", "client"): 83,
    ("64", "server"): 101,
    ("1048576", "client"): 200,
    ("1048576", "server"): 160,
}


def without_repeats(trace):
    """The trace, in which a sequence that follows itself counts once: chance decides how often a side looks at a
    ring."""
    trace = list(trace)
    for period in range(1, REPEATED_MOST + 1):
        at = 0
        while at + 2 * period <= len(trace):
            if trace[at:at + period] == trace[at + period:at + 2 * period]:
                del trace[at:at + period]
            else:
                at += 1
    return trace


def read_traces(program):
    """{(size, side): [address, ...]}: the trace that is longer than a tenth of all."""
    found, shortened = collections.defaultdict(list), {}
    for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
        size, side, *trace = line.split()
        trace = tuple(trace)
        if trace not in shortened:
            shortened[trace] = without_repeats(trace)
        found[size, side].append(shortened[trace])
    return {key: sorted(traces, key=len)[len(traces) // 10] for key, traces in found.items()}


def names_of(program, addresses):
    """{address: (function, layer, file)}"""
    addresses = sorted(addresses)
    if not addresses:
        return {}
    told = subprocess.run(["addr2line", "-f", "-e", program] + addresses, check=True, capture_output=True, text=True)
    lines = told.stdout.splitlines()
    return {address: (lines[2 * i],) + place_of(lines[2 * i + 1]) for i, address in enumerate(addresses)}


def place_of(line):
    found = re.search(r"transport/(\w+)/(\w+\.[ch])", line)
    return (found.group(1), found.group(2)) if found and found.group(1) in LAYERS else ("other", "")


def print_table(traces, names):
    print(f"{'bytes':>8} {'side':<7}{'all':>5}{'limit':>7}" + "".join(f"{layer:>10}" for layer in LAYERS))
    for (size, side), trace in traces.items():
        counts = collections.Counter(names[address][1] for address in trace)
        limit = LIMITS[size, side]
        print(f"{size:>8} {side:<7}{len(trace):>5}{limit:>7}" + "".join(f"{counts[layer]:>10}" for layer in LAYERS))


def print_list(traces, names):
    for (size, side), trace in traces.items():
        print(f"--- {size} {side}")
        for address in trace:
            function, layer, file = names[address]
            print(f"{layer + '/' + file:<28}{function}")


def main(program, *options):
    traces = read_traces(program)
    if not all(traces.values()):
        print(f"{program} was built without -finstrument-functions: ./dev trace makes one")
        return 1
    names = names_of(program, {address for trace in traces.values() for address in trace})
    if "--list" in options:
        print_list(traces, names)
    print_table(traces, names)
    over = [key for key, trace in traces.items() if len(trace) > LIMITS[key]]
    for size, side in over:
        print(f"{size} bytes, {side}: more function calls than the limit")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
