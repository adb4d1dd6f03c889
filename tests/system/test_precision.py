#!/usr/bin/env python3
"""Training in bfloat16 with fp32 master weights ends where fp32 ends."""
import unittest

from longhaul import SystemTest


class Precision(SystemTest):
    def test_bf16_ends_within_one_percent_of_fp32(self):
        summaries = {}
        for precision in ("fp32", "bf16"):
            job = self.job(steps=200, precision=precision)
            summaries[precision] = self.run_job(job, nodes=2, name=precision, timeout=240)
        ends = {name: sum(summary["losses"][-10:]) / 10 for name, summary in summaries.items()}
        self.assert_close([ends["bf16"]], [ends["fp32"]], 0.01)
        self.assert_close([summaries["bf16"]["eval_loss"]], [summaries["fp32"]["eval_loss"]], 0.01)
        self.assertNotEqual(summaries["bf16"]["losses"], summaries["fp32"]["losses"])

    def test_bf16_sends_half_the_bytes(self):
        sent = {}
        for precision in ("fp32", "bf16"):
            job = self.job(steps=3, precision=precision)
            links = self.run_job(job, nodes=2, name=precision)["links"]
            sent[precision] = {(link["from"], link["to"], link["direction"]): link for link in links}
        self.assertEqual(set(sent["fp32"]), set(sent["bf16"]))
        forward = next(key for key in sent["fp32"] if key[2] == "forward")
        self.assertLess(sent["bf16"][forward]["bytes_sent"],
                        0.55 * sent["fp32"][forward]["bytes_sent"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
