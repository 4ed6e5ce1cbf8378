# SPDX-License-Identifier: MIT
"""Figures over size (or over clients), picked from the measurements of a run."""

import dataclasses

from cells import cost_ns, is_steady


@dataclasses.dataclass(frozen=True)
class Line:
    """One system's line: its name, and the properties of its measurements."""

    name: str
    wanted: tuple  # pairs of member and value

    def fits(self, measurement):
        return all(measurement.get(member) == value for member, value in self.wanted)


def line(name, system, variant="", case="roundtrip", touch="full", clients=1, cpus="0,1", commit=""):
    members = dict(system=system, variant=variant, case=case, touch=touch, clients=clients, cpus=cpus, commit=commit)
    return Line(name, tuple((member, value) for member, value in members.items() if value is not None))


def points(results, wanted, mode, over, figure, state=None):
    """[(over, figure)] of the least disturbed measurements: in that state alone, or in the usual state if there are
    any."""
    usual, best = results.usual_state(), {}
    for m in results.lines:
        if wanted.fits(m) and m["mode"] == mode and m[figure] is not None and state in (None, m["state"]):
            rank = (m["state"] not in (usual, "one"), not is_steady(m), cost_ns(m))
            if m[over] not in best or rank < best[m[over]][0]:
                best[m[over]] = (rank, m[figure])
    return [(x, figure_at) for x, (_, figure_at) in sorted(best.items())]
