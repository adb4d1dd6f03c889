"""Programs with a pretended worker, and a coordinator and CompNodes that are started by hand."""
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from longhaul import PROGRAMS, SystemTest  # noqa: E402

FAKE_WORKER = PROGRAMS / "longhaul-fake-worker"


class FakeWorkerTest(SystemTest):
    """Jobs that train nothing: LONGHAUL_FAKE_WORKER says what goes wrong in them."""

    def setUp(self):
        super().setUp()
        os.environ["LONGHAUL_WORKER"] = str(FAKE_WORKER)
        self.behave("")

    def behave(self, behaviour):
        os.environ["LONGHAUL_FAKE_WORKER"] = behaviour

    def write_quick_job(self, steps=20, **changes):
        return self.write_job(self.job(steps=steps) | changes)


class FleetTest(FakeWorkerTest):
    """A fleet of one coordinator, nodes a, b, ... and a user with a client.yaml."""

    def setUp(self):
        super().setUp()
        self.fleet = {}
        self.keys = {name: self.make_key(name) for name in ("coordinator", "user", "a", "b")}
        peers = [{"name": name, "public_key": self.keys[name], "role": role}
                 for name, role in (("user", "operator"), ("a", "node"), ("b", "node"))]
        self.address = f"ipc://{self.folder}/coordinator.sock"
        self.write("coordinator.yaml", {"listen": self.address, "key": "coordinator.key",
                                        "state": "coordinator", "peers": peers})
        here = {"address": self.address, "public_key": self.keys["coordinator"]}
        self.write("client.yaml", {"coordinator": here, "key": "user.key"})
        for name in ("a", "b"):
            self.write(f"{name}.yaml", {
                "name": name, "site": "here", "coordinator": here, "key": f"{name}.key",
                "advertise": "127.0.0.1", "state": name,
                "devices": [{"name": "cpu", "threads": 1, "memory_gb": 0.1}]})

    def write(self, name, content):
        (self.folder / name).write_text(json.dumps(content) + "\n")

    def make_key(self, name):
        done = self.call("keys", "new", f"{name}.key")
        self.assertEqual(done.code, 0, str(done))
        return done.out.strip()

    def start_coordinator(self):
        self.fleet["coordinator"] = self.start("--config", "coordinator.yaml",
                                               program="longhaul-coordinator")

    def start_node(self, name):
        self.fleet[name] = self.start("--config", f"{name}.yaml", program="longhaul-compnode")

    def start_all(self):
        self.start_coordinator()
        for name in ("a", "b"):
            self.start_node(name)
        done = self.ask("node", "list", "--ready", 2)
        self.assertEqual(done.code, 0, str(done))

    def stop(self, name):
        running = self.fleet.pop(name)
        running.process.terminate()
        return running.finish()

    def stop_all(self):
        """Every daemon ends when it is asked to, with exit code 0."""
        for name in ("a", "b", "coordinator"):
            if name in self.fleet:
                done = self.stop(name)
                self.assertEqual(done.code, 0, f"{name}: {done}")

    def ask(self, *arguments):
        return self.call("--config", "client.yaml", *arguments)

    def ask_json(self, *arguments):
        done = self.ask(*arguments, "--json")
        self.assertEqual(done.code, 0, str(done))
        return json.loads(done.out)

    def submit(self, steps, nodes=2):
        answer = self.ask_json("job", "submit", self.write_quick_job(steps), "--nodes", nodes)
        return answer["job"]

    def watch(self, job):
        return self.start("--config", "client.yaml", "job", "watch", job, "--json")
