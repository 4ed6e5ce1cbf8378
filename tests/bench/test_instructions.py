#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The counter of instructions: what it reads, and how it judges. Runs no program; the counts are invented."""

import contextlib
import io
import os
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "bench" / "run"))

# pylint: disable=wrong-import-position
import instructions

DUMP = (HERE / "callgrind.txt").read_text()
TOLD = {"compiler": "gcc 1", "libc": "glibc 2"}
COUNTS = {("call-64", "client"): 400.0, ("call-64", "server"): 500.0}


class Dump(unittest.TestCase):
    def setUp(self):
        self.part = instructions.parse(DUMP)

    def test_a_function_has_its_own_costs_alone(self):
        # 400 + 250 + 50 + 100 + 30: not the 700 and 900 of what it calls
        self.assertEqual(self.part.functions["sea_call_bytes"], 830)

    def test_the_c_library_counts_and_the_harness_does_not(self):
        self.assertEqual(self.part.functions["memcpy"], 700)
        self.assertEqual(set(self.part.functions), {"sea_call_bytes", "memcpy", "call_start"})
        self.assertEqual(self.part.total(), 1550)

    def test_lines_of_headers_keep_their_file(self):
        self.assertEqual(self.part.lines["sea_call_bytes", "lane/small.h", 49], 250)
        self.assertEqual(self.part.lines["sea_call_bytes", "rpc/call.c", 295], 100)

    def test_a_function_without_a_file_of_its_own_is_in_the_last_one(self):
        self.assertEqual(self.part.lines["call_start", "rpc/call.c", 104], 20)

    def test_dumps_are_found_by_process_and_number(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            for name in ("7", "7.1", "7.2", "9", "9.1"):
                (path / name).write_text(DUMP)
            cases = [("call-64", 10), ("send-64", 100)]
            with self.assertRaisesRegex(instructions.Trouble, "no dump of send-64, server"):
                instructions.read_dumps(path, 7, cases)
            (path / "9.2").write_text(DUMP.replace("\n288 400\n", "\n288 401\n"))
            found = instructions.read_dumps(path, 7, cases)
            self.assertEqual([(key, part.total(), count) for key, (part, count) in found.items()],
                             [(("call-64", "client"), 1550, 10), (("call-64", "server"), 1550, 10),
                              (("send-64", "client"), 1550, 100), (("send-64", "server"), 1551, 100)])
            (path / "11").write_text(DUMP)
            with self.assertRaisesRegex(instructions.Trouble, "dumps of 2 servers"):
                instructions.read_dumps(path, 7, cases)


class Output(unittest.TestCase):
    def test_the_program_says_what_it_counted(self):
        text = "compiler gcc 1.2\nlibc glibc 3\ncase call-64 4000 bytes\ncase send-1k 16000 pooled\n"
        self.assertEqual(instructions.parse_output(text),
                         ({"compiler": "gcc 1.2", "libc": "glibc 3"}, {"call-64": "bytes", "send-1k": "pooled"},
                          [("call-64", 4000), ("send-1k", 16000)]))


class Environment(unittest.TestCase):
    def test_the_settings_of_the_user_do_not_change_the_counts(self):
        with unittest.mock.patch.dict(os.environ, {"SEALANE_CHECK": "1", "SEALANE_CALIBRATION": "/some"}):
            found = instructions.environment()
        self.assertNotIn("SEALANE_CHECK", found)
        self.assertEqual((found["SEALANE_CALIBRATION"], found["PATH"]), ("", os.environ["PATH"]))


class Judgement(unittest.TestCase):
    def verdicts(self, client, server=500.0):
        counts = {("call-64", "client"): client, ("call-64", "server"): server}
        return [verdict for *_, verdict in instructions.judge(counts, COUNTS)]

    def test_two_per_cent_more_than_the_baseline_are_allowed(self):
        self.assertEqual(self.verdicts(408.0), ["", ""])
        self.assertEqual(self.verdicts(408.1), ["ABOVE", ""])
        self.assertEqual(self.verdicts(392.0, 511.0), ["", "ABOVE"])
        self.assertEqual(self.verdicts(391.9), ["below: renew the baseline", ""])

    def test_a_case_without_a_baseline_fails(self):
        rows = instructions.judge({("call-8", "client"): 1.0}, COUNTS)
        self.assertEqual([instructions.fails(verdict) for *_, verdict in rows], [True])
        self.assertEqual([instructions.fails(verdict) for verdict in self.verdicts(391.9)], [False, False])

    def test_budgets_add_up_their_sides(self):
        counts = {(case, side): 100.0 for case in ("call-64", "call-1k", "send-64") for side in instructions.SIDES}
        self.assertEqual([holds for *_, holds in instructions.judge_budgets(counts)], [True] * 4)
        counts["call-64", "server"], counts["send-64", "client"] = 350.1, 100.1
        self.assertEqual([(count, holds) for *_, count, _, holds in instructions.judge_budgets(counts)],
                         [(450.1, False), (200.0, True), (100.1, False), (100.0, True)])

    def test_the_committed_baseline_has_every_budget(self):
        path = HERE.parents[1] / "tools" / "instructions" / "baseline"
        told, counts = instructions.read_baseline(path.read_text())
        self.assertEqual(set(told), {"compiler", "libc"})
        self.assertEqual([case for case, sides, _ in instructions.BUDGETS for side in sides
                          if counts.get((case, side), 0) <= 0], [])


class Whole(unittest.TestCase):
    """main(), with invented counts in place of a run."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.baseline = pathlib.Path(self.folder.name) / "baseline"
        self.told = TOLD
        self.costs = {(case, side): 155.0 for case in ("call-64", "call-1k", "send-64") for side in instructions.SIDES}
        original = instructions.run
        self.addCleanup(setattr, instructions, "run", original)
        instructions.run = lambda program: (self.told, self.classes(),
                                            {key: (self.part(cost), 10) for key, cost in self.costs.items()})

    def classes(self):
        return {case: "inline" for case, _ in self.costs}

    @staticmethod
    def part(cost):
        part = instructions.Part()
        part.functions["sea_call_bytes"] = int(cost * 10)
        part.lines["sea_call_bytes", "rpc/call.c", 7] = int(cost * 10)
        return part

    def main(self, *options):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            result = instructions.main("program", self.baseline, *options)
        return result, output.getvalue()

    def test_a_baseline_is_written_and_judges_what_follows(self):
        self.assertEqual(self.main()[0], 1)
        self.assertEqual(self.main("--renew")[0], 0)
        self.assertEqual(instructions.read_baseline(self.baseline.read_text()), (TOLD, self.costs))
        self.costs["call-1k", "server"] = 160.0
        result, text = self.main()
        self.assertEqual((result, text.count("ABOVE")), (1, 1))

    def test_another_compiler_skips(self):
        self.main("--renew")
        self.told = {**TOLD, "compiler": "gcc 3"}
        self.costs["call-1k", "server"] = 160.0
        result, text = self.main()
        self.assertEqual(result, instructions.SKIPPED)
        self.assertIn("SKIP: instructions: the baseline is of gcc 1", text)

    def test_one_cpu_skips(self):
        self.told = None
        self.assertEqual(self.main()[0], instructions.SKIPPED)

    def test_budgets_fail_once_they_bind(self):
        self.main("--renew")
        self.costs["send-64", "client"] = 155.0
        result, text = self.main()
        self.assertEqual((result, text.count("MISSES")), (0, 2))
        self.addCleanup(setattr, instructions, "BUDGETS_ARE_BINDING", instructions.BUDGETS_ARE_BINDING)
        instructions.BUDGETS_ARE_BINDING = True
        self.assertEqual(self.main()[0], 1)

    def test_a_list_has_functions_and_lines_of_the_named_cases(self):
        text = self.main("--lines", "call-1")[1]
        self.assertIn("--- call-1k, client: 155.0\n    155.0  sea_call_bytes\n", text)
        self.assertIn("\n              155.0  rpc/call.c:7\n", text)
        self.assertNotIn("--- call-64", text)
        self.assertNotIn("rpc/call.c:7", self.main("--list")[1])

    def test_an_unknown_option_is_refused(self):
        self.assertEqual(self.main("--all")[0], 2)


if __name__ == "__main__":
    unittest.main()
