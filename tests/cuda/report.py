#!/usr/bin/env python3
# Tables of what ptxas and cuobjdump say of the kernels: report.py FOLDER; fails where one spills.
import collections
import re
import subprocess
import sys
from pathlib import Path

# Fused ones (FFMA, DFMA) belong to divisions only; LDL and STL are spills; others tell the work.
COUNTED = ["LDG", "STG", "LDS", "STS", "ATOM", "SHFL", "BAR", "FFMA", "DFMA", "DADD", "LDL", "STL"]


def short(symbol):
    """longhaul::...::quantise_blocks<4u, 2u>(...) to quantise_blocks<4, 2>."""
    plain = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=True).stdout
    name = re.search(r"([a-z_]+(?:<[^(]*>)?)\(", plain.split("(anonymous namespace)::")[-1])
    text = name[1] if name else plain.strip()
    return re.sub(r"(\d)u", r"\1", text)


def compiled(log):
    """{(kernel, architecture): (registers, spilled bytes, shared bytes)} of ptxas -v."""
    found = {}
    current = None
    spilled = 0
    for line in log.splitlines():
        entry = re.search(r"Compiling entry function '(\S+)' for 'sm_(\d+)'", line)
        if entry:
            current = (entry[1], int(entry[2]))
        spill = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line)
        if spill:
            spilled = int(spill[1]) + int(spill[2])
        used = re.search(r"Used (\d+) registers", line)
        if used and current:
            shared = re.search(r"(\d+) bytes smem", line)
            found[current] = (int(used[1]), spilled, int(shared[1]) if shared else 0)
    return found


def instructions(text):
    """{(kernel, architecture): Counter of opcodes} of cuobjdump --dump-sass."""
    found = {}
    architecture = None
    current = None
    for line in text.splitlines():
        arch = re.search(r"arch = sm_(\d+)", line)
        if arch:
            architecture = int(arch[1])
        function = re.search(r"Function : (\S+)", line)
        if function:
            current = found.setdefault((function[1], architecture), collections.Counter())
        opcode = re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9]+)", line)
        if opcode and current is not None:
            current[opcode[1]] += 1
    return found


def main(folder):
    registers = compiled((folder / "build.log").read_text())
    sass = {}
    for path in sorted(folder.glob("*.sass")):
        sass |= instructions(path.read_text())
    if not registers or not sass:
        sys.exit(f"report.py: no kernels in {folder}")
    architectures = sorted({architecture for _, architecture in registers})
    kernels = sorted({kernel for kernel, _ in registers}, key=short)
    print("registers by architecture, spilled bytes, shared bytes:")
    for kernel in kernels:
        rows = [registers.get((kernel, architecture), (0, 0, 0)) for architecture in architectures]
        used = " ".join(f"{row[0]:3}" for row in rows)
        print(f"  {short(kernel):34} {used}  spilled {max(row[1] for row in rows)}"
              f"  shared {rows[0][2]}")
    newest = 90 if 90 in architectures else architectures[-1]
    print(f"instructions on sm_{newest}:")
    for kernel in kernels:
        counted = sass.get((kernel, newest), {})
        shown = " ".join(f"{name} {counted[name]}" for name in COUNTED if counted.get(name))
        print(f"  {short(kernel):34} {sum(counted.values()):5} {shown}")
    spills = [short(kernel) for (kernel, _), row in registers.items() if row[1] > 0]
    print(f"{len(kernels)} kernels, {len(registers)} compilations, {len(spills)} with spills")
    return 1 if spills else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
