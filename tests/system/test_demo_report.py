#!/usr/bin/env python3
"""The demo tells what its run came to, and fails where the model learned no more than token frequencies."""
import json
import pathlib
import subprocess
import tempfile
import unittest

REPORT = pathlib.Path(__file__).resolve().parents[2] / "deploy/demo_report"


class DemoReport(unittest.TestCase):
    def report(self, loss, steps=600, least=600):
        summary = {"steps": steps, "eval_loss": loss, "tokens_per_s": 1000.0, "step_time_s": {"median": 0.5},
                   "stages": [{"stage": 0, "node": "node-1", "operators": 3, "parameters": 18e6,
                               "peak_memory_bytes": 2**30}],
                   "links": [{"from": "node-1", "to": "node-2", "direction": "forward", "bytes_sent": 1e6,
                              "rung": "fp32", "goodput": 1e6, "goodput_is_lower_bound": True}]}
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(summary, file)
            file.flush()
            return subprocess.run([REPORT, file.name, "--unigram", "6.735", "--steps-for-margin", str(least)],
                                  capture_output=True, text=True, check=False)

    def test_a_model_that_learned_is_shown(self):
        done = self.report(5.2)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("held-out loss 5.200 nats per token; a model that knows token frequencies only: 6.735",
                      done.stdout)
        self.assertIn("link node-1 -> node-2 forward", done.stdout)

    def test_a_model_that_did_not_is_refused_with_the_reason(self):
        for loss in (6.3, 7.0, float("nan")):
            done = self.report(loss)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("is not 0.5 below 6.735", done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual(self.report(None).returncode, 1)

    def test_a_run_of_few_steps_is_not_judged(self):
        done = self.report(7.0, steps=20)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("20 steps are too few", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
