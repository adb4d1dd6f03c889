#!/usr/bin/env python3
"""What the wide-area benches compute themselves: networks of a wanted rho, settling, targets, tables and plots."""
import pathlib
import tempfile
import unittest
import xml.etree.ElementTree

import networks
import report
import settling
import targets
from training_runs import Run

LINK = {"from": 0, "to": 1, "direction": "forward"}


def steps_of(rungs, step_s=2.0, start_s=100.0):
    """Events of steps one after the other, with the rung of one link in each."""
    return [{"step": i + 1, "step_time_s": step_s, "unix_ms": 1e3 * (start_s + step_s * (i + 1)), "tokens": 10,
             "bytes_sent": 100 * (i + 1), "links": [LINK | {"rung": rung}]} for i, rung in enumerate(rungs)]


def row(**values):
    return {"of_unlimited": 0.9, "on_percent": 0.1, "off_percent": 1.0, "tokens_per_s": 10.0, "loss_on": 2.0,
            "marked": False, "method": "x"} | values


class Networks(unittest.TestCase):
    def test_rho_and_rate_are_each_others_inverse(self):
        rate = networks.mbps_for(10, 131072, 0.05)
        self.assertAlmostEqual(rate, 131072 * 8 / 0.5 / 1e6)
        self.assertAlmostEqual(networks.rho_of(rate, 131072, 0.05), 10)

    def test_cities_keep_delays_and_order_and_get_the_wanted_range(self):
        measured = networks.cities(["oregon", "virginia", "london", "tokyo"], delay_scale=0.5)
        self.assertEqual([delay for delay, _ in measured.links()], [33.5, 38.0, 105.0])
        stretched = networks.scaled(measured, 1.0, 30.0)
        rates = [rate for _, rate in stretched.links()]
        self.assertAlmostEqual(min(rates), 1.0)
        self.assertAlmostEqual(max(rates), 30.0)
        self.assertEqual([delay for delay, _ in stretched.links()], [33.5, 38.0, 105.0])
        self.assertEqual(sorted(range(3), key=lambda i: rates[i]),
                         sorted(range(3), key=lambda i: measured.links()[i][1]))
        plain = [rate for _, rate in networks.scaled(measured, 1.0).links()]
        self.assertAlmostEqual(max(plain), 1160 / 366, places=6)
        self.assertEqual(len(stretched.unlimited().paths), 6)

    def test_run_ahead_hides_the_longest_round_trip(self):
        self.assertEqual(networks.run_ahead_for(networks.uniform(100, 20), 0.05), 3)
        self.assertEqual(networks.run_ahead_for(networks.uniform(100, 200), 0.1), 6)

    def test_files_are_written_for_longhaul_wan(self):
        with tempfile.TemporaryDirectory() as name:
            network = networks.uniform(8, 20)
            network.trace = networks.lasting_trace(10, 20, 0.08)
            options = network.write(pathlib.Path(name))
            self.assertEqual(options, ["--wan", "network.csv", "--sites", "a,b,c,d", "--trace", "trace.yaml"])
            lines = (pathlib.Path(name) / "network.csv").read_text(encoding="utf-8").splitlines()
            self.assertEqual(lines[1:3], ["site_a,site_b,delay_ms,bandwidth_mbps", "a,b,20,8"])


class Settling(unittest.TestCase):
    def test_steps_after_a_change_are_counted_from_the_one_it_falls_into(self):
        steps = steps_of(["mild"] * 5 + ["mid", "hard"] + ["hard"] * 5 + ["mild"] * 6)
        # Steps last from 100 s on for 2 s each; the fifth has the first change, the twelfth the second.
        rows = settling.settle(steps, [109.0, 123.0])
        self.assertEqual([one["settled_after"] for one in rows], [2, 1])
        self.assertEqual(rows[0]["links"]["0 1 forward"],
                         {"before": "mild", "at_the_end": "hard", "settled_after": 2, "tries": 0})

    def test_a_single_step_on_another_rung_is_a_try(self):
        self.assertEqual(settling.settled_after(["a", "b", "b", "a", "b", "b"]), (1, 1))
        self.assertEqual(settling.settled_after(["a", "a", "a"]), (0, 0))
        self.assertEqual(settling.settled_after(["a", "b", "c", "d"]), (3, 0))

    def test_changes_are_counted_per_half_wave(self):
        mild, hard = "int8/128", "topk50%-int8/128-packed"
        steps = steps_of([mild, hard, mild, hard, hard, hard])
        waves = settling.changes_per_half_wave(steps, 100.0, 6.0)
        self.assertEqual(waves["most"], 2)  # at 102 and 104 s, both in the first half wave
        self.assertAlmostEqual(waves["steps_per_half_wave"], 3.0)
        steps = steps_of(["fp32", mild, hard, "topk25%-int8/128-packed", mild, mild])
        # One way in three steps, and back.
        self.assertEqual(settling.changes_per_half_wave(steps, 100.0, 100.0)["most"], 2)

    def test_events_without_links_are_told_apart(self):
        steps = [{key: value for key, value in step.items() if key != "links"} for step in steps_of(["a", "b"])]
        self.assertIsNone(settling.settle(steps, [101.0]))
        self.assertIsNone(settling.changes_per_half_wave(steps, 100.0, 5.0))
        checks = targets.check_trace("trace", row(settling=None))
        self.assertIsNone(checks[1]["met"])


class Targets(unittest.TestCase):
    def test_targets_of_a_network_are_met_or_not(self):
        made = {"adaptive": row(of_unlimited=0.96, on_percent=0.6), "dense": row(tokens_per_s=1.0),
                "adaptive, anneal": row(off_percent=1.9)}
        self.assertEqual([check["met"] for check in targets.check_case("rho 10", made)], [True, False, True, True])
        self.assertEqual(targets.check_case("rho 10", {}), [])

    def test_adatopk_counts_at_the_fastest_ratio_of_equal_loss(self):
        made = {"adaptive": row(tokens_per_s=30.0), "adatopk(6)": row(tokens_per_s=10.0, method="adatopk(6)"),
                "adatopk(30)": row(tokens_per_s=40.0, loss_on=2.2, method="adatopk(30)")}
        (check,) = targets.check_cities(made)
        self.assertEqual((check["measured"], check["met"]), (3.0, True))
        made["adatopk(6)"]["loss_on"] = 2.1
        self.assertIn("adatopk(6), whose loss is +5.00 %", targets.check_cities(made)[0]["what"])


class Reports(unittest.TestCase):
    def test_bits_leave_out_the_evaluation(self):
        forward = {"direction": "forward", "bytes_sent": 100 + 10 + 40, "dense_bytes": 400 + 40 + 40}
        backward = {"direction": "backward", "bytes_sent": 50, "dense_bytes": 400}
        run = Run({"links": [forward, backward], "eval_loss_dense": 1.0}, [])
        self.assertAlmostEqual(run.bits_per_entry("forward"), 8.0)
        self.assertAlmostEqual(run.bits_per_entry("backward"), 4.0)

    def test_speed_and_bytes_come_from_the_steps(self):
        run = Run({}, steps_of(["a"] * 4))
        self.assertAlmostEqual(run.tokens_per_s(warmup=1), 5.0)
        self.assertEqual(run.bytes_per_step, 100)

    def test_plots_are_svg(self):
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name) / "plot.svg"
            report.dots(path, "<dots>", "x", "y", {"on": [(0.5, 2.0, "a&b"), (8.0, 1.9, "c")], "off": [(0.5, 2.2, "")]},
                        level=(1.95, "dense"))
            self.assertEqual(len(self.marks(path, "circle")), 2 + 3)  # of the legend, too
            report.bars(path, "bars", "y", {"one": {"a": (0.9, ""), "b": (0.4, "")}, "two": {"a": (1.1, "note")}},
                        {"one": 0.95})
            self.assertEqual(len(self.marks(path, "rect")), 1 + 3)

    def marks(self, path, kind):
        return xml.etree.ElementTree.parse(path).findall(f".//{{http://www.w3.org/2000/svg}}{kind}")

    def test_ticks_cover_the_range(self):
        for low, high in ((0.0, 1.0), (1.85, 2.03), (2.0, 2.0), (0.1, 730.0)):
            with self.subTest((low, high)):
                marks = report.ticks(low, high)
                self.assertLessEqual(marks[0], low)
                self.assertGreaterEqual(marks[-1], high)
                self.assertLess(len(marks), 12)

    def test_tables_have_a_column_for_each_title(self):
        text = report.table([{"a": 1.23456, "b": True}, {"a": None, "b": [1, 2]}], {"a": "first", "b": "second"})
        self.assertEqual(text.splitlines()[2:], ["| 1.235 | yes    |", "| -     | 1 2    |"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
