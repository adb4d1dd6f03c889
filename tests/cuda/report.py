#!/usr/bin/env python3
# Tables of what ptxas and cuobjdump say of the kernels: report.py FOLDER; fails where one spills.
import collections
import re
import subprocess
import sys
from pathlib import Path

# What is counted, and the opcodes that it is. Fused operations belong to divisions and to the sum
# of squares only; local memory is what spills.
COUNTED = {
    "loads": r"LDG\b", "of 1 byte": r"LDG\.E\.[US]8", "of 16": r"LDG\.E\.128", "stores": r"STG\b",
    "of 1 byte ": r"STG\.E\.[US]8", "shared": r"(LDS|STS|ATOMS)\b", "atomics": r"(ATOMG|REDG|RED)\b",
    "shuffles": r"(SHFL|VOTE|REDUX)\b", "barriers": r"BAR\b", "doubles": r"D(FMA|ADD|MUL)\b",
    "fused": r"[FD]FMA\b", "local": r"(LDL|STL)\b",
}
ENTRY = re.compile(r"Compiling entry function '(\S+)' for 'sm_(\d+)'")
SPILL = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def short(symbol):
    """longhaul::...golomb_cu...::read_kernel(...) to "golomb read_kernel"."""
    plain = subprocess.run(["c++filt", symbol], capture_output=True, text=True, check=True).stdout
    name = re.search(r"([a-z_]+(?:<[^(]*>)?)\(", plain.split("(anonymous namespace)::")[-1])
    file = re.search(r"_\d+_([a-z_0-9]+)_cu_", symbol)
    text = name[1] if name else plain.strip()
    text = text.replace("unsigned int", "uint32").replace("false", "codes").replace("true", "symbols")
    return f"{file[1] if file else '?'} " + re.sub(r"(\d)u\b", r"\1", text)


def compiled(log):
    """{(kernel, architecture): (registers, spilled bytes and stack, shared bytes)} of ptxas -v."""
    found = {}
    current = None
    spilled = 0
    for line in log.splitlines():
        if entry := ENTRY.search(line):
            current = (entry[1], int(entry[2]))
        if spill := SPILL.search(line):
            spilled = sum(int(part) for part in spill.groups())
        if (used := USED.search(line)) and current:
            shared = SHARED.search(line)
            found[current] = (int(used[1]), spilled, int(shared[1]) if shared else 0)
    return found


def instructions(text):
    """{(kernel, architecture): Counter} of cuobjdump --dump-sass: all, and those of COUNTED."""
    found = {}
    architecture = None
    current = None
    for line in text.splitlines():
        if arch := re.search(r"arch = sm_(\d+)", line):
            architecture = int(arch[1])
        if function := re.search(r"Function : (\S+)", line):
            current = found.setdefault((function[1], architecture), collections.Counter())
        opcode = re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9_.]+)", line)
        if opcode and current is not None and not opcode[1].startswith("NOP"):
            current["all"] += 1
            for name, pattern in COUNTED.items():
                if re.match(pattern, opcode[1]):
                    current[name] += 1
    return found


def register_table(kernels, registers, architectures):
    yield "registers on " + ", ".join(f"sm_{number}" for number in architectures) + "; shared bytes; spilled bytes"
    for kernel in kernels:
        rows = [registers.get((kernel, architecture), (0, 0, 0)) for architecture in architectures]
        used = " ".join(f"{row[0]:3}" for row in rows)
        yield f"  {short(kernel):48} {used}  {rows[0][2]:6} {max(row[1] for row in rows):4}"


def instruction_table(kernels, sass, architecture):
    yield f"instructions on sm_{architecture}"
    for kernel in kernels:
        counted = sass.get((kernel, architecture), {})
        shown = ", ".join(f"{name.strip()} {counted[name]}" for name in COUNTED if counted.get(name))
        yield f"  {short(kernel):48} {counted.get('all', 0):5}: {shown}"


def main(folder):
    registers = compiled((folder / "build.log").read_text())
    sass = {}
    for path in sorted(folder.glob("*.sass")):
        sass |= instructions(path.read_text())
    if not registers or set(registers) != set(sass):
        sys.exit(f"report.py: {len(registers)} kernels were compiled and {len(sass)} disassembled in {folder}")
    architectures = sorted({architecture for _, architecture in registers})
    kernels = sorted({kernel for kernel, _ in registers}, key=short)
    newest = 90 if 90 in architectures else architectures[-1]
    table = folder / "report.txt"
    lines = [*register_table(kernels, registers, architectures), *instruction_table(kernels, sass, newest)]
    table.write_text("\n".join(lines) + "\n")
    most = max(row[0] for row in registers.values())
    spills = sorted({short(kernel) for (kernel, _), row in registers.items() if row[1] > 0} |
                    {short(kernel) for (kernel, _), counted in sass.items() if counted["local"] > 0})
    print(f"cuda: {len(kernels)} kernels for {len(architectures)} architectures, at most {most} registers: {table}")
    for kernel in spills:
        print(f"cuda: {kernel} uses local memory")
    return 1 if spills else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
