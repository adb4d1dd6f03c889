#!/usr/bin/env python3
"""A fleet started by hand trains what is submitted to it, and tells what it does."""
import json
import os
import signal
import socket
import unittest

from fleet import FleetTest


class Fleet(FleetTest):
    def submit(self, job, *words, name="job", planner="equal-compute"):
        (submitted,) = self.ask("job", "submit", self.write_job(job, f"{name}.yaml"), "--planner", planner, *words)
        return submitted["job"]

    def watch(self, job, until_step=None):
        watching = self.start("--config", "client.yaml", "job", "watch", job, "--json",
                              "--summary", f"{job}.json")
        if until_step is not None:
            watching.wait_for_step(until_step)
        return watching

    def test_a_submitted_job_gives_the_numbers_of_run(self):
        job = self.job(steps=10)
        expected = self.run_job(job, nodes=2, name="run")
        coordinator, nodes = self.start_fleet()
        (listed,) = self.ask("node", "list")
        self.assertEqual([node["name"] for node in listed["nodes"]], ["node-0", "node-1"])
        (shown,) = self.ask("node", "show", "node-1")
        self.assertEqual((shown["state"], shown["devices"][0]["name"]), ("ready", "cpu"))

        name = self.submit(job | {"export": "exported"})
        done = self.watch(name).finish()
        self.assertEqual(done.code, 0, str(done))
        summary = json.loads((self.folder / f"{name}.json").read_text())
        self.assertEqual(summary["losses"], expected["losses"])
        self.assertEqual(summary["eval_loss"], expected["eval_loss"])
        self.assertIn("model.safetensors", self.files("exported"))
        (shown,) = self.ask("job", "show", name)
        self.assertEqual((shown["state"], shown["step"]), ("done", 10))
        (listed,) = self.ask("job", "list")
        self.assertEqual([entry["id"] for entry in listed["jobs"]], [name])
        self.stop([*nodes, coordinator])

    def test_a_job_is_planned_with_profiles_and_shows_prediction_beside_actual(self):
        coordinator, nodes = self.start_fleet()
        job = self.job(steps=30)
        said = self.call("--config", "client.yaml", "job", "submit", self.write_job(job), "--nodes", 2)
        self.assertEqual(said.code, 0, str(said))
        self.assertRegex(said.out, r"^submitted as job-\d+ on node-[01], node-[01], planned by auto$")
        self.assertRegex(said.err, r"^longhaul: waits to be planned: node-\d measures a model, [^\n]*\n$")
        self.assertEqual(self.watch("job-1").finish().code, 0)
        (submitted,) = self.ask("job", "submit", self.write_job(job), "--nodes", 2)
        self.assertEqual((sorted(submitted["nodes"]), submitted["planner"]), (["node-0", "node-1"], "auto"))
        name = submitted["job"]
        self.assertEqual(self.watch(name).finish().code, 0)
        (shown,) = self.ask("job", "show", name)
        self.assertEqual((shown["planner"], len(shown["stages"])), ("auto", 2), shown["log"])
        self.assertGreater(shown["predicted_step_s"], 0)
        self.assertGreater(shown["measured_step_s"], 0)
        # Milliseconds of work on a machine that does other things: only the order of magnitude holds.
        self.assertLess(shown["predicted_step_s"], 5 * shown["measured_step_s"])
        self.assertLess(shown["measured_step_s"], 10 * shown["predicted_step_s"])
        for stage in shown["stages"]:
            self.assertLess(abs(stage["memory_error"]), 0.5)
        text = self.call("--config", "client.yaml", "job", "show", name).out
        print(text[text.index("PREDICTION"):])
        self.assertRegex(text, r"time of a step +\S+ s +\S+ s +[+-]\d+\.\d %")
        self.assertRegex(text, r"memory of stage 1 +\S+ .B +\S+ .B +[+-]\d+\.\d %")
        # Only one of the nodes, which are alike, has measured; and it has kept that.
        self.assertEqual(len(list(self.folder.glob("*/profiles/*.json"))), 1)
        self.stop([*nodes, coordinator])

    def test_a_running_job_can_be_exported_and_cancelled(self):
        coordinator, nodes = self.start_fleet()
        name = self.submit(self.job(steps=100000))
        watching = self.watch(name, until_step=3)
        for _ in range(2):  # the second time the folder of the first is replaced
            (exported,) = self.ask("job", "export", name, "halfway")
            self.assertEqual((exported["event"], exported["path"]), ("exported", str(self.folder / "halfway")))
        self.assertIn("model.safetensors", self.files("halfway"))
        (self.folder / "mine").mkdir()
        (self.folder / "mine/file").write_text("")
        done = self.call("--config", "client.yaml", "job", "export", name, "mine")
        self.assertEqual((done.code, len(done.err.splitlines())), (1, 1), str(done))
        self.assertRegex(done.err, f"{name}: .*/mine was not written: .*'file'")
        self.ask("job", "cancel", name)
        (listed,) = self.ask("node", "list")
        self.assertEqual([node["state"] for node in listed["nodes"]], ["ready"] * self.NODES)
        self.assertEqual(watching.finish().code, 1)
        (shown,) = self.ask("job", "show", name)
        self.assertEqual(shown["state"], "cancelled")
        done = self.call("--config", "client.yaml", "job", "export", name, "late")
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("does not train now", done.err)
        self.stop([*nodes, coordinator])

    def test_a_node_that_dies_fails_the_job_and_frees_the_others(self):
        coordinator, nodes = self.start_fleet()
        name = self.submit(self.job(steps=100000))
        watching = self.watch(name, until_step=3)
        os.kill(nodes[1].process.pid, signal.SIGKILL)
        done = watching.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assertIn("node-1", done.err)
        nodes[1].finish()
        self.ask("node", "list", "--ready", self.NODES - 1)
        self.stop([nodes[0], coordinator])

    def test_training_goes_on_without_the_coordinator(self):
        coordinator, nodes = self.start_fleet()
        endpoint = json.loads((self.folder / "client.yaml").read_text())["coordinator"]["address"]
        name = self.submit(self.job(steps=400))
        watching = self.watch(name, until_step=3)
        coordinator.process.kill()
        coordinator.finish()
        again = self.start_coordinator(listen=endpoint)
        again.wait_for_line(r"listens on (\S+)")
        done = watching.finish()
        self.assertEqual(done.code, 0, str(done))
        losses = json.loads((self.folder / f"{name}.json").read_text())["losses"]
        self.assertEqual(len(losses), 400, "no committed step is lost")
        self.stop([*nodes, again])

    def test_waiting_for_nodes_says_so(self):
        coordinator, nodes = self.start_fleet()
        done = self.call("--config", "client.yaml", "node", "list", "--ready", self.NODES)
        self.assertEqual((done.code, done.err), (0, ""), str(done))
        more = self.NODES + 1
        done = self.call("--config", "client.yaml", "node", "list", "--ready", more, "--timeout", 1)
        self.assertEqual(done.code, 1, str(done))
        waiting, failed = done.err.splitlines()
        self.assertIn(f"until {more} nodes are ready; now {self.NODES} of {self.NODES} are", waiting)
        self.assertIn("1 s", failed)
        self.stop([*nodes, coordinator])

    def test_a_stranger_is_not_let_in(self):
        coordinator, nodes = self.start_fleet()
        self.call("keys", "new", "stranger.key")
        client = json.loads((self.folder / "client.yaml").read_text()) | {"key": "stranger.key"}
        self.write("stranger.yaml", client)
        done = self.call("--config", "stranger.yaml", "node", "list")
        self.assertNotEqual(done.code, 0)
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.stop([*nodes, coordinator])

    def test_a_port_in_use_is_said(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = self.start_coordinator(f"tcp://127.0.0.1:{port}").finish()
        self.assertEqual(done.code, 2, str(done))
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.assertIn(str(port), done.err)
        self.assertFalse((self.folder / "coordinator-state").exists(), "a database for nobody")


if __name__ == "__main__":
    unittest.main(verbosity=2)
