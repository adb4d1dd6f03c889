#!/usr/bin/env python3
"""Usage errors, exit codes, and the commands that need no fleet."""
import json
import os
import pathlib
import unittest

from fleet import FAKE_WORKER, FakeWorkerTest

PROFILE = pathlib.Path(__file__).resolve().parents[1] / "galvatron/profile"


class Commands(FakeWorkerTest):
    def test_usage_errors_exit_with_2_and_say_something(self):
        for arguments in ((), ("fly",), ("run",), ("run", "job.yaml", "--nodes", "0"),
                          ("run", "job.yaml", "--nodes", "many"),
                          ("run", "job.yaml", "--threads", "0"), ("job",),
                          ("job", "submit"), ("job", "show"), ("node", "show"),
                          ("config", "check"), ("keys", "new"), ("plan",), ("plan", "--layers", "3"),
                          ("plan", "--galvatron-profile", "."), ("generate",), ("data", "export"),
                          ("data", "export", "job.yaml", "--split", "middle", "--to", "x")):
            with self.subTest(arguments):
                done = self.call(*arguments)
                self.assertEqual(done.code, 2, str(done))
                self.assertEqual(len(done.err.splitlines()), 1, str(done))

    def test_help_and_version_exit_with_0(self):
        for arguments in (("--help",), ("run", "--help"), ("job", "watch", "--help")):
            self.assertEqual(self.call(*arguments).code, 0)
        for program in ("longhaul", "longhaul-coordinator", "longhaul-compnode"):
            self.assertRegex(self.call("--version", program=program).out, r"^\d+\.\d+\.\d+$")

    def test_a_job_file_that_is_wrong_is_refused_with_all_its_errors(self):
        job = self.job(micro_batch=3) | {"compresion": "dense"}
        done = self.call("run", self.write_job(job))
        self.assertEqual(done.code, 2, str(done))
        self.assertEqual(len(done.err.splitlines()), 2)
        self.assertTrue(all("job.yaml:" in line for line in done.err.splitlines()))
        self.assert_nothing_left()

    def test_a_worker_that_is_not_there_is_named(self):
        for options, variable in ((("--worker", "nowhere"), ""), ((), "nowhere")):
            os.environ["LONGHAUL_WORKER"] = variable
            done = self.call(*options, "run", self.write_quick_job())
            self.assertEqual(done.code, 2, str(done))
            self.assertIn("nowhere is no program that can be run", done.err)
        os.environ["LONGHAUL_WORKER"] = ""
        done = self.call("--worker", FAKE_WORKER, "probe")
        self.assertEqual(done.code, 0, str(done))

    def test_config_check_names_kind_or_errors(self):
        good = self.write_quick_job()
        (self.folder / "bad.yaml").write_text("name: x\nmodell: {}\n")
        done = self.call("config", "check", good)
        self.assertEqual((done.code, done.out), (0, "job.yaml: a good job file\n".rstrip()))
        done = self.call("config", "check", good, "bad.yaml", "--kind", "job")
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("bad.yaml:2:1:", done.err)
        done = self.call("config", "check", good, "bad.yaml", "--kind", "job", "--json")
        results = [json.loads(line) for line in done.out.splitlines()]
        self.assertEqual([result["ok"] for result in results], [True, False])
        self.assertEqual(done.code, 2)
        self.assertIn("sequence_length", self.call("config", "reference").out)

    def test_keys_are_made_once_and_shown(self):
        made = self.call("keys", "new", "mine.key")
        self.assertEqual((made.code, len(made.out.strip())), (0, 40), str(made))
        self.assertEqual(os.stat(self.folder / "mine.key").st_mode & 0o777, 0o600)
        shown = self.call("keys", "show", "mine.key", "--json")
        self.assertEqual(json.loads(shown.out)["public_key"], made.out.strip())
        again = self.call("keys", "new", "mine.key")
        self.assertNotEqual(again.code, 0)
        self.assertEqual(len(again.err.splitlines()), 1)
        self.assertNotEqual(self.call("keys", "show", "none.key").code, 0)

    def test_probe_shows_what_the_worker_sees(self):
        done = self.call("probe")
        self.assertEqual(done.code, 0, str(done))
        self.assertIn("pretended", done.out)
        self.assertEqual(json.loads(self.call("probe", "--json").out)["torch"], "none")

    def plan(self, *more, **changes):
        options = {"layers": 28, "hidden": 4096, "sequence": 8192, "devices": 8, "memory_gb": 36, "batch": 64,
                   "chunks": 32, "galvatron_profile": PROFILE} | changes
        given = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        return self.call("plan", *given, *more)

    def test_plan_from_a_profile_of_galvatrons(self):
        done = self.plan()
        self.assertEqual(done.code, 0, str(done))
        self.assertIn("14 x 1-4*-2f-c, 12 x 1-4*-2f, 2 x 1-4*-2", done.out)
        plan = json.loads(self.plan("--json").out)
        self.assertEqual(list(plan), ["candidates", "samples_per_s", "pipeline_degree", "layers",
                                      "embedding_tensor_degree"])
        self.assertEqual((len(plan["candidates"]), len(plan["layers"])), (50, 28))
        self.assertAlmostEqual(plan["samples_per_s"], 2.6485091403918064, delta=1e-6)
        plan = json.loads(self.plan("--json", "--coarse", chunks=8).out)
        self.assertEqual(set(plan["layers"]), {"1-1-8f-c"})
        self.assertAlmostEqual(plan["samples_per_s"], 2.5246283459057333, delta=1e-6)

    def test_plan_tells_what_is_wrong_and_exits_with_2(self):
        for changes, said in (({"devices": 6}, "powers of two"), ({"chunks": 24}, "do not divide"),
                              ({"memory_gb": 6}, "no plan fits"), ({"memory_gb": -1}, "--memory-gb"),
                              ({"devices": 16}, "hardware.json:2:15: allreduce lacks"),
                              ({"galvatron_profile": "nowhere"}, "nowhere/hardware.json: cannot be read")):
            with self.subTest(said):
                done = self.plan(**changes)
                self.assertEqual(done.code, 2, str(done))
                self.assertIn(said, done.err)
                self.assertEqual(done.out, "")

    def test_without_a_client_file_the_way_out_is_told(self):
        os.environ["XDG_CONFIG_HOME"] = str(self.folder)
        self.addCleanup(os.environ.pop, "XDG_CONFIG_HOME")
        done = self.call("node", "list")
        self.assertEqual(done.code, 2, str(done))
        self.assertIn("client.yaml", done.err)
        self.assertEqual(len(done.err.splitlines()), 1)

    def test_daemons_refuse_a_configuration_that_is_not_there_or_wrong(self):
        (self.folder / "bad.yaml").write_text("lisen: x\n")
        for program in ("longhaul-coordinator", "longhaul-compnode"):
            for file in ("none.yaml", "bad.yaml"):
                done = self.call("--config", file, program=program)
                self.assertEqual(done.code, 2, str(done))
                self.assertIn(file, done.err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
