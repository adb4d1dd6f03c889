#!/usr/bin/env python3
# Checks the repository against house rules: tidy.py [ROOT]; one line per fault, exit code 1 if any.
import os
import sys
from pathlib import Path

import include_rules
import layout_rules
import testing_rules
from source_file import SourceFile

RULES = include_rules.RULES + layout_rules.RULES + testing_rules.RULES
TOP_FOLDERS = ["compnode", "compression", "daemon", "deploy", "proto", "scheduler", "tests"]
TOP_FILES = ["CMakeLists.txt", "README.md", "CHANGELOG.md"]
IGNORED_FOLDERS = {"__pycache__", "node_modules", "build", "corpus"}

# Its own files spell out what the rules look for.
EXEMPT = {"spelling": "tests/tidy/", "unfinished": "tests/tidy/", "sleeping": "tests/tidy/",
          "skipped": "tests/tidy/"}


class Tree:
    """Every file that is checked, by its path from the root."""

    def __init__(self, files):
        self.files = {str(file.path): file for file in files}
        self.paths = set(self.files)


def read_tree(root):
    paths = [root / name for name in TOP_FILES]
    for top in TOP_FOLDERS:
        for folder, folders, names in os.walk(root / top):
            folders[:] = [f for f in folders if f not in IGNORED_FOLDERS and f[0] != "."]
            paths += [Path(folder) / name for name in names]
    files = []
    for path in sorted(paths):
        if path.is_file():
            try:
                text = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue  # bytes for a fuzz target
            files.append(SourceFile(path.relative_to(root).as_posix(), text))
    return Tree(files)


def faults(tree):
    """[(path, line, rule, message)] in order of path and line."""
    found = []
    for path, file in tree.files.items():
        for rule in RULES:
            exempt = EXEMPT.get(rule.__name__)
            if exempt and path.startswith(exempt):
                continue
            found += [(path, line, rule.__name__, message) for line, message in rule(file, tree)]
    return sorted(found)


def main(arguments):
    root = Path(arguments[0] if arguments else ".").resolve()
    tree = read_tree(root)
    if not any(file.is_cpp for file in tree.files.values()):
        print(f"tidy: no source files under {root}; give the repository's root", file=sys.stderr)
        return 2
    found = faults(tree)
    for path, line, rule, message in found:
        print(f"{path}:{line}: {message} [{rule}]")
    print(f"tidy: {len(tree.files)} files, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
