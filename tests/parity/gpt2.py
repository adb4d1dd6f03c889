"""GPT-2 in plain PyTorch, from a Hugging Face folder; knows nothing of Longhaul's operator graph."""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

import safetensors_file


class Gpt2:
    """Parameters are leaves of autograd in double precision, under their names in the folder."""

    def __init__(self, folder):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        index = folder / "model.safetensors.index.json"
        names = (sorted(set(json.loads(index.read_text())["weight_map"].values()))
                 if index.exists() else ["model.safetensors"])
        self.parameters = {}
        for name in names:
            for key, value in safetensors_file.read(folder / name).items():
                self.parameters[key] = value.double().requires_grad_()
        self.prefix = "transformer." if "transformer.wte.weight" in self.parameters else ""
        self.tied = self.config.get("tie_word_embeddings", True)

    def get(self, name):
        return self.parameters[self.prefix + name]

    def loss(self, tokens, targets):
        config = self.config
        width, heads = config["n_embd"], config["n_head"]
        epsilon = config.get("layer_norm_epsilon", 1e-5)
        batch, length = tokens.shape
        causal = torch.full((length, length), -math.inf, dtype=torch.float64).triu(1)

        def norm(x, name):
            mean = x.mean(-1, keepdim=True)
            variance = ((x - mean) ** 2).mean(-1, keepdim=True)
            return ((x - mean) / torch.sqrt(variance + epsilon) * self.get(name + ".weight")
                    + self.get(name + ".bias"))

        def conv1d(x, name):  # GPT-2 keeps these weights as [in, out]
            return x @ self.get(name + ".weight") + self.get(name + ".bias")

        def split(x):
            return x.reshape(batch, length, heads, width // heads).transpose(1, 2)

        x = self.get("wte.weight")[tokens] + self.get("wpe.weight")[:length]
        for layer in range(config["n_layer"]):
            block = f"h.{layer}."
            query, key, value = conv1d(norm(x, block + "ln_1"), block + "attn.c_attn").split(width, -1)
            scores = split(query) @ split(key).transpose(-1, -2) / math.sqrt(width // heads) + causal
            mixed = (torch.softmax(scores, -1) @ split(value)).transpose(1, 2).reshape(batch, length, width)
            x = x + conv1d(mixed, block + "attn.c_proj")
            h = conv1d(norm(x, block + "ln_2"), block + "mlp.c_fc")
            h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h ** 3)))
            x = x + conv1d(h, block + "mlp.c_proj")
        head = self.get("wte.weight") if self.tied else self.parameters["lm_head.weight"]
        logits = norm(x, "ln_f") @ head.T
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    def decays(self, name):
        """Weight decay applies to matrices and embeddings, not to biases and norms."""
        return self.parameters[name].dim() >= 2

    def invariant(self, name):
        """Elements that the loss does not depend on. A constant added to every key shifts all scores
        of a query alike, which softmax ignores: the true gradient of the keys' bias is zero."""
        mask = torch.zeros_like(self.parameters[name], dtype=torch.bool)
        if name.endswith("attn.c_attn.bias"):
            width = self.config["n_embd"]
            mask[width:2 * width] = True
        return mask
