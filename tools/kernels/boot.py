# SPDX-License-Identifier: MIT
"""Starts one kernel in QEMU, and keeps the output of its serial line."""

import subprocess

from archive import Trouble

QEMU = "qemu-system-x86_64"
MEMORY = "1536"  # MiB: the tests fill some hundred, and the file system of the start lies there too


def command(kernel, image):
    # Always software emulation: /dev/kvm may exist and not work.
    return [
        *(QEMU, "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", MEMORY),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(image)),
        *("-append", "console=ttyS0 loglevel=3 panic=-1 rdinit=/init"),
    ]


def boot(kernel, image, log, seconds):
    """The text of the serial line, also in the file `log`. Ends the machine after `seconds`."""
    with open(log, "wb") as out:
        try:
            subprocess.run(
                command(kernel, image),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except FileNotFoundError as error:
            raise Trouble(f"{QEMU} is missing (Debian: qemu-system-x86)") from error
        except subprocess.TimeoutExpired:
            out.write(f"\n@@ ended by us after {seconds} s\n".encode())
    return log.read_text(encoding="utf-8", errors="replace")
