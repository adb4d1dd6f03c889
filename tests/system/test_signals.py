#!/usr/bin/env python3
"""However a run ends, it leaves no process and no temporary file, and says why."""
import fcntl
import os
import select
import signal
import struct
import termios
import time
import unittest

from longhaul import ROOT, SystemTest

INPUTS = ROOT / "build/inputs"


class Signals(SystemTest):
    def running(self, nodes=2):
        running = self.start("run", self.write_job(self.job(steps=100000)), "--nodes", nodes, "--json")
        running.wait_for_step(3)
        return running

    def test_all_processes_of_the_fleet_run(self):
        running = self.running()
        counts = {program: len(self.processes(program)) for program in
                  ("longhaul-coordinator", "longhaul-compnode", "longhaul-worker")}
        running.process.terminate()
        running.finish()
        self.assertEqual(counts, {"longhaul-coordinator": 1, "longhaul-compnode": 2,
                                  "longhaul-worker": 2})

    def test_interrupt_and_terminate_stop_everything(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                running = self.running()
                running.process.send_signal(number)
                done = running.finish()
                self.assertNotEqual(done.code, 0, str(done))
                self.assertLessEqual(len(done.err.splitlines()), 1, str(done))
                self.assert_nothing_left()

    def test_a_stage_that_waits_for_nobody_stops_as_soon(self):
        """Not only once its time to stop is over, when it would be killed."""
        running = self.running(nodes=1)
        start = time.monotonic()
        running.process.terminate()
        running.finish()
        self.assertLess(time.monotonic() - start, 8)
        self.assert_nothing_left()

    def test_interrupt_of_the_whole_group_stops_everything(self):
        """As a terminal does it: every process of the foreground group gets Ctrl-C at once."""
        running = self.running()
        os.killpg(running.process.pid, signal.SIGINT)
        done = running.finish()
        self.assertNotEqual(done.code, 0, str(done))
        self.assert_nothing_left()

    def test_what_is_half_tokenised_is_taken_back(self):
        text = (INPUTS / "text/moby-dick.txt").read_text(encoding="utf-8")
        (self.folder / "text.txt").write_text(text * 100, encoding="utf-8")  # a few seconds' work
        job = self.job() | {"model": {"config": self.write_config(vocab_size=50257)}}
        job["data"] |= {"train": ["text.txt"], "tokenizer": str(INPUTS / "gpt2"), "cache": "made/cache"}
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number.name):
                running = self.start("run", self.write_job(job), "--nodes", 2)
                deadline = time.monotonic() + 30
                while not list(self.folder.glob("made/cache/*.partial-*")):
                    self.assertLess(time.monotonic(), deadline)
                    self.assertIsNone(running.process.poll())
                    select.select([], [], [], 0.01)
                os.killpg(running.process.pid, number)
                done = running.finish()
                self.assertEqual(done.code, 1, str(done))
                self.assertEqual(done.err, f"longhaul: stopped by {number.name}\n")
                self.assertFalse((self.folder / "made").exists())
                self.assert_nothing_left()

    def test_a_reader_that_stalls_does_not_keep_a_run_from_stopping(self):
        running = self.running()
        pipe = running.process.stdout.fileno()
        room = fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 8192)
        deadline = time.monotonic() + 30
        while self.unread(pipe) <= room // 2:  # then it has begun the pipe's last page
            self.assertLess(time.monotonic(), deadline)
            select.select([], [], [], 0.01)
        running.process.terminate()
        running.process.wait(timeout=30)
        done = running.finish()
        self.assertEqual(done.code, 1, str(done))
        self.assertEqual(len(done.err.splitlines()), 1, str(done))
        self.assertIn("SIGTERM", done.err)
        self.assert_nothing_left()

    @staticmethod
    def unread(descriptor):
        return struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]

    def test_a_killed_child_fails_the_run_with_its_reason(self):
        for program, words in (("longhaul-worker", ("SIGKILL",)), ("longhaul-compnode", ()),
                               ("longhaul-coordinator", ())):
            with self.subTest(program):
                running = self.running()
                os.kill(self.processes(program)[0], signal.SIGKILL)
                done = running.finish()
                self.assertEqual(done.code, 1, str(done))
                self.assertEqual(len(done.err.splitlines()), 1, str(done))
                for word in words:
                    self.assertIn(word, done.err)
                self.assert_nothing_left()

    def test_killing_the_command_itself_ends_its_children(self):
        running = self.running()
        running.process.kill()
        running.finish()
        self.wait_for_children()


if __name__ == "__main__":
    unittest.main(verbosity=2)
