# SPDX-License-Identifier: MIT
"""Counts the function calls of one call of the library, by layer and by side.

    bench/run/calls.py PROGRAM [--list]

PROGRAM is bench/calls of a build with -finstrument-functions, which ./dev trace makes. The script prints a table: for
each size and side the number of functions entered, all of them and by layer. A sequence of functions that is repeated
at once counts once, and the shortest trace is shown, because chance decides how often a side looks at an empty ring.
Chance also decides in which turn a release arrives, and whether two calls fall into one turn: only traces with the
functions of WHOLE count. A function in a header counts, too, though the compiler puts it into its caller. Below the
table stand the functions of the registry that the lane calls on the way out of a large call. --list prints each trace,
one function a line, in their order.

A busy machine interrupts both sides, which then take longer ways. Traces over their limit are therefore measured again,
RUNS times at most. The script exits with 1 if a number stays over its limit.
"""

import collections
import re
import subprocess
import sys

LAYERS = ["sys", "wire", "memory", "registry", "lane", "rpc", "other"]

# Functions of the longest sequence that is looked for.
REPEATED_MOST = 32

RUNS = 6

# The most functions that one side may enter; inline functions count. A change that costs more has to say why.
LIMITS = {
    ("64", "client"): 83,
    ("64", "server"): 101,
    ("1048576", "client"): 160,
    ("1048576", "server"): 152,
}

LARGE_CALL = ("1048576", "client")

# The functions that a whole trace has: the end of a server's turn, and of a large call the release of its block.
WHOLE = {
    ("64", "client"): {"sea_msg_release"},
    ("64", "server"): {"small_leave"},
    ("1048576", "client"): {"pooled_block_take_back", "lane_lend_pooled", "sea_msg_release"},
    ("1048576", "server"): {"small_leave", "release_write"},
}

# The most calls from the lane into the registry for the lease of a large call, which goes the short way.
REGISTRY_MOST = 1


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
    """{(size, side): [(addresses, events), ...]}: all traces, and their events, in which "-" is a return."""
    found, shortened = collections.defaultdict(list), {}
    for line in subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines():
        size, side, *events = line.split()
        trace = tuple(event for event in events if event != "-")
        if trace not in shortened:
            shortened[trace] = without_repeats(trace)
        found[size, side].append((shortened[trace], events))
    return found


def shortest(read, names):
    """{(size, side): (addresses, events)}: of each kind the shortest trace that is whole."""
    whole = {key: [pair for pair in pairs if WHOLE[key] <= {names[address][0] for address in pair[0]}]
             for key, pairs in read.items()}
    return {key: min(pairs, key=lambda pair: len(pair[0])) for key, pairs in whole.items() if pairs}


def over_limit(found):
    return [key for key, limit in LIMITS.items() if key not in found or len(found[key][0]) > limit]


def measure(program, names):
    """shortest(), of several runs if need be. Adds to `names`. Empty: the program is not instrumented."""
    best = {}
    for _ in range(RUNS):
        read = read_traces(program)
        if not all(trace for pairs in read.values() for trace, _ in pairs):
            return {}
        names.update(names_of(program, {address for pairs in read.values() for trace, _ in pairs for address in trace}
                              - names.keys()))
        for key, pair in shortest(read, names).items():
            best[key] = min(best.get(key, pair), pair, key=lambda one: len(one[0]))
        if not over_limit(best):
            break
    return best


def calls_below(events, names, outermost, caller, callee):
    """The functions of the layer `callee` that are called by the layer `caller`, below the function `outermost`."""
    stack, found = [], []
    for event in events:
        if event == "-":
            stack = stack[:-1]
            continue
        function, layer, _ = names[event]
        if stack and layer == callee and stack[-1][1] == caller and any(name == outermost for name, _ in stack):
            found.append(function)
        stack.append((function, layer))
    return found


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
    names = {}
    found = measure(program, names)
    if not found:
        print(f"{program} was built without -finstrument-functions: ./dev trace makes one")
        return 1
    traces = {key: found[key][0] for key in LIMITS if key in found}
    if "--list" in options:
        print_list(traces, names)
    print_table(traces, names)
    outgoing = []
    if LARGE_CALL in found:
        outgoing = calls_below(found[LARGE_CALL][1], names, "lane_lend_pooled", "lane", "registry")
    print(f"the lane calls the registry on the way out: {', '.join(outgoing)}")
    over = over_limit(found)
    for size, side in over:
        print(f"{size} bytes, {side}: more function calls than the limit, or no trace")
    if len(outgoing) > REGISTRY_MOST:
        print(f"more than {REGISTRY_MOST} calls of the registry on the way out")
    return 1 if over or len(outgoing) > REGISTRY_MOST else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
