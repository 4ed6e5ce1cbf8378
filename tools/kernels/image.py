# SPDX-License-Identifier: MIT
"""The file system that a kernel starts with: busybox, the test programs with their shared libraries, and an /init
that runs them all and powers off. Written as a cpio archive ("newc"), which needs no rights."""

import gzip
import lzma
import pathlib
import re
import shutil
import stat
import subprocess

from archive import Trouble, module_of, output_of

MODULES = ("fuse",)  # for the tests that hang in a file system
HEAD = "070701" + "%08X" * 13
DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "run", "sys", "tests", "tmp", "var", "lib/modules")


class Cpio:
    def __init__(self):
        self.files = {}  # path: (mode, bytes)

    def directory(self, path):
        for parent in reversed(pathlib.PurePosixPath(path).parents):
            if str(parent) != ".":
                self.files.setdefault(str(parent), (stat.S_IFDIR | 0o755, b""))
        self.files.setdefault(path, (stat.S_IFDIR | 0o755, b""))

    def file(self, path, data, mode=0o755):
        self.directory(str(pathlib.PurePosixPath(path).parent))
        self.files[path] = (stat.S_IFREG | mode, data)

    def entry(self, number, path, mode, data):
        name = path.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        head = (HEAD % (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)).encode()
        return padded(head + name) + padded(data)

    def bytes(self):
        entries = [self.entry(i + 1, path, *self.files[path]) for i, path in enumerate(self.files)]
        return b"".join(entries) + self.entry(0, "TRAILER!!!", 0, b"")


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def libraries_of(programs):
    """The files that the loader would map for the programs, including the loader."""
    said = output_of(["ldd", *map(str, programs)])
    missing = re.findall(r"(\S+) => not found", said)
    if missing:
        raise Trouble(f"a library of the tests is not there: {', '.join(sorted(set(missing)))}")
    return sorted(set(re.findall(r"(/\S+) \(0x", said)))


def stripped(path):
    done = subprocess.run(
        ["strip", "-o", "/dev/stdout", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )
    return done.stdout if done.returncode == 0 and done.stdout else path.read_bytes()


def unpacked_zstd(name, data):
    """Python has a module for zstd only since 3.14."""
    if not shutil.which("zstd"):
        raise Trouble(f"the kernel's module {name} is packed by zstd, which is not here: install the package zstd")
    done = subprocess.run(["zstd", "-d", "-c"], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise Trouble(f"zstd cannot unpack the kernel's module {name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def unpacked(name, suffix, data):
    """A module as /init loads it: not every busybox and kernel can unpack one."""
    if suffix == ".ko":
        return data
    if suffix == ".xz":
        return lzma.decompress(data)
    if suffix == ".gz":
        return gzip.decompress(data)
    if suffix == ".zst":
        return unpacked_zstd(name, data)
    raise Trouble(f"the kernel's module {name} is packed in a way that is not known here: {suffix}")


def init_of(slowness):
    here = pathlib.Path(__file__).resolve().parent
    text = (here / "init.sh").read_text(encoding="utf-8")
    return text.replace("@SLOWNESS@", str(slowness)).encode()


class Image:
    """The parts that all kernels share are read once."""

    def __init__(self, busybox, build, names, slowness):
        """`busybox`: the directory with Debian's busybox-static."""
        programs = [build / name for name in names]
        missing = [str(path) for path in programs if not path.exists()]
        if missing:
            raise Trouble(f"not built: {', '.join(missing)}")
        self.common = Cpio()
        for path in DIRECTORIES:
            self.common.directory(path)
        self.common.file("bin/busybox", next(busybox.rglob("bin/busybox")).read_bytes())
        self.common.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
        self.common.file("etc/group", b"root:x:0:\n", 0o644)
        for name, path in zip(names, programs):
            self.common.file(f"tests/{name.replace('/', '-')}", stripped(path))
        for path in libraries_of(programs):
            self.common.file(path.lstrip("/"), pathlib.Path(path).read_bytes())
        self.common.file("etc/programs", "".join(f"{name.replace('/', '-')}\n" for name in names).encode(), 0o644)
        self.common.file("init", init_of(slowness))

    def write(self, path, kernel_directory):
        own = Cpio()
        own.files = dict(self.common.files)
        for name in MODULES:
            found = module_of(kernel_directory, name)
            if found:
                own.file(f"lib/modules/{name}.ko", unpacked(name, *found), 0o644)
        with gzip.open(path, "wb", compresslevel=1) as out:
            out.write(own.bytes())
