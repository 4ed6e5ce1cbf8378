# SPDX-License-Identifier: MIT
"""Other people's systems, as far as they were built: they run Sealane's cells, by turns with Sealane, with equal
modes of waiting."""

import dataclasses
import os

from cells import Cell
from promises import socket_copy
from sizes import KIB, MIB
from targets import Contest, Target, sealane

SIZES = [64, 4 * KIB, 64 * KIB, MIB, 16 * MIB]
ONEWAY_SIZES = [64, MIB]
MODES = ("spin", "sleep")
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Peer:
    """A system: makes its cell for a case, a mode and a size."""

    name: str
    make: object
    system: str = ""  # its name in the program; "" for systems that are measured anyway

    def contest(self, case, mode, size):
        return Contest(sealane(case=case, mode=mode, size=size), [self.make(case=case, mode=mode, size=size)], 1.0)


def peers_in(*directories):
    """The systems with programs in these directories, bench/peer_NAME.c; and a bare socket."""
    found = [Peer("Unix socket", lambda size, **changes: socket_copy(size, **changes))]
    for path in sorted(path for directory in directories for path in directory.glob("peer_*")):
        if path.is_file() and os.access(path, os.X_OK):
            found.append(peer_of(path.name.removeprefix("peer_"), str(path.resolve())))
    return found


def peer_of(name, program):
    system = {"sdbus": "sd-bus", "capnp": "capnproto"}.get(name, name)
    return Peer(system, lambda **changes: Cell(program, **changes), system)


def shapes():
    """Case, mode and size of every comparison."""
    for mode in MODES:
        for case, sizes in (("roundtrip", SIZES), ("oneway", ONEWAY_SIZES)):
            for size in sizes:
                yield case, mode, size


def run(runner, peers):
    """Measures all of them, and returns a target for each system and mode."""
    for shape in shapes():
        contests = [peer.contest(*shape) for peer in peers]
        cells = list(dict.fromkeys(cell for contest in contests for cell in contest.cells()))
        runner.run_rounds(cells, ROUNDS, more=1)
    return [
        target_of(runner.results, peer, mode) for peer in peers for mode in MODES if can(runner.results, peer, mode)
    ]


def contests_of(peer, mode):
    return [peer.contest(case, mode, size) for case, m, size in shapes() if m == mode]


def can(results, peer, mode):
    return any(not results.cannot(contest.others[0]) for contest in contests_of(peer, mode))


def target_of(results, peer, mode):
    """Compares every size that both systems can carry."""
    contests = [contest for contest in contests_of(peer, mode) if not results.cannot(contest.others[0])]
    what = f"every size / {peer.name}, {'spinning' if mode == 'spin' else 'asleep'}"
    return Target(what, 1.0, contests, others_may_fail=True)
