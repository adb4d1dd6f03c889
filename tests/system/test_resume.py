#!/usr/bin/env python3
"""A run that was killed and resumed ends on the numbers of one that was not."""
import os
import shutil
import signal
import unittest

from longhaul import SystemTest

STEPS, EVERY, KILLED_AT = 30, 10, 17


class Resume(SystemTest):
    def setUp(self):
        super().setUp()
        self.job_file = self.job(steps=STEPS) | {
            "checkpoint": {"every": EVERY, "directory": "checkpoints", "keep": 2}}
        undisturbed = self.job_file | {"checkpoint": {"every": 0}, "export": "undisturbed"}
        self.expected = self.run_job(undisturbed, nodes=2, name="undisturbed")

    def kill_a_run(self):
        file = self.write_job(self.job_file)
        running = self.start("run", file, "--nodes", 2, "--json")
        running.wait_for_step(KILLED_AT)
        os.kill(running.process.pid, signal.SIGKILL)
        running.finish()
        self.wait_for_children()
        shutil.rmtree(self.scratch)  # what a killed program could not remove
        self.scratch.mkdir()

    def resume(self, nodes):
        folder = f"checkpoints-{nodes}"
        shutil.copytree(self.folder / "checkpoints", self.folder / folder)
        job = self.job_file | {"export": f"model-{nodes}",
                               "checkpoint": {"every": EVERY, "directory": folder}}
        return self.run_job(job, "--resume", folder, nodes=nodes, name=f"resumed-{nodes}")

    def test_a_killed_run_resumes_to_the_same_bits(self):
        self.kill_a_run()
        resumed = self.resume(nodes=2)
        first = resumed["first_step"] - 1  # steps count from 1
        self.assertGreaterEqual(first, EVERY)
        self.assertEqual(len(resumed["losses"]), STEPS - first)
        self.assertEqual(resumed["losses"], self.expected["losses"][first:])
        self.assertEqual(resumed["eval_loss"], self.expected["eval_loss"])
        self.assertEqual(self.files("model-2"), self.files("undisturbed"))

        other = self.resume(nodes=3)  # the same checkpoint, another split
        self.assert_close(other["losses"], self.expected["losses"][other["first_step"] - 1:], 1e-6)
        self.assert_close([other["eval_loss"]], [self.expected["eval_loss"]], 1e-6)

    def test_what_differs_from_the_checkpoint_is_said(self):
        job = self.job(steps=8) | {"checkpoint": {"every": 4, "directory": "first"}}
        self.run_job(job, nodes=2, name="first")
        same = job | {"checkpoint": {"every": 0}, "training": job["training"] | {"steps": 8}}
        done = self.call("run", self.write_job(same), "--nodes", 2, "--resume", "first")
        self.assertEqual((done.code, done.err), (0, ""), str(done))

        damaged = self.folder / "first/step-00000008/stage-1-of-2.safetensors"
        content = bytearray(damaged.read_bytes())
        content[-5] ^= 1
        damaged.write_bytes(content)
        changed = same | {"training": job["training"] | {"batch": 16, "clip_norm": 0.25}}
        done = self.call("run", self.write_job(changed), "--nodes", 2, "--resume", "first")
        self.assertEqual(done.code, 0, str(done))
        skipped, settings = done.err.splitlines()
        for words in ("warning", str(damaged), "checksum", "first/step-00000004"):
            self.assertIn(words, skipped)
        for words in ("warning", "training.batch was 8, is 16", "training.clip_norm was 0.5, is 0.25"):
            self.assertIn(words, settings)
        self.assertEqual(settings.count(" was "), 3, "one of them 'was made'")

    def test_a_damaged_checkpoint_is_refused(self):
        self.kill_a_run()
        for file in (self.folder / "checkpoints").rglob("*.safetensors"):
            content = bytearray(file.read_bytes())
            content[-5] ^= 1
            file.write_bytes(content)
        self.job_file["checkpoint"]["directory"] = "new-checkpoints"
        done = self.call("run", self.write_job(self.job_file), "--nodes", 2,
                         "--resume", "checkpoints")
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("checkpoints", done.err)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
