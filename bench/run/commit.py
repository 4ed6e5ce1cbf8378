# SPDX-License-Identifier: MIT
"""The library of an earlier commit, and a program that measures it.

A library is built as the present one was: by the same compiler, with the same flags. What measures it is the present
harness (the clock, the payloads, the laps, the floor), so that a change of the harness does not pass for a change of
the library; only the adapter, bench/sealane.c, is the commit's: it knows the interface of its library, and the way to
use this library best, such as the payloads that it sends as plain bytes. Where that adapter does not fit the present
harness, the commit's own program serves, harness and all, and the table says so.
"""

import contextlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

LOG_LINES = 12  # of a build that failed
ADAPTER = ("sealane.c", "auto.h")
KEPT = ("transport/.libs/libsealane.a", "bench/sealane")


class Error(Exception):
    """Why a commit cannot be measured, for people."""


def command(words, directory, **more):
    """Runs a command; an Error with the end of its output, if it fails."""
    try:
        done = subprocess.run(words, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False, **more)
    except OSError as error:
        raise Error(f"{words[0]}: {error.strerror}") from error
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise Error("\n".join([f"{words[0]} failed:", *said[-LOG_LINES:]]))


def resolve(root, name):
    """The full hash of a commit of the repository at `root`."""
    words = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Error("git is needed to read an earlier commit") from error
    if done.returncode != 0:
        raise Error(f"there is no commit {name} in {root}")
    return done.stdout.strip()


def variables(build):
    """Compiler and flags of a build, as its Makefile has them."""
    try:
        makefile = (build / "Makefile").read_text()
    except OSError as error:
        raise Error(f"{build} is no build: {error.strerror}") from error
    return {name: re.search(rf"^{name} = ?(.*)$", makefile, re.M).group(1) for name in ("CC", "CFLAGS")}


def extract(root, commit, directory):
    done = subprocess.run(["git", "-C", str(root), "archive", commit], stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(directory)


def make(source, flags):
    """Builds the library and the program in the tree `source`."""
    words = [f"{name}={value}" for name, value in flags.items()]
    command(["autoreconf", "--install", "--force"], source)
    command(["./configure", "--quiet", "--disable-shared", *words], source)
    command(["make", "--silent", f"-j{os.cpu_count()}", "transport/libsealane.la", "bench/sealane"], source)


class Commit:
    """An earlier commit. Its directory keeps the library, its headers and the adapter; the tree is removed."""

    def __init__(self, root, build, name):
        self.root, self.build = root, build
        self.hash = resolve(root, name)
        self.directory = build.parent / "against" / self.hash
        self.flags = variables(build)
        self.is_harness_ours = True

    @property
    def short(self):
        return self.hash[:9]

    def program(self):
        """The path of the program that measures the commit's library."""
        if not self.is_kept():
            self.keep()
        return self.link()

    def stamp(self):
        return "\n".join(f"{name}={value}" for name, value in self.flags.items())

    def is_kept(self):
        stamp = self.directory / "flags"
        return stamp.exists() and stamp.read_text() == self.stamp()

    def keep(self):
        """Builds the commit in a tree of its own, and keeps what link() needs."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        try:
            with tempfile.TemporaryDirectory(dir=self.directory) as source:
                extract(self.root, self.hash, source)
                try:
                    make(source, self.flags)
                except Error as error:
                    raise Error(f"{self.short} does not build: {error}") from error
                for file in KEPT:
                    shutil.copy(pathlib.Path(source) / file, self.directory)
                (self.directory / "sealane").rename(self.directory / "own")
                for file in ADAPTER:
                    with contextlib.suppress(FileNotFoundError):  # an older adapter has fewer files
                        shutil.copy(pathlib.Path(source) / "bench" / file, self.directory)
                shutil.copytree(pathlib.Path(source) / "include", self.directory / "include")
            (self.directory / "flags").write_text(self.stamp())
        finally:
            if not self.is_kept():
                shutil.rmtree(self.directory, ignore_errors=True)

    def link(self):
        """Puts the commit's adapter into the present harness, or takes the commit's own program."""
        program = self.directory / "sealane"
        words = [*self.flags["CC"].split(), *self.flags["CFLAGS"].split(), "-std=gnu11", "-pthread", "-D_GNU_SOURCE"]
        words += ["-iquote", str(self.root / "bench"), f"-I{self.directory / 'include'}", "-o", str(program)]
        words += [str(self.directory / "sealane.c"), str(self.build / "bench/.libs/libwork.a")]
        with contextlib.suppress(Error):
            command([*words, str(self.directory / "libsealane.a")], self.directory)
            return program
        self.is_harness_ours = False
        return self.directory / "own"
