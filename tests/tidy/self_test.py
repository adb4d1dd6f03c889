#!/usr/bin/env python3
# Shows on deliberately bad files that every rule catches what it is for, and on good ones no more.
import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
import tidy
from source_file import SourceFile

HEADER = "// A header that is as it should be.\n#pragma once\n"
SOURCE = "// A source file that is as it should be.\n"

# Rule -> files that it must find a fault in, each with the line of the fault.
BAD = {
    "include_graph": [
        ("proto/a.cpp", SOURCE + '#include "compression/b.hpp"\n', 2),
        ("compression/a.cpp", SOURCE + '#include "proto/b.hpp"\n', 2),
        ("scheduler/a.hpp", HEADER + '#include "compnode/data/b.hpp"\n', 3),
        ("compnode/data/a.cpp", SOURCE + '#include "daemon/b.hpp"\n', 2),
        ("daemon/a.cpp", SOURCE + '#include "compnode/b.hpp"\n', 2),
        ("daemon/a.cpp", SOURCE + '#include "compression/b.hpp"\n', 2),
        ("compnode/a.cpp", SOURCE + '  #  include "scheduler/b.hpp"\n', 2),
        ("proto/a.cpp", SOURCE + '#include "tests/b.hpp"\n', 2),
    ],
    "library_owner": [
        ("daemon/a.cpp", SOURCE + "#include <zmq.hpp>\n", 2),
        ("daemon/a.cpp", SOURCE + "#include <google/protobuf/util/json_util.h>\n", 2),
        ("proto/a.cpp", SOURCE + "#include <zstd.h>\n", 2),
        ("daemon/a.cpp", SOURCE + "#include <xxhash.h>\n", 2),
        ("compnode/a.cpp", SOURCE + "#include <hwy/highway.h>\n", 2),
        ("compnode/data/a.cpp", SOURCE + "#include <ATen/ATen.h>\n", 2),
        ("compnode/files/a.cpp", SOURCE + "#include <torch/torch.h>\n", 2),
        ("daemon/a.cpp", SOURCE + "#include <c10/core/Device.h>\n", 2),
        ("compression/a.cpp", SOURCE + "#include <cuda_runtime.h>\n", 2),
        ("compnode/worker/a.cpp", SOURCE + "#include <yaml-cpp/yaml.h>\n", 2),
        ("proto/a.cpp", SOURCE + "#include <sqlite3.h>\n", 2),
        ("proto/channel/a.cpp", SOURCE + "#include <boost/beast/http.hpp>\n", 2),
        ("scheduler/a.cpp", SOURCE + "#include <doctest/doctest.h>\n", 2),
    ],
    "include_from_root": [
        ("proto/a.cpp", SOURCE + '#include "graph.hpp"\n', 2),
        ("proto/channel/a.cpp", SOURCE + '#include "../graph.hpp"\n', 2),
        ("proto/a.cpp", SOURCE + '#include "proto/../proto/a.hpp"\n', 2),
        ("proto/a.cpp", SOURCE + '#include "proto/no_such_file.hpp"\n', 2),
    ],
    "include_order": [
        ("proto/own.cpp", SOURCE + '#include <vector>\n\n#include "proto/own.hpp"\n', 2),
        ("proto/own.cpp", SOURCE + '#include "proto/b.hpp"\n#include "proto/own.hpp"\n', 2),
        ("proto/own.cpp", SOURCE, 1),
        ("proto/a.cpp", SOURCE + '#include <vector>\n\n#include "proto/b.hpp"\n', 4),
    ],
    "pragma_once": [
        ("proto/a.hpp", SOURCE + "\nnamespace a {}\n#pragma once\n", 3),
        ("proto/a.hpp", SOURCE, 1),
        ("proto/a.hpp", SOURCE + "// #pragma once\n", 1),
    ],
    "first_line": [
        ("proto/a.hpp", "#pragma once\n", 1),
        ("proto/a.cpp", "//\n", 1),
        ("proto/a.proto", 'syntax = "proto3";\n', 1),
        ("deploy/a.py", "import os\n", 1),
        ("deploy/run", "#!/bin/sh\nset -e\n", 2),
        ("proto/a.cpp", "", 1),
    ],
    "line_length": [
        ("proto/a.cpp", SOURCE + "// " + 98 * "x" + "\n", 2),
        ("proto/a.proto", SOURCE + 121 * "\u00e4" + "\n", 2),
        ("deploy/a.py", "# A script that does a thing.\nx = '" + 119 * "x" + "'\n", 2),
        ("proto/CMakeLists.txt", 101 * "x", 1),
    ],
    "file_length": [
        ("proto/a.cpp", SOURCE + 500 * "\n", 501),
        ("deploy/a.py", "# A script that does a thing.\n" + 500 * "pass\n", 501),
    ],
    "function_length": [
        ("proto/a.cpp", SOURCE + "namespace a {\nint f()\n{\n" + 90 * "  f();\n" + "}\n}\n", 3),
        ("proto/a.cpp", SOURCE + "struct A {\n  A() : x_{1}, y_{2} {\n" + 90 * "\n" + "}};\n", 3),
        ("proto/a.cpp", SOURCE + 'TEST_CASE("a: b }") {\n' + 90 * "  f('{');\n" + "}\n", 2),
        ("deploy/a.py", "# A script that does a thing.\ndef f():\n" + 90 * "    f()\n", 2),
        ("deploy/a.py", "# A script that does a thing.\n\ndef f(:\n", 3),
    ],
    "folder_name": [
        ("proto/util/a.cpp", SOURCE, 1),
        ("compnode/common/a.cpp", SOURCE, 1),
        ("tests/helpers/a.cpp", SOURCE, 1),
        ("daemon/core/a.cpp", SOURCE, 1),
        ("daemon/misc/a.cpp", SOURCE, 1),
    ],
    "spelling": [
        ("proto/a.cpp", SOURCE + "// We recieve it.\n", 2),
        ("proto/README.md", "The Lenght of it\n", 1),
        ("proto/a.cpp", SOURCE + "int occured_at = 0;\n", 2),
    ],
    "unfinished": [
        ("proto/a.cpp", SOURCE + "// TODO: more\n", 2),
        ("deploy/run", "#!/bin/sh\n# Runs a thing.\n# FIXME\n", 3),
    ],
    "test_checks": [
        ("tests/unit/a.cpp", SOURCE + 'TEST_CASE("a: b") { f(); }\n', 2),
        ("tests/unit/a.cpp", SOURCE + 'TEST_CASE("a") {\n  // CHECK(1);\n  f("CHECK(1)");\n}\n', 2),
        ("tests/unit/a.cpp",
         SOURCE + 'void f() { g(); }\nTEST_CASE_FIXTURE(A, "a") { f(); WARN(true); }\n', 3),
    ],
    "sleeping": [
        ("tests/unit/a.cpp", SOURCE + "std::this_thread::sleep_for(1s);\n", 2),
        ("daemon/a.cpp", SOURCE + "usleep(10);\n", 2),
        ("tests/a.py", "# A script that does a thing.\nimport time\ntime.sleep(1)\n", 3),
        ("deploy/run", "#!/bin/sh\n# Runs a thing.\nsleep 5\n", 3),
    ],
    "skipped": [
        ("tests/unit/a.cpp", SOURCE + 'TEST_CASE("a" * doctest::skip()) { CHECK(f()); }\n', 2),
        ("tests/unit/a.cpp", SOURCE + "#if 0\n#endif\n", 2),
        ("tests/unit/a.cpp", SOURCE + '// TEST_CASE("a") {\n', 2),
        ("tests/a.py", "# A script that tests.\n@unittest.skip('later')\ndef f(): pass\n", 2),
        ("tests/unit/CMakeLists.txt", "set_tests_properties(a PROPERTIES DISABLED TRUE)\n", 1),
    ],
}

GOOD = [
    ("proto/a.hpp", "// What is good.\n// And more of it.\n#pragma once\n\n#include <zmq.hpp>\n"),
    ("proto/own.cpp",
     SOURCE + '#include "proto/own.hpp"\n\n#include "proto/b.hpp"\n\n#include <vector>\n'),
    ("proto/a.cpp", SOURCE + '#include "proto/graph.pb.h"\n\n#include <google/protobuf/any.h>\n'),
    ("daemon/a.cpp", SOURCE + '#include "scheduler/b.hpp"\n\n#include <sqlite3.h>\n'),
    ("compnode/worker/a.cpp", SOURCE + '#include "compression/b.hpp"\n\n#include <ATen/ATen.h>\n'),
    ("tests/unit/b.cpp", SOURCE + '#include "daemon/b.hpp"\n#include "compnode/b.hpp"\n'),
    ("proto/strings.cpp", SOURCE + 'auto a = R"(\n#include "x.hpp"\nTEST_CASE("{") {)";\n'),
    ("proto/digits.cpp", SOURCE + "int a = 1'000'000;\n// it's\n" + 95 * "int b = 0x1'0;\n"),
    ("proto/table.cpp", SOURCE + "constexpr A kTable{\n" + 95 * "  {f(1), 2},\n" + "};\n"),
    ("proto/class.hpp", HEADER + "class A {\n" + 95 * "  void f() {}\n" + "};\n"),
    ("proto/short.cpp", SOURCE + "int f() {\n" + 88 * "  f();\n" + "}\n"),
    ("tests/unit/c.cpp", SOURCE + 'TEST_CASE("a: b") {\n  const auto f = [] { CHECK(g()); };\n}\n'),
    ("tests/unit/d.cpp", SOURCE + 'template <class T>\nvoid g(T t) { REQUIRE(t); }\n'
     'void f() { g<int>(1); }\nTEST_CASE("a: b") { f(); }\n'),
    ("tests/unit/e.cpp", SOURCE + '#include "tests/unit/checks.hpp"\n'
     'TEST_CASE("a: b") { check_it(); }\n'),
    ("deploy/good", "#!/bin/sh\n# Runs a thing; nobody may sleep.\ntrue\n"),
    ("deploy/good.py", "#!/usr/bin/env python3\n\"\"\"Does a thing.\"\"\"\n"),
]

# What the samples include.
AROUND = [
    ("proto/own.hpp", HEADER), ("proto/b.hpp", HEADER), ("scheduler/b.hpp", HEADER),
    ("compression/b.hpp", HEADER), ("compnode/b.hpp", HEADER), ("compnode/data/b.hpp", HEADER),
    ("daemon/b.hpp", HEADER), ("tests/b.hpp", HEADER),
    ("tests/unit/checks.hpp", HEADER + "inline void check_it() { CHECK(f()); }\n"),
]


def faults_of(path, text):
    files = {p: SourceFile(p, t) for p, t in AROUND + [(path, text)]}
    found = tidy.faults(tidy.Tree(files.values()))
    return [(line, rule, message) for p, line, rule, message in found if p == path]


class TidyTest(unittest.TestCase):
    def test_every_rule_has_bad_examples(self):
        self.assertEqual(set(BAD), {rule.__name__ for rule in tidy.RULES})

    def test_every_bad_example_is_caught_where_it_is(self):
        for rule, examples in BAD.items():
            for path, text, line in examples:
                with self.subTest(rule=rule, path=path, text=text[:120]):
                    found = faults_of(path, text)
                    self.assertIn((line, rule), [(at, name) for at, name, _ in found])

    def test_good_examples_pass(self):
        for path, text in AROUND + GOOD:
            with self.subTest(path=path):
                self.assertEqual(faults_of(path, text), [])

    def test_a_tree_on_disk_is_read_and_judged(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / "proto" / "build").mkdir(parents=True)
            (root / "proto" / "good.hpp").write_text(HEADER)
            (root / "proto" / "build" / "generated.cpp").write_text("no comment\n")
            (root / "proto" / "bytes").write_bytes(b"\xff\xfe")
            self.assertEqual(self.run_on(root)[0], 0)
            (root / "proto" / "bad.hpp").write_text("#pragma once\n")
            code, output = self.run_on(root)
            self.assertEqual(code, 1)
            self.assertIn("proto/bad.hpp:1: ", output)
            self.assertIn("[first_line]", output)

    def test_an_empty_tree_is_no_success(self):
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(self.run_on(Path(folder))[0], 2)

    def run_on(self, root):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = tidy.main([str(root)])
        return code, output.getvalue()


if __name__ == "__main__":
    unittest.main()
