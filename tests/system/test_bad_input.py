#!/usr/bin/env python3
"""Bad input gets clear lines and exit code 2, before anything is started."""
import json
import struct
import unittest

from longhaul import ROOT, SystemTest


class BadInput(SystemTest):
    def refused(self, job, *words, lines=1, options=("--nodes", "2")):
        """Runs the job (a dictionary, or text), and expects `lines` lines with all the words."""
        if isinstance(job, dict):
            self.write_job(job)
        else:
            (self.folder / "job.yaml").write_text(job)
        before, paths = self.files("."), self.paths()
        done = self.call("run", "job.yaml", *options)
        self.assertEqual(done.code, 2, str(done))
        self.assertEqual(len(done.err.splitlines()), lines, str(done))
        for word in words:
            self.assertIn(word, done.err)
        self.assert_nothing_left()
        self.assertEqual(before, {name: content for name, content in self.files(".").items()
                                  if name in before}, "files of the user's changed")
        self.assertEqual(self.paths(), paths, "files or folders were left behind")
        return done

    def paths(self):
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*"))

    def weights(self, header, payload=b""):
        """A Hugging Face folder whose safetensors file has this header."""
        folder = self.folder / "model"
        folder.mkdir()
        self.write_config("model/config.json")
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + payload)
        return self.job() | {"model": {"from": "model"}}

    def test_unknown_keys_are_all_named_with_their_place(self):
        job = self.job()
        job["trainning"] = {}
        job["data"]["hold_out"] = 0.1
        text = json.dumps(job, indent=2)
        places = []
        for key in ("trainning", "hold_out"):
            line = next(i for i, content in enumerate(text.splitlines(), 1) if f'"{key}"' in content)
            column = text.splitlines()[line - 1].index('"') + 1
            places.append(f"job.yaml:{line}:{column}:")
        self.refused(text, *places, "trainning", "hold_out", lines=2)

    def test_missing_files(self):
        job = self.job()
        job["data"]["train"] = ["nowhere/*.txt"]
        self.refused(job, "nowhere/*.txt")
        self.refused(self.job() | {"model": {"config": "nowhere.json"}}, "nowhere.json")
        done = self.call("run", "nowhere.yaml", "--nodes", 2)
        self.assertEqual((done.code, len(done.err.splitlines())), (2, 1), str(done))

    def test_usage_errors_take_one_line(self):
        for program, arguments, words in (
                ("longhaul", ("run",), ("job", "longhaul run --help")),
                ("longhaul", (), ("longhaul --help",)),
                ("longhaul", ("node", "list", "--redy", "2"),
                 ("--redy", "did you mean '--ready'?", "longhaul node list --help")),
                ("longhaul", ("rum", "x.yaml"), ("no command 'rum'", "did you mean 'run'?")),
                ("longhaul", ("run", "a.yaml", "b.yaml"), ("too many arguments: 'b.yaml'",)),
                ("longhaul-coordinator", ("--nonsense",), ("longhaul-coordinator --help",)),
                ("longhaul-compnode", ("--nonsense",), ("longhaul-compnode --help",)),
                ("longhaul-worker", (), ("longhaul --help",))):
            done = self.call(*arguments, program=program)
            self.assertEqual((done.code, len(done.err.splitlines())), (2, 1), str(done))
            for word in words:
                self.assertIn(word, done.err)

    def test_tokens_outside_the_vocabulary(self):
        job = self.job()
        job["data"]["train"] = [self.write_tokens(vocabulary=300)]
        self.refused(job, "256")

    def test_a_tokenizer_larger_than_the_model(self):
        job = self.job()
        tokenizer = self.folder / "tokenizer"
        tokenizer.mkdir()
        letters = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
        letters += [chr(256 + i) for i in range(256 - len(letters))]
        pairs = [("a", letter) for letter in letters[:40]]
        vocabulary = [*letters, *(a + b for a, b in pairs), "<|endoftext|>"]
        (tokenizer / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(vocabulary)}))
        (tokenizer / "merges.txt").write_text("\n".join(f"{a} {b}" for a, b in pairs) + "\n")
        (self.folder / "text.txt").write_text("some words of text " * 2000)
        job["data"] |= {"train": ["text.txt"], "tokenizer": "tokenizer"}
        self.refused(job, "256", str(len(vocabulary)))

    def test_a_sequence_longer_than_the_model_has_positions(self):
        job = self.job()
        job["data"]["sequence_length"] = 65
        self.refused(job, "65", "64")

    def test_hostile_safetensors(self):
        float_64 = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}
        cases = {
            "header longer than the file": (b"{}" + b" " * 8, b""),
            "data cut short": ({"transformer.wte.weight": float_64}, b"\0" * 63),
            "overlap": ({"a": float_64, "b": float_64}, b"\0" * 64),
            "offsets beyond the file": (
                {"a": float_64 | {"data_offsets": [0, 2**62]}}, b"\0" * 64),
            "shape that overflows": (
                {"a": float_64 | {"shape": [2**32, 2**32]}}, b"\0" * 64),
            "unknown type": ({"a": float_64 | {"dtype": "F7"}}, b"\0" * 64),
            "not JSON": (b"{]", b""),
        }
        for name, (header, payload) in cases.items():
            with self.subTest(name):
                job = self.weights(header, payload)
                file = self.folder / "model/model.safetensors"
                if name.startswith("header"):
                    file.write_bytes(struct.pack("<Q", 2**63) + b"{}")
                self.refused(job, "model.safetensors")
                file.unlink()
                (self.folder / "model/config.json").unlink()
                (self.folder / "model").rmdir()

    def test_weights_of_another_shape(self):
        entry = {"dtype": "F32", "shape": [4, 4], "data_offsets": [0, 64]}
        self.refused(self.weights({"transformer.wte.weight": entry}, b"\0" * 64), "wte.weight")

    def test_a_micro_batch_that_does_not_divide(self):
        self.refused(self.job(micro_batch=3), "micro_batch", "job.yaml:")

    def test_more_memory_than_there_is(self):
        job = self.job()
        job["model"] = {"config": self.write_config(n_embd=16384, n_layer=96, n_head=128)}
        self.refused(job, "memory")

    def test_graphs_that_make_no_sense(self):
        good = {
            "name": "tiny",
            "dataInputs": [{"name": "tokens", "kind": "TOKENS"},
                           {"name": "targets", "kind": "TARGETS"}],
            "parameters": [{"name": "table", "shape": ["256", "16"],
                            "initialisation": {"kind": "NORMAL", "standardDeviation": 0.1}}],
            "operators": [
                {"id": "embedded", "kind": "embedding", "inputs": ["tokens"],
                 "parameters": ["table"]},
                {"id": "left", "kind": "relu", "inputs": ["embedded"]},
                {"id": "right", "kind": "add", "inputs": ["left", "embedded"]},
                {"id": "logits", "kind": "linear", "inputs": ["right"], "parameters": ["table"]},
                {"id": "loss", "kind": "cross_entropy", "inputs": ["logits", "targets"]}],
            "loss": "loss", "logits": "logits"}
        job = self.job(steps=2) | {"model": {"graph": "graph.json"}}
        (self.folder / "graph.json").write_text(json.dumps(good))
        self.run_job(job)
        cycle = json.loads(json.dumps(good))
        cycle["operators"][1]["inputs"] = ["right"]
        unknown = json.loads(json.dumps(good))
        unknown["operators"][1]["kind"] = "rleu"
        for graph, words in ((cycle, ("cycle", "left", "right")), (unknown, ("rleu", "left"))):
            (self.folder / "graph.json").write_text(json.dumps(graph))
            self.refused(job, "graph.json", *words)

    def test_a_loss_that_becomes_nan_names_step_and_operator(self):
        job = self.job(clip_norm=0.0)
        job["training"]["optimizer"]["learning_rate"] = 100.0
        job["training"]["schedule"] = {"warmup_steps": 0, "decay": "constant"}
        job["training"]["optimizer"]["epsilon"] = 1e-30
        job["training"]["optimizer"]["betas"] = [0.0, 0.0]
        job["training"]["optimizer"]["weight_decay"] = 1.0
        self.write_job(job)
        done = self.call("run", "job.yaml", "--nodes", 2)
        self.assertEqual(done.code, 2, str(done))
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.assertRegex(done.err, r"step \d+", str(done))
        self.assertIn("operator", done.err)
        self.assert_nothing_left()

    def test_a_summary_that_is_a_folder(self):
        self.write_job(self.job())
        done = self.call("run", "job.yaml", "--nodes", 2, "--summary", ".")
        self.assertEqual((done.code, len(done.err.splitlines())), (2, 1), str(done))
        self.assertIn("--summary", done.err)
        self.assert_nothing_left()

    def overflowing_job(self, table, mixed, out, **others):
        """Weights of these standard deviations, whose products may not be finite."""
        def parameter(name, shape, deviation):
            return {"name": name, "shape": shape,
                    "initialisation": {"kind": "NORMAL", "standardDeviation": deviation}}
        graph = {
            "name": "overflow",
            "dataInputs": [{"name": "tokens", "kind": "TOKENS"},
                           {"name": "targets", "kind": "TARGETS"}],
            "parameters": [parameter("table", ["256", "16"], table), parameter("mixed", ["16", "16"], mixed),
                           parameter("out", ["256", "16"], out)],
            "operators": [
                {"id": "embedded", "kind": "embedding", "inputs": ["tokens"], "parameters": ["table"]},
                {"id": "mid", "kind": "linear", "inputs": ["embedded"], "parameters": ["mixed"]},
                {"id": "after", "kind": "relu", "inputs": ["mid"]},
                {"id": "logits", "kind": "linear", "inputs": ["after"], "parameters": ["out"]},
                {"id": "loss", "kind": "cross_entropy", "inputs": ["logits", "targets"]}],
            "loss": "loss", "logits": "logits"}
        (self.folder / "graph.json").write_text(json.dumps(graph))
        return self.job(steps=4) | {"model": {"graph": "graph.json"}} | others

    def test_numbers_that_overflow_do_not_cross_a_link(self):
        """In the forward of the first stage."""
        for compression in ("dense", "fixed(bf16)", "fixed(int8/128)", "fixed(topk25%-int8)"):
            with self.subTest(compression):
                self.refused(self.overflowing_job(1e30, 1e30, 0.1, compression=compression), "stage 0",
                             "link from stage 0 to stage 1, step 1, micro-batch 0, tensor '",
                             "the value at row 0, column ", "the first operator to produce it is 'mid'")

    def test_a_last_stage_that_overflows_names_its_operator(self):
        self.refused(self.overflowing_job(1e30, 0.1, 1e30), "stage 1", "step 1, micro-batch 0: the loss became NaN",
                     "the first operator to produce it is 'logits'")

    def test_a_gradient_alone_that_overflows_ends_the_job_as_numbers(self):
        """The forward is finite on every stage, and so is what crosses links."""
        job = self.overflowing_job(1e15, 1e-35, 1e30)
        self.refused(job, "step 1: a gradient became NaN or infinite", "the gradient of 'mixed' is not",
                     "the first operator to produce it, in the backward pass, is 'mid' of stage ",
                     options=("--nodes", "4"))

    def test_a_refused_job_leaves_no_files(self):
        job = self.job() | {"checkpoint": {"every": 5, "directory": "out/checkpoints"}, "export": "new/model"}
        inputs = ROOT / "build/inputs"
        job["model"] = {"config": self.write_config(vocab_size=50257)}
        (self.folder / "text.txt").write_text("too little")
        job["data"] |= {"train": ["text.txt"], "tokenizer": str(inputs / "gpt2")}
        options = ("--nodes", "2", "--log", "fleet.log")
        self.refused(job, "sequence", options=options)
        (self.folder / "text.txt").write_text("some words of text " * 2000)
        (self.folder / "new/model").mkdir(parents=True)
        (self.folder / "new/model/mine").write_text("")
        self.refused(job, "new/model", options=options)
        (self.folder / "text.jsonl").write_text('{"text": "words"}\n{"text": 7}\n')
        job["data"]["train"] = ["text.jsonl"]
        self.refused({key: value for key, value in job.items() if key != "export"}, "text.jsonl:2", options=options)

    def test_an_option_of_another_command_is_named(self):
        done = self.call("run", self.write_job(self.job()), "--nodes", 2, "--seed", 4)
        self.assertEqual((done.code, len(done.err.splitlines())), (2, 1), str(done))
        self.assertIn("there is no option '--seed'", done.err)

    def test_usage(self):
        for arguments in (("run",), ("run", "job.yaml", "--nodes", "0"), ("fly",),
                          ("run", "job.yaml", "--nodes", "many")):
            done = self.call(*arguments)
            self.assertEqual(done.code, 2, f"{arguments}: {done}")
            self.assertNotEqual(done.err, "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
