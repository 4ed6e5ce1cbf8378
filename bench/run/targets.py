# SPDX-License-Identifier: MIT
"""The targets: ratios between cells of one run and one state of the floor, each with the limit that it must keep."""

import dataclasses

from cells import Cell, cost_ns, size_name

KIB, MIB = 1 << 10, 1 << 20
ONE_CPU = "0,0"


@dataclasses.dataclass
class Verdict:
    """One line of the table of targets."""

    what: str
    limit: str  # "<= 1.20"
    measured: str
    holds: bool
    beside: str = ""  # p50, p99.9, and the same asleep


def sealane(**changes):
    return Cell("sealane", **changes)


def floor(system, **changes):
    return Cell("floors", system=system, **changes)


@dataclasses.dataclass
class Contest:
    """Sealane against the best of some others, at one size: subject / best <= limit."""

    subject: Cell
    others: list
    limit: float
    seconds: float = None  # of one cell; None: as the run has it

    def cells(self):
        return [self.subject] + self.others

    def ratio(self, results):
        """The ratio, the state of the floor, and the best other system; None if there is no measurement."""
        state = results.common_state(self.cells())
        subject = results.best(self.subject, state) if state else None
        others = [(results.best(cell, state), cell) for cell in self.others]
        others = [(cost_ns(measurement), cell) for measurement, cell in others if measurement and cost_ns(measurement)]
        if not subject or not others or cost_ns(subject) is None:
            return None
        best_ns, best = min(others, key=lambda pair: pair[0])
        return cost_ns(subject) / best_ns, state, best


@dataclasses.dataclass
class Target:
    """A promise, and the contests that prove it. With several, the worst one counts."""

    what: str
    limit: float
    contests: list
    is_rate: bool = False  # then "at least": rate / best rate
    needs_huge: bool = False
    others_may_fail: bool = False  # they are not ours

    def cells(self):
        """Each once, in order."""
        return list(dict.fromkeys(cell for contest in self.contests for cell in contest.cells()))

    def beside(self):
        """The cells that must accompany a headline: the subjects asleep."""
        return list(dict.fromkeys(contest.subject.but(mode="sleep") for contest in self.contests))

    def verdict(self, results):
        judged = [(contest, contest.ratio(results)) for contest in self.contests]
        missing = [contest for contest, ratio in judged if ratio is None and not self.is_excused(contest, results)]
        measured = [(contest, *ratio) for contest, ratio in judged if ratio is not None]
        limit = f"{'>=' if self.is_rate else '<='} {self.limit:.2f}"
        if not measured:
            why = results.reasons.get(self.contests[0].subject, "not measured")
            return Verdict(self.what, limit, why, False)
        contest, ratio, state, best = max(measured, key=lambda entry: entry[1])
        holds = not missing and all(self.keeps(entry[1]) for entry in measured)
        shown = f"{1 / ratio if self.is_rate else ratio:.2f}"
        case = "one way, " if contest.subject.case == "oneway" else ""
        where = f"{case}{size_name(contest.subject.size)}, {state}, against {results.label(best)}"
        if contest.subject.variant:
            where += f"; {results.best(contest.subject, state)['note']}"
        if missing:
            where += f"; {len(missing)} not measured"
        return Verdict(self.what, limit, f"{shown} ({where})", holds, figures(results, contest.subject, state))

    def is_excused(self, contest, results):
        """True if another system failed, where ours did not."""
        others_failed = all(cell in results.reasons for cell in contest.others)
        return self.others_may_fail and others_failed and contest.subject in results.by_cell

    def keeps(self, ratio):
        return 1 / ratio >= self.limit if self.is_rate else ratio <= self.limit


def time_name(ns):
    """Three digits and a unit."""
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if ns >= unit:
            return f"{ns / unit:.3g} {name}"
    return f"{ns:.3g} ns"


def figures(results, cell, state):
    """p50 and 99.9 %, awake and asleep: the figures beside every headline."""
    parts = []
    for name, measurement in (
        (cell.mode, results.best(cell, state)),
        ("sleep", None if cell.mode == "sleep" else results.best(cell.but(mode="sleep"))),
    ):
        if measurement and measurement["p50_ns"] is not None:
            parts.append(f"{name} {time_name(measurement['p50_ns'])}, 99.9 % {time_name(measurement['p999_ns'])}")
        elif measurement and measurement["rate"]:
            parts.append(f"{name} {measurement['rate']:.3g}/s")
    return " · ".join(parts)


@dataclasses.dataclass
class FloorTarget:
    """A small call against the floor that its own cell carries."""

    what: str
    limit: float
    subject: Cell
    needs_huge: bool = False

    def cells(self):
        return [self.subject]

    def beside(self):
        return [self.subject.but(mode="sleep")]

    def verdict(self, results):
        limit = f"<= {self.limit:.2f}"
        state = results.common_state([self.subject])
        best = results.best(self.subject, state) if state else None
        if not best or not best["ratio"]:
            return Verdict(self.what, limit, results.reasons.get(self.subject, "not measured"), False)
        measured = f"{best['ratio']:.2f} ({state}, floor {best['floor_ns']:.0f} ns)"
        return Verdict(
            self.what, limit, measured, best["ratio"] <= self.limit, figures(results, self.subject, state)
        )


@dataclasses.dataclass
class CountTarget:
    """A count in each of the cells."""

    what: str
    limit: float
    field: str
    subjects: list
    needs_huge: bool = False

    def cells(self):
        return self.subjects

    def beside(self):
        return []

    def verdict(self, results):
        limit = f"<= {self.limit:g}"
        counts = [(results.best(cell) or {}).get(self.field) for cell in self.subjects]
        if None in counts:
            why = next((results.reasons[cell] for cell in self.subjects if cell in results.reasons), "not measured")
            return Verdict(self.what, limit, why, False)
        return Verdict(self.what, limit, f"{max(counts):.4g}", max(counts) <= self.limit)


def memfds(size, mode, variants):
    return [floor("memfd", variant=variant, size=size, mode=mode) for variant in variants]


def socket_copy(size, **changes):
    """The cheaper kind of socket that can carry this size."""
    return floor("socket", variant="seqpacket" if size <= 128 * KIB else "stream", size=size, **changes)


SMALL_PAGES = ("naive", "populate", "write")
HUGE_PAGES = SMALL_PAGES + ("huge", "hugetlb")


def full_sizes(sizes):
    return [
        Contest(
            sealane(size=size),
            [floor("shared", variant=variant, size=size) for variant in ("single", "rotating")],
            1.1,
        )
        for size in sizes
    ]


def sleeping(cpus):
    return [
        Contest(
            sealane(mode="sleep", size=64, cpus=cpus),
            [floor("socket", variant="seqpacket", mode="sleep", size=64, cpus=cpus)],
            1.15,
            seconds=0.3,
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


def targets(is_quick):
    """All targets that can be judged without other people's systems."""
    sizes = [64 * KIB, MIB, 16 * MIB] if is_quick else [64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB]
    sealed_sizes = [256 * KIB, MIB, 16 * MIB] if is_quick else [256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB]
    stable_sizes = [64, 4 * KIB, 64 * KIB, MIB] if is_quick else [64, KIB, 4 * KIB, 16 * KIB] + sizes
    ends = dict(touch="ends", variant="block")
    copies = [64, 4 * KIB, 64 * KIB, MIB] + ([] if is_quick else [16 * MIB])
    return [
        FloorTarget("32 B call, spinning / cache line", 1.2, sealane(size=32)),
        FloorTarget("64 B call, spinning / cache line", 1.4, sealane(size=64)),
        Target(
            "16 MiB, ends touched / 4 KiB",
            1.2,
            [Contest(sealane(size=16 * MIB, **ends), [sealane(size=4 * KIB, **ends)], 1.2)],
        ),
        Target("written and read in full / shared buffer", 1.1, full_sizes(sizes)),
        CountTarget(
            "system calls per message, but a look each ms",
            0.01,
            "syscalls_but_looks",
            [sealane(size=size, syscalls=True) for size in (64, 4 * KIB, MIB)],
        ),
        Target(
            "one way, 64 B / bare ring",
            0.8,
            [Contest(sealane(case="oneway"), [floor("ring", case="oneway")], 0.8)],
            is_rate=True,
        ),
        Target("both asleep, two CPUs / seqpacket", 1.15, sleeping("0,1")),
        Target("both asleep, one CPU / seqpacket", 1.15, sleeping(ONE_CPU)),
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
        Target(
            "any size / socket copy, spinning",
            1.0,
            [Contest(sealane(size=size), [socket_copy(size, mode="spin")], 1.0) for size in copies],
        ),
        CountTarget(
            "wake-ups a second of an idle pair",
            0,
            "wakeups_per_s",
            [sealane(case="idle", mode=mode) for mode in ("adaptive", "sleep")],
        ),
    ]
