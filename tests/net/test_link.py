#!/usr/bin/env python3
"""What a link says of itself against what the emulated network really is, after five steps of traffic."""
import unittest

from links import Link, bursts, stream
from network import TCP_PAYLOAD, Network, skip_where_forbidden

TOLERANCE = 0.10
STEP_S = 0.8
ACKNOWLEDGEMENT_BYTES = 52


def both_ways(delay, there, back):
    return [("a", "b", delay, there), ("b", "a", delay, back)]


def filling(rate_mbps):
    """Bursts that fill a path of this rate for three quarters of every step."""
    return bursts(3, max(4096, int(rate_mbps * 1e6 / 8 * STEP_S / 4)), STEP_S)


def after(said, seconds):
    """The first state that was told after so many seconds."""
    return next(state for state in said if state.get("t", 0) >= seconds)


class LinkMeasurement(unittest.TestCase):
    def assert_goodput(self, state, rate_mbps, what):
        wanted = rate_mbps * TCP_PAYLOAD
        measured = state["goodput"] * 8e-6
        print(f"{what}: {measured:.3f} Mbit/s, {wanted:.3f} can be carried ({100 * (measured / wanted - 1):+.1f} %), "
              f"round trip {1e3 * state['round_trip_s']:.1f} ms, queueing {1e3 * state['queueing_s']:.0f} ms")
        self.assertFalse(state["lower_bound"], what)
        self.assertLessEqual(abs(measured / wanted - 1), TOLERANCE, what)

    def test_rates_from_1_to_1000_mbit(self):
        for rate in (1, 10, 100, 1000):
            with self.subTest(rate=rate), Network(both_ways(10, rate, rate), ["a", "b"]) as network:
                near, _ = Link(network, "a", "b", 5 * STEP_S + 1, near_sends=filling(rate)).finish(30)
                state = after(near, 5 * STEP_S)
                self.assert_goodput(state, rate, f"{rate} Mbit/s")
                self.assertAlmostEqual(state["round_trip_s"], 0.020, delta=0.003)

    def test_each_direction_is_measured_by_itself(self):
        with Network(both_ways(20, 40, 10), ["a", "b"]) as network:
            near, far = Link(network, "a", "b", 5 * STEP_S + 1, near_sends=filling(40),
                             far_sends=filling(10), max_lanes=1).finish(30)  # no trial of more connections
            self.assert_goodput(after(near, 5 * STEP_S), 40, "there")
            # The way back also carries TCP's word on the way there: one packet for two.
            acknowledgements = 40 * ACKNOWLEDGEMENT_BYTES / (2 * 1500)
            self.assert_goodput(after(far, 5 * STEP_S), 10 - acknowledgements, "back")

    def test_pauses_do_not_count(self):
        with Network(both_ways(10, 20, 20), ["a", "b"]) as network:
            seldom = bursts(4, 100_000, 1.5)  # busy for a ninth of the time
            near, _ = Link(network, "a", "b", 7, near_sends=seldom).finish(30)
            self.assert_goodput(after(near, 6), 20, "with pauses")

    def test_traffic_that_does_not_fill_the_link_is_a_lower_bound(self):
        with Network(both_ways(50, 500, 500), ["a", "b"]) as network:
            near, _ = Link(network, "a", "b", 4, near_sends=bursts(1, 20_000, 0.2)).finish(30)
            state = after(near, 3)
            self.assertTrue(state["lower_bound"])
            self.assertLessEqual(state["goodput"] * 8e-6, 500)

    def test_a_competing_flow_leaves_what_it_leaves(self):
        with Network(both_ways(10, 40, 40), ["a", "b"]) as network:
            link = Link(network, "a", "b", 9, near_sends=stream(1 << 17), max_lanes=1)
            network.flood("a", "b", "-t", 5)
            near, _ = link.finish(30)
            shared = [state for state in near if 2 < state.get("t", 0) < 5]
            carried = 8e-6 * (shared[-1]["acknowledged"] - shared[0]["acknowledged"]) \
                / (shared[-1]["t"] - shared[0]["t"])
            measured = sum(state["goodput"] for state in shared) * 8e-6 / len(shared)
            print(f"beside another flow: {measured:.2f} Mbit/s measured, {carried:.2f} carried")
            self.assertLess(carried, 36)
            self.assertLessEqual(abs(measured / carried - 1), 0.15)
            self.assert_goodput(near[-1], 40, "when it is gone")


if __name__ == "__main__":
    skip_where_forbidden()
    unittest.main(verbosity=2)
