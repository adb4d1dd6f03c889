#!/usr/bin/env python3
"""A stage needs the memory that was predicted; with 1f1b and zero-bubble however many micro-batches there are."""
import unittest

from longhaul import SystemTest


class Memory(SystemTest):
    def peaks(self, batch, nodes=2, steps=3, **changes):
        job = self.job(steps=steps, batch=batch, micro_batch=2) | changes
        job["model"] = {"config": self.write_config(n_embd=128, vocab_size=1024, n_positions=128)}
        job["data"] |= {"sequence_length": 128, "holdout": 0.0}
        job["data"]["train"] = [self.write_tokens(count=40000, vocabulary=1024)]
        return self.run_job(job, nodes=nodes, name=f"batch{batch}")["stages"]

    def assert_as_estimated(self, stages, tolerance):
        for stage in stages:
            estimate, peak = stage["estimated_memory_bytes"], stage["peak_memory_bytes"]
            self.assertGreater(estimate, 4_000_000, "large enough to mean something")
            self.assertLessEqual(abs(peak - estimate), tolerance * estimate,
                                 f"stage {stage['stage']}: {peak} for an estimate of {estimate}")

    def test_peak_is_within_a_tenth_of_the_estimate(self):
        self.assert_as_estimated(self.peaks(batch=16), 0.1)

    def test_checkpoints_need_no_memory_of_their_own(self):
        """They are written, while the next step computes, from parameters and moments as they lie there."""
        for nodes in (2, 3):
            without = self.peaks(batch=8, nodes=nodes, steps=6)
            for every in (1, 3):
                stages = self.peaks(batch=8, nodes=nodes, steps=6,
                                    checkpoint={"every": every, "directory": f"out{nodes}{every}"})
                for before, after in zip(without, stages):
                    self.assertLessEqual(abs(after["peak_memory_bytes"] - before["peak_memory_bytes"]),
                                         0.01 * before["peak_memory_bytes"])
                    self.assertEqual(after["estimated_memory_bytes"], before["estimated_memory_bytes"])
                self.assert_as_estimated(stages, 0.1)
                written = sorted(path.name for path in (self.folder / f"out{nodes}{every}").iterdir())
                self.assertEqual(written[-1], "step-00000006")

    def test_a_tied_embedding_that_outweighs_the_rest_changes_nothing(self):
        """Its gradients cross between the stages while memory is at its peak, or near it."""
        for length in (16, 64):  # a micro-batch's logits take one embedding's memory, or four
            job = self.job(steps=3, batch=8, micro_batch=2)
            job["model"] = {"config": self.write_config(n_embd=32, vocab_size=50257, n_layer=2,
                                                        n_head=2)}
            job["data"] |= {"sequence_length": length}
            job["data"]["train"] = [self.write_tokens(count=4000, vocabulary=50257)]
            self.assert_as_estimated(self.run_job(job, nodes=2, name=f"tied{length}")["stages"], 0.02)

    def test_peak_does_not_grow_with_the_number_of_micro_batches(self):
        few, many = self.peaks(batch=8), self.peaks(batch=48)
        for before, after in zip(few, many):
            self.assertLessEqual(after["peak_memory_bytes"], 1.02 * before["peak_memory_bytes"])

    def test_zero_bubble_holds_what_was_predicted_however_many_micro_batches(self):
        pipeline = {"schedule": "zero-bubble"}
        few, many = (self.peaks(batch=batch, nodes=3, pipeline=pipeline) for batch in (8, 48))
        usual = self.peaks(batch=8, nodes=3)
        self.assert_as_estimated(many, 0.05)
        for before, after in zip(few, many):
            self.assertLessEqual(after["peak_memory_bytes"], 1.02 * before["peak_memory_bytes"])
        self.assertGreater(few[2]["peak_memory_bytes"], 1.1 * usual[2]["peak_memory_bytes"],
                           "weight gradients are held back")

    def test_gpipe_keeps_every_micro_batch(self):
        """The bound above comes from the schedule, and is not there without it."""
        gpipe = self.peaks(batch=48, pipeline={"schedule": "gpipe"})
        ours = self.peaks(batch=48)
        self.assertGreater(gpipe[0]["peak_memory_bytes"], 1.5 * ours[0]["peak_memory_bytes"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
