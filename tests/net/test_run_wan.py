#!/usr/bin/env python3
"""`longhaul run --wan` with a pretended worker: nodes and workers live at their sites, and nothing is left."""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "fleet"))
from fleet import PROGRAMS, FakeWorkerTest  # noqa: E402
from network import finish_ping, skip_where_forbidden  # noqa: E402

CITIES = pathlib.Path(__file__).resolve().parents[2] / "deploy/wan/ten_cities.csv"
FOREVER = 10 ** 9
# Root without capabilities may what an ordinary user may, files aside. It keeps setfcap, without which it could not be
# root in its user namespace; an ordinary user does not become root there.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all,+setfcap", "--inh-caps=-all", "--")


class RunWan(FakeWorkerTest):
    def wan(self, *sites):
        return "--wan", CITIES, "--sites", ",".join(sites)

    def start_run(self, *options, prefix=()):
        """A run that trains forever, once it does."""
        wrapper = self.folder / "wrapper"
        words = " ".join([*prefix, str(PROGRAMS / "longhaul")])
        wrapper.write_text(f"#!/bin/sh\nexec {words} \"$@\"\n")
        wrapper.chmod(0o755)
        running = self.start("run", self.write_quick_job(steps=FOREVER), "--json", "--log", "fleet.log", *options,
                             program=wrapper)
        running.wait_for_step(3)
        return running

    def cancel(self, running):
        running.process.send_signal(signal.SIGINT)
        done = running.finish()
        self.assertRegex(done.err, r"^longhaul: SIGINT: cancelled after step \d+\n$")
        self.assert_nothing_left()
        return (self.folder / "fleet.log").read_text()

    def networks_of(self, program):
        return [os.stat(f"/proc/{process}/ns/net").st_ino for process in self.processes(program)]

    def ping(self, running, process, address):
        """Round trip in ms as the process sees it; reads the run's progress meanwhile, which would fill its pipe."""
        enter = ["nsenter", f"--target={process}", "--net", "--user", "--preserve-credentials", "--"]
        if os.stat(f"/proc/{process}/ns/user").st_ino == os.stat("/proc/self/ns/user").st_ino:
            enter.remove("--user")
        command = [*enter, "ping", "-n", "-c", "10", "-i", "0.02", address]
        ping = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while ping.poll() is None:
            running.line()
        return finish_ping(ping)["median"]

    def check_sites(self, running):
        """Node 1 to 3 at oregon, virginia and oregon again, each worker where its node is."""
        here = os.stat("/proc/self/ns/net").st_ino
        nodes, workers = self.networks_of("longhaul-compnode"), self.networks_of("longhaul-fake-worker")
        self.assertEqual(sorted(nodes), sorted(workers))
        self.assertEqual((len(nodes), len(set(nodes))), (3, 2))
        self.assertNotIn(here, nodes)
        self.assertEqual(self.networks_of("longhaul-coordinator"), [here])
        process = self.processes("longhaul-fake-worker")[0]
        trips = sorted(self.ping(running, process, f"10.87.{site}.1") for site in (0, 1))
        self.assertLess(trips[0], 1.0)  # within a site
        self.assertLess(abs(trips[1] - 134), 0.05 * 134)  # 67 ms each way
        log = self.cancel(running)
        self.assertIn("network: oregon -> virginia: 79 Mbit/s, 67 ms", log)
        carried = json.loads(re.findall(r"^network: (\{.*)$", log, re.MULTILINE)[-1])
        self.assertTrue(all(path["packets"] >= 10 for path in carried["paths"]), carried)

    def test_nodes_and_workers_are_at_their_sites(self):
        self.check_sites(self.start_run(*self.wan("oregon", "virginia"), "--nodes", 3, "--bandwidth-scale", 0.1))

    def test_it_needs_no_privilege(self):
        self.check_sites(self.start_run(*self.wan("oregon", "virginia"), "--nodes", 3, "--bandwidth-scale", 0.1,
                                        prefix=UNPRIVILEGED))

    def test_a_run_has_one_node_per_site_and_its_summary(self):
        file, summary = self.write_quick_job(), self.folder / "summary.json"
        done = self.call("run", file, *self.wan("ohio", "london", "tokyo"), "--summary", summary)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(len(json.loads(summary.read_text())["stages"]), 3)
        self.assert_nothing_left()

    def test_a_trace_is_played_and_logged(self):
        (self.folder / "trace.yaml").write_text(json.dumps(
            {"changes": [{"at_s": 0.2, "from": "ohio", "rate_mbps": 8}]}))
        running = self.start_run(*self.wan("ohio", "london"), "--trace", "trace.yaml")
        self.assertIn("network: at 0.200 s: ohio -> london: 8 Mbit/s", self.cancel(running))

    def test_a_network_that_dies_ends_the_run_with_its_name(self):
        running = self.start_run(*self.wan("ohio", "london"))
        os.kill(self.processes("longhaul-wan")[0], signal.SIGKILL)
        done = running.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assertRegex(done.err, r"^longhaul: the network was killed by signal 9.*\n$")
        self.assert_nothing_left()

    def test_a_killed_run_leaves_no_process(self):
        for prefix in ((), UNPRIVILEGED):
            with self.subTest(prefix):
                running = self.start_run(*self.wan("ohio", "london"), prefix=prefix)
                self.assertEqual(len(self.processes("longhaul-wan")), 1)
                running.process.kill()
                running.finish()
                self.wait_for_children()
        self.run_job(self.job(steps=2))  # removes their folders, asserts that nothing is left

    def test_wrong_options_are_told_before_anything_starts(self):
        job = self.write_quick_job()
        for options, message in ((("--wan", CITIES), "--sites"), (("--sites", "ohio"), "--wan"),
                                 (("--trace", "x"), "--sites"), (self.wan("ohio", "mars"), "no site mars"),
                                 (("--wan", "none.csv", "--sites", "a"), "none.csv")):
            with self.subTest(options):
                done = self.call("run", job, *options)
                self.assertEqual((done.code, done.out), (2, ""), str(done))
                self.assertIn(message, done.err)
                self.assert_nothing_left()


if __name__ == "__main__":
    skip_where_forbidden()
    unittest.main(verbosity=2)
