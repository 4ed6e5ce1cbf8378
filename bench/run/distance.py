# SPDX-License-Identifier: MIT
"""Every size at each distance between the cores: round trips, spinning, beside what a person would write by hand, and
beside the systems that are as fast."""

import time

import tables
from cells import cost_ns, is_steady, size_name
from promises import by_hand, socket_copy
from sizes import SIZES
from targets import sealane, time_name

STATES = ("near", "middle", "far")
FAST = ("aeron", "iceoryx2")  # of the systems of other people
BUDGET_S = 300  # of all cells together
ENOUGH = 3  # measurements of each cell in each state
SECONDS = 0.1  # of a cell
NONE = "-"

TEXT = """
## Every size, near and far

Round trips, spinning: p50 in each state of the floor that this run has seen. *By hand* is the better one of two
programs without a library: one shared buffer, and eight in rotation. The last column is Sealane's p50 divided by the
best of the other systems in this state. A dash: not measured in this state.
"""


def systems(peers):
    """Names, and for each a function of the size that returns cells, of which the best one counts."""
    found = [("Sealane", lambda size: [sealane(size=size)]), ("by hand", by_hand)]
    found.append(("Unix socket", lambda size: [socket_copy(size, mode="spin")]))
    return found + [(peer.name, single(peer)) for peer in peers if peer.system in FAST]


def single(peer):
    return lambda size: [peer.make(case="roundtrip", mode="spin", size=size)]


def cells_of(peers, size):
    return [cell for _, make in systems(peers) for cell in make(size)]


def seen(results, cells, state):
    """How often all of the cells were measured in that state. A cell that failed does not count."""
    counts = [
        sum(m["state"] == state and is_steady(m) for m in results.by_cell.get(cell, []))
        for cell in cells
        if cell not in results.reasons
    ]
    return min(counts, default=ENOUGH)


def run(runner, peers, budget=BUDGET_S, clock=time.monotonic):
    """No program chooses the state, but a state lasts for seconds: so the size with the fewest measurements in the
    present state is next, until each size has enough in every state, or the time is over."""
    end, state = clock() + budget, "middle"
    while clock() < end:
        lacking = {size: seen(runner.results, cells_of(peers, size), state) for size in SIZES}
        size = min(SIZES, key=lacking.get)
        if lacking[size] >= ENOUGH and is_complete(runner.results, peers):
            return
        runner.run_rounds(cells_of(peers, size), 1, SECONDS, more=0)
        state = runner.results.lines[-1]["state"] if runner.results.lines else state


def is_complete(results, peers):
    return all(seen(results, cells_of(peers, size), state) >= ENOUGH for size in SIZES for state in STATES)


def best_ns(results, cells, state):
    """The best system's least disturbed p50 in that state; None if there is none."""
    measured = [results.steady(cell, state) for cell in cells]
    return min((cost_ns(m) for m in measured if m and cost_ns(m)), default=None)


def row(results, size, state, makes):
    """A size's p50 of each system, and the ratio to the best of the others; None if nothing was measured."""
    figures = [best_ns(results, make(size), state) for make in makes]
    if figures[0] is None:
        return None
    others = [ns for ns in figures[1:] if ns]
    ratio = f"{figures[0] / min(others):.2f}" if others else NONE
    return (size_name(size), *(time_name(ns) if ns else NONE for ns in figures), ratio)


def rows(results, peers, state):
    makes = [make for _, make in systems(peers)]
    found = [row(results, size, state, makes) for size in SIZES]
    return [one for one in found if one]


def headings(peers):
    return ("size", *(name for name, _ in systems(peers)), "ratio")


def lines(results, peers):
    """The tables, for a terminal."""
    found = []
    for state in STATES:
        measured = rows(results, peers, state)
        if measured:
            found += [f"Round trip, spinning, {state}", *tables.columns([headings(peers), *measured]), ""]
    return found


def section(results, peers):
    """The tables, for the document."""
    parts = [TEXT.strip()]
    for state in STATES:
        measured = rows(results, peers, state)
        if measured:
            parts.append(f"### {state.capitalize()}\n\n" + tables.markdown(headings(peers), measured))
    return "\n\n".join(parts)
