#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The driver of the benchmark: its comparisons and its conclusions. Runs no cell; the measurements are invented."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench" / "run"))

# pylint: disable=wrong-import-position
import against
import cells
import compare
import distance
import document
import memory
import plan
import plots
import scale
import tables
from cells import Cell, Results, Runner
from promises import promises
from sizes import SIZES
from targets import Contest, CountTarget, FloorTarget, ProgramTarget, SkippedTarget, Target, Verdict
from targets import floor as floor_cell

SUBJECT, OTHER, THIRD = Cell("sealane"), Cell("floors", system="shared"), Cell("floors", system="socket")


def measured(p50, before=128.0, after=None, **more):
    after = before if after is None else after
    floor = None if before is None else (before + after) / 2
    line = {
        "system": "some",
        "variant": "",
        "note": "",
        "p50_ns": p50,
        "p99_ns": p50,
        "p999_ns": p50,
        "max_ns": p50,
        "rate": None,
        "floor_ns": floor,
    }
    line |= {"floor_before_ns": before, "floor_after_ns": after, "ratio": floor and p50 and p50 / floor}
    return line | more


def results_of(*pairs):
    results = Results()
    for cell, measurement in pairs:
        results.add(cell, measurement)
    return results


class States(unittest.TestCase):
    def test_the_floor_tells_the_state(self):
        for floor, state in ((40, "near"), (128, "middle"), (550, "far"), (None, "one")):
            self.assertEqual(cells.state_of(measured(1, floor)), state)

    def test_a_floor_that_changed_is_not_steady(self):
        self.assertTrue(cells.is_steady(measured(1, 120, 140)))
        self.assertFalse(cells.is_steady(measured(1, 128, 480)))
        self.assertFalse(cells.is_steady(measured(1, 128) | {"floor_before_ns": None}))
        self.assertTrue(cells.is_steady(measured(1, None)))

    def test_a_cell_that_was_disturbed_in_the_middle_is_not_the_best(self):
        results = results_of((SUBJECT, measured(260, rate=1e9 / 270)), (SUBJECT, measured(74, rate=1e9 / 300)))
        self.assertEqual(results.best(SUBJECT)["p50_ns"], 260)
        self.assertEqual(results_of((SUBJECT, measured(74, rate=1e9 / 300))).best(SUBJECT)["p50_ns"], 74)

    def test_only_cells_of_one_state_are_compared(self):
        contest = Contest(SUBJECT, [OTHER], 1.1)
        apart = results_of((SUBJECT, measured(100, 40)), (OTHER, measured(500, 550)))
        self.assertIsNone(contest.ratio(apart))
        apart.add(OTHER, measured(80, 40))
        self.assertEqual(contest.ratio(apart)[:2], (100 / 80, "near"))

    def test_a_cell_that_cannot_be_run_does_not_count(self):
        results = results_of((SUBJECT, measured(100)), (OTHER, measured(50)))
        results.reasons[THIRD] = "cannot: does not wait that way"
        self.assertEqual(Contest(SUBJECT, [OTHER, THIRD], 1.1).ratio(results), (2.0, "middle", OTHER))

    def test_the_best_of_the_others_counts_and_the_best_of_each(self):
        results = results_of((SUBJECT, measured(90)), (SUBJECT, measured(120)), (OTHER, measured(100)))
        results.add(THIRD, measured(60))
        self.assertEqual(Contest(SUBJECT, [OTHER, THIRD], 1.1).ratio(results), (1.5, "middle", THIRD))


class Verdicts(unittest.TestCase):
    def verdict(self, subject, other, limit=1.1, **more):
        results = results_of((SUBJECT, measured(subject)), (OTHER, measured(other)))
        return Target("it", limit, [Contest(SUBJECT, [OTHER], limit)], **more).verdict(results)

    def test_a_ratio_holds_up_to_its_limit(self):
        self.assertTrue(self.verdict(110, 100).holds)
        self.assertFalse(self.verdict(111, 100).holds)

    def test_a_rate_holds_from_its_limit_on(self):
        self.assertTrue(self.verdict(125, 100, 0.8, is_rate=True).holds)
        self.assertFalse(self.verdict(126, 100, 0.8, is_rate=True).holds)

    def test_the_worst_contest_decides(self):
        large = SUBJECT.but(size=4096), OTHER.but(size=4096)
        results = results_of((SUBJECT, measured(1)), (OTHER, measured(1)))
        results.add(large[0], measured(3))
        results.add(large[1], measured(2))
        target = Target("it", 1.1, [Contest(SUBJECT, [OTHER], 1.1), Contest(large[0], [large[1]], 1.1)])
        verdict = target.verdict(results)
        self.assertFalse(verdict.holds)
        self.assertIn("1.50 (4 KiB", verdict.measured)

    def test_each_size_that_misses_is_named(self):
        sizes = [(SUBJECT.but(size=size), OTHER.but(size=size)) for size in (64, 104, 4096)]
        results = Results()
        for (subject, other), ns in zip(sizes, (200, 100, 150)):
            results.add(subject, measured(ns))
            results.add(other, measured(100))
        target = Target("it", 1.1, [Contest(subject, [other], 1.1) for subject, other in sizes])
        verdict = target.verdict(results)
        self.assertEqual(tables.miss_lines([verdict]), ["misses of it: 64 B 2.00 middle · 4 KiB 1.50 middle"])
        self.assertEqual(tables.miss_lines([self.verdict(200, 100)]), [])

    def test_what_was_not_measured_does_not_hold(self):
        target = Target("it", 1.1, [Contest(SUBJECT, [OTHER], 1.1), Contest(SUBJECT, [THIRD], 1.1)])
        verdict = target.verdict(results_of((SUBJECT, measured(1)), (OTHER, measured(1))))
        self.assertFalse(verdict.holds)
        self.assertIn("1 not measured", verdict.measured)
        self.assertFalse(target.verdict(Results()).holds)

    def test_a_peer_that_fails_is_no_miss_of_ours(self):
        contests = [Contest(SUBJECT, [OTHER], 1.0), Contest(SUBJECT, [THIRD], 1.0)]
        results = results_of((SUBJECT, measured(1)), (OTHER, measured(1)))
        results.reasons[THIRD] = "failed: it fell"
        self.assertTrue(Target("it", 1.0, contests, others_may_fail=True).verdict(results).holds)
        self.assertFalse(Target("it", 1.0, contests).verdict(results).holds)

    def test_a_call_against_the_floor(self):
        target = FloorTarget("it", 1.2, SUBJECT)
        self.assertTrue(target.verdict(results_of((SUBJECT, measured(150, 128)))).holds)
        self.assertFalse(target.verdict(results_of((SUBJECT, measured(160, 128)))).holds)
        self.assertFalse(target.verdict(Results()).holds)

    def test_a_state_may_have_a_limit_of_its_own(self):
        target = Target("it", 0.6, [Contest(SUBJECT, [OTHER], 0.6)], is_rate=True, limits={"far": 0.9})
        for floor, ratio, holds in ((128, 0.65, True), (128, 0.55, False), (500, 0.85, False), (500, 0.95, True)):
            results = results_of((SUBJECT, measured(100, floor)), (OTHER, measured(100 * ratio, floor)))
            verdict = target.verdict(results)
            self.assertEqual((verdict.holds, verdict.limit), (holds, ">= 0.90" if floor == 500 else ">= 0.60"))

    def test_the_tail_is_compared_with_the_tail(self):
        target = Target("it", 1.2, [Contest(SUBJECT, [OTHER], 1.2, figure="p999_ns")])
        results = results_of((SUBJECT, measured(100, p999_ns=300)), (OTHER, measured(100, p999_ns=200)))
        self.assertFalse(target.verdict(results).holds)
        results.add(SUBJECT, measured(150, p999_ns=240))
        self.assertTrue(target.verdict(results).holds)

    def test_crowds_are_compared_by_their_rates(self):
        contest = Contest(SUBJECT, [OTHER], 1.15, figure="rate")
        results = results_of((SUBJECT, measured(6400, rate=1e6)), (OTHER, measured(100, rate=2e6)))
        self.assertEqual(contest.ratio(results)[0], 2)

    def test_a_program_of_its_own_is_judged_by_the_median_of_its_rounds(self):
        target = ProgramTarget("it", 2, "some", [], lambda line: line["x"], lambda value, line: f"{value}, {line['x']}")
        results = Results()
        self.assertFalse(target.verdict(results).holds)
        results.answers["it"] = [dict(x=x) for x in (1, 9, 2)], None
        self.assertEqual((target.verdict(results).holds, target.verdict(results).measured), (True, "2, 2"))
        results.answers["it"] = [dict(x=x) for x in (1, 9, 3)], None
        self.assertFalse(target.verdict(results).holds)
        results.answers["it"] = None, "failed: it fell"
        self.assertEqual(target.verdict(results).measured, "failed: it fell")

    def test_counts(self):
        target = CountTarget("it", 0, "wakeups_per_s", [SUBJECT, OTHER])
        still = results_of((SUBJECT, measured(None, wakeups_per_s=0.0)), (OTHER, measured(None, wakeups_per_s=0.0)))
        self.assertTrue(target.verdict(still).holds)
        self.assertFalse(target.verdict(results_of((SUBJECT, measured(None, wakeups_per_s=0.0)))).holds)
        still.by_cell[OTHER][0]["wakeups_per_s"] = 0.5
        self.assertFalse(target.verdict(still).holds)

    def test_a_look_at_the_socket_each_millisecond_is_no_call_per_message(self):
        for calls, beyond in ((0.06, 0.04), (0.02, 0), (0, 0)):
            line = measured(None, syscalls_per_msg=calls, n=100000, seconds=1)
            results = results_of((SUBJECT, line))
            self.assertAlmostEqual(results.lines[0]["syscalls_but_looks"], beyond)

    def test_each_line_ends_with_its_verdict(self):
        lines = tables.target_lines([self.verdict(100, 100), self.verdict(200, 100)])
        self.assertEqual([line.split()[-1] for line in lines[1:]], ["HOLDS", "MISSES"])


class Plans(unittest.TestCase):
    def test_a_cell_runs_until_its_floors_agree(self):
        lines = [measured(1, 128, 480), measured(2, 480, 480), measured(3, 480, 480)]
        runner = Runner(pathlib.Path("."), 0.1, is_quiet=True)
        runner.run_once = lambda cell, seconds: (lines.pop(0), None)
        runner.run(SUBJECT)
        self.assertEqual([m["p50_ns"] for m in runner.results.lines], [2])

    def test_rounds_go_on_until_all_were_seen_in_one_state(self):
        floors = {SUBJECT: [40, 40, 128], OTHER: [128, 550, 128]}
        runner = Runner(pathlib.Path("."), 0.1, is_quiet=True)
        runner.run_once = lambda cell, seconds: (measured(1, floors[cell].pop(0)), None)
        runner.run_rounds([SUBJECT, OTHER], 1)
        self.assertEqual(runner.results.common_state([SUBJECT, OTHER]), "middle")
        self.assertEqual(floors, {SUBJECT: [], OTHER: []})

    def test_what_cannot_be_run_is_not_tried_again(self):
        tried = []
        runner = Runner(pathlib.Path("."), 0.1, is_quiet=True)
        runner.run_once = lambda cell, seconds: (tried.append(cell), (None, "cannot: no"))[1]
        runner.run_rounds([SUBJECT], 3)
        self.assertEqual((tried, runner.results.reasons), ([SUBJECT], {SUBJECT: "cannot: no"}))

    def test_what_failed_is_tried_again(self):
        answers = [(None, "failed: once"), (measured(1), None)]
        runner = Runner(pathlib.Path("."), 0.1, is_quiet=True)
        runner.run_once = lambda cell, seconds: answers.pop(0)
        runner.run_rounds([SUBJECT], 2)
        self.assertEqual((len(runner.results.lines), runner.results.reasons), (1, {}))

    def test_every_target_has_cells_and_a_name_of_its_own(self):
        for is_quick in (True, False):
            all_targets = promises(is_quick)
            self.assertEqual(len({target.what for target in all_targets}), len(all_targets))
            for target in all_targets:
                self.assertTrue(target.cells() or isinstance(target, (ProgramTarget, SkippedTarget)), target.what)


    def test_targets_that_share_a_cell_are_measured_together_once(self):
        second = Target("b", 1.2, [Contest(SUBJECT, [THIRD], 1.2)], seconds=0.3)
        apart = SUBJECT.but(size=4096)
        found = plan.groups([Target("a", 1.1, [Contest(SUBJECT, [OTHER], 1.1)]), FloorTarget("c", 1.2, apart), second])
        self.assertEqual(
            [(set(group.cells), group.seconds) for group in found], [({apart}, None), ({SUBJECT, OTHER, THIRD}, 0.3)]
        )
        self.assertEqual(len(found[1].cells), 3)

    def test_each_scale_has_sizes_that_are_no_powers_of_two(self):
        self.assertGreaterEqual(len(SIZES), 20)
        self.assertEqual((min(SIZES), max(SIZES), sorted(SIZES)), (32, 16 << 20, SIZES))
        self.assertGreaterEqual(sum(size & (size - 1) != 0 for size in SIZES), 10)
        self.assertTrue(all(size % 8 == 0 for size in SIZES))  # payloads are words

    def test_a_system_that_is_not_there_is_skipped_and_named(self):
        skipped = [target.verdict(Results()) for target in promises(True) if isinstance(target, SkippedTarget)]
        self.assertEqual([verdict.word() for verdict in skipped], ["SKIPPED"] * 2)
        self.assertIn("bench/peer_aeron is not built", skipped[0].measured)


class Against(unittest.TestCase):
    NEW = Cell("sealane", size=1024)

    def setUp(self):
        self.opponent = against.Opponent("8f6d15c79b9c3267db391a415dbf22d21a7ad547", "/old/sealane")
        self.old = self.opponent.cell(self.NEW)

    def rows(self, *pairs):
        return against.rows(results_of(*pairs), self.opponent, [self.NEW])

    def test_builds_are_compared_within_each_state(self):
        near, far = measured(100, 40), measured(900, 500)
        new = [(self.NEW, measured(50, 40)), (self.NEW, measured(990, 500))]
        rows = self.rows((self.old, near), (self.old, far), *new)
        self.assertEqual(
            rows,
            [
                ("1 KiB", "100 ns", "50 ns", "0.50", "near", "faster"),
                ("1 KiB", "900 ns", "990 ns", "1.10", "far", ""),
            ],
        )
        self.assertEqual(self.rows((self.old, near), (self.NEW, measured(50, 500))), [])

    def test_the_document_has_a_row_for_each_cell(self):
        cell = against.present_cells(True)[0]
        results = results_of((cell, measured(50, 40)), (self.opponent.cell(cell), measured(100, 40)))
        text = against.section(results, [self.opponent], True)
        self.assertIn("### Against 8f6d15c79\n", text)
        self.assertIn("\n| 32 B | 100 ns → 50 ns (0.50) | - | - |", text)

    def test_what_the_floor_disturbed_does_not_count(self):
        self.assertEqual(self.rows((self.old, measured(100)), (self.NEW, measured(50, 100, 200))), [])

    def test_a_line_says_whose_library_it_measured(self):
        results = results_of((self.old, measured(100)), (self.NEW, measured(50)))
        self.assertEqual([m["commit"] for m in results.lines], ["8f6d15c79", ""])

    def test_milestones_have_targets_and_other_commits_have_none(self):
        (target,) = against.targets_of(self.opponent)
        self.assertEqual((target.limit, [c.subject.size for c in target.contests]), (0.5, [1024, 4096]))
        self.assertEqual(against.targets_of(against.Opponent("1" * 40, "/old/sealane")), [])

    def test_a_milestone_that_is_not_there_is_skipped_and_named(self):
        nowhere = pathlib.Path("/nonexistent")
        skipped = [target.verdict(Results()) for target in against.milestones(nowhere, nowhere, lambda what: True)]
        self.assertEqual([verdict.word() for verdict in skipped], ["SKIPPED"] * len(against.MILESTONES))
        self.assertIn("there is no commit", skipped[0].measured)
        self.assertEqual(against.milestones(nowhere, nowhere, lambda what: False), [])

    def test_a_milestone_compares_with_its_own_commit(self):
        (target,) = against.targets_of(self.opponent)
        large = self.NEW.but(size=4096)
        results = results_of((self.NEW, measured(49)), (self.old, measured(100)))
        results.add(large, measured(49))
        results.add(self.opponent.cell(large), measured(100))
        self.assertTrue(target.verdict(results).holds)
        results.by_cell[large][0]["p50_ns"] = 51
        self.assertFalse(target.verdict(results).holds)


class Distance(unittest.TestCase):
    def results(self):
        results = Results()
        for floor, ours, single, rotating in ((40, 100, 90, 80), (500, 400, 500, 600)):
            results.add(Cell("sealane"), measured(ours, floor))
            for variant, ns in (("single", single), ("rotating", rotating)):
                results.add(floor_cell("shared", variant=variant), measured(ns, floor))
        return results

    def test_each_state_has_its_own_rows_and_the_best_by_hand_counts(self):
        near, far = (distance.rows(self.results(), [], state) for state in ("near", "far"))
        self.assertEqual(near, [("64 B", "100 ns", "80 ns", "-", "1.25")])
        self.assertEqual(far, [("64 B", "400 ns", "500 ns", "-", "0.80")])
        self.assertEqual(distance.rows(self.results(), [], "middle"), [])

    def test_the_size_that_the_present_state_lacks_is_next_until_none_lacks_any(self):
        states, sizes, now = [500] * 80 + [128] * 80 + [40], [], iter(range(100000))
        runner = Runner(pathlib.Path("."), 0.1, is_quiet=True)

        def run_once(cell, _seconds):
            sizes.append(cell.size)
            return measured(cell.size, states[min(len(sizes) // 4, len(states) - 1)]), None

        runner.run_once = run_once
        distance.run(runner, [], budget=10000, clock=lambda: next(now))
        self.assertTrue(distance.is_complete(runner.results, []))
        self.assertEqual(set(sizes), set(SIZES))

    def test_the_section_has_the_states_that_were_seen(self):
        text = distance.section(self.results(), [])
        self.assertEqual([word in text for word in ("### Near", "### Middle", "### Far")], [True, False, True])

    def test_fast_systems_of_other_people_have_a_column(self):
        peers = [compare.peer_of("aeron", "/p/peer_aeron"), compare.peer_of("zeromq", "/p/peer_zeromq")]
        self.assertEqual(distance.headings(peers), ("size", "Sealane", "by hand", "Unix socket", "aeron", "ratio"))
        results = self.results()
        results.add(peers[0].make(case="roundtrip", mode="spin", size=64), measured(50, 40))
        self.assertEqual(distance.rows(results, peers, "near")[0][-2:], ("50 ns", "2.00"))


class Plots(unittest.TestCase):
    def test_near_and_far_have_a_panel_each(self):
        results = Results()
        for floor, ns in ((40, 100), (500, 900)):
            for size in (64, 104):
                line = measured(ns + size, floor, system="sealane", variant="auto", mode="spin", size=size)
                line |= dict(case="roundtrip", touch="full", clients=1, cpus="0,1")
                results.add(Cell("sealane", size=size), line)
        (plot,) = plots.distances([], [])
        script = plots.script(plot, results, "svg", "out.svg")
        self.assertIn("$near_1_1 << END\n64 0.164\n104 0.204\nEND", script)
        self.assertIn("$far_1_1 << END\n64 0.964\n104 1.004\nEND", script)
        self.assertIn("layout 1,2", script)  # no panel for a state that was not seen

    def test_an_earlier_library_has_a_line_of_its_own(self):
        _, plot = plots.distances([], ["8f6d15c79"])
        ours = dict(system="sealane", variant="auto", case="roundtrip", touch="full", clients=1, cpus="0,1")
        fits = [[wanted.fits(ours | dict(commit=name)) for wanted in plot.lines] for name in ("", "8f6d15c79")]
        self.assertEqual(fits, [[True, False], [False, True]])


class Loans(unittest.TestCase):
    def rounds(self, *pairs):
        return [{"sealane": ours, "glibc": 2 * best, "jemalloc": best} for ours, best in pairs]

    def test_the_least_disturbed_rounds_are_compared(self):
        ratio, best = memory.loan_ratio(self.rounds((14, 20), (28, 10), (28, 20)))  # the machine slowed down
        self.assertEqual((ratio, best), (1.4, "jemalloc"))

    def test_the_worst_size_decides(self):
        class Cases:
            is_quick = True

            def ask(self, _case, _option, system, preload=None):
                ns = {"sealane": 14, "glibc": 10}.get(system, 20)
                return [dict(pattern="one", size=size, ns=ns * (size // 64)) for size in (64, 128)] + [
                    dict(pattern="window", size=64, ns=16 if system == "sealane" else 10)
                ]

        (verdict,), table = memory.judge_loans(Cases())
        self.assertFalse(verdict.holds)
        self.assertIn("1.60 (window, 64 B", verdict.measured)
        self.assertEqual(len(table), 4)


class Memory(unittest.TestCase):
    def answers(self, lines):
        cases = memory.Cases(pathlib.Path("none"), True)
        cases.ask = lambda *words, **_: lines(*words)
        return cases

    def spikes(self, after):
        def lines(_case, _option, variant, *_):
            return [
                dict(moment="grows", resident=900 * memory.MIB, expected=100),
                dict(moment="after", resident=100, expected=100),
                dict(moment="after", resident=after[variant], expected=100),
            ]

        verdicts, _ = memory.judge_spikes(self.answers(lines))
        return [verdict.holds for verdict in verdicts]

    def test_a_spike_goes_when_rotated_and_only_then(self):
        good = {"rotate": 105, "rotate-pair": 90, "still": 150, "still-pair": 106}
        self.assertEqual(self.spikes(good), [True] * 4)
        self.assertEqual(self.spikes(good | {"rotate": 106, "still": 104}), [False, True, False, True])

    def test_waste_is_of_the_whole_day(self):
        lines = [dict(mapped=120, asked=100), dict(mapped=30, asked=10)]

        def holds(default, spare):
            verdicts, _ = memory.judge_waste(
                self.answers(lambda *words: {"default": default, "spare": spare}[words[2]])
            )
            return [verdict.holds for verdict in verdicts]

        self.assertEqual(holds(lines[:1], lines[:1]), [True, True])
        self.assertEqual(holds(lines, lines[:1]), [False, True])
        self.assertEqual(holds(lines[:1], None), [True, False])

    def test_the_good_are_compared_with_themselves(self):
        lines = [dict(bad=3 * (i % 2), rate=rate) for i, rate in enumerate((100, 91, 100, 46, 1, 1, 1))]
        self.assertTrue(memory.judge_fair(self.answers(lambda *_: lines))[0][0].holds)  # the machine slowed down
        lines[1]["rate"], lines[3]["rate"] = 89, 45
        self.assertFalse(memory.judge_fair(self.answers(lambda *_: lines))[0][0].holds)

    def refusals(self, *changes):
        good = dict(limit="a", named=True, served=True, before=100, after=100, refusal="a: why")
        lines = [good | {"class": name} | change for change in changes for name in ("pooled", "sealed")]
        (verdict,), _ = memory.judge_refusals(self.answers(lambda *_: lines))
        return verdict

    def test_each_limit_is_explained_and_speed_comes_back(self):
        self.assertTrue(self.refusals({}, {"limit": "b"}).holds)
        self.assertTrue(self.refusals({}, {"after": 50}, {"after": 91}).holds)  # the machine slowed down, once
        self.assertFalse(self.refusals({}, {"limit": "b", "after": 89}).holds)
        self.assertFalse(self.refusals({}, {"named": False}).holds)
        self.assertFalse(self.refusals({}, {"served": False}).holds)
        untried = self.refusals({}, {"limit": "b", "why": "no rights"})
        self.assertTrue(untried.holds and "not tried: b" in untried.measured)
        self.assertFalse(self.refusals({"why": "no rights"}).holds)

    def test_who_was_killed_makes_a_limit_wrong(self):
        lines = [dict(limit="b", ended=137)]
        self.assertFalse(memory.judge_refusals(self.answers(lambda *_: lines))[0][0].holds)

    def soak(self, rise, noise, period=1):
        def line(who, t):
            value = 1000 + rise * t + noise * (1 if t // period % 2 else -1)
            return dict(who=who, t=t, fds=value, mappings=value, resident=value * 1e6, shmem=value * 1e6)

        lines = [line(who, t) for t in range(240) for who in ("server", "client")]
        verdicts = memory.judge_soak(self.answers(lambda *_: lines), 240)
        self.assertEqual({"too noisy" in verdict.measured for verdict in verdicts}, {period > 1})
        return [verdict.holds for verdict in verdicts]

    def test_what_grows_is_found_and_what_only_varies_is_not(self):
        self.assertEqual(self.soak(0, 300), [True] * 8)
        self.assertEqual(self.soak(-1, 0), [True] * 8)
        self.assertEqual(self.soak(1, 0), [False] * 8)
        self.assertEqual(self.soak(1, 100), [False] * 8)

    def test_growth_does_not_hide_in_noise(self):
        self.assertEqual(self.soak(0, 900, 30), [False] * 8)
        self.assertEqual(self.soak(2, 900, 30), [False] * 8)

    def test_what_was_not_measured_does_not_hold(self):
        nothing = self.answers(lambda *_: None)
        for judge in (
            memory.judge_loans, memory.judge_spikes, memory.judge_waste, memory.judge_refusals, memory.judge_fair
        ):
            self.assertFalse(any(verdict.holds for verdict in judge(nothing)[0]))
        self.assertFalse(memory.judge_soak(nothing, 1)[0].holds)


class Document(unittest.TestCase):
    def test_no_line_of_the_targets_is_too_wide(self):
        cell = "4 MiB, middle, against memfd huge; sealed, 2 MiB pages (THP)"
        beside = "spin 368 us, 99.9 % 1.36 ms · sleep 449 us, 99.9 % 5.46 ms"
        text = document.verdicts_table([Verdict("a target", "<= 1.15", f"1.47 ({cell})", False, beside)])
        self.assertIn("| a target | <= 1.15 | 1.47 | **misses** |", text)
        self.assertIn(f"* a target: {cell}; {beside}", " ".join(text.split()))
        self.assertLessEqual(max(map(len, text.splitlines())), document.WIDTH)


class Scale(unittest.TestCase):
    @staticmethod
    def found(each=(4096, 4000, 50), slab=16384, left=0, rate=2500, beside=110):
        """Results for 100 connections, one server and two clients."""

        def lines(moment, share, machine):
            sizes = dict(zip(("anon", "shmem", "tables"), (round(share * size) for size in each)))
            for who, part in (("servers", 1), ("clients", 2), ("clients", 2)):
                yield dict(
                    moment=moment, who=who, **{kind: 7777 + size // part for kind, size in sizes.items()}, slab=0
                )
            yield dict(moment=moment, who="machine", anon=0, shmem=0, tables=0, slab=10**9 + machine)

        share = left / sum(each)
        rounds = [dict(round=i, alone_ns=100 + i, beside_ns=beside + i) for i in range(3)]
        spread = dict(count=100, servers=1, per_server=100, clients=2, rate=rate)
        return scale.Found(
            [*lines("start", 0, 0), spread, *lines("idle", 100, 100 * slab), *rounds, *lines("closed", share, 0)]
        )

    def holds(self, **changes):
        return [verdict.holds for verdict in scale.judge(self.found(**changes))]

    def test_each_promise_is_judged_by_its_own_figures(self):
        self.assertEqual(self.holds(), [True] * 6)
        # with a half of the slab
        self.assertEqual(self.holds(each=(8193, 0, 0)), [False, False, True, True, True, True])
        self.assertEqual(self.holds(rate=1999), [True, True, False, True, True, True])
        self.assertEqual(self.holds(beside=123), [True, True, True, False, True, True])
        self.assertEqual(self.holds(left=1.5 * scale.MIB), [True, True, True, True, False, True])
        self.assertEqual(self.holds(left=2.5 * scale.MIB)[4:], [False, False])

    def test_the_section_is_written_and_kept(self):
        path = pathlib.Path("scale-document.md")
        path.write_text("# Title\n\ntext\n")
        for count in (1, 2):
            found = self.found(rate=5000 + count)
            document.write_section(path, document.SCALE, scale.section(found, scale.judge(found)))
        text = path.read_text()
        self.assertEqual((text.count(document.SCALE), text.count("| 5002 |"), text.count("| 5001 |")), (1, 1, 0))
        self.assertTrue(text.startswith("# Title\n\ntext\n\n" + document.SCALE))
        self.assertEqual(document.section_of(path, document.SCALE), text[text.index(document.SCALE) :])
        path.unlink()


if __name__ == "__main__":
    unittest.main()
