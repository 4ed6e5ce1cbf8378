# SPDX-License-Identifier: MIT
"""Kinds of targets: ratios between cells of one run and one state of the floor, each with the limit that it must
keep."""

import dataclasses
import statistics

from cells import Cell, cost_ns, size_name

ONE_CPU = "0,0"


@dataclasses.dataclass
class Verdict:
    """One line of the table of targets."""

    what: str
    limit: str  # "<= 1.20"
    measured: str
    holds: bool
    beside: str = ""  # p50, p99.9, and the same asleep
    misses: list = dataclasses.field(default_factory=list)  # each size that is beyond the limit, with several sizes
    is_skipped: bool = False  # what it compares with is not here; then `holds` means nothing

    def word(self):
        return "SKIPPED" if self.is_skipped else "HOLDS" if self.holds else "MISSES"


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
    figure: str = ""  # the compared member of the measurements: see cost_ns()

    def cells(self):
        return [self.subject] + self.others

    def ratio(self, results):
        """The ratio, the state of the floor, and the best other system; None if there is no measurement."""
        state = results.common_state(self.cells())
        subject_ns = self.cost(results, self.subject, state) if state else None
        others = [(self.cost(results, cell, state), cell) for cell in self.others]
        others = [(ns, cell) for ns, cell in others if ns]
        if not others or subject_ns is None:
            return None
        best_ns, best = min(others, key=lambda pair: pair[0])
        return subject_ns / best_ns, state, best

    def cost(self, results, cell, state):
        measurement = results.best(cell, state, self.figure)
        return cost_ns(measurement, self.figure) if measurement else None


@dataclasses.dataclass
class Target:
    """A promise, and the contests that prove it. With several, the worst one counts."""

    what: str
    limit: float
    contests: list
    is_rate: bool = False  # then "at least": rate / best rate
    needs_huge: bool = False
    others_may_fail: bool = False  # they are not ours
    limits: dict = dataclasses.field(default_factory=dict)  # of states of the floor that have limits of their own
    seconds: float = None  # of a cell; None: as the run has it

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
        if not measured:
            why = results.reasons.get(self.contests[0].subject, "not measured")
            return Verdict(self.what, self.limit_text(None), why, False)
        contest, ratio, state, best = max(measured, key=lambda entry: entry[1])
        holds = not missing and all(self.keeps(*entry[1:3]) for entry in measured)
        limit = self.limit_text(state)
        shown = f"{1 / ratio if self.is_rate else ratio:.2f}"
        case = "one way, " if contest.subject.case == "oneway" else ""
        where = f"{case}{size_name(contest.subject.size)}, {state}, against {results.label(best)}"
        if contest.subject.variant:
            where += f"; {results.best(contest.subject, state)['note']}"
        if missing:
            where += f"; {len(missing)} not measured"
        beside = figures(results, contest.subject, state)
        return Verdict(self.what, limit, f"{shown} ({where})", holds, beside, self.misses(measured))

    def misses(self, measured):
        """Sizes beyond the limit, with their ratios and states."""
        return [
            f"{size_name(contest.subject.size)} {1 / ratio if self.is_rate else ratio:.2f} {state}"
            for contest, ratio, state, _ in measured
            if len(measured) > 1 and not self.keeps(ratio, state)
        ]

    def is_excused(self, contest, results):
        """True if another system failed, where ours did not."""
        others_failed = all(cell in results.reasons for cell in contest.others)
        return self.others_may_fail and others_failed and contest.subject in results.by_cell

    def limit_in(self, state):
        return self.limits.get(state, self.limit)

    def limit_text(self, state):
        return f"{'>=' if self.is_rate else '<='} {self.limit_in(state):.2f}"

    def keeps(self, ratio, state):
        return 1 / ratio >= self.limit_in(state) if self.is_rate else ratio <= self.limit_in(state)


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
class SkippedTarget:
    """What cannot be judged here, and why."""

    what: str
    limit: float
    why: str
    needs_huge: bool = False

    def cells(self):
        return []

    def beside(self):
        return []

    def verdict(self, _results):
        return Verdict(self.what, f"<= {self.limit:.2f}", self.why, False, is_skipped=True)


@dataclasses.dataclass
class ProgramTarget:
    """A figure that a program of its own prints, once or in several rounds: the median of the rounds counts."""

    what: str
    limit: float
    program: str
    words: list
    figure: object  # a function of one line of the program
    shown: object  # a function of the figure, and of the last line: a text
    needs_huge: bool = False

    def cells(self):
        return []

    def beside(self):
        return []

    def measure(self, runner):
        runner.results.answers[self.what] = runner.ask(self.program, self.words)

    def verdict(self, results):
        lines, reason = results.answers.get(self.what, (None, "not measured"))
        limit = f"<= {self.limit:g}"
        if not lines:
            return Verdict(self.what, limit, reason or "not measured", False)
        value = statistics.median(self.figure(line) for line in lines)
        return Verdict(self.what, limit, self.shown(value, lines[-1]), value <= self.limit)


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


