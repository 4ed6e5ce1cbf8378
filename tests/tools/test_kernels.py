#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/kernels: its choice of kernels, its archive of files, and its table; the consoles are invented."""

import gzip
import lzma
import pathlib
import shutil
import subprocess
import sys
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools" / "kernels"))

# pylint: disable=wrong-import-position
import archive
import image
import table

OLD = """[    1.0] noise
@@ kernel 5.10.0-1
@@ program tests-contract-test_map
../tests/contract/test_map.c:9:P:test_a_view_is_shared:test_a_view_is_shared:0: Passed
../tests/contract/test_map.c:19:P:test_populating:test_populating:1000000: Passed
../tests/contract/test_map.c:29:F:test_holes:test_holes:2000000: Assertion 'a == b' failed
SKIP test_populating: no MADV_POPULATE_WRITE
NOTE test_a_view_is_shared: privately

@@ ended tests-contract-test_map 1 1 1 1
@@ program tests-unit-test_ring
../tests/unit/test_ring.c:9:P:test_order:test_order:0: Passed
../tests/unit/test_ring.c:9:E:test_order:test_order:1: (after this point) Received signal 11
@@ ended tests-unit-test_ring 1 1 1 0
@@ done
"""
NEW = """@@ kernel 7.3.4
@@ program tests-contract-test_map
x/test_map.c:9:P:test_a_view_is_shared:test_a_view_is_shared:0: Passed
x/test_map.c:19:P:test_populating:test_populating:1000000: Passed
x/test_map.c:29:P:test_holes:test_holes:2000000: Passed
NOTE test_a_view_is_shared: shared
@@ ended tests-contract-test_map 0 3 0 0
@@ program tests-unit-test_ring
"""
DOCUMENT = (
    "# Kernels\n\nOf a view is shared it is said what follows.\n\n" + table.BEGIN + "old\n" + table.END + "the rest\n"
)
SHOWN = """Package: linux-image-cloud-amd64
Version: 6.1.176-1
Depends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)

Package: linux-image-cloud-amd64
Version: 6.1.192-3
Depends: linux-image-6.1.0-57-cloud-amd64 (= 6.1.192-3)

Package: linux-image-cloud-amd64
Version: 5.10.262-1
Depends: linux-image-5.10.0-46-cloud-amd64 (= 5.10.262-1)

Package: linux-image-cloud-amd64
Version: 7.3~rc7-1
Depends: linux-image-7.3-cloud-amd64 (= 7.3~rc7-1)

Package: linux-image-cloud-amd64
Version: 7.2.13-1
Depends: linux-image-7.2.13+deb14-cloud-amd64 (= 7.2.13-1)
"""


class Choice(unittest.TestCase):
    def test_the_newest_of_each_series(self):
        chosen = archive.choose(archive.choices(SHOWN), ["newest", "6.1", "5.10"])
        self.assertEqual([version for version, _ in chosen], ["5.10.262-1", "6.1.192-3", "7.2.13-1"])
        self.assertEqual(chosen[1][1], "linux-image-6.1.0-57-cloud-amd64")

    def test_a_series_that_is_not_there(self):
        with self.assertRaisesRegex(archive.Trouble, "no kernel 4.19; it has 5.10, 6.1, 7.2"):
            archive.choose(archive.choices(SHOWN), ["4.19"])

    def test_sources_come_from_the_machine(self):
        lines = archive.sources(
            "Debian|http://a/debian|\nDebian-Security|http://a/security|\nOther|http://b|\n".replace("|\n", "\n")
        )
        self.assertTrue(any("http://a/debian bullseye main" in line for line in lines))
        self.assertTrue(any("http://a/security bookworm-security main" in line for line in lines))
        self.assertFalse(any("http://b" in line for line in lines))


class Files(unittest.TestCase):
    def test_an_archive_has_folders_before_files(self):
        cpio = image.Cpio()
        cpio.file("a/b/c", b"12345", 0o644)
        self.assertEqual(list(cpio.files), ["a", "a/b", "a/b/c"])
        data = cpio.bytes()
        self.assertEqual(len(data) % 4, 0)
        self.assertEqual(data.count(b"070701"), 4)
        self.assertIn(b"12345\0\0\0", data)

    def test_modules_are_unpacked(self):
        plain = b"a module " * 1000
        self.assertEqual(image.unpacked("fuse", ".ko", plain), plain)
        self.assertEqual(image.unpacked("fuse", ".xz", lzma.compress(plain)), plain)
        self.assertEqual(image.unpacked("fuse", ".gz", gzip.compress(plain)), plain)
        with self.assertRaisesRegex(archive.Trouble, "not known here: .br"):
            image.unpacked("fuse", ".br", plain)

    def test_modules_packed_by_zstd(self):
        plain = b"a module " * 1000
        with unittest.mock.patch("shutil.which", return_value=None):
            with self.assertRaisesRegex(archive.Trouble, "install the package zstd"):
                image.unpacked("fuse", ".zst", b"")
        if not shutil.which("zstd"):
            self.skipTest("zstd is not here")
        packed = subprocess.run(["zstd", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(image.unpacked("fuse", ".zst", packed), plain)
        with self.assertRaisesRegex(archive.Trouble, "zstd cannot unpack"):
            image.unpacked("fuse", ".zst", b"nonsense")

    def test_init_has_its_number(self):
        text = image.init_of(10).decode()
        self.assertIn("CK_TIMEOUT_MULTIPLIER=10", text)
        self.assertNotIn("@SLOWNESS@", text)


class Tables(unittest.TestCase):
    def setUp(self):
        self.old, self.new = table.Console(OLD), table.Console(NEW)

    def test_what_held(self):
        key = ("tests-contract-test_map", "test_populating")
        self.assertEqual(self.old.states[key], table.SKIPPED)
        self.assertEqual(self.new.states[key], table.PASSED)

    def test_failures_are_told(self):
        told = "\n".join(self.old.failures())
        self.assertIn("contract-test_map: test_holes: Assertion", told)
        self.assertIn("unit-test_ring: test_order: (after", told)

    def test_a_machine_that_stopped(self):
        self.assertEqual(
            self.new.failures(), ["unit-test_ring: ended with status None", "the machine did not come to its end"]
        )

    def test_the_table(self):
        text = table.renew(DOCUMENT, [self.old, self.new])
        self.assertIn("|  | 5.10.0-1 | 7.3.4 |", text)
        self.assertIn("| a view is shared | yes: privately | yes: shared |", text)
        self.assertIn("| populating | (no MADV_POPULATE_WRITE) | yes |", text)
        self.assertIn("| holes | NO | yes |", text)
        self.assertTrue(text.startswith("# Kernels") and text.endswith("the rest\n") and "old" not in text)
        self.assertEqual(table.renew(text, [self.old, self.new]), text)

    def test_long_reasons_have_lines_of_their_own(self):
        why = "no " + "large " * 15 + "page"
        text = table.renew(DOCUMENT, [table.Console(OLD.replace("no MADV_POPULATE_WRITE", why)), self.new])
        self.assertIn(f"| populating | - | yes |\n| *5.10.0: ({why})* |  |  |\n", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 120)

    def test_rooms_that_did_not_run_stay(self):
        text = table.renew(DOCUMENT, [self.old, self.new])
        seal = NEW.replace("test_map", "test_seal").replace("test_a_view_is_shared", "test_seals_hold")
        again = table.renew(text, [table.Console(seal.replace("7.3.4", release)) for release in ("5.10.0-1", "7.3.4")])
        self.assertIn("| a view is shared | yes: privately | yes: shared |", again)
        self.assertIn("| seals hold | yes: shared | yes: shared |", again)
        self.assertLess(again.index("**map**"), again.index("**seal**"))
        self.assertLess(again.index("**seal**"), again.index("own tests**"))
        other = table.renew(text, [table.Console(seal)])
        self.assertNotIn("| a view is shared |", other)

    def test_what_nobody_explains(self):
        self.assertEqual(table.unexplained(DOCUMENT, [self.old, self.new]), ["populating", "holes"])


if __name__ == "__main__":
    unittest.main()
