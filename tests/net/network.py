"""An emulated network under test: longhaul-wan, programs at its sites, and what their probes measure."""
import json
import os
import pathlib
import re
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = pathlib.Path(os.environ.get("LONGHAUL_PROGRAMS", ROOT / "build/release/bin"))
SKIPPED = 77  # what ctest shows as skipped
PORT = 5201  # nobody else is in the namespace
IP_AND_UDP_BYTES = 28
TCP_PAYLOAD = 1448 / 1500  # of a packet's bytes, with timestamps


class Network:
    """longhaul-wan with these rows of (from, to, delay_ms, bandwidth_mbps, jitter_ms, loss)."""

    def __init__(self, rows, sites, *arguments, trace=None):
        self.folder = tempfile.TemporaryDirectory(prefix="longhaul-net-")
        folder = pathlib.Path(self.folder.name)
        lines = ["from,to,delay_ms,bandwidth_mbps,jitter_ms,loss"]
        lines += [",".join(str(cell) for cell in tuple(row) + (0,) * (6 - len(row))) for row in rows]
        (folder / "network.csv").write_text("\n".join(lines) + "\n")
        command = [PROGRAMS / "longhaul-wan", folder / "network.csv", "--sites", ",".join(sites), *arguments]
        if trace is not None:
            (folder / "trace.yaml").write_text(json.dumps(trace))
            command += ["--trace", folder / "trace.yaml"]
        self.process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise OSError(self.process.stderr.read().strip())
        answer = json.loads(line)
        self.user = answer["user_namespace"]
        self.sites = {site["name"]: site for site in answer["sites"]}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """What it carried, as it says at its end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        out, self.log = self.process.communicate(timeout=10)
        self.folder.cleanup()
        return json.loads(out) if out else None

    def at(self, site, *command):
        """The command line that runs the command at the site."""
        enter = ["nsenter", f"--net={self.sites[site]['namespace']}"]
        if self.user:
            enter += [f"--user={self.user}", "--preserve-credentials"]
        return enter + ["--"] + [str(word) for word in command]

    def address(self, site):
        return self.sites[site]["address"]

    def start(self, site, *command):
        return subprocess.Popen(self.at(site, *command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)

    def ping(self, site, to, count=40, interval=0.02):
        """Starts pings; finish_ping has what they come to."""
        return self.start(site, "ping", "-n", "-c", count, "-i", interval, "-W", 2, self.address(to))

    def flood(self, site, to, *arguments):
        """One iperf3 from the site to the other, as its JSON; the receiver's part is in server_output_json."""
        server = self.start(to, "iperf3", "-s", "-1", "-J", "--forceflush", "-p", PORT, "-i", 0.1,
                            "-I", pathlib.Path(self.folder.name) / f"{site}-{to}.pid")
        try:
            self.wait_for_listener(to)
            client = subprocess.run(
                self.at(site, "iperf3", "-J", "--get-server-output", "-p", PORT, "-i", 0.1, "-c", self.address(to),
                        *arguments), capture_output=True, text=True, timeout=60)
            answer = json.loads(client.stdout)
            if "error" in answer:
                raise AssertionError(answer["error"])
            return answer
        finally:
            server.kill()
            server.communicate()

    def wait_for_listener(self, site):
        """Asks the kernel until iperf3 listens there."""
        pattern = re.compile(rf":{PORT:04X} .* 0A ".replace(".* ", r"[0-9A-F:]+ "))
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            tables = subprocess.run(self.at(site, "cat", "/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"),
                                    capture_output=True, text=True).stdout
            if pattern.search(tables):
                return
            select.select([], [], [], 0.01)
        raise TimeoutError("iperf3 does not listen")


def finish_ping(running):
    """Milliseconds {"min", "avg", "max", "mdev", "median"}, and "lost" in percent."""
    out, _ = running.communicate(timeout=30)
    times = re.search(r"= ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms", out)
    if not times:
        raise AssertionError(out)
    figures = dict(zip(("min", "avg", "max", "mdev"), map(float, times.groups())))
    figures["median"] = statistics.median(map(float, re.findall(r"time=([\d.]+) ms", out)))
    return figures | {"lost": float(re.search(r"([\d.]+)% packet loss", out).group(1))}


def arrivals(answer):
    """[(bits per second, seconds since the start)] of the receiver's intervals."""
    intervals = [interval["sum"] for interval in answer["server_output_json"]["intervals"]]
    return [(interval["bits_per_second"], interval["end"]) for interval in intervals]


def steady_rate(answer):
    """Mean bits per second of the receiver's later half, without its last interval."""
    rates = [rate for rate, _ in arrivals(answer)][:-1]
    late = rates[len(rates) // 2:]
    return sum(late) / len(late)


def skip_where_forbidden():
    """Ends the program with a loud reason where the kernel lets nobody make such a network."""
    try:
        Network([("a", "b", 1, 10), ("b", "a", 1, 10)], ["a", "b"]).stop()
    except OSError as refusal:
        print(f"SKIPPED, nothing of the emulated network has been tested here: {refusal}", file=sys.stderr)
        sys.exit(SKIPPED)
