# SPDX-License-Identifier: MIT
"""Cells, and how they are run: each by a program of its own that prints one line of JSON (bench/work.h).

The floor of the machine flips between three states within seconds, as the host moves its virtual CPUs. So each cell
carries the floor before and after; a cell during which the floor changed is run again; and only cells of one state are
compared with each other.
"""

import dataclasses
import json
import os
import subprocess
import sys

ENVIRONMENT = {**os.environ, "SEALANE_CALIBRATION": ""}  # the built-in table, whatever this machine was calibrated to
CANNOT = 77  # exit status of a program when its system cannot run the cell
SIDES = 2
CANNOT_DO, FAILED = "cannot", "failed"  # how the reason of a cell that has no measurement begins
TRIES = 4  # until a cell's two floors agree
SAME_FLOOR = 1.25  # floors that differ by no more than that are the same
UNEVEN = 1.5  # mean / median of laps that nothing disturbed: less
NEAR_NS, MIDDLE_NS = 80, 280  # bounds between the states


@dataclasses.dataclass(frozen=True)
class Cell:
    """A measurement to make. Two equal cells measure equal things."""

    program: str  # below the build directory's bench/
    case: str = "roundtrip"
    mode: str = "spin"
    size: int = 64
    system: str = ""  # for programs that know several
    variant: str = ""
    touch: str = "full"
    cpus: str = "0,1"
    clients: int = 1
    reply: int = 0  # 0: the default
    syscalls: bool = False  # count them instead of taking the time
    commit: str = ""  # of the library in the program; "": the present one

    def arguments(self, seconds):
        words = [f"--case={self.case}", f"--mode={self.mode}", f"--size={self.size}", f"--touch={self.touch}"]
        words += [f"--cpus={self.cpus}", f"--clients={self.clients}", f"--seconds={seconds}", "--json"]
        words += [f"--system={self.system}"] if self.system else []
        words += [f"--variant={self.variant}"] if self.variant else []
        words += [f"--reply={self.reply}"] if self.reply else []
        words += ["--syscalls"] if self.syscalls else []
        return words

    def but(self, **changes):
        return dataclasses.replace(self, **changes)

    def label(self):
        """The name of the system, for people."""
        system = self.system or self.program.rpartition("/")[2].removeprefix("peer_")
        system = f"{system} at {self.commit}" if self.commit else system
        return f"{system} {self.variant}" if self.variant else system

    def name(self):
        return f"{self.label()}, {self.case}, {self.mode}, {size_name(self.size)}"


def size_name(size):
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def state_of(measurement):
    """The state of the machine's floor: near, middle or far; "one" on a single CPU."""
    floor = measurement["floor_ns"]
    if floor is None:
        return "one"
    return "near" if floor < NEAR_NS else "middle" if floor < MIDDLE_NS else "far"


def is_steady(measurement):
    floors = measurement["floor_before_ns"], measurement["floor_after_ns"]
    if measurement["floor_ns"] is None:
        return True
    return None not in floors and max(floors) <= SAME_FLOOR * min(floors)


def is_even(measurement):
    """False where the mean of the laps is far from their median: another process took the CPU, or the floor changed
    and changed back."""
    p50, rate = measurement["p50_ns"], measurement["rate"]
    return not p50 or not rate or 1e9 / rate <= UNEVEN * p50


def syscalls_but_looks(measurement):
    """System calls for each message, without the one read of the socket that a spinning side may make each
    millisecond."""
    if measurement.get("syscalls_per_msg") is None:
        return None
    looks = SIDES * measurement["seconds"] * 1000 / measurement["n"]
    return max(0, measurement["syscalls_per_msg"] - looks)


class Results:
    """All measurements of a run, by cell."""

    def __init__(self):
        self.lines = []  # as they were made
        self.by_cell = {}
        self.reasons = {}  # why a cell has none
        self.answers = {}  # of programs that run no cells: the lines and the reason, by what was asked

    def add(self, cell, measurement):
        measurement["state"] = state_of(measurement)
        measurement["commit"] = cell.commit
        measurement["syscalls_but_looks"] = syscalls_but_looks(measurement)
        self.lines.append(measurement)
        self.reasons.pop(cell, None)
        self.by_cell.setdefault(cell, []).append(measurement)

    def cannot(self, cell):
        """True if the cell's system cannot run the cell at all. (A failure is another case.)"""
        return self.reasons.get(cell, FAILED).startswith(CANNOT_DO)

    def label(self, cell):
        """The name that the system gives itself, if it has been measured."""
        measured = self.by_cell.get(cell)
        return f"{measured[0]['system']} {measured[0]['variant']}".strip() if measured else cell.label()

    def usual_state(self):
        """The state with most measurements."""
        states = [m["state"] for m in self.lines]
        return max(("near", "middle", "far"), key=states.count)

    def best(self, cell, state=None, figure=""):
        """The least disturbed measurement of a cell, in that state, or in any; None if there is none."""
        of_state = [m for m in self.by_cell.get(cell, []) if state in (None, m["state"])]
        steady = [m for m in of_state if is_steady(m)] or of_state
        even = [m for m in steady if is_even(m)] or steady
        return min(even, key=lambda m: cost_ns(m, figure) or 0, default=None)

    def steady(self, cell, state):
        """The least disturbed measurement of a cell in that state, of those whose floor stayed; None if there is
        none."""
        found = self.best(cell, state)
        return found if found and is_steady(found) else None

    def common_state(self, cells):
        """The most frequent state in which all the cells (except impossible ones) were measured; or None."""
        counts = {}
        for state in ("near", "middle", "far", "one"):
            counts[state] = min(
                (
                    sum(m["state"] == state and is_steady(m) for m in self.by_cell.get(cell, []))
                    for cell in cells
                    if cell not in self.reasons
                ),
                default=0,
            )
        state = max(counts, key=counts.get)
        return state if counts[state] > 0 else None


def cost_ns(measurement, figure=""):
    """The figure for comparisons: the median of a round trip, or the mean time of a message, or the named one. A rate
    is compared by the time of a message."""
    if figure not in ("", "rate"):
        return measurement[figure]
    if figure == "" and measurement["p50_ns"] is not None:
        return measurement["p50_ns"]
    return 1e9 / measurement["rate"] if measurement["rate"] else None


class Runner:
    """Runs cells, and keeps their measurements."""

    def __init__(self, programs, seconds, is_json=False, is_quiet=False):
        self.programs = programs  # the directory that they are in
        self.seconds = seconds  # of a cell that does not say otherwise
        self.is_json = is_json  # print each line as it comes?
        self.is_quiet = is_quiet
        self.results = Results()

    def ask(self, program, words):
        """The lines that a program of the benchmark prints; None and a reason if it fails."""
        try:
            done = subprocess.run([str(self.programs / program), *words], capture_output=True, text=True, timeout=120,
                                  check=False, env=ENVIRONMENT)
        except subprocess.TimeoutExpired:
            return None, f"{FAILED}: took too long"
        except OSError as error:
            return None, f"{FAILED}: {error}"
        if done.returncode == 0:
            return [json.loads(line) for line in done.stdout.splitlines()], None
        why = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return None, f"{CANNOT_DO if done.returncode == CANNOT else FAILED}: {why}"

    def run_once(self, cell, seconds):
        """One measurement; None and a reason if there is none."""
        lines, reason = self.ask(cell.program, cell.arguments(seconds))
        return (lines[0], None) if lines else (None, reason or f"{FAILED}: printed nothing")

    def run(self, cell, seconds=None):
        """Runs a cell until its two floors agree, a few times at most, and keeps the last measurement."""
        if self.results.cannot(cell):
            return
        for _ in range(TRIES):
            measurement, reason = self.run_once(cell, seconds or self.seconds)
            if measurement is None:
                self.note_reason(cell, reason)
                return
            if is_steady(measurement):
                break
        self.results.add(cell, measurement)
        if self.is_json:
            print(json.dumps(measurement), flush=True)

    def note_reason(self, cell, reason):
        """Notes a failure: a cell that failed once may be tried again; an impossible cell may not."""
        if cell not in self.results.by_cell:
            self.results.reasons[cell] = reason
        if reason.startswith(FAILED):
            self.say(f"{cell.name()}: {reason}")

    def run_rounds(self, cells, rounds, seconds=None, more=4):
        """Runs all cells by turns, and some rounds more while no state of the floor has measurements of all."""
        for done in range(rounds + more):
            if done >= rounds and self.results.common_state(cells):
                return
            for cell in cells:
                self.run(cell, seconds)

    def say(self, text):
        if not self.is_quiet:
            print(text, file=sys.stderr, flush=True)
