#!/usr/bin/env python3
"""The commands that train nothing: config, data, generate, keys, probe."""
import array
import json
import os
import re
import unittest

from longhaul import SystemTest, ROOT

FAKE_BLAS = os.environ.get("LONGHAUL_FAKE_BLAS", str(ROOT / "build/release/tests/system/libblas.so"))


class Commands(SystemTest):
    def ask(self, *arguments):
        done = self.call(*arguments, "--json")
        self.assertEqual(done.code, 0, f"{arguments}: {done}")
        return json.loads(done.out)

    def test_config_check_knows_every_kind_of_file(self):
        job = self.write_job(self.job())
        self.assertEqual(self.ask("config", "check", job)["kind"], "job")
        for kind in ("coordinator", "node", "client"):
            answer = self.ask("config", "check", ROOT / f"deploy/examples/site/{kind}.yaml")
            self.assertEqual(answer["kind"], kind)
        graph = json.loads((ROOT / "deploy/examples/gated_convolution/graph.json").read_text())
        (self.folder / "graph.json").write_text(json.dumps(graph))
        self.assertEqual(self.ask("config", "check", "graph.json")["kind"], "graph")
        graph["operators"][0]["kind"] = "embeding"
        (self.folder / "graph.json").write_text(json.dumps(graph))
        done = self.call("config", "check", "graph.json")
        self.assertEqual((done.code, len(done.err.splitlines())), (2, 1), str(done))
        self.assertIn("embeding", done.err)
        (self.folder / "bad.yaml").write_text("listen: 7\npears: []\n")
        done = self.call("config", "check", "bad.yaml", "--kind", "coordinator")
        self.assertEqual(done.code, 2)
        self.assertGreaterEqual(len(done.err.splitlines()), 2, str(done))
        self.assertIn("bad.yaml:2:1:", done.err)

    def test_data_export_writes_the_sequences_of_the_split(self):
        job = self.write_job(self.job())
        shown = self.ask("data", "show", job)
        self.assertEqual(shown["vocabulary_size"], 256)
        self.assertEqual(shown["tokens"], 20000)
        self.assertTrue(0.0 < shown["unigram_cross_entropy"] < 8.0)
        for split, count in (("train", shown["train_sequences"]), ("holdout", shown["holdout_sequences"])):
            self.ask("data", "export", job, "--split", split, "--to", f"{split}.bin")
            ids = array.array("H", (self.folder / f"{split}.bin").read_bytes())
            self.assertEqual(len(ids), count * 33)
            self.assertLess(max(ids), 256)
        self.assertAlmostEqual(shown["holdout_sequences"],
                               0.1 * (shown["train_sequences"] + shown["holdout_sequences"]), delta=2)

    def test_generate_repeats_itself_for_a_seed(self):
        job = self.job(steps=3)
        inputs = ROOT / "build/inputs"
        job["model"] = {"config": self.write_config(vocab_size=50257)}
        job["data"] |= {"train": [str(inputs / "text/sotu/1790*.txt")], "tokenizer": str(inputs / "gpt2"),
                        "holdout": 0.0}
        self.run_job(job | {"export": "model"}, nodes=2)
        options = ("generate", "model", "--prompt", "The people", "--tokens", "12")
        first, again, other = (self.ask(*options, "--seed", seed)["text"] for seed in (1, 1, 2))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)
        self.assertTrue(first.startswith("The people"))

    def test_keys_show_what_they_made(self):
        made = self.call("keys", "new", "some.key").out.strip()
        self.assertEqual(len(made), 40)
        self.assertEqual((self.folder / "some.key").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.call("keys", "show", "some.key").out.strip(), made)
        self.assertNotEqual(self.call("keys", "new", "some.key").code, 0, "no key is overwritten")

    def test_probe_names_the_devices(self):
        answer = self.ask("probe", "--quick")
        self.assertGreaterEqual(answer["cpu"]["threads"], 1)
        self.assertRegex(answer["torch"], r"^\d+\.\d+")
        self.assertFalse(answer["blas"]["reference"], str(answer["blas"]))
        self.assertNotIn("warning", answer)
        self.assertIn(answer["blas"]["name"], self.call("probe", "--quick").out)

    def test_a_blas_that_is_slow_is_named_with_what_to_install(self):
        os.environ["LD_PRELOAD"] = FAKE_BLAS
        self.addCleanup(os.environ.pop, "LD_PRELOAD")
        blas = self.ask("probe", "--quick")["blas"]
        self.assertTrue(blas["reference"], str(blas))
        expected = (rf"warning: LibTorch multiplies matrices with the reference BLAS \({re.escape(blas['file'])}\), "
                    r"many times slower than OpenBLAS: apt-get install libopenblas0-pthread\n")
        self.assertRegex(self.call("probe", "--quick").err, expected)
        done = self.call("run", self.write_job(self.job(steps=1)), "--nodes", 2)
        self.assertEqual(done.code, 0, str(done))
        self.assertEqual(len(re.findall(expected, done.out + done.err)), 1, str(done))


if __name__ == "__main__":
    unittest.main(verbosity=2)
