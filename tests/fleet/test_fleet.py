#!/usr/bin/env python3
"""A fleet that is started by hand: jobs come and go, and so do coordinator and nodes."""
import json
import os
import signal
import unittest

from fleet import FleetTest

FOREVER = 10 ** 9


class Fleet(FleetTest):
    def test_jobs_are_submitted_watched_listed_and_cancelled(self):
        self.start_all()
        nodes = self.ask_json("node", "list")
        self.assertEqual([node["state"] for node in nodes["nodes"]], ["ready", "ready"])
        first = self.submit(steps=20)
        done = self.watch(first).finish()
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(json.loads(done.out.splitlines()[-1])["state"], "done")

        second = self.submit(steps=FOREVER)
        watching = self.watch(second)
        watching.wait_for_step(3)
        self.assertEqual(self.ask_json("node", "show", "a")["state"], "busy")
        refused = self.ask("job", "submit", "job.yaml", "--nodes", 1)
        self.assertEqual(refused.code, 2, str(refused))
        self.assertIn("a is busy with job-2", refused.err)
        self.assertEqual(self.ask("job", "export", second, "model").code, 0)
        self.assertEqual(self.ask("job", "cancel", second).code, 0)
        done = watching.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assertRegex(done.err, r"^longhaul: cancelled after step \d+\n$")
        states = {job["id"]: job["state"] for job in self.ask_json("job", "list")["jobs"]}
        self.assertEqual(states, {first: "done", second: "cancelled"})
        self.assertEqual(self.ask("job", "cancel", second).code, 2)
        self.assertEqual(self.ask("job", "show", second).code, 0)
        self.stop_all()
        self.assert_nothing_left()

    def test_a_job_is_planned_with_profiles_that_nodes_keep(self):
        self.start_all()
        job = self.submit(steps=5)
        self.assertEqual(self.watch(job).finish().code, 0)
        shown = self.ask_json("job", "show", job)
        self.assertEqual(shown["planner"], "auto", shown["log"])
        self.assertGreater(shown["predicted_step_s"], 0)
        self.assertGreater(shown["measured_step_s"], 0)
        self.assertAlmostEqual(shown["step_error"], shown["predicted_step_s"] / shown["measured_step_s"] - 1)
        kept = list(self.folder.glob("*/profiles/*.json"))
        self.assertEqual(len(kept), 1)  # the nodes are alike
        self.assertIn("PREDICTION", self.ask("job", "show", job).out)
        # A coordinator that starts anew asks again, and gets what is kept.
        kept[0].write_text(kept[0].read_text().replace("0.01", "0.02"))
        self.stop("coordinator")
        self.start_coordinator()
        self.assertEqual(self.ask("node", "list", "--ready", 2).code, 0)
        again = self.ask_json("job", "show", self.submit(steps=5))
        self.assertAlmostEqual(again["predicted_step_s"], 2 * shown["predicted_step_s"],
                               delta=0.1 * shown["predicted_step_s"])
        refused = self.ask("job", "submit", "job.yaml", "--planner", "oracle")
        self.assertEqual(refused.code, 2, str(refused))
        self.assertIn("there is no planner oracle", refused.err)
        self.stop_all()

    def test_training_goes_on_while_the_coordinator_is_away_and_no_step_is_lost(self):
        self.start_all()
        job = self.submit(steps=4000)
        watching = self.watch(job)
        watching.wait_for_step(10)
        os.kill(self.fleet["coordinator"].process.pid, signal.SIGKILL)
        self.fleet.pop("coordinator").finish()
        self.start_coordinator()
        done = watching.finish()
        self.assertEqual(done.code, 0, str(done))
        events = [json.loads(line) for line in done.out.splitlines()]
        steps = [event["step"] for event in events if event["event"] == "step"]
        self.assertEqual(steps, list(range(1, 4001)))
        self.stop_all()

    def test_a_node_that_is_stopped_fails_its_job_and_says_so(self):
        self.start_all()
        job = self.submit(steps=FOREVER)
        watching = self.watch(job)
        watching.wait_for_step(3)
        self.assertEqual(self.stop("b").code, 0)
        done = watching.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assertEqual(done.err,
                         "longhaul: stage 1 (b): the node was stopped: stopped by SIGTERM\n")
        node = self.ask_json("node", "show", "b")
        self.assertEqual((node["state"], node["reason"]), ("gone", "stopped by SIGTERM"))
        self.start_node("b")
        self.assertEqual(self.ask("node", "list", "--ready", 2).code, 0)
        self.assertEqual(self.watch(self.submit(steps=5)).finish().code, 0)
        self.stop_all()

    def test_a_killed_node_takes_its_workers_with_it_and_comes_back_without_them(self):
        self.start_all()
        job = self.submit(steps=FOREVER)
        watching = self.watch(job)
        watching.wait_for_step(3)
        os.kill(self.fleet["b"].process.pid, signal.SIGKILL)
        self.fleet.pop("b").finish()
        self.start_node("b")
        done = watching.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assertIn("stage 1 (b): its node came back without the worker", done.err)
        self.stop_all()
        self.assert_nothing_left()

    def test_a_node_under_a_wrong_name_ends_with_the_reason(self):
        self.start_coordinator()
        content = json.loads((self.folder / "a.yaml").read_text()) | {"name": "c"}
        self.write("a.yaml", content)
        done = self.call("--config", "a.yaml", program="longhaul-compnode")
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("this key belongs to node 'a', not to 'c'", done.err.splitlines()[-1])
        self.stop_all()

    def test_a_second_coordinator_and_a_second_node_are_refused(self):
        self.start_all()
        for name, program in (("coordinator", "longhaul-coordinator"), ("a", "longhaul-compnode")):
            done = self.call("--config", f"{name}.yaml", program=program)
            self.assertEqual(done.code, 2, str(done))
            self.assertIn(f"another {program} uses", done.err.splitlines()[-1])
        self.stop_all()

    def test_without_a_coordinator_a_command_says_so_at_once(self):
        done = self.ask("node", "list")
        self.assertEqual(done.code, 1, str(done))
        self.assertIn("no connection to the coordinator", done.err)
        self.assertEqual(len(done.err.splitlines()), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
