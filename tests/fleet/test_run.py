#!/usr/bin/env python3
"""`longhaul run` with a pretended worker: every way in which a run can end."""
import json
import os
import signal
import unittest

from fleet import FakeWorkerTest

FOREVER = 10 ** 9


class Run(FakeWorkerTest):
    def test_a_job_runs_to_its_end_and_leaves_a_summary_and_nothing_else(self):
        summary = self.run_job(self.job(steps=20), nodes=3)
        self.assertEqual(summary["state"], "done")
        self.assertEqual(len(summary["losses"]), 20)
        self.assertEqual([stage["node"] for stage in summary["stages"]],
                         ["node-1", "node-2", "node-3"])
        self.assertTrue(all(stage["estimated_memory_bytes"] > 0 for stage in summary["stages"]))
        self.assertEqual(summary["eval_loss"], 0.5)

    def test_progress_is_one_line_per_step_or_one_object(self):
        done = self.call("run", self.write_quick_job(), "--nodes", 1)
        self.assertEqual(done.code, 0, str(done))
        steps = [line for line in done.out.splitlines() if line.startswith("step ") and "/" in line]
        self.assertEqual(len(steps), 20)
        done = self.call("run", self.write_quick_job(), "--nodes", 1, "--json")
        events = [json.loads(line) for line in done.out.splitlines()]
        self.assertEqual([e["step"] for e in events if e["event"] == "step"], list(range(1, 21)))

    def refused(self, behaviour, *lines, code=2):
        self.behave(behaviour)
        done = self.call("run", self.write_quick_job(), "--nodes", 2)
        self.assertEqual(done.code, code, str(done))
        self.assertEqual(done.err.splitlines(), [f"longhaul: {line}" for line in lines])
        self.assert_nothing_left()

    def test_what_preflight_finds_is_told_before_anything_starts(self):
        self.refused("refuse", "data.train: no tokens", "model: no weights")

    def test_what_a_worker_cannot_prepare_is_the_users_to_mend(self):
        self.refused("mistake 1", "stage 1 (node-2): tokens do not fit the model")
        self.refused("exhausted 0", "stage 0 (node-1): not enough memory for the shard")

    def test_a_worker_that_crashes_is_told_with_its_last_line(self):
        self.refused("crash 1", "stage 1 (node-2): the worker exited with status 3: "
                     "a library is missing", code=1)

    def test_a_worker_that_is_killed_while_it_trains(self):
        self.refused("die 1 5", "stage 1 (node-2): the worker was killed by signal 9 "
                     "(SIGKILL, perhaps out of memory)", code=1)

    def test_a_nan_is_told_by_the_worker_that_found_it(self):
        self.refused("nan 1 3", "stage 1 (node-2): step 3: the loss became NaN", code=2)

    def test_a_lost_link_is_what_is_left_if_nobody_knows_better(self):
        self.refused("lose 0 3", "stage 0 (node-1): link to stage 1: closed", code=1)

    def running(self, behaviour=""):
        self.behave(behaviour)
        running = self.start("run", self.write_quick_job(steps=FOREVER), "--nodes", 2, "--json")
        running.wait_for_step(3)
        return running

    def test_signals_cancel_in_order(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                running = self.running()
                running.process.send_signal(number)
                done = running.finish()
                self.assertEqual(done.code, 1, str(done))
                self.assertRegex(done.err,
                                 rf"^longhaul: {number.name}: cancelled after step \d+\n$")
                self.assertEqual(json.loads(done.out.splitlines()[-1])["state"], "cancelled")
                self.assert_nothing_left()

    def test_a_second_interrupt_does_not_wait_for_a_worker_that_will_not_stop(self):
        running = self.running("stubborn 0")
        running.process.send_signal(signal.SIGINT)
        while (line := running.line()) is not None:  # the job ends at once; its worker does not
            if json.loads(line).get("state") == "cancelled":
                break
        self.assertIsNone(running.process.poll())
        running.process.send_signal(signal.SIGINT)
        done = running.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assert_nothing_left()

    def test_a_child_that_dies_ends_the_run_with_its_name(self):
        for program, name in (("longhaul-compnode", "node-"),
                              ("longhaul-coordinator", "the coordinator")):
            with self.subTest(program):
                running = self.running()
                os.kill(self.processes(program)[0], signal.SIGKILL)
                done = running.finish()
                self.assertEqual(done.code, 1, str(done))
                self.assertRegex(done.err, rf"^longhaul: {name}.* was killed by signal 9")
                self.assertEqual(len(done.err.splitlines()), 1)
                self.assert_nothing_left()

    def test_a_killed_run_leaves_no_process_and_the_next_run_removes_its_folder(self):
        running = self.running()
        running.process.kill()
        running.finish()
        self.wait_for_children()
        self.assertEqual(len(list(self.scratch.iterdir())), 1)
        self.run_job(self.job(steps=2))  # asserts that nothing is left

    def test_an_output_that_nobody_reads_ends_the_run(self):
        running = self.running()
        running.process.stdout.close()
        running.process.wait(timeout=60)
        self.assertEqual(running.process.returncode, 1)
        self.assert_nothing_left()

    def test_the_fleets_log_can_be_kept(self):
        done = self.call("run", self.write_quick_job(), "--nodes", 2, "--log", "fleet.log")
        self.assertEqual(done.code, 0, str(done))
        log = (self.folder / "fleet.log").read_text()
        self.assertIn("coordinator: job-1 (system) is done after step 20", log)
        self.assertIn("node-2: started the worker of job-1 stage 1 on cpu", log)


if __name__ == "__main__":
    unittest.main(verbosity=2)
