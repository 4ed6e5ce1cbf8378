# SPDX-License-Identifier: MIT
"""The plan of the measurements: the cells of the targets, and the landscape around them."""

import contextlib
import dataclasses

import huge
from promises import socket_copy
from sizes import KIB, MIB, SIZES
from targets import ONE_CPU, ProgramTarget, Target, floor, sealane

LANDSCAPE_SIZES = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
MODES = ("spin", "adaptive", "sleep")
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
IDLE_SECONDS = 2
COUNT_SECONDS = 0.1
LANDSCAPE_ROUNDS = 2


def run_targets(runner, judged, rounds):
    """Measures the cells that the targets compare, and the cells that must stand beside them."""
    for needs_huge in (False, True):
        chosen = [target for target in judged if target.needs_huge == needs_huge]
        with huge.granted() if chosen and needs_huge else contextlib.nullcontext(True) as is_granted:
            if not is_granted:
                runner.say("huge pages are not granted here, and we may not ask for them")
            run_chosen(runner, chosen, rounds)


def run_chosen(runner, chosen, rounds):
    for group in groups(chosen):
        if group.cells[0].case == "idle":
            runner.run_rounds(group.cells, 1, IDLE_SECONDS, more=0)
        elif group.cells[0].syscalls:
            runner.run_rounds(group.cells, 1, COUNT_SECONDS, more=0)
        else:
            runner.run_rounds(group.cells, rounds, group.seconds)
    for cell in dict.fromkeys(cell for target in chosen for cell in target.beside()):
        if cell not in runner.results.by_cell:
            runner.run_rounds([cell], 1, more=0)
    for target in chosen:
        if isinstance(target, ProgramTarget):
            target.measure(runner)


@dataclasses.dataclass
class Group:
    """Cells that are measured by turns, within seconds, because something compares them with each other."""

    cells: list
    seconds: float = None  # of a cell; None: as the run has it


def groups(chosen):
    """The fewest groups in which all cells that a contest compares are together. A cell is in one group only: targets
    that share it share its measurements."""
    found = []
    for cells, seconds in (pair for target in chosen for pair in compared(target)):
        touched = [group for group in found if any(cell in group.cells for cell in cells)]
        together = [cell for group in touched for cell in group.cells]
        longest = max((group.seconds or 0 for group in touched), default=0)
        found = [group for group in found if group not in touched]
        found.append(Group(list(dict.fromkeys(together + list(cells))), max(longest, seconds or 0) or None))
    return found


def compared(target):
    """Pairs of cells that belong together, and the seconds that each needs."""
    if isinstance(target, Target):
        return [(contest.cells(), target.seconds) for contest in target.contests]
    return [([cell], None) for cell in target.cells()]


def landscape():
    """Groups of cells, for plots and tables; each group is one size, measured by turns."""
    for size in LANDSCAPE_SIZES:
        for mode in MODES:
            yield [
                sealane(size=size, mode=mode),
                sealane(size=size, mode=mode, touch="ends"),
                sealane(size=size, mode=mode, variant="stable"),
                sealane(size=size, mode=mode, case="oneway"),
            ]
        yield [sealane(size=size, mode="adaptive", cpus=ONE_CPU), socket_copy(size, mode="sleep", cpus=ONE_CPU)]
        for mode in ("spin", "sleep"):
            yield [
                floor("shared", variant="single", size=size, mode=mode),
                floor("shared", variant="rotating", size=size, mode=mode),
                socket_copy(size, mode=mode),
                floor("memfd", variant="naive", size=size, mode=mode),
                floor("memfd", variant="write", size=size, mode=mode),
                sealane(size=size, mode=mode, variant="sealed"),
                socket_copy(size, mode=mode, case="oneway"),
            ]
        yield [floor("memory", variant=variant, size=size) for variant in ("copy", "fill", "read")]
        if size <= 4 * KIB:
            yield [floor("ring", case="oneway", size=size)]


def landscape_huge():
    """The landscape with huge pages granted, where those can matter."""
    for size in (size for size in LANDSCAPE_SIZES if size >= 256 * KIB):
        for mode in ("spin", "sleep"):
            yield [
                sealane(size=size, mode=mode, variant="huge"),
                floor("memfd", variant="huge", size=size, mode=mode),
                floor("memfd", variant="hugetlb", size=size, mode=mode),
            ]


def fan_in():
    for clients in CLIENTS:
        for mode in ("adaptive", "sleep"):
            yield [
                sealane(mode=mode, clients=clients),
                sealane(mode=mode, clients=clients, case="oneway"),
                sealane(mode=mode, clients=clients, cpus=ONE_CPU),
            ]


def run_landscape(runner):
    for group in [[floor("line")], [floor("line", mode="sleep")], *landscape(), *fan_in()]:
        runner.run_rounds(group, LANDSCAPE_ROUNDS, more=0)
    with huge.granted():
        for group in landscape_huge():
            runner.run_rounds(group, LANDSCAPE_ROUNDS, more=0)
