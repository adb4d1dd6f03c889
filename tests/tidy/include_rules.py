# Who may include whom, and in which order.
import re

# Folder -> our folders that it may include beside itself; tests may include anything.
ARROWS = {
    "proto": set(),
    "compression": set(),
    "scheduler": {"proto"},
    "compnode": {"compression", "proto"},
    "daemon": {"scheduler", "proto"},
}
OUR_FOLDERS = set(ARROWS) | {"tests", "deploy"}

# Headers of a library -> folders whose business it is. Generated *.pb.h are ours.
OWNERS = [
    ("ZeroMQ", r"zmq(\.hpp|\.h|_addon\.hpp)$", ["proto"]),
    ("Protobuf", r"google/protobuf/", ["proto"]),
    ("zstd", r"(zstd|zdict)(_errors)?\.h$", ["compression"]),
    ("xxHash", r"xxh(ash|3)\.h$", ["proto", "compnode/data"]),
    ("Highway", r"hwy/", ["compression"]),
    ("LibTorch", r"(torch|ATen|c10)/", ["compnode/execution", "compnode/worker"]),
    ("CUDA", r"(cuda|cuda_runtime|cuda_runtime_api|cuda_fp16|cuda_bf16|nccl)\.h$",
     ["compression/cuda", "compnode/execution", "compnode/worker"]),
    ("pcre2", r"pcre2\.h$", ["compnode/data"]),
    ("igraph", r"igraph/", ["scheduler/planners"]),
    ("yaml-cpp", r"yaml-cpp/", ["daemon"]),
    ("SQLite", r"sqlite3\.h$", ["daemon"]),
    ("Boost.Beast", r"boost/beast", ["daemon"]),
    ("CLI11", r"CLI/", ["daemon"]),
    ("systemd", r"systemd/", ["daemon"]),
    ("doctest", r"doctest/", []),
    ("Google Benchmark", r"benchmark/", []),
]


def include_graph(file, tree):
    """our folders include only whom architecture allows"""
    if not file.is_cpp or file.top not in ARROWS:
        return
    for line, _, target in file.includes:
        folder = target.split("/")[0]
        if folder in OUR_FOLDERS and folder != file.top and folder not in ARROWS[file.top]:
            allowed = ", ".join(sorted(ARROWS[file.top] | {file.top}))
            yield line, f"{file.top} must not include {target}; it may include {allowed}"


def library_owner(file, tree):
    """a library's headers stay with its owner"""
    if not file.is_cpp or file.top not in ARROWS:
        return
    for line, sign, target in file.includes:
        for library, pattern, folders in OWNERS:
            if sign != "<" or not re.match(pattern, target):
                continue
            if not any(str(file.path).startswith(folder + "/") for folder in folders):
                owner = " and ".join(folders) or "tests"
                yield line, f"<{target}> belongs to {owner}: {library} is theirs"


def include_from_root(file, tree):
    """quoted includes name files from the repository's root"""
    if not file.is_cpp:
        return
    for line, sign, target in file.includes:
        if sign != '"':
            continue
        if target.split("/")[0] not in OUR_FOLDERS or ".." in target.split("/"):
            yield line, f'"{target}" does not start at the repository\'s root'
        elif not target.endswith(".pb.h") and target not in tree.paths:
            yield line, f'there is no file "{target}"'


def include_order(file, tree):
    """own header first, then ours, then the others'"""
    if not file.is_cpp:
        return
    includes = file.includes
    own = str(file.path.with_suffix(".hpp"))
    if not file.is_header and own in tree.paths and own != str(file.path):
        first = includes[0] if includes else (1, '"', "")
        if first[2] != own:
            yield first[0], f'the first include must be the file\'s own header, "{own}"'
    others = False
    for line, sign, target in includes:
        others = others or sign == "<"
        if sign == '"' and others:
            yield line, f'"{target}" comes after includes of others; ours come before theirs'
            return


RULES = [include_graph, library_owner, include_from_root, include_order]
