"""Trains a reference model in double precision with torch.optim.AdamW, and compares with a dump."""
import math

import torch


def learning_rate(training, step):
    """Of a step counted from 0: linear warm-up, then a cosine down to a fraction of the peak."""
    peak, warmup = training["learning_rate"], training["warmup_steps"]
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / (training["steps"] - warmup)
    return peak * (training["final"] + (1 - training["final"]) * (1 + math.cos(math.pi * progress)) / 2)


def train(model, batches, training):
    """Yields, per step, the loss, the gradients before clipping, their norm and the learning rate.
    `batches` are pairs of tokens and targets, int64 [batch, sequence]."""
    named = list(model.parameters.items())
    optimizer = torch.optim.AdamW(
        [{"params": [p for n, p in named if model.decays(n)], "weight_decay": training["weight_decay"]},
         {"params": [p for n, p in named if not model.decays(n)], "weight_decay": 0.0}],
        lr=1.0, betas=training["betas"], eps=training["epsilon"])
    for step, (tokens, targets) in enumerate(batches):
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(tokens, targets)
        loss.backward()
        gradients = {name: parameter.grad.clone() for name, parameter in named}
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in named], training["clip_norm"])
        rate = learning_rate(training, step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        yield loss.item(), gradients, norm.item(), rate


class Comparison:
    """Collects relative differences: the largest absolute difference of two tensors over the largest
    magnitude in the reference."""

    def __init__(self, tolerance):
        self.tolerance = tolerance
        self.worst = {}
        self.failures = []

    def check(self, kind, name, actual, expected, ignore=None):
        actual = torch.as_tensor(actual, dtype=torch.float64)
        expected = torch.as_tensor(expected, dtype=torch.float64)
        if actual.shape != expected.shape:
            self.failures.append(f"{kind} {name}: shape {list(actual.shape)}, not {list(expected.shape)}")
            return
        difference = (actual - expected).abs()
        if ignore is not None:
            difference = difference.masked_fill(ignore, 0.0)
        scale = expected.abs().max().item()
        error = difference.max().item() / scale if scale > 0 else difference.max().item()
        if not error <= self.worst.get(kind, (0.0, ""))[0]:
            self.worst[kind] = (error, name)
        if not error <= self.tolerance:
            self.failures.append(f"{kind} {name}: relative difference {error:.3e}")

    def report(self):
        for kind, (error, name) in self.worst.items():
            print(f"  {kind:<14} worst relative difference {error:.2e}  ({name})")
        for failure in self.failures[:20]:
            print(f"  FAILED {failure}, tolerance {self.tolerance:.0e}")
        return not self.failures
