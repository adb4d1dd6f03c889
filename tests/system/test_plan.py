#!/usr/bin/env python3
"""Plans before anything runs: made, explained, simulated, and run as they are."""
import json
import unittest

from longhaul import SystemTest

FLEET = """kinds:
  - {name: here, %s}
within_site: {delay_ms: 0.05}
sites:
  - name: local
    hosts:
""" + "".join(f"""      - name: node-{i + 1}
        machine: this
        processors: 2
        devices: [{{name: cpu, kind: here, memory_gb: 2}}]
""" for i in range(3))


class Plan(SystemTest):
    def fleet(self, kind="tflops: 0.05, efficiency: 1"):
        file = self.folder / "fleet.yaml"
        file.write_text(FLEET % kind)
        return file

    def plan(self, *words):
        done = self.call("plan", *words, "--json")
        self.assertEqual(done.code, 0, str(done))
        return json.loads(done.out)

    def test_a_plan_is_told_written_and_run_with_uneven_stages(self):
        job = self.write_job(self.job(steps=5))
        one = self.run_job(self.job(steps=5), nodes=1, name="one")
        plan = self.folder / "plan.json"
        report = self.plan(job, "--fleet", self.fleet(), "--planner", "equal-operators", "--use", 3, "--out", plan,
                           "--html", self.folder / "plan.html")
        self.assertEqual([stage["node"] for stage in report["stages"]], ["node-1", "node-2", "node-3"])
        self.assertGreater(report["step_s"], 0)
        self.assertEqual({link["direction"] for link in report["links"]}, {"forward", "backward", "tied"})
        page = (self.folder / "plan.html").read_text()
        self.assertIn("<svg", page)
        self.assertNotIn("http://", page.replace("http://www.w3.org/2000/svg", ""))
        # Moved by hand: another uneven split gives the same losses.
        written = json.loads(plan.read_text())
        first, second = (stage["operators"] for stage in written["stages"][:2])
        first.append(second.pop(0))
        plan.write_text(json.dumps(written))
        summary = self.folder / "summary.json"
        done = self.call("run", job, "--nodes", 3, "--plan", plan, "--summary", summary)
        self.assertEqual(done.code, 0, str(done))
        told = json.loads(summary.read_text())
        self.assertEqual(told["stages"][0]["operator_ids"], first)
        self.assert_close(told["losses"], one["losses"], 1e-6)

    def test_a_profile_measured_here_serves_a_simulation(self):
        job = self.write_job(self.job(steps=1))
        profile = self.folder / "profile.json"
        done = self.call("probe", "--profile", job, "--seconds", 0.05, "--out", profile)
        self.assertEqual(done.code, 0, str(done))
        done = self.call("config", "check", profile)
        self.assertEqual(done.code, 0, str(done))
        done = self.call("simulate", job, "--cluster", self.fleet(), "--model-profile", profile, "--json")
        self.assertEqual(done.code, 0, str(done))
        report = json.loads(done.out)
        self.assertGreater(report["step_s"], 0)
        self.assertTrue(all(stage["memory_bytes"] > 0 for stage in report["stages"]))

    def test_what_does_not_fit_or_contradicts_itself_says_so(self):
        job = self.write_job(self.job(steps=1))
        fleet = self.fleet()
        done = self.call("plan", job, "--fleet", fleet, "--pin", "wte=node-1,wte=node-2")
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("pinned to 'node-1' and to 'node-2'", done.err)
        done = self.call("plan", job, "--fleet", fleet, "--exclude", "node-1,node-2,node-3")
        self.assertNotEqual(done.code, 0)
        fleet.write_text(fleet.read_text().replace("memory_gb: 2", "memory_gb: 0.0001"))
        done = self.call("plan", job, "--fleet", fleet)
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("memory", done.err)
        fleet.write_text(fleet.read_text().replace("delay_ms: 0.05", "bandwidth_mbps: -1"))
        done = self.call("plan", job, "--fleet", fleet)
        self.assertEqual(done.code, 2, str(done))
        self.assertIn(f"{fleet}:3:", done.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
