# SPDX-License-Identifier: MIT
"""The present build against the builds of earlier commits: both run the same cells, by turns, in one run.

Each table has a line for each size and each state of the floor in which both builds were measured. Some commits are
milestones: targets name the speed that the present build must have beside theirs.
"""

import dataclasses

import commit
import tables
from cells import cost_ns, size_name
from sizes import KIB, MIB, SIZES
from targets import Contest, SkippedTarget, Target, sealane, time_name

ROUNDS, QUICK_ROUNDS = 8, 4
SECONDS = 0.15  # of a cell, unless the run is quick
MORE = 3  # rounds, until both builds have been measured in one state
STATES = ("near", "middle", "far")
SLOWER = 1.1  # a ratio beyond noise
HEADINGS = ("cell", "old p50", "new p50", "ratio", "floor", "")

ONEWAY_SIZES = [64, KIB, 64 * KIB, MIB]
ASLEEP_SIZES = [64, 4 * KIB, MIB]

TEXT = """
## Earlier libraries

`./dev bench --against COMMIT` builds the library of an earlier commit with the present compiler and flags, and measures
it by turns with the present one, in the present harness. The cell says what was measured: round trips, spinning, where
it says nothing else. Each state of the floor shows p50 then, p50 now, and the ratio, which is below 1 where the present
library is faster.
"""

# Milestones: the commit, what a target is of, its sizes, and the limit of new / old.
MILESTONES = (
    ("0d63ca2d9ab6e9f066b4edbae74ea1756dfa130a", "104 B to 1 KiB", [s for s in SIZES if 104 <= s <= KIB], 0.35),
    ("8f6d15c79b9c3267db391a415dbf22d21a7ad547", "1 KiB, 4 KiB", [KIB, 4 * KIB], 0.5),
)


def present_cells(is_quick):
    """The cells of the present build."""
    sizes = SIZES if is_quick else sorted({*SIZES, 48, 88, 128, 192, 512, 2 * KIB, 8 * KIB, 32 * KIB, 128 * KIB})
    cells = [sealane(size=size) for size in sizes]
    cells += [sealane(size=size, case="oneway") for size in ONEWAY_SIZES]
    return cells + [sealane(size=size, mode="sleep") for size in ASLEEP_SIZES]


@dataclasses.dataclass(frozen=True)
class Opponent:
    """An earlier commit, and the program that measures its library."""

    hash: str
    program: str
    is_harness_ours: bool = True

    @property
    def short(self):
        return self.hash[:9]

    def cell(self, cell):
        """The commit's cell beside one of the present build."""
        return cell.but(program=self.program, commit=self.short)


def run(runner, opponent, is_quick):
    """Measures both builds, by turns within each cell."""
    rounds, seconds = (QUICK_ROUNDS, None) if is_quick else (ROUNDS, SECONDS)
    for cell in present_cells(is_quick):
        runner.run_rounds([opponent.cell(cell), cell], rounds, seconds, more=MORE)


def rows(results, opponent, cells):
    """A row for each cell and state: what, old, new, ratio, state, a word."""
    found = []
    for cell in cells:
        old_cell = opponent.cell(cell)
        for state in STATES:
            old, new = results.steady(old_cell, state), results.steady(cell, state)
            if old and new and cost_ns(old) and cost_ns(new):
                ratio = cost_ns(new) / cost_ns(old)
                word = "slower" if ratio > SLOWER else "faster" if ratio < 1 / SLOWER else ""
                times = time_name(cost_ns(old)), time_name(cost_ns(new))
                found.append((what_of(cell), *times, f"{ratio:.2f}", state, word))
    return found


def what_of(cell):
    case = "" if cell.case == "roundtrip" else ", one way"
    return size_name(cell.size) + case + (", asleep" if cell.mode == "sleep" else "")


def section(results, opponents, is_quick):
    """The tables, for the document: a row for each cell, and in it the states."""
    parts = [TEXT.strip()]
    for opponent in opponents:
        found = {}
        for what, old, new, ratio, state, _ in rows(results, opponent, present_cells(is_quick)):
            found.setdefault(what, {})[state] = f"{old} → {new} ({ratio})"
        table = [(what, *(by_state.get(state, "-") for state in STATES)) for what, by_state in found.items()]
        parts.append(f"### {title(opponent)}\n\n" + tables.markdown(("cell", *STATES), table))
    return "\n\n".join(parts)


def title(opponent):
    own = "" if opponent.is_harness_ours else ", measured by that commit's own program"
    return f"Against {opponent.short}{own}"


def lines(results, opponent, is_quick):
    """The table, for a terminal."""
    table = [HEADINGS, *rows(results, opponent, present_cells(is_quick))]
    return [title(opponent), *tables.columns(table)]


def opponent_of(root, build, name):
    """Builds the commit with that name; a commit.Error says why it cannot be measured."""
    one = commit.Commit(root, build, name)
    return Opponent(one.hash, str(one.program()), one.is_harness_ours)


def milestones(root, build, wanted):
    """The targets of all milestones that `wanted` approves; where one cannot be built, its target is skipped."""
    found = []
    for name, what, _, limit in MILESTONES:
        title_of_target = f"{what} / {name[:9]}"
        if not wanted(title_of_target):
            continue
        try:
            found += targets_of(opponent_of(root, build, name))
        except commit.Error as error:
            found.append(SkippedTarget(title_of_target, limit, str(error).splitlines()[0]))
    return found


def targets_of(opponent):
    """The targets of a milestone; none for other commits."""
    return [
        Target(
            f"{what} / {opponent.short}",
            limit,
            [Contest(sealane(size=size), [opponent.cell(sealane(size=size))], limit) for size in sizes],
        )
        for name, what, sizes, limit in MILESTONES
        if name == opponent.hash
    ]
