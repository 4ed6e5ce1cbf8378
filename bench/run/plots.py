# SPDX-License-Identifier: MIT
"""Plots, by gnuplot: SVG and PNG. Each has several panels, spinning and asleep, or a state of the floor each, so that
no figure stands without the others."""

import dataclasses
import shutil
import subprocess

import distance
from series import line, points

SETTINGS = """
set logscale xy
set grid xtics ytics linecolor rgb "#dddddd"
set key left top Left reverse samplen 2 font ",9"
set border 3
set tics nomirror
set xlabel "{xlabel}"
set ylabel "{ylabel}"
"""

TERMINALS = {
    "svg": 'svg size 1200,520 font "sans,11" background "white"', "png": 'pngcairo size 1200,520 font "sans,10"'
}

SIZE_TICKS = (
    '("32 B" 32, "256 B" 256, "2 KiB" 2048, "16 KiB" 16384, "256 KiB" 262144, "4 MiB" 4194304, "64 MiB" 67108864)'
)


@dataclasses.dataclass
class Plot:
    """Lines over sizes or clients. The first line is ours: only this one has a second figure, in dashes."""

    file: str
    title: str
    lines: list
    figures: tuple = ("p50_ns",)
    over: str = "size"
    ylabel: str = "microseconds"
    scale: float = 1e-3
    modes: tuple = (("spin", "spinning"), ("sleep", "asleep"))
    states: tuple = ()  # of the floor: then a panel for each of them, spinning


SEALANE = [line("Sealane", "sealane", "auto")]
ENDS = [
    line("Sealane, ends touched", "sealane", "auto", touch="ends"), line("Sealane, stable only", "sealane", "stable")
]
BY_HAND = [
    line("shared buffer, one", "shared", "single"),
    line("shared buffers, eight in turn", "shared", "rotating"),
    line("Unix socket, packets", "socket", "seqpacket"),
    line("Unix socket, bytes", "socket", "stream"),
]
SEALED = [
    line("Sealane, sealed, 4 KiB pages", "sealane", "sealed"),
    line("Sealane, sealed, 2 MiB pages", "sealane", "huge"),
    line("by hand, 4 KiB pages, page by page", "memfd", "naive"),
    line("by hand, 4 KiB pages, written", "memfd", "write"),
    line("by hand, 2 MiB pages", "memfd", "huge"),
]
ONEWAY = [
    line("Sealane", "sealane", "auto", case="oneway"),
    line("bare ring", "ring", case="oneway"),
    line("Unix socket, packets", "socket", "seqpacket", case="oneway"),
    line("Unix socket, bytes", "socket", "stream", case="oneway"),
]
FAN_IN = [
    line("round trips, two CPUs", "sealane", "auto", clients=None),
    line("round trips, one CPU", "sealane", "auto", clients=None, cpus="0,0"),
    line("one way, two CPUs", "sealane", "auto", case="oneway", clients=None),
]


def distances(peers, commits):
    """Every size, near and far: beside other programs, and beside the libraries of earlier commits."""
    fast = [line(peer, peer) for peer in peers if peer in distance.FAST]
    title = "Round trip, spinning, every size: p50"
    found = [Plot("distance", title, SEALANE + BY_HAND + fast, states=distance.STATES)]
    if commits:
        earlier = [line(f"Sealane at {short}", "sealane", "auto", commit=short) for short in commits]
        title = "Round trip, spinning, this library and earlier ones: p50"
        found.append(Plot("against", title, SEALANE + earlier, states=distance.STATES))
    return found


def plots_of(peers, commits=()):
    """`peers`: the names of other systems that were measured; `commits`: of earlier libraries."""
    others = [line(peer, peer) for peer in peers]
    tails = ("p50_ns", "p999_ns")
    result = distances(peers, commits) + [
        Plot(
            "latency",
            "Round trip, payload written and read in full: p50, of Sealane 99.9 % too (dashed)",
            SEALANE + BY_HAND,
            tails,
        ),
        Plot("ends", "Round trip, by what the reader does and accepts: p50", SEALANE + ENDS, tails),
        Plot("sealed", "Round trip in a fresh sealed block: p50", SEALED),
        Plot("throughput", "One way, written and read in full", ONEWAY, ("gb_s",), ylabel="GB/s", scale=1),
        Plot(
            *("fan-in", "64 B from many clients", FAN_IN, ("rate",), "clients", "messages a second", 1),
            modes=(("adaptive", "adaptive"), ("sleep", "asleep")),
        ),
    ]
    if others:
        result += [
            Plot(
                "peers-latency",
                "Round trip beside other systems: p50, of Sealane 99.9 % too (dashed)",
                SEALANE + BY_HAND[2:] + others,
                tails,
            ),
            Plot(
                *(
                    "peers-throughput",
                    "One way beside other systems",
                    ONEWAY + [line(p, p, case="oneway") for p in peers],
                ),
                *(("gb_s",), "size", "GB/s", 1),
            ),
        ]
    return result


def panels_of(plot):
    """Mode, state and name of each panel. A state of None: the usual one."""
    if plot.states:
        return [("spin", state, state) for state in plot.states]
    return [(mode, None, name) for mode, name in plot.modes]


def panel(plot, results, mode, state, name):
    """The commands of one panel; none if there is no line."""
    blocks, parts = [], []
    for colour, wanted in enumerate(plot.lines, 1):
        for dash, figure in enumerate(plot.figures, 1):
            found = points(results, wanted, mode, plot.over, figure, state)
            if not found or (dash > 1 and colour > 1):
                continue
            block = f"${state or mode}_{colour}_{dash}"
            blocks.append(f"{block} << END\n" + "".join(f"{x} {y * plot.scale:g}\n" for x, y in found) + "END")
            title = f'title "{wanted.name}"' if dash == 1 else "notitle"
            parts.append(
                f"{block} using 1:2 with linespoints linecolor {colour} dashtype {dash} pointtype {colour} {title}"
            )
    if not parts:
        return ""
    return "\n".join(blocks) + f'\nset title "{name}"\nplot ' + ", \\\n    ".join(parts) + "\n"


def script(plot, results, terminal, path):
    panels = [panel(plot, results, *which) for which in panels_of(plot)]
    panels = [commands for commands in panels if commands]
    if not panels:
        return None
    xlabel = "payload" if plot.over == "size" else plot.over
    head = f'set terminal {terminal}\nset output "{path}"' + SETTINGS.format(xlabel=xlabel, ylabel=plot.ylabel)
    if plot.over == "size":
        head += f"set xtics {SIZE_TICKS}\n"
    else:
        head += "set logscale x 2\n"
    title = plot.title if plot.states else f"{plot.title} (floor: {results.usual_state()} state)"
    return head + f'set multiplot layout 1,{len(panels)} title "{title}"\n' + "".join(panels) + "unset multiplot\n"


def draw(results, directory, peers=(), commits=()):
    """Draws the plots that have lines. Returns them."""
    drawn = []
    if not shutil.which("gnuplot"):
        return drawn
    for plot in plots_of(peers, commits):
        for suffix, terminal in TERMINALS.items():
            commands = script(plot, results, terminal, directory / f"{plot.file}.{suffix}")
            if commands:
                subprocess.run(["gnuplot"], input=commands, text=True, check=True)
        if commands:
            drawn.append(plot)
    return drawn
