"""A scratch folder with small jobs, and the real programs run in it; what they leave is noticed."""
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("LONGHAUL_PROGRAMS", ROOT / "build/release/bin"))
CLEANUP_S = 10.0  # for children to go after the program that started them


class Finished:
    """How a program ended."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __str__(self):
        return f"exit code {self.code}\nstdout: {self.out[-2000:]}\nstderr: {self.err[-2000:]}"


class Running:
    """A program that has not ended; the lines of its standard output, or of its log on standard error,
    are read one by one."""

    def __init__(self, command, folder, environment, timeout, read_log=False):
        self.deadline = time.monotonic() + timeout
        self.lines = []
        self._read_log = read_log
        self._pending = b""
        self._rest = tempfile.TemporaryFile(dir=folder)
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
            stdout=self._rest if read_log else subprocess.PIPE,
            stderr=subprocess.PIPE if read_log else self._rest)
        self._stream = self.process.stderr if read_log else self.process.stdout

    def _time_left(self):
        return max(0.0, self.deadline - time.monotonic())

    def line(self):
        """The next line; None at the end."""
        while b"\n" not in self._pending:
            if not select.select([self._stream], [], [], self._time_left())[0]:
                self.process.kill()
                raise TimeoutError(f"no further output after {self.lines[-3:]}")
            chunk = os.read(self._stream.fileno(), 65536)
            if not chunk:
                return None
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        self.lines.append(line.decode())
        return self.lines[-1]

    def wait_for_line(self, pattern):
        """The match of the first line, read from here on, that has one."""
        while (line := self.line()) is not None:
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"ended without {pattern}: {self.finish()}")

    def wait_for_step(self, step):
        """Reads JSON progress until the step is committed."""
        while (line := self.line()) is not None:
            event = json.loads(line)
            if event.get("event") == "step" and event["step"] >= step:
                return
        raise AssertionError(f"ended before step {step}: {self.finish()}")

    def finish(self):
        while self.line() is not None:
            pass
        self.process.wait(timeout=self._time_left() + 1.0)
        self._stream.close()
        lines = "\n".join(self.lines)
        with self._rest as file:
            file.seek(0)
            rest = file.read().decode()
        out, err = (rest, lines) if self._read_log else (lines, rest)
        return Finished(self.process.returncode, out, err)


class SystemTest(unittest.TestCase):
    """Each test has a folder of its own, and processes that can be told from all others."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="longhaul-system-"))
        self.scratch = self.folder / "tmp"
        self.scratch.mkdir()
        self.tag = f"LONGHAUL_SYSTEM_TEST={uuid.uuid4()}"
        self.addCleanup(self._remove)

    def _remove(self):
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- input ---------------------------------------------------------------------------------

    def write_tokens(self, name="tokens.bin", count=20000, vocabulary=256, seed=1):
        """Tokens of unequal frequency that depend on the one before: a model has much to learn."""
        generator, tokens, previous = random.Random(seed), [], 0
        for _ in range(count):
            previous = (previous * 7 + int(vocabulary * generator.random() ** 4)) % vocabulary
            tokens.append(previous)
        (self.folder / name).write_bytes(struct.pack(f"<{count}H", *tokens))
        return name

    def write_config(self, name="config.json", **changes):
        config = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 256,
                  "n_positions": 64, "n_embd": 64, "n_layer": 4, "n_head": 4,
                  "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
                  "initializer_range": 0.02, "resid_pdrop": 0.1, "embd_pdrop": 0.1,
                  "attn_pdrop": 0.1, "tie_word_embeddings": True} | changes
        (self.folder / name).write_text(json.dumps(config))
        return name

    def job(self, **training):
        """A job as a dictionary: four layers, dropout, tied embeddings and clipping that bites."""
        return {
            "name": "system",
            "model": {"config": self.write_config()},
            "data": {"train": [self.write_tokens()], "sequence_length": 32, "holdout": 0.1},
            "training": {
                "steps": 20, "batch": 8, "micro_batch": 2,
                "optimizer": {"name": "adamw", "learning_rate": 2e-3, "weight_decay": 0.1,
                              "betas": [0.9, 0.95], "epsilon": 1e-8},
                "schedule": {"warmup_steps": 5, "decay": "cosine", "final": 0.1},
                "clip_norm": 0.5, "dropout": 0.1, "precision": "fp32", "seed": 1} | training,
            "pipeline": {"schedule": "1f1b"},
        }

    def write_job(self, job, name="job.yaml"):
        """JSON is YAML."""
        (self.folder / name).write_text(json.dumps(job, indent=2) + "\n")
        return name

    # ---- programs ------------------------------------------------------------------------------

    def start(self, *arguments, program="longhaul", timeout=120, read_log=False):
        environment = os.environ | dict([self.tag.split("=")]) | {"TMPDIR": str(self.scratch)}
        command = [str(PROGRAMS / program), *map(str, arguments)]
        return Running(command, self.folder, environment, timeout, read_log)

    def call(self, *arguments, **options):
        return self.start(*arguments, **options).finish()

    def processes(self, program=""):
        """Process ids of what this test started, directly or not, and of that program only."""
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                ours = self.tag.encode() in (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue  # gone, or not ours to look at
            if ours and pathlib.Path(command).name.startswith(program):
                found.append(int(entry.name))
        return found

    def wait_for_children(self):
        """Every process that this test started ends within a deadline."""
        deadline = time.monotonic() + CLEANUP_S
        for pid in self.processes():
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            with os.fdopen(descriptor, "rb", closefd=True):
                left = max(0.0, deadline - time.monotonic())
                if not select.select([descriptor], [], [], left)[0]:
                    command = pathlib.Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                    self.fail(f"still running {CLEANUP_S} s later: {command}")

    def assert_nothing_left(self):
        self.wait_for_children()
        self.assertEqual([str(path) for path in self.scratch.rglob("*")], [], "temporary files left")

    def run_job(self, job, *options, nodes=1, name="job", timeout=120):
        """Trains the job, expects success, and returns its summary."""
        file = self.write_job(job, f"{name}.yaml")
        summary = self.folder / f"{name}.summary.json"
        done = self.call("run", file, "--nodes", nodes, "--summary", summary, "--json", *options,
                         timeout=timeout)
        self.assertEqual(done.code, 0, str(done))
        self.assert_nothing_left()
        return json.loads(summary.read_text())

    def assert_close(self, actual, expected, relative):
        self.assertEqual(len(actual), len(expected))
        for index, (a, b) in enumerate(zip(actual, expected)):
            self.assertLessEqual(abs(a - b), relative * abs(b), f"item {index}: {a} and {b}")

    def files(self, folder):
        """The bytes of every file below the folder, by relative path."""
        base = self.folder / folder
        return {str(path.relative_to(base)): path.read_bytes()
                for path in sorted(base.rglob("*")) if path.is_file()}
