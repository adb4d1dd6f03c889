"""Reads what write_sample_export wrote, by the letter of the formats and nothing of ours."""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1}
NAMES = {
    "transformer.wte.weight": [11, 4],
    "transformer.wpe.weight": [8, 4],
    "transformer.h.0.ln_1.weight": [4],
    "transformer.h.0.ln_1.bias": [4],
    "transformer.h.0.attn.c_attn.weight": [4, 12],
    "transformer.h.0.attn.c_attn.bias": [12],
}


def unique(pairs):
    keys = [key for key, _ in pairs]
    assert len(keys) == len(set(keys)), f"a key twice among {keys}"
    return dict(pairs)


def load_json(path):
    return json.loads(path.read_text("utf-8"), object_pairs_hook=unique)


def load_safetensors(path):
    """Returns metadata and {name: (shape, values)}; checks every rule of the format."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    assert 2 <= length <= 100_000_000 and length % 8 == 0, length
    header_bytes, data = raw[8 : 8 + length], raw[8 + length :]
    assert header_bytes[:1] == b"{"
    header = json.loads(header_bytes.decode("utf-8"), object_pairs_hook=unique)
    metadata = header.pop("__metadata__", {})
    assert all(isinstance(value, str) for value in metadata.values())
    tensors, ranges = {}, []
    for name, entry in header.items():
        assert sorted(entry) == ["data_offsets", "dtype", "shape"], entry
        begin, end = entry["data_offsets"]
        count = 1
        for extent in entry["shape"]:
            assert isinstance(extent, int) and extent >= 0
            count *= extent
        size = SIZES[entry["dtype"]]
        assert end - begin == count * size, (name, entry)
        assert (8 + length + begin) % size == 0, f"{name} is not aligned"
        ranges.append((begin, end))
        assert entry["dtype"] == "F32"
        tensors[name] = (entry["shape"], list(struct.unpack(f"<{count}f", data[begin:end])))
    position = 0
    for begin, end in sorted(ranges):
        assert begin == position, "a gap or an overlap"
        position = end
    assert position == len(data), "bytes that belong to no tensor"
    return metadata, tensors


def check_values(tensors):
    assert {name: shape for name, (shape, _) in tensors.items()} == NAMES
    for name, (_, values) in tensors.items():
        start = sum(name.encode())
        expected = [((start + 7 * i) % 1000) / 8 for i in range(len(values))]
        assert values == expected, name


def check_single(folder):
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "generation_config.json", "longhaul.json", "merges.txt",
        "model.safetensors", "tokenizer_config.json", "vocab.json"]
    config = load_json(folder / "config.json")
    assert config["architectures"] == ["GPT2LMHeadModel"] and config["model_type"] == "gpt2"
    assert config["torch_dtype"] == "float32" and config["tie_word_embeddings"] is True
    assert load_json(folder / "generation_config.json")["eos_token_id"] == 10
    assert load_json(folder / "tokenizer_config.json")["tokenizer_class"] == "GPT2Tokenizer"
    metadata, tensors = load_safetensors(folder / "model.safetensors")
    assert metadata == {"format": "pt"}
    check_values(tensors)


def check_sharded(folder):
    index = load_json(folder / "model.safetensors.index.json")
    shards = sorted(set(index["weight_map"].values()))
    count = len(shards)
    assert count > 1
    assert shards == [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
    tensors = {}
    for shard in shards:
        metadata, held = load_safetensors(folder / shard)
        assert metadata == {"format": "pt"}
        assert all(index["weight_map"][name] == shard for name in held)
        tensors.update(held)
    assert set(tensors) == set(index["weight_map"])
    assert index["metadata"]["total_size"] == 4 * sum(len(v) for _, v in tensors.values())
    check_values(tensors)


def check_graph(folder):
    graph = load_json(folder / "graph.json")
    assert {p["name"]: [int(n) for n in p["shape"]] for p in graph["parameters"]} == NAMES
    check_values(load_safetensors(folder / "model.safetensors")[1])


def check_checkpoint(folder):
    metadata, tensors = load_safetensors(folder / "step-00000050" / "stage-0-of-1.safetensors")
    checksum = metadata.pop("checksum")
    assert len(checksum) == 16 and int(checksum, 16) != 0
    assert metadata == {"format": "longhaul checkpoint 1", "step": "50", "seed": "7", "stage": "0",
                        "stages": "1", "data_cursor": "1600", "graph": "f00d", "run": 'job "1"',
                        "settings": ""}
    check_values(tensors)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([sys.argv[1], name], check=True)
        check_single(folder / "single")
        check_sharded(folder / "sharded")
        check_graph(folder / "graph")
        check_checkpoint(folder / "checkpoints")
    print("exported folders and checkpoints are what their formats say")


if __name__ == "__main__":
    main()
