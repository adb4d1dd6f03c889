# A file of the repository as the rules see it: its text, and for C++ the text without comments.
import functools
import re
from pathlib import PurePosixPath

CPP_SUFFIXES = {".hpp", ".cpp", ".cuh", ".cu"}
HEADER_SUFFIXES = {".hpp", ".cuh"}

# What may hold quotes, braces and words that are no code; a number first, for its separators.
_NO_CODE = re.compile(
    r"""(?P<number>\b\d(?:'?[\w.])*)
      | //[^\n]*
      | /\*.*?\*/
      | R"(?P<delimiter>[^()\\\s]{0,16})\(.*?\)(?P=delimiter)"
      | "(?:\\.|[^"\\\n])*"
      | '(?:\\.|[^'\\\n])+'""",
    re.DOTALL | re.VERBOSE)

_BRACE = re.compile(r"[{};()]")
_SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b")


def _blank(match):
    if match.group("number"):
        return match.group()
    text = match.group()
    kept = [c if c == "\n" else " " for c in text]
    if text[0] in "\"R'":
        kept[0] = kept[-1] = '"'
    return "".join(kept)


class Function:
    """A function's definition: lines count from 1, `body` has neither comments nor strings."""

    def __init__(self, head, first_line, last_line, body):
        self.head = head
        self.first_line = first_line
        self.last_line = last_line
        self.body = body
        name = re.search(r"([A-Za-z_~]\w*)\s*\(", head)
        self.name = name.group(1) if name else "lambda"

    @property
    def lines(self):
        return self.last_line - self.first_line + 1


class SourceFile:
    """`path` is relative to the repository's root."""

    def __init__(self, path, text):
        self.path = PurePosixPath(path)
        self.text = text
        self.lines = text.split("\n")
        if self.lines and self.lines[-1] == "":
            self.lines.pop()

    @property
    def top(self):
        return self.path.parts[0] if len(self.path.parts) > 1 else ""

    @property
    def is_cpp(self):
        return self.path.suffix in CPP_SUFFIXES

    @property
    def is_header(self):
        return self.path.suffix in HEADER_SUFFIXES

    @property
    def is_python(self):
        return self.path.suffix == ".py" or "python" in self._shebang()

    @property
    def is_script(self):
        return self._shebang() != "" or self.is_python

    def _shebang(self):
        return self.lines[0] if self.lines and self.lines[0].startswith("#!") else ""

    @functools.cached_property
    def code(self):
        """C++ without comments and the insides of literals, every line in its place."""
        return _NO_CODE.sub(_blank, self.text)

    @functools.cached_property
    def includes(self):
        """[(line number, opening sign, path)] in the file's order."""
        found = []
        for number, (line, code) in enumerate(zip(self.lines, self.code.split("\n")), 1):
            if re.match(r"\s*#\s*include\b", code):
                target = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
                if target:
                    found.append((number, target.group(1), target.group(2)))
        return found

    @functools.cached_property
    def functions(self):
        """Every function that is defined at namespace or class scope."""
        code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                      self.code, flags=re.MULTILINE)
        return list(_functions(code))


def _line_of(code, position):
    return code.count("\n", 0, position) + 1


def _functions(code):
    """Follows braces: only those of namespaces and types are entered, everything else is skipped
    as a whole, and is a function if what is before it has a parameter list."""
    head_start = 0
    parentheses = 0
    skipped = []  # positions of the open braces of what is being skipped
    function_head = 0
    for match in _BRACE.finditer(code):
        sign, position = match.group(), match.start()
        if skipped:
            if sign == "{":
                skipped.append(position)
            elif sign == "}":
                opened = skipped.pop()
                if skipped:
                    continue
                follows = code[position + 1:].lstrip()[:1]
                if follows in (",", "{", ")") or parentheses > 0:
                    continue  # an initialiser; the head goes on
                head = code[function_head:opened].strip()
                if ")" in head or "]" in head:
                    start = function_head + len(code[function_head:]) - len(
                        code[function_head:].lstrip())
                    yield Function(head, _line_of(code, start), _line_of(code, position),
                                   code[opened + 1:position])
                head_start = position + 1
        elif sign == "(":
            parentheses += 1
        elif sign == ")":
            parentheses = max(0, parentheses - 1)
        elif sign == "{":
            head = code[head_start:position]
            function_head = head_start
            if parentheses == 0 and _SCOPE.search(head) and not _has_parameters(head):
                head_start = position + 1
            else:
                skipped.append(position)
        elif parentheses == 0:  # ; or the } of a scope
            head_start = position + 1


def _has_parameters(head):
    return re.search(r"\w\s*\(", re.sub(r"\b(alignas|__attribute__|extern)\s*\(", "", head))
