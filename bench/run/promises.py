# SPDX-License-Identifier: MIT
"""What the library promises of its speed: the targets, with their limits."""

from cells import Cell
from sizes import KIB, MIB, SIZES
from targets import (
    ONE_CPU, Contest, CountTarget, FloorTarget, ProgramTarget, SkippedTarget, Target, floor, sealane, time_name
)

ASLEEP, ASLEEP_SECONDS = 1.05, 0.2
TAIL_SECONDS = 0.15  # enough laps beyond 99.9 %
CROWD, FEW, FLAT = 64, 8, 1.15  # clients, and the noise of their ratio
CROWD_SECONDS = 0.3  # the pools of 64 clients grow for a part of that
WORKED_KIB = 7600  # 7530 at 0d63ca2, and 1 % of noise

def memfds(size, mode, variants):
    return [floor("memfd", variant=variant, size=size, mode=mode) for variant in variants]


def socket_copy(size, **changes):
    """The cheaper kind of socket that can carry this size."""
    return floor("socket", variant="seqpacket" if size <= 128 * KIB else "stream", size=size, **changes)


SMALL_PAGES = ("naive", "populate", "write")
HUGE_PAGES = SMALL_PAGES + ("huge", "hugetlb")


def by_hand(size):
    """Shared memory without a library: one buffer, and eight in rotation. The better of them is the best by hand."""
    return [floor("shared", variant=variant, size=size) for variant in ("single", "rotating")]


def against_hand(sizes, limit):
    return [Contest(sealane(size=size), by_hand(size), limit) for size in sizes]


def against_peer(program, sizes):
    return [Contest(sealane(size=size), [Cell(program, size=size)], 1.0) for size in sizes]


def sleeping(cpus):
    return [
        Contest(
            sealane(mode="sleep", size=64, cpus=cpus),
            [floor("socket", variant="seqpacket", mode="sleep", size=64, cpus=cpus)],
            ASLEEP,
        )
    ]


def sealed(sizes, mode, others):
    return [Contest(sealane(variant="huge", size=size, mode=mode), others(size, mode), 1.15) for size in sizes]


def stable(sizes):
    """The library's choice against each of its own three ways; where the payload is most of the work, also by hand."""
    contests = []
    for size in sizes:
        others = [sealane(variant=variant, size=size) for variant in ("copy", "snapshot", "sealed")]
        if size >= 64 * KIB:
            others += [socket_copy(size, mode="spin"), floor("shared", variant="snapshot", size=size)]
            others += memfds(size, "spin", ("populate", "write"))
        contests.append(Contest(sealane(variant="stable", size=size), others, 1.1))
    return contests


def speed():
    """Small and large payloads, there and back and one way, spinning."""
    small = [size for size in SIZES if 64 <= size <= 4 * KIB]
    others = [size for size in SIZES if size not in small]
    copied = [64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB]
    ends = dict(touch="ends", variant="block")
    oneway = dict(case="oneway")
    return [
        FloorTarget("32 B call, spinning / cache line", 1.2, sealane(size=32)),
        FloorTarget("64 B call, spinning / cache line", 1.4, sealane(size=64)),
        Target(
            "64 B call, 99.9 % / cache line",
            1.2,
            [Contest(sealane(size=64), [floor("line")], 1.2, figure="p999_ns")],
            seconds=TAIL_SECONDS,
        ),
        Target("64 B to 4 KiB / best by hand", 1.3, against_hand(small, 1.3)),
        Target("32 B, and 6000 B to 16 MiB / best by hand", 1.15, against_hand(others, 1.15)),
        Target("written and read in full / best by hand", 1.1, against_hand(copied, 1.1)),
        Target(
            "16 MiB, ends touched / 4 KiB",
            1.2,
            [Contest(sealane(size=16 * MIB, **ends), [sealane(size=4 * KIB, **ends)], 1.2)],
        ),
        # A message of the library is more than one line, a message of the ring is one: far from each other the cores
        # wait for lines, near they count instructions.
        Target(
            "one way, 64 B / bare ring",
            0.6,
            [Contest(sealane(**oneway), [floor("ring", **oneway)], 0.6)],
            is_rate=True,
            limits={"far": 0.9},
        ),
        Target(
            "one way, 1 KiB / bare ring",
            0.8,
            [Contest(sealane(size=KIB, **oneway), [floor("ring", size=KIB, **oneway)], 0.8)],
            is_rate=True,
        ),
    ]


def sleep():
    return [
        Target("both asleep, two CPUs / seqpacket", ASLEEP, sleeping("0,1"), seconds=ASLEEP_SECONDS),
        Target("both asleep, one CPU / seqpacket", ASLEEP, sleeping(ONE_CPU), seconds=ASLEEP_SECONDS),
        CountTarget(
            "system calls per message, but a look each ms",
            0.01,
            "syscalls_but_looks",
            [sealane(size=size, syscalls=True) for size in (64, 4 * KIB, MIB)],
        ),
        CountTarget(
            "wake-ups a second of an idle pair",
            0,
            "wakeups_per_s",
            [sealane(case="idle", mode=mode) for mode in ("adaptive", "sleep")],
        ),
    ]


def stability(is_quick):
    """Payloads that no process can change any more."""
    sealed_sizes = [256 * KIB, MIB, 16 * MIB] if is_quick else [256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
    stable_sizes = [64, 4 * KIB, 64 * KIB, MIB] + ([] if is_quick else [KIB, 16 * KIB, 256 * KIB, 4 * MIB, 16 * MIB])
    return [
        Target(
            "sealed, huge pages / best by hand",
            1.15,
            sealed(sealed_sizes, "spin", lambda size, mode: memfds(size, mode, HUGE_PAGES)),
            needs_huge=True,
        ),
        Target(
            "sealed, huge pages / socket copy",
            1.0,
            sealed(sealed_sizes, "spin", lambda size, mode: [socket_copy(size, mode=mode)]),
            needs_huge=True,
        ),
        Target("stable only / best of copy, snapshot, seal", 1.1, stable(stable_sizes)),
    ]


def copies(is_quick):
    sizes = [64, 4 * KIB, 64 * KIB, MIB] + ([] if is_quick else [16 * MIB])
    contests = [Contest(sealane(size=size), [socket_copy(size, mode="spin")], 1.0) for size in sizes]
    return [Target("any size / socket copy, spinning", 1.0, contests)]


def many():
    """Many clients of one server, and a client beside a greedy one. They sleep: of clients that spin on one CPU only
    one has a call under way, and the scheduler decides which."""
    crowds = [
        Contest(
            sealane(size=size, mode="sleep", clients=CROWD),
            [sealane(size=size, mode="sleep", clients=FEW)],
            FLAT,
            figure="rate",
        )
        for size in (64, 4 * KIB, 16 * KIB)
    ]
    return [
        Target(f"a call of each of {CROWD} clients / of {FEW}", FLAT, crowds, seconds=CROWD_SECONDS),
        ProgramTarget(
            "99 % of a quiet client, beside a busy one / alone",
            2,
            "neighbour",
            ["--rounds", "8", "--seconds", "0.25"],
            lambda line: line["beside_ns"] / line["alone_ns"],
            lambda ratio, line: f"{ratio:.2f} (64 B, asleep; alone {time_name(line['alone_ns'])})",
        ),
        ProgramTarget(
            "memory of a connection that worked, both sides, KiB",
            WORKED_KIB,
            "footprint",
            ["--count", "16"],
            lambda line: (line["server"] + line["client"]) / line["count"] / KIB,
            lambda kib, line: f"{kib:.0f} (calls of 64 B to 1 MiB; {line['count']} connections)",
        ),
    ]


def foreign(directories):
    """Systems of other people that are in no distribution: judged where their programs were built."""
    found = []
    for name in ("aeron", "iceoryx2"):
        paths = [directory / f"peer_{name}" for directory in directories]
        program = next((str(path.resolve()) for path in paths if path.exists()), None)
        what = f"every size, spinning / {name}"
        if program is None:
            found.append(SkippedTarget(what, 1.0, f"{name} is not installed: bench/peer_{name} is not built"))
            continue
        found.append(Target(what, 1.0, against_peer(program, SIZES), others_may_fail=True))
        oneway = Contest(sealane(case="oneway"), [Cell(program, case="oneway")], 1.0)
        found.append(Target(f"one way, 64 B / {name}", 1.0, [oneway], is_rate=True, others_may_fail=True))
    return found


def promises(is_quick, directories=()):
    """All targets. `directories`: where programs of other systems may be."""
    return [*speed(), *sleep(), *stability(is_quick), *copies(is_quick), *many(), *foreign(directories)]
