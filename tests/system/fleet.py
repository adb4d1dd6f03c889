"""A coordinator and CompNodes started by hand, as on several hosts, for tests that steer them."""
import json

from longhaul import SystemTest


class FleetTest(SystemTest):
    """Keys for everybody, a coordinator, and nodes `node-0`, `node-1`, ... that each test starts."""

    NODES = 2

    def setUp(self):
        super().setUp()
        names = ["coordinator", "user", *(f"node-{i}" for i in range(self.NODES))]
        self.keys = {name: self.call("keys", "new", f"{name}.key").out.strip() for name in names}

    def write(self, name, content):
        (self.folder / name).write_text(json.dumps(content, indent=2) + "\n")
        return name

    def start_coordinator(self, listen="tcp://127.0.0.1:*"):
        peers = [{"name": name, "public_key": key, "role": "operator" if name == "user" else "node"}
                 for name, key in self.keys.items() if name != "coordinator"]
        self.write("coordinator.yaml", {"listen": listen, "key": "coordinator.key",
                                        "state": "coordinator-state", "peers": peers})
        return self.start("--config", "coordinator.yaml", program="longhaul-coordinator", read_log=True)

    def start_fleet(self):
        """Everything running and ready; the programs, coordinator first."""
        coordinator = self.start_coordinator()
        endpoint = coordinator.wait_for_line(r"listens on (\S+)")[1]
        address = {"address": endpoint, "public_key": self.keys["coordinator"]}
        self.write("client.yaml", {"coordinator": address, "key": "user.key"})
        nodes = []
        for i in range(self.NODES):
            self.write(f"node-{i}.yaml", {
                "name": f"node-{i}", "site": "here", "coordinator": address, "key": f"node-{i}.key",
                "advertise": "127.0.0.1", "state": f"node-{i}-state",
                "devices": [{"name": "cpu", "threads": 1, "memory_gb": 2}]})
            nodes.append(self.start("--config", f"node-{i}.yaml", program="longhaul-compnode",
                                    read_log=True))
        self.ask("node", "list", "--ready", self.NODES)
        return coordinator, nodes

    def ask(self, *arguments):
        """A command to the coordinator that must succeed; the objects that it prints."""
        done = self.call("--config", "client.yaml", *arguments, "--json")
        self.assertEqual(done.code, 0, f"{arguments}: {done}")
        return [json.loads(line) for line in done.out.splitlines()]

    def stop(self, programs):
        for running in programs:
            running.process.terminate()
        for running in programs:
            done = running.finish()
            self.assertEqual(done.code, 0, str(done))
        self.assert_nothing_left()
