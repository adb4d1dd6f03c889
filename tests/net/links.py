"""Two ends of a link across an emulated network, and what they say of it."""
import json
import subprocess

from network import PROGRAMS

END = PROGRAMS / "link_end"


def stream(message_bytes=1 << 20):
    """As much as the link takes."""
    return {"message_bytes": message_bytes, "messages": 1, "every_s": 0}


def bursts(messages, message_bytes, every_s):
    return {"message_bytes": message_bytes, "messages": messages, "every_s": every_s}


def keys():
    return json.loads(subprocess.run([END, "keys"], capture_output=True, text=True, check=True).stdout)


class Link:
    """The end at `far` accepts, the end at `near` dials; each sends as told, for some seconds."""

    def __init__(self, network, near, far, seconds, near_sends=None, far_sends=None, max_lanes=16):
        pairs = [keys(), keys()]
        common = {"seconds": seconds, "max_lanes": max_lanes}
        self.far = self._start(network, far, {
            **common, **pairs[0], "stage": 0, "peer": 1, "peer_key": pairs[1]["public_key"],
            "host": network.address(far), "dial": None, "send": far_sends})
        endpoint = json.loads(self.far.stdout.readline())["endpoint"]
        self.near = self._start(network, near, {
            **common, **pairs[1], "stage": 1, "peer": 0, "peer_key": pairs[0]["public_key"],
            "host": network.address(near), "dial": endpoint, "send": near_sends})
        self.near.stdout.readline()

    @staticmethod
    def _start(network, site, plan):
        process = subprocess.Popen(network.at(site, END), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process.stdin.write(json.dumps(plan) + "\n")
        process.stdin.flush()
        return process

    def finish(self, timeout):
        """What the dialling and the accepting end said, as lists."""
        said = []
        for process in (self.near, self.far):
            out, _ = process.communicate(timeout=timeout)
            said.append([json.loads(line) for line in out.splitlines()])
        return said


def steady(said, key="received", share=0.5):
    """Bytes per second of the later part of what an end said."""
    states = [state for state in said if "t" in state]
    late = states[int(len(states) * share):]
    return (late[-1][key] - late[0][key]) / (late[-1]["t"] - late[0]["t"])
