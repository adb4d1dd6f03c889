#!/usr/bin/env python3
"""Compressed links: what they carry, that a run repeats, and what it costs."""
import json
import unittest

from longhaul import SystemTest


class Compression(SystemTest):
    def train(self, compression, nodes=2, name=None, **changes):
        job = self.job(steps=12, **changes) | {"compression": compression}
        return self.run_job(job, nodes=nodes, name=name or "job")

    def links(self, summary):
        return {(link["from"], link["to"], link["direction"]): link for link in summary["links"]}

    def test_rungs_that_lose_nothing_change_nothing(self):
        dense = self.train("dense")
        exact = self.train("fixed(fp32)")
        self.assertEqual(exact["losses"], dense["losses"])
        self.assertEqual(exact["eval_loss"], dense["eval_loss"])
        self.assertEqual(exact["eval_loss_dense"], dense["eval_loss"])
        self.assertIsNone(dense["eval_loss_dense"])
        self.assertEqual({link["distortion"] for link in exact["links"]}, {0.0})

    def test_a_fixed_rung_repeats_to_the_bit_and_does_not_matter_on_one_node(self):
        for rung in ("int8/128", "int4/64-rotated-stochastic", "topk25%-int8/128", "topk10%-int4/64-packed"):
            with self.subTest(rung):
                first = self.train(f"fixed({rung})", nodes=3)
                again = self.train(f"fixed({rung})", nodes=3)
                self.assertEqual(first["losses"], again["losses"])
                self.assertEqual(first["eval_loss"], again["eval_loss"])
        alone = self.train("fixed(topk10%-int4)", nodes=1)
        self.assertEqual(alone["losses"], self.train("dense", nodes=1)["losses"])

    def test_bytes_fall_and_distortion_is_told(self):
        dense = self.links(self.train("dense"))
        for rung, least, most in (("int8/128", 0.2, 0.35), ("topk10%-int4/64", 0.01, 0.12)):
            with self.subTest(rung):
                links = self.links(self.train(f"fixed({rung})"))
                backward = links[1, 0, "backward"]
                ratio = backward["bytes_sent"] / dense[1, 0, "backward"]["bytes_sent"]
                self.assertGreater(ratio, least)
                self.assertLess(ratio, most)
                self.assertEqual(links[0, 1, "forward"]["rung"], rung)
                self.assertGreater(links[0, 1, "forward"]["distortion"], 0.0)
                self.assertLess(links[0, 1, "forward"]["distortion"], 1.0)

    def test_uniform_topk_sends_indices_and_values(self):
        links = self.links(self.train("uniform-topk(20)"))
        dense = self.links(self.train("dense"))
        ratio = links[1, 0, "backward"]["bytes_sent"] / dense[1, 0, "backward"]["bytes_sent"]
        self.assertAlmostEqual(ratio, 12 / 4 / 20, delta=0.02)
        self.assertEqual(links[1, 0, "backward"]["rung"], "indexed5%")

    def test_it_learns_and_resumes_to_the_bit(self):
        job = self.job(steps=12) | {"compression": "fixed(topk25%-int8)"}
        job["checkpoint"] = {"every": 6, "directory": "out"}
        whole = self.run_job(job, nodes=2, name="whole")
        self.assertLess(whole["losses"][-1], whole["losses"][0])
        for folder in (self.folder / "out").glob("*12*"):
            for file in sorted(folder.rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            folder.rmdir()
        self.write_job(job)
        done = self.call("run", "job.yaml", "--nodes", 2, "--resume", "out", "--summary", "again.json")
        self.assertEqual(done.code, 0, str(done))
        again = json.loads((self.folder / "again.json").read_text())
        self.assertEqual(again["losses"], whole["losses"][6:])

    def test_a_rung_that_does_not_exist_is_refused_before_anything_starts(self):
        for compression, words in (("fixed(int9/128)", "int9"), ("uniform-topk(0)", "uniform-topk"),
                                   ("zip", "fixed(RUNG)")):
            with self.subTest(compression):
                self.write_job(self.job() | {"compression": compression})
                done = self.call("run", "job.yaml", "--nodes", 2)
                self.assertEqual(done.code, 2, str(done))
                self.assertEqual(len(done.err.splitlines()), 1, str(done))
                self.assertIn(words, done.err)
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main(verbosity=2)
