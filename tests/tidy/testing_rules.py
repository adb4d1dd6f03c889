# What makes a test worth running: it checks, it runs, and it does not sleep.
import re

_CASE = re.compile(r"^(TEST_CASE|SCENARIO)\w*$")
_CHECK = re.compile(r"\b(?:DOCTEST_)?(?:CHECK|REQUIRE|FAIL|ADD_FAIL)\w*\s*\(")
_SLEEP = re.compile(r"\b(?:sleep_for|sleep_until|usleep|nanosleep)\s*\("
                    r"|\btime\.sleep\s*\(|(?<![\w.:>])sleep\s*\(|^\s*sleep\s+[\d$]")
_SKIP = re.compile(r"doctest::(?:skip|may_fail|should_fail|expected_failures)\b"
                   r"|\bunittest\.(?:skip|expectedFailure)|\.skipTest\s*\(|pytest\.(?:mark\.)?skip"
                   r"|\bGTEST_SKIP\b|^\s*#\s*if\s+0\b|\bDISABLED\s+(?:TRUE|ON|1)\b"
                   r"|^\s*//\s*TEST_CASE\b")


def _checking(file, tree):
    """Names of functions, here and in included headers of ours, that lead to a check."""
    functions = list(file.functions)
    for _, sign, target in file.includes:
        if sign == '"' and target in tree.files:
            functions += tree.files[target].functions
    checking = {f.name for f in functions if _CHECK.search(f.body)}
    grown = True
    while grown:
        more = {f.name for f in functions if f.name not in checking and _calls(f.body, checking)}
        grown = bool(more)
        checking |= more
    return {name for name in checking if not _CASE.match(name)}


def _calls(body, names):
    return any(re.search(rf"\b{re.escape(name)}\b\s*(?:<[^;(]*>)?\s*\(", body) for name in names)


def test_checks(file, tree):
    """a test case has a check, itself or in a function that it calls"""
    if not file.is_cpp or file.top != "tests" or "TEST_CASE" not in file.text:
        return
    checking = None
    for function in file.functions:
        if not _CASE.match(function.name) or _CHECK.search(function.body):
            continue
        if checking is None:
            checking = _checking(file, tree)
        if not _calls(function.body, checking):
            yield function.first_line, "this test case checks nothing"


def sleeping(file, tree):
    """code waits for conditions with a deadline; it does not sleep"""
    if not (file.is_cpp or file.is_script):
        return
    lines = file.code.split("\n") if file.is_cpp else file.lines
    for number, line in enumerate(lines, 1):
        if _SLEEP.search(line):
            yield number, "sleeping: wait for the condition, with a deadline"


def skipped(file, tree):
    """no test is switched off"""
    if file.top != "tests":
        return
    for number, line in enumerate(file.lines, 1):
        if _SKIP.search(line):
            yield number, "a test is switched off: repair or remove it"


RULES = [test_checks, sleeping, skipped]
