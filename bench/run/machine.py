# SPDX-License-Identifier: MIT
"""A description of this machine: figures mean nothing without it."""

import os
import pathlib
import platform
import re


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace").strip()
    except OSError:
        return ""


def processor():
    found = re.search(r"^model name\s*:\s*(.*)$", read("/proc/cpuinfo"), re.M)
    return found.group(1) if found else platform.machine()


def hypervisor():
    return "a virtual machine" if re.search(
        r"^flags\s*:.*\bhypervisor\b", read("/proc/cpuinfo"), re.M
    ) else "no virtual machine"


def caches():
    """Caches of the first CPU: "L1d 32K, L2 1024K, L3 32768K"."""
    found = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind = {"Data": "d", "Instruction": "i"}.get(read(index / "type"), "")
        if kind != "i":
            found.append(f"L{read(index / 'level')}{kind} {read(index / 'size')}")
    return ", ".join(found)


def memory():
    found = re.search(r"^MemTotal:\s*(\d+)", read("/proc/meminfo"), re.M)
    return f"{int(found.group(1)) / (1 << 20):.0f} GiB" if found else "?"


def system():
    found = re.search(r'^PRETTY_NAME="?(.*?)"?$', read("/etc/os-release"), re.M)
    return found.group(1) if found else "?"


def facts():
    """Pairs of a name and a text."""
    huge = "/sys/kernel/mm/transparent_hugepage/"
    return [
        ("processor", f"{processor()}, {len(os.sched_getaffinity(0))} CPUs, {hypervisor()}"),
        ("caches", caches()),
        ("memory", memory()),
        ("kernel", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("system", system()),
        ("huge pages", f"enabled: {read(huge + 'enabled')} · shmem_enabled: {read(huge + 'shmem_enabled')}"),
        ("clock", read("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        ("load when it began", f"{load():.2f}"),
    ]


def load():
    return os.getloadavg()[0]
