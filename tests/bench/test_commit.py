#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Earlier commits: how they are found, built and cleared away. The repositories are made here, and have no library."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "run"))

# pylint: disable=wrong-import-position
import commit

# Both stand for the real ones: `configure` takes the flags, and `make` writes the files that are kept.
MAKE = """#!/bin/sh
mkdir -p transport/.libs bench include/sealane
cat flags >transport/.libs/libsealane.a && echo own >bench/sealane
"""
CONFIGURE = """#!/bin/sh
echo "$@" >flags
"""
COMPILER = """#!/bin/sh
while [ $# -gt 1 ]; do [ "$1" = -o ] && out=$2; shift; done
[ ! -e "{refusal}" ] && echo linked >"$out"
"""


@unittest.skipUnless(shutil.which("git"), "git is not installed")
class Commits(unittest.TestCase):
    def setUp(self):
        self.place = tempfile.TemporaryDirectory()
        self.addCleanup(self.place.cleanup)
        self.top = pathlib.Path(self.place.name)
        self.root, self.build = self.top / "root", self.top / "root" / "build" / "bench"
        self.program("tools/autoreconf", "#!/bin/sh\n")
        self.program("tools/make", MAKE)
        self.program("tools/compiler", COMPILER.format(refusal=self.top / "refusal"))
        self.program("root/configure", CONFIGURE)
        (self.root / "bench").mkdir()
        (self.root / "bench" / "sealane.c").write_text("adapter\n")
        (self.root / "include").mkdir()
        (self.root / "include" / "sealane.h").write_text("header\n")
        self.build.mkdir(parents=True)
        (self.build / "Makefile").write_text(f"X = y\nCC = {self.top}/tools/compiler\nCFLAGS = -g -O7\n")
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{self.top}/tools:{path}"
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        self.git("init", "--quiet")
        self.git("add", "configure", "bench", "include")
        self.git("-c", "user.name=x", "-c", "user.email=x@y", "commit", "--quiet", "-m", "first")

    def program(self, path, text):
        file = self.top / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def git(self, *words):
        subprocess.run(["git", "-C", str(self.root), *words], check=True)

    def commit(self, name="HEAD"):
        return commit.Commit(self.root, self.build, name)

    def test_an_unknown_commit_is_named(self):
        for name in ("0123abcd", "no-such-branch", "--help"):
            with self.assertRaisesRegex(commit.Error, f"there is no commit {name} in"):
                self.commit(name)

    def test_the_library_gets_the_flags_of_the_present_build(self):
        one = self.commit()
        self.assertEqual(one.program(), one.directory / "sealane")
        self.assertTrue(one.is_harness_ours)
        said = (one.directory / "libsealane.a").read_text()
        self.assertIn(f"--disable-shared CC={self.top}/tools/compiler CFLAGS=-g -O7", said)

    def test_nothing_of_the_build_is_left(self):
        one = self.commit()
        one.program()
        kept = sorted(path.name for path in one.directory.iterdir())
        self.assertEqual(kept, ["flags", "include", "libsealane.a", "own", "sealane", "sealane.c"])
        self.assertEqual(subprocess.check_output(["git", "-C", str(self.root), "worktree", "list"]).count(b"\n"), 1)

    def test_a_commit_is_built_once_for_the_same_flags(self):
        one = self.commit()
        one.program()
        self.program("tools/make", "#!/bin/sh\nexit 1\n")
        self.commit().program()
        one.flags["CFLAGS"] = "-O0"
        with self.assertRaises(commit.Error):
            one.program()

    def test_an_adapter_that_does_not_fit_brings_its_own_harness(self):
        (self.top / "refusal").write_text("")
        one = self.commit()
        self.assertEqual(one.program().read_text(), "own\n")
        self.assertFalse(one.is_harness_ours)

    def test_a_commit_that_does_not_build_says_why_and_leaves_nothing(self):
        self.program("tools/make", "#!/bin/sh\necho 'lane.c: no such lane' >&2\nexit 2\n")
        one = self.commit()
        with self.assertRaisesRegex(commit.Error, f"{one.short} does not build: make failed:\nlane.c: no such lane"):
            one.program()
        self.assertFalse(one.directory.exists())

    def test_without_a_build_there_are_no_flags(self):
        (self.build / "Makefile").unlink()
        with self.assertRaisesRegex(commit.Error, "is no build"):
            self.commit()


if __name__ == "__main__":
    unittest.main()
