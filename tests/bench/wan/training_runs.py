"""A small GPT on the State of the Union, trained by `longhaul run` in folders that keep what came out of each run."""
import dataclasses
import json
import os
import pathlib
import re
import resource
import selectors
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAMS = ROOT / "build/release/bin"
INPUTS = ROOT / "build/inputs"
BYTES = 256  # tokens 0 to 255 of GPT-2's vocabulary are the bytes
BUSY = 0.1  # processors that others may take before a figure is marked


class RunFailed(Exception):
    """`longhaul run` ended with an error; the text is its last line."""


@dataclasses.dataclass
class Model:
    """A GPT-2 with untied embeddings, so that nothing but boundaries crosses links, and its batches."""
    layers: int = 6
    width: int = 128
    heads: int = 4
    sequence: int = 128
    micro_batch: int = 3
    micro_batches: int = 4
    learning_rate: float = 2e-3
    merges: int = 0  # of GPT-2's; 0: a token is a byte

    @property
    def tokens_per_step(self):
        return self.sequence * self.micro_batch * self.micro_batches


@dataclasses.dataclass
class Run:
    """What a run came to. `first_step_s`: when its first step began, after the network was up."""
    summary: dict
    steps: list  # the events of --json, one for each step
    network_up_s: float = 0.0  # as unix time, of the log's first line of the network
    others: float = 0.0  # processors that other programs and the host took meanwhile, on average
    wire: dict = dataclasses.field(default_factory=dict)  # (from, to) -> bytes of IP packets

    @property
    def busy(self):
        return self.others > BUSY

    @property
    def first_step_s(self):
        first = self.steps[0]
        return first["unix_ms"] / 1e3 - first["step_time_s"] - self.network_up_s

    def links(self, direction=None):
        found = [link for link in self.summary["links"] if link["direction"] in ("forward", "backward")]
        return [link for link in found if direction in (None, link["direction"])]

    @property
    def slowest_compute_s(self):
        """Of a micro-batch, forward and backward, in the slowest stage; mean over the run."""
        return max(stage["compute_s_per_microbatch"] for stage in self.summary["stages"])

    def tokens_per_s(self, warmup=0):
        """Over all steps but the first `warmup`."""
        steps = self.steps[warmup:] or self.steps[-1:]
        return sum(step["tokens"] for step in steps) / sum(step["step_time_s"] for step in steps)

    @property
    def bytes_per_step(self):
        """Over all links, headers of messages included, without the evaluation at the end."""
        first, last = self.steps[0], self.steps[-1]
        if first is last:
            return first["bytes_sent"]
        return (last["bytes_sent"] - first["bytes_sent"]) / (len(self.steps) - 1)

    def bits_per_entry(self, direction):
        """Bits sent per entry of a boundary's tensor in training, over all links of the direction; payload and
        message header. An evaluation sends its activations as well, and once more dense where links compress."""
        links = self.links(direction)
        sent, dense = (sum(link[key] for link in links) for key in ("bytes_sent", "dense_bytes"))
        if direction == "forward" and self.summary["eval_loss_dense"] is not None:
            trained = sum(link["dense_bytes"] for link in self.links("backward"))
            once = (dense - trained) / 2
            sent, dense = sent - once, dense - once
        return 32 * sent / dense if dense else 0.0


def cut_tokenizer(inputs, folder, merges):
    """GPT-2's vocabulary, cut to the bytes and the first merges; returns how many tokens it has."""
    wanted = BYTES + merges
    vocabulary = json.loads((inputs / "gpt2/vocab.json").read_text(encoding="utf-8"))
    kept = {name: number for name, number in vocabulary.items() if number < wanted}
    kept["<|endoftext|>"] = wanted
    version, *lines = (inputs / "gpt2/merges.txt").read_text(encoding="utf-8").splitlines()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(kept), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join([version, *lines[:merges]]) + "\n", encoding="utf-8")
    return wanted + 1


def job_of(model, vocabulary_folder, vocabulary, inputs, folder, **settings):
    """A job as a dictionary; writes its config.json. `settings`: steps, seed, compression, anneal, schedule, run_ahead,
    sequences to evaluate on."""
    config = {"model_type": "gpt2", "vocab_size": vocabulary, "n_positions": model.sequence, "n_embd": model.width,
              "n_layer": model.layers, "n_head": model.heads, "activation_function": "gelu_new",
              "tie_word_embeddings": False}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config) + "\n", encoding="utf-8")
    steps = settings["steps"]
    job = {
        "name": "bench",
        "model": {"config": "config.json"},
        "data": {"train": [str(inputs / "text/sotu/*.txt")], "tokenizer": str(vocabulary_folder),
                 "sequence_length": model.sequence, "holdout": 0.01, "cache": "../cache"},
        "training": {
            "steps": steps, "batch": model.micro_batch * model.micro_batches, "micro_batch": model.micro_batch,
            "optimizer": {"name": "adamw", "learning_rate": model.learning_rate, "weight_decay": 0.1,
                          "betas": [0.9, 0.95], "epsilon": 1e-8},
            "schedule": {"warmup_steps": min(50, steps // 4), "decay": "cosine", "final": 0.1},
            "clip_norm": 1.0, "dropout": 0.0, "precision": "fp32", "seed": settings.get("seed", 1)},
        "pipeline": {"schedule": settings.get("schedule", "1f1b")},
        "compression": settings.get("compression", "dense"),
        "evaluation": {"every": 0, "sequences": settings.get("sequences", 200)},
    }
    if settings.get("run_ahead"):
        job["pipeline"]["run_ahead"] = settings["run_ahead"]
    if settings.get("anneal"):
        job["anneal"] = settings["anneal"]
    return job


def processor_seconds():
    """Seconds that processors were busy since the machine started, with what a host took from it; and those of
    this program's ended children."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, soft, steal, *_ = (int(word) for word in file.readline().split()[1:])
    busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    return busy - children.ru_utime - children.ru_stime - own.ru_utime - own.ru_stime


class Log:
    """The lines of a run's log as they come: when the network was up and what it carried. Lines have no times."""

    def __init__(self, path):
        self.path, self.place, self.up_s, self.wire = path, 0, 0.0, {}

    def read(self):
        if not self.path.exists():
            return
        with open(self.path, encoding="utf-8", errors="replace") as file:
            file.seek(self.place)
            for line in file.read().splitlines():
                if re.match(r"network: \S+ -> ", line) and not self.up_s:
                    self.up_s = time.time()
                if line.startswith("network: {"):
                    paths = json.loads(line.removeprefix("network: "))["paths"]
                    self.wire = {(path["from"], path["to"]): path["bytes"] for path in paths}
            self.place = file.tell()


class Bench:
    """Runs jobs below one folder. With `reuse`, what is there from an equal run is taken instead."""

    def __init__(self, folder, model, programs=PROGRAMS, inputs=INPUTS, reuse=False, limit_s=7200):
        self.folder, self.model, self.programs, self.inputs = folder.resolve(), model, programs, inputs.resolve()
        self.reuse, self.limit_s = reuse, limit_s
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by way of execute(), which ends the run
        for needed, remedy in ((programs / "longhaul", "deploy/build release"),
                               (self.inputs / "gpt2/vocab.json", "deploy/fetch_inputs")):
            if not needed.exists():
                sys.exit(f"{sys.argv[0]}: {needed} is missing: run {remedy}")
        self.tokenizer = self.folder / "tokenizer"
        self.vocabulary = cut_tokenizer(self.inputs, self.tokenizer, model.merges)

    def run(self, name, network=None, nodes=4, **settings):
        """Trains. `network`: a networks.Network, else the nodes are on loopback. Raises RunFailed."""
        folder = self.folder / name
        job = job_of(self.model, self.tokenizer, self.vocabulary, self.inputs, folder, **settings)
        command = [str(self.programs / "longhaul"), "run", "job.yaml", "--threads", "1", "--json",
                   "--summary", "summary.json", "--log", "log.txt"]
        command += network.write(folder) if network else ["--nodes", str(nodes)]
        if settings.get("shares"):
            command += ["--cpu-shares", ",".join(str(share) for share in settings["shares"])]
        if settings.get("plan"):
            command += ["--plan", str(settings["plan"])]
        asked = json.dumps({"job": job, "command": command, "network": network and network.text()}, indent=1)
        if self.reuse and (kept := self.kept(folder, asked)):
            print(f"{name}: as it is in {folder}", file=sys.stderr, flush=True)
            return kept
        for old in ("summary.json", "log.txt", "events.json", "asked.json"):
            (folder / old).unlink(missing_ok=True)
        (folder / "job.yaml").write_text(json.dumps(job, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
        print(f"{name}: {settings.get('compression', 'dense')}, {settings['steps']} steps", file=sys.stderr, flush=True)
        run = self.execute(folder, command)
        (folder / "events.json").write_text(json.dumps(
            {"steps": run.steps, "up_s": run.network_up_s, "others": run.others,
             "wire": [[*path, sent] for path, sent in run.wire.items()]}) + "\n", encoding="utf-8")
        (folder / "asked.json").write_text(asked, encoding="utf-8")
        return run

    @staticmethod
    def kept(folder, asked):
        file = folder / "asked.json"
        if not file.exists() or file.read_text(encoding="utf-8") != asked:
            return None
        events = json.loads((folder / "events.json").read_text(encoding="utf-8"))
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return Run(summary, events["steps"], events["up_s"], events["others"],
                   {(path[0], path[1]): path[2] for path in events["wire"]})

    def execute(self, folder, command):
        log, steps, start = Log(folder / "log.txt"), [], time.monotonic()
        before = processor_seconds()
        with open(folder / "errors.txt", "w", encoding="utf-8") as errors:
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=errors, text=True)
            try:
                self.follow(process, log, steps, start + self.limit_s)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)  # it cancels the job and stops its fleet
                process.wait(timeout=60)
        log.read()
        if process.returncode != 0:
            lines = (folder / "errors.txt").read_text(encoding="utf-8").splitlines()
            raise RunFailed(lines[-1] if lines else f"exit code {process.returncode}")
        others = max(0.0, processor_seconds() - before) / (time.monotonic() - start)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return Run(summary, steps, log.up_s, others, log.wire)

    @staticmethod
    def follow(process, log, steps, deadline):
        """Reads events until the program closes its output."""
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                ready = selector.select(timeout=0.1)
                log.read()
                if not ready:
                    continue
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    return
                *lines, pending = (pending + chunk).split(b"\n")
                events = [json.loads(line) for line in lines if line]
                steps += [event for event in events if event["event"] == "step"]
        raise RunFailed("not done within the limit of a run")


def add_options(parser, folder):
    """The options of both benches."""
    parser.add_argument("--bin", type=pathlib.Path, default=PROGRAMS, help="folder of the programs [build/release/bin]")
    parser.add_argument("--inputs", type=pathlib.Path, default=INPUTS,
                        help="what deploy/fetch_inputs fetched [build/inputs]")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/bench" / folder,
                        help=f"where each run keeps its files, and where the plot goes [build/bench/{folder}]")
    parser.add_argument("--reuse", action="store_true", help="take runs that are already there and were asked the same")
    parser.add_argument("--limit-s", type=float, default=7200, help="give up a run after so long")
    parser.add_argument("--json", type=pathlib.Path, help="write all rows there")
