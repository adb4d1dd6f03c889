#!/usr/bin/env python3
"""`longhaul plan --galvatron-profile` against the plain search of reference.py, case by case."""
import collections
import itertools
import json
import pathlib
import re
import subprocess
import sys

import reference

PROFILE = pathlib.Path(__file__).resolve().parent / "profile"
GB = 1024
CASES = [reference.Case(*case) for case in (
    # layers, hidden, sequence, devices, memory, batch, chunks, coarse
    (28, 4096, 8192, 8, 36 * GB, 64, 32),  # the reference case
    (28, 4096, 8192, 8, 36 * GB, 64, 8, True),
    (28, 4096, 8192, 8, 36 * GB, 64, 32, True),
    (28, 4096, 8192, 8, 40 * GB, 64, 64),  # two stages
    (15, 65536, 4096, 8, 24 * GB, 64, 64),  # of 7 and 8 layers
    (15, 65536, 4096, 8, 24 * GB, 32, 16),  # Ulysses
    (11, 4096, 8192, 8, 18 * GB, 16, 16),  # too little for the fifth that larger devices keep free
    (11, 4096, 4096, 8, 24 * GB, 32, 4),
    (14, 4096, 8192, 8, 24 * GB, 24, 8),  # three samples per micro-batch
    (16, 4096, 12288, 4, 40 * GB, 12, 12),
    (9, 4096, 8192, 2, 64 * GB, 4, 1),
    (5, 4096, 8192, 1, 64 * GB, 3, 3),
    (28, 4096, 8192, 8, 6 * GB, 64, 32),  # nothing fits
)]


def planned(program, case):
    """What the program prints as JSON; None if it says that nothing fits."""
    arguments = {"layers": case.layers, "hidden": case.hidden, "sequence": case.sequence, "devices": case.devices,
                 "memory-gb": case.memory_mb / GB, "batch": case.batch, "chunks": case.chunks}
    command = [program, "plan", "--galvatron-profile", str(PROFILE), "--json"]
    command += [f"--{key}={value}" for key, value in arguments.items()] + ["--coarse"] * case.coarse
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode == 2 and "no plan fits" in done.stderr:
        return None
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def shown(plan):
    if plan is None:
        return "nothing fits"
    runs = [f"{len(list(layers))} x {name}" for name, layers in itertools.groupby(plan["layers"])]
    return (f"{plan['samples_per_s']:.12g} samples/s, pipeline {plan['pipeline_degree']}, {', '.join(runs)}, "
            f"embedding {plan['embedding_tensor_degree']}, of {len(plan['candidates'])}")


def features(layers):
    """How many layers have each of the degrees, are sharded, checkpointed, under Ulysses."""
    return collections.Counter(part for name in layers for part in re.findall(r"[\d-]+[*]?-\d+|f|-c|-sp", name))


def same(plan, expected):
    """Sharding and checkpointing add up: f-c and neither cost what f and -c do, and rounding alone chooses."""
    if plan is None or expected is None:
        return plan is expected
    close = abs(plan["samples_per_s"] / expected["samples_per_s"] - 1) < 1e-9
    return (close and features(plan["layers"]) == features(expected["layers"]) and
            all(plan[key] == expected[key] for key in expected if key not in ("samples_per_s", "layers")))


def main():
    failed = 0
    for case in CASES:
        plan, expected = planned(sys.argv[1], case), reference.search(PROFILE, case)
        print(f"{case.layers} layers, {case.devices} devices of {case.memory_mb} MB, sequence {case.sequence}, batch "
              f"{case.batch} in {case.chunks}{', coarse' if case.coarse else ''}: {shown(plan)}", flush=True)
        if not same(plan, expected):
            failed += 1
            print(f"  WRONG: the reference says: {shown(expected)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
