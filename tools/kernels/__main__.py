# SPDX-License-Identifier: MIT
"""Runs test programs on Debian's kernels in QEMU, and writes which facts hold on which kernel.

    python3 -B tools/kernels --build build/gcc [--work build/kernels] [--kernels 5.10,6.1,newest] [--seconds N]
                             [--write doc/kernels.md] PROGRAM...

A PROGRAM is a path below the build directory. The console of each kernel stays in the work directory, in RELEASE.log.
"""

import argparse
import pathlib
import sys
import time

from archive import Archive, Trouble, kernel_of
from boot import boot
from image import Image
import table


def arguments():
    parser = argparse.ArgumentParser(prog="tools/kernels", description="runs test programs on Debian's kernels in QEMU")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("build/kernels"))
    parser.add_argument("--kernels", default="5.10,6.1,newest", help="series, and the word newest")
    parser.add_argument("--seconds", type=int, default=3600, help="at most, for each kernel")
    parser.add_argument("--slowness", type=int, default=10, help="of the emulation: lengthens the tests' own limits")
    parser.add_argument("--write", type=pathlib.Path, help="the document with the table to renew")
    parser.add_argument("programs", nargs="+")
    return parser.parse_args()


def try_kernel(options, image, directory):
    began = time.monotonic()
    initramfs, log = options.work / f"{directory.name}.cpio.gz", options.work / f"{directory.name}.log"
    image.write(initramfs, directory)
    console = table.Console(boot(kernel_of(directory), initramfs, log, options.seconds))
    initramfs.unlink()
    tested = len(console.states)
    print(
        f"{console.release or directory.name}: {tested} tests in {time.monotonic() - began:.0f} s; "
        f"the console is in {log}",
        flush=True,
    )
    for failure in console.failures():
        print(f"  {failure}", flush=True)
    return console


def main(options):
    options.work.mkdir(parents=True, exist_ok=True)
    archive = Archive(options.work)
    chosen = archive.choose(options.kernels.split(","))
    image = Image(archive.fetch("busybox-static"), options.build, options.programs, options.slowness)
    print("kernels: " + ", ".join(version for version, _ in chosen), flush=True)
    consoles = [try_kernel(options, image, archive.fetch(package)) for _, package in chosen]
    if options.write:
        text = options.write.read_text(encoding="utf-8")
        for name in table.unexplained(text, consoles):
            print(f"{options.write} does not say what follows from: {name}")
        options.write.write_text(table.renew(text, consoles), encoding="utf-8")
    return 1 if any(console.failures() for console in consoles) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(arguments()))
    except Trouble as trouble:
        print(f"tools/kernels: {trouble}", file=sys.stderr)
        sys.exit(1)
