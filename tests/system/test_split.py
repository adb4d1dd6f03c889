#!/usr/bin/env python3
"""The same job gives the same numbers however many nodes train it, and whenever it is run."""
import json
import unittest

from longhaul import SystemTest


class Split(SystemTest):
    def test_losses_do_not_depend_on_the_number_of_nodes(self):
        job = self.job(steps=50)
        one = self.run_job(job, nodes=1, name="one")
        self.assertEqual(len(one["losses"]), 50)
        self.assertLess(one["losses"][-1], one["losses"][0] - 0.5, "the model learns")
        for nodes in (2, 3, 4):
            several = self.run_job(job, nodes=nodes, name=f"nodes{nodes}")
            self.assertEqual(len(several["stages"]), nodes)
            self.assert_close(several["losses"], one["losses"], 1e-6)
            self.assert_close([several["eval_loss"]], [one["eval_loss"]], 1e-6)

    def test_dropout_and_clipping_take_part(self):
        """Without this the test above would show less than it says."""
        file = self.write_job(self.job(steps=5))
        done = self.call("run", file, "--nodes", 1, "--json")
        self.assertEqual(done.code, 0, str(done))
        norms = [event["gradient_norm"] for event in map(json.loads, done.out.splitlines())
                 if "gradient_norm" in event]
        self.assertGreater(max(norms), 0.5, "gradients exceed clip_norm")
        with_dropout = self.run_job(self.job(steps=5), name="with")
        without = self.run_job(self.job(steps=5, dropout=0.0), name="without")
        self.assertNotEqual(with_dropout["losses"], without["losses"])

    def test_two_runs_of_one_plan_are_bit_identical(self):
        summaries = []
        for name in ("first", "second"):
            job = self.job(steps=20) | {"export": f"{name}-model"}
            summaries.append(self.run_job(job, nodes=4, name=name))
        self.assertEqual(summaries[0]["losses"], summaries[1]["losses"])
        self.assertEqual(summaries[0]["eval_loss"], summaries[1]["eval_loss"])
        first, second = self.files("first-model"), self.files("second-model")
        self.assertIn("model.safetensors", first)
        self.assertEqual(first, second)

    def test_all_schedules_give_the_same_losses_bit_for_bit(self):
        """Gradients accumulate in one order, whenever they are computed."""
        summaries = [self.run_job(self.job(steps=10, batch=16) | {"pipeline": pipeline}, nodes=3,
                                  name=f"schedule{number}")
                     for number, pipeline in enumerate([
                         {"schedule": "1f1b"}, {"schedule": "gpipe"}, {"schedule": "zero-bubble"},
                         {"schedule": "zero-bubble", "run_ahead": 2}])]
        for other in summaries[1:]:
            self.assertEqual(other["losses"], summaries[0]["losses"])
            self.assertEqual(other["eval_loss"], summaries[0]["eval_loss"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
