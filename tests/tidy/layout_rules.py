# How files look: first line, lengths, folder names, spelling.
import ast
import re

MAX_COLUMNS = 100
MAX_SCRIPT_COLUMNS = 120  # Python, shell and messages
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 90
FORBIDDEN_FOLDERS = {"util", "utils", "common", "helper", "helpers", "core", "misc"}
MEASURED = {".hpp", ".cpp", ".cuh", ".cu", ".proto", ".py"}

# wrong -> right
MISSPELLINGS = {
    "accomodate": "accommodate", "acheive": "achieve", "adress": "address",
    "agressive": "aggressive", "allign": "align", "arguement": "argument",
    "begining": "beginning", "calender": "calendar", "comparision": "comparison",
    "compatability": "compatibility", "consistant": "consistent", "definately": "definitely",
    "dependancy": "dependency", "existance": "existence", "existant": "existent",
    "explicitely": "explicitly", "gaurantee": "guarantee", "independant": "independent",
    "lenght": "length", "maintainance": "maintenance", "neccessary": "necessary",
    "occured": "occurred", "occurence": "occurrence", "paramater": "parameter",
    "paramter": "parameter", "persistant": "persistent", "posession": "possession",
    "preceeding": "preceding", "prefered": "preferred", "privelege": "privilege",
    "psuedo": "pseudo", "reciever": "receiver", "recieve": "receive", "recieved": "received",
    "refered": "referred", "retreive": "retrieve", "seperate": "separate",
    "seperated": "separated", "seperator": "separator", "succesful": "successful",
    "succesfully": "successfully", "sucess": "success", "supress": "suppress", "teh": "the",
    "threshhold": "threshold", "tranfer": "transfer", "transfered": "transferred",
    "truely": "truly", "untill": "until", "wich": "which", "writting": "writing",
}


def _measured(file):
    return file.path.suffix in MEASURED or file.is_script


def pragma_once(file, tree):
    """a header starts with #pragma once"""
    if not file.is_header:
        return
    for number, code in enumerate(file.code.split("\n"), 1):
        if code.strip():
            if code.strip() != "#pragma once":
                yield number, "#pragma once must come before anything else"
            return
    yield 1, "#pragma once is missing"


def first_line(file, tree):
    """the first line is a comment that explains the file in a sentence"""
    if not _measured(file) or file.path.name == "__init__.py":
        return
    number = 1 if file.lines and file.lines[0].startswith("#!") else 0
    line = file.lines[number] if number < len(file.lines) else ""
    signs = ("//",) if file.is_cpp or file.path.suffix == ".proto" else ("#", '"""', "//")
    if not line.startswith(signs) or len(line.strip('/#" ')) < 10:
        yield number + 1, "the first line must be a comment that says what the file is"


def line_length(file, tree):
    """lines have at most 100 columns, 120 in scripts and messages"""
    if not _measured(file) and file.path.name != "CMakeLists.txt":
        return
    compiled = file.path.suffix in (".cpp", ".hpp", ".cu", ".cuh", ".txt")
    most = MAX_COLUMNS if compiled else MAX_SCRIPT_COLUMNS
    for number, line in enumerate(file.lines, 1):
        if len(line) > most:
            yield number, f"{len(line)} columns; at most {most} are allowed"


def file_length(file, tree):
    """files have at most 500 lines"""
    if _measured(file) and len(file.lines) > MAX_FILE_LINES:
        yield len(file.lines), (f"{len(file.lines)} lines; at most {MAX_FILE_LINES} are allowed: "
                                "give a part of it a file and a name")


def function_length(file, tree):
    """functions have at most 90 lines"""
    if file.is_cpp:
        for function in file.functions:
            if function.lines > MAX_FUNCTION_LINES:
                yield function.first_line, (f"{function.name} has {function.lines} lines; at most "
                                            f"{MAX_FUNCTION_LINES} are allowed")
    elif file.is_python:
        try:
            tree_of_syntax = ast.parse(file.text)
        except SyntaxError as error:
            yield error.lineno or 1, f"Python cannot parse it: {error.msg}"
            return
        for node in ast.walk(tree_of_syntax):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    yield node.lineno, (f"{node.name} has {lines} lines; at most "
                                        f"{MAX_FUNCTION_LINES} are allowed")


def folder_name(file, tree):
    """a folder is named after what is in it"""
    for part in file.path.parts[:-1]:
        if part.lower() in FORBIDDEN_FOLDERS:
            yield 1, f"'{part}' says nothing about what is in it; name the folder after its things"


def spelling(file, tree):
    """words are spelled as in the dictionary"""
    for number, line in enumerate(file.lines, 1):
        for word in re.findall(r"[A-Za-z][a-z]+", line):
            right = MISSPELLINGS.get(word.lower())
            if right:
                yield number, f"'{word}' is spelled '{right}'"


def unfinished(file, tree):
    """nothing is left for later"""
    if not _measured(file):
        return
    for number, line in enumerate(file.lines, 1):
        mark = re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line)
        if mark:
            yield number, f"{mark.group()}: do it now, or write it where plans are kept"


RULES = [pragma_once, first_line, line_length, file_length, function_length, folder_name,
         spelling, unfinished]
