"""Interprets an operator graph file (Protobuf JSON) with PyTorch's autograd, operator by operator."""
import json
import math

import torch
import torch.nn.functional as F


def attribute(operator, name, default):
    value = operator.get("attributes", {}).get(name)
    if value is None:
        return default
    (kind, content), = value.items()
    return int(content) if kind == "integer" else content


def attention(operator, qkv):
    batch, length, width = qkv.shape
    heads, width = attribute(operator, "heads", 1), width // 3
    query, key, value = (part.reshape(batch, length, heads, width // heads).transpose(1, 2)
                         for part in qkv.split(width, -1))
    scores = query @ key.transpose(-1, -2) / math.sqrt(width // heads)
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = torch.softmax(scores.masked_fill(later, -math.inf), -1)
    return (weights @ value).transpose(1, 2).reshape(batch, length, width)


def linear(operator, x, weight, bias=None):
    if attribute(operator, "layout", "out_in") == "out_in":
        weight = weight.T
    return x @ weight if bias is None else x @ weight + bias


def causal_conv1d(_, x, weight, bias=None):
    padded = F.pad(x.transpose(1, 2), (weight.shape[-1] - 1, 0))
    return F.conv1d(padded, weight, bias).transpose(1, 2)


OPERATORS = {
    "embedding": lambda o, tokens, weight: weight[tokens],
    "add_position": lambda o, x, weight: x + weight[:x.shape[1]],
    "layer_norm": lambda o, x, weight, bias: F.layer_norm(
        x, x.shape[-1:], weight, bias, attribute(o, "epsilon", 1e-5)),
    "linear": linear,
    "attention": attention,
    "gelu": lambda o, x: (
        F.gelu(x) if attribute(o, "approximate", "tanh") == "none" else
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))),
    "relu": lambda o, x: torch.relu(x),
    "silu": lambda o, x: x * torch.sigmoid(x),
    "tanh": lambda o, x: torch.tanh(x),
    "sigmoid": lambda o, x: torch.sigmoid(x),
    "add": lambda o, a, b: a + b,
    "multiply": lambda o, a, b: a * b,
    "dropout": lambda o, x: x,  # parity jobs train without dropout
    "causal_conv1d": causal_conv1d,
    "cross_entropy": lambda o, logits, targets: F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)),
}


class OperatorGraph:
    """Parameters are leaves of autograd in double precision, under their names in the graph."""

    def __init__(self, graph_file, weights):
        with open(graph_file, encoding="utf-8") as file:
            self.graph = json.load(file)
        described = {entry["name"]: entry for entry in self.graph["parameters"]}
        if set(described) != set(weights):
            raise SystemExit(f"parity: the weights and {graph_file} name different parameters: "
                             f"{sorted(set(described) ^ set(weights))}")
        self.parameters = {name: value.double().requires_grad_() for name, value in weights.items()}
        self.described = described

    def loss(self, tokens, targets):
        values = {entry["name"]: targets if entry.get("kind", "TOKENS") == "TARGETS" else tokens
                  for entry in self.graph["dataInputs"]}
        waiting = list(self.graph["operators"])
        while waiting:  # the file may list operators in any order
            ready = [o for o in waiting if all(name in values for name in o.get("inputs", []))]
            if not ready:
                raise SystemExit(f"parity: a cycle, or an unknown input, among {waiting}")
            for operator in ready:
                inputs = [values[name] for name in operator.get("inputs", [])]
                weights = [self.parameters[name] for name in operator.get("parameters", [])]
                values[operator["id"]] = OPERATORS[operator["kind"]](operator, *inputs, *weights)
                waiting.remove(operator)
        return values[self.graph["loss"]]

    def decays(self, name):
        return self.described[name].get("weightDecay", False)

    def invariant(self, name):
        """The keys' bias, as in gpt2.py, wherever a linear operator feeds an attention."""
        mask = torch.zeros_like(self.parameters[name], dtype=torch.bool)
        producers = {o["id"]: o for o in self.graph["operators"]}
        for operator in self.graph["operators"]:
            if operator["kind"] == "attention":
                source = producers.get(operator["inputs"][0], {})
                if source.get("kind") == "linear" and source.get("parameters", [])[1:] == [name]:
                    third = mask.numel() // 3
                    mask[third:2 * third] = True
        return mask
