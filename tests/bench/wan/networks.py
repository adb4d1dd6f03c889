"""Networks for `longhaul run --wan` whose links have a wanted rho, and traces that change them."""
import csv
import dataclasses
import json
import math
import pathlib

CITIES = pathlib.Path(__file__).resolve().parents[3] / "deploy/wan/ten_cities.csv"
SITES = ("a", "b", "c", "d")
UNLIMITED_MBPS = 10000.0


@dataclasses.dataclass
class Network:
    """Paths between the sites of the stages, in the pipeline's order: (a, b, one-way ms, Mbit/s)."""
    paths: list
    sites: tuple
    trace: dict = None

    def text(self):
        return {"paths": self.paths, "sites": self.sites, "trace": self.trace}

    def write(self, folder):
        """Writes the files of --wan and --trace, and returns the options for a run in that folder."""
        lines = ["# Written by tests/bench/wan_training.", "site_a,site_b,delay_ms,bandwidth_mbps"]
        lines += [f"{a},{b},{delay:g},{rate:.6g}" for a, b, delay, rate in self.paths]
        (folder / "network.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        options = ["--wan", "network.csv", "--sites", ",".join(self.sites)]
        if self.trace:
            (folder / "trace.yaml").write_text(json.dumps(self.trace) + "\n", encoding="utf-8")
            options += ["--trace", "trace.yaml"]
        return options

    def links(self):
        """One-way delay in ms and Mbit/s between each stage and the next."""
        found = {frozenset((a, b)): (delay, rate) for a, b, delay, rate in self.paths}
        return [found[frozenset(pair)] for pair in zip(self.sites, self.sites[1:])]

    def unlimited(self):
        return Network([(a, b, delay, UNLIMITED_MBPS) for a, b, delay, _ in self.paths], self.sites)


def mbps_for(rho, message_bytes, compute_s):
    """The rate at which a dense message takes rho times the compute time of a micro-batch."""
    return 8e-6 * message_bytes / (rho * compute_s)


def rho_of(mbps, message_bytes, compute_s):
    return 8e-6 * message_bytes / (mbps * compute_s)


def run_ahead_for(network, compute_s):
    """Micro-batches that hide the longest round trip and two transfers of the time of a micro-batch each."""
    return math.ceil(2 + max(2e-3 * delay for delay, _ in network.links()) / compute_s)


def uniform(mbps, delay_ms):
    return Network([(a, b, delay_ms, mbps) for i, a in enumerate(SITES) for b in SITES[i + 1:]], SITES)


def cities(sites, delay_scale=1.0, file=CITIES):
    """Four of the ten cities as they were measured."""
    with open(file, encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    measured = {frozenset((row["site_a"], row["site_b"])): (float(row["delay_ms"]), 1e3 * float(row["bandwidth_gbps"]))
                for row in rows}
    pairs = [(a, b) for i, a in enumerate(sites) for b in sites[i + 1:]]
    return Network([(a, b, delay_scale * measured[frozenset((a, b))][0], measured[frozenset((a, b))][1])
                    for a, b in pairs], tuple(sites))


def scaled(network, slowest_mbps, fastest_mbps=None):
    """Its rates times one factor, so that the slowest link between neighbours has `slowest_mbps`. With
    `fastest_mbps`, raised to a power first, so that the fastest one has that: the order of the links stays."""
    rates = [rate for _, rate in network.links()]
    power = math.log(fastest_mbps / slowest_mbps) / math.log(max(rates) / min(rates)) if fastest_mbps else 1.0
    return Network([(a, b, delay, slowest_mbps * (rate / min(rates)) ** power) for a, b, delay, rate in network.paths],
                   network.sites)


def lasting_trace(down_s, up_s, low):
    """The full rate, from `down_s` on `low` times it, from `up_s` on the full rate again."""
    return {"changes": [{"at_s": 0, "rate_factor": 1}, {"at_s": round(down_s, 3), "rate_factor": low},
                        {"at_s": round(up_s, 3), "rate_factor": 1}]}


def square_wave(half_s, low):
    """What deploy/wan/square_wave.yaml is, with these numbers."""
    return {"repeat_s": 2 * half_s, "changes": [{"at_s": 0, "rate_factor": 1},
                                                {"at_s": half_s, "rate_factor": low}]}
