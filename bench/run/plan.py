# SPDX-License-Identifier: MIT
"""The plan of the measurements: the cells of the targets, and the landscape around them."""

import contextlib

import huge
from targets import KIB, MIB, ONE_CPU, floor, sealane, socket_copy

SIZES = [64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
MODES = ("spin", "adaptive", "sleep")
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
IDLE_SECONDS = 2
COUNT_SECONDS = 0.1
LANDSCAPE_ROUNDS = 2


def run_targets(runner, judged, rounds):
    """Measures the cells that the targets compare, and the cells that must stand beside them."""
    for target in judged:
        with huge.granted() if target.needs_huge else contextlib.nullcontext(True) as is_granted:
            if not is_granted:
                runner.say("huge pages are not granted here, and we may not ask for them")
            run_target(runner, target, rounds)


def run_target(runner, target, rounds):
    """Runs by turns within a size, so that compared cells are measured within seconds."""
    for group in by_size(target.cells()):
        if group[0].case == "idle":
            runner.run_rounds(group, 1, IDLE_SECONDS, more=0)
        elif group[0].syscalls:
            runner.run_rounds(group, 1, COUNT_SECONDS, more=0)
        else:
            runner.run_rounds(group, rounds)
    for cell in target.beside():
        runner.run_rounds([cell], 1, more=0)


def by_size(cells):
    """Where two sizes are compared with each other, they are one group."""
    if len({cell.size for cell in cells}) == len(cells):
        return [cells]
    groups = {}
    for cell in cells:
        groups.setdefault(cell.size, []).append(cell)
    return groups.values()


def landscape():
    """Groups of cells, for plots and tables; each group is one size, measured by turns."""
    for size in SIZES:
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
    for size in (size for size in SIZES if size >= 256 * KIB):
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
