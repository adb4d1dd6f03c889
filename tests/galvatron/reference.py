"""Galvatron's search written a second time, plainly, from its description: what the C++ one must agree with.

Nothing is shared with scheduler/galvatron, and nothing is made fast: every task and every embedding strategy gets
a table of all layers, all megabytes and all strategies. Only numpy is needed. Times in s, memory in MB.
"""
import itertools
import json
import math
import pathlib
from collections import namedtuple

import numpy as np

Strategy = namedtuple("Strategy", "pp tensor ulysses dp sharding checkpoint")  # sharding: ddp, zero2 or zero3
Case = namedtuple("Case", "layers hidden sequence devices memory_mb batch chunks coarse schedule default "
                          "asynchronous bf16",
                  defaults=(False, "1f1b", "zero2", False, True))
MB = 1024 * 1024


def degree(strategy):
    return strategy.tensor * strategy.ulysses


def name(strategy):
    star = "*" if degree(strategy) > 1 and strategy.dp > 1 else ""
    text = f"{strategy.pp}-{degree(strategy)}{star}-{strategy.dp}"
    text += "f" if strategy.sharding == "zero3" else ""
    text += "-c" if strategy.checkpoint else ""
    return text + ("-sp" if strategy.ulysses > 1 else "")


def candidates(case):
    found = set()
    powers = [1 << i for i in range(case.devices.bit_length())]
    for pp, t, tensor, checkpoint in itertools.product(powers, powers, (True, False), (False, True)):
        if pp * t > case.devices or pp > case.layers:
            continue
        dp = case.devices // (pp * t)
        for sharding in ("ddp",) if dp == 1 else (case.default, "zero3"):
            found.add(Strategy(pp, t if tensor else 1, 1 if tensor else t, dp, sharding, checkpoint))
    return sorted(found)


class Profile:
    """The three files, reduced to one sequence length."""

    def __init__(self, folder, sequence):
        files = [json.loads((pathlib.Path(folder) / f"{stem}.json").read_text()) for stem in
                 ("computation_profile_sequence", "memory_profile_sequence_sp", "hardware")]
        times, memory, self.hardware = files
        self.layer_ms = self.fitted(times, "layertype_0_bsz1_seq", 2, sequence)
        self.other_ms = self.fitted(times, "layertype_other_bsz1_seq", 1, sequence)
        layer = {int(key): value for key, value in memory["layertype_0_sp"].items()}
        longest = max(layer)
        scale = sequence / longest
        self.parameters = layer[min(layer)]["parameter_size"]
        self.activation = {key: value * scale
                           for key, value in layer[longest]["tp_activation_per_bsz_dict"].items()}
        self.other = {}
        for place in ("off", "on_first", "on_last"):
            entry = memory[f"other_memory_pp_{place}_sp"][str(longest)]
            self.other[place] = {
                "states": {int(key): value for key, value in entry["model_states"].items()},
                "activation": {int(key): value * scale for key, value in entry["activation"].items()}}

    @staticmethod
    def fitted(times, prefix, power, sequence):
        points = [(int(key.removeprefix(prefix)), value) for key, value in times.items() if key.startswith(prefix)]
        x, y = np.array(points).T
        return float(np.polyval(np.polyfit(x / x.max(), y, power), sequence / x.max()))

    def allreduce_ms_per_mb(self, devices, size, consecutive):
        if size == 1:
            return 0.0
        consecutive = consecutive or size == devices
        return 1 / self.hardware["allreduce"][f"allreduce_size_{size}_consec_{int(consecutive)}"]

    def collective_ms(self, kind, size, message_mb):
        prefix = f"{kind}_size_{size}_"
        points = {int(key.removeprefix(prefix).removesuffix("MB_time")): value
                  for key, value in self.hardware["sp"].items() if key.startswith(prefix)}
        if message_mb in points:
            return points[message_mb]
        slope, constant = np.polyfit(list(points), list(points.values()), 1)
        return slope * message_mb + constant


class Search:
    def __init__(self, profile, case):
        self.profile = profile
        self.case = case
        self.local = lambda strategy: case.batch // case.chunks // strategy.dp
        self.bytes = 2 if case.bf16 else 4
        self.budget = case.memory_mb
        if case.memory_mb // 1024 > 20:
            self.budget -= int(0.2 * case.memory_mb)

    def states_factor(self, strategy):
        d = strategy.dp * strategy.ulysses
        part = 1 / d + 0.003
        once, overlapped = self.case.chunks == 1, self.case.asynchronous
        if strategy.sharding == "ddp":
            return 1.0
        if not self.case.bf16:
            half = 2 / 4 if overlapped and not once else 3 / 4
            zero2 = half * part + (1 - half)
            zero3 = part if once else (0.75 * part + 0.25 if overlapped else part * 1.25)
        elif once:
            zero2, zero3 = 7 / 8 * part + 1 / 8, part
        elif overlapped:
            zero2, zero3 = 6 / 8 * part + 2 / 8, 7 / 8 * part + 1 / 8
        else:
            zero2, zero3 = (7 / 8 * part + 1 / 8) * 1.25, part * 1.25
        return zero2 if strategy.sharding == "zero2" else zero3

    def in_flight(self, strategy, stage):
        if strategy.pp == 1:
            return 1
        return strategy.pp - stage if self.case.schedule == "1f1b" else self.case.chunks

    def layer_memory(self, strategy, stage):
        lb = self.local(strategy) * self.in_flight(strategy, stage)
        states = 4 * self.profile.parameters / strategy.tensor * self.states_factor(strategy)
        if strategy.checkpoint:
            return states + self.profile.activation["checkpoint"] * lb / degree(strategy)
        return states + self.profile.activation[str(degree(strategy))] * lb

    def other_memory(self, strategy):
        stages = [1024.0] * strategy.pp
        for stage in {0, strategy.pp - 1}:
            place = "off" if strategy.pp == 1 else ("on_first", "on_last")[stage > 0]
            other = self.profile.other[place]
            lb = self.local(strategy) * self.in_flight(strategy, stage)
            stages[stage] += (other["states"][strategy.tensor] * self.states_factor(strategy) +
                              other["activation"][degree(strategy)] * lb)
        return stages

    def buffer(self, pp, largest, mode):
        if mode == "ulysses":
            return 0.0
        local = self.case.batch / self.case.chunks / (self.case.devices // pp // largest)
        return local * self.case.hidden * self.case.sequence * 4 / MB * (0.5 if self.case.bf16 else 1)

    def message_mb(self, strategy):
        return self.local(strategy) * self.case.sequence * self.case.hidden * self.bytes / MB

    def layer_time(self, strategy, synchronised):
        profile, case = self.profile, self.case
        forward = profile.layer_ms * self.local(strategy) / degree(strategy)
        backward = forward * (3 if strategy.checkpoint else 2)
        d = strategy.dp * strategy.ulysses
        gradients = 2 * (d - 1) / d * profile.parameters / strategy.tensor * (0.5 if case.bf16 else 1)
        per_mb = profile.allreduce_ms_per_mb(case.devices, d, strategy.tensor == 1)
        reduction = gradients * per_mb if synchronised and strategy.dp > 1 else 0.0
        slowdown = profile.hardware["overlap"]["overlap_coe"]
        time = forward + max(backward, reduction) + (slowdown - 1) * min(backward, reduction)
        if degree(strategy) > 1:
            repeats = 1.5 if strategy.checkpoint else 1
            if strategy.tensor > 1:
                time += 6 * repeats * profile.collective_ms("allreduce", degree(strategy),
                                                            self.message_mb(strategy)) / 2
            else:
                time += 4 * repeats * profile.collective_ms("all2all", degree(strategy), self.message_mb(strategy))
        if strategy.sharding == "zero3":
            time += gradients / 2 * per_mb
        if strategy.pp > 1:
            boundary = 2 * strategy.pp * self.local(strategy) * case.sequence * case.hidden * self.bytes / MB
            time += boundary / profile.hardware["p2p"][f"pp_size_{strategy.pp}"]
        return time / 1000

    def other_time(self, strategy):
        """Without the reduction of gradients, which the pipeline's time counts with the layers'."""
        profile, case = self.profile, self.case
        stages = [0.0] * strategy.pp
        d = strategy.dp * strategy.ulysses
        per_mb = profile.allreduce_ms_per_mb(case.devices, d, strategy.tensor == 1) * (d - 1) / d
        slowdown = profile.hardware["overlap"]["overlap_coe"]
        gather = 0.0
        if strategy.tensor > 1:
            gather = profile.collective_ms("allreduce", strategy.tensor, self.message_mb(strategy)) / 2

        def overlapped(computation, communication):
            rest = max(0.0, computation - communication / slowdown)
            return communication + rest if computation * slowdown > communication else communication

        for stage in {0, strategy.pp - 1}:
            place = "off" if strategy.pp == 1 else ("on_first", "on_last")[stage > 0]
            forward = profile.other_ms * self.local(strategy) / degree(strategy) / (1 if strategy.pp == 1 else 2)
            message = profile.other[place]["states"][strategy.tensor] / 4 * (0.5 if case.bf16 else 1) * per_mb
            factor = 0.5 if strategy.sharding == "zero3" else 0.0
            stages[stage] = (overlapped(forward, factor * message) + overlapped(2 * forward, factor * message) +
                             gather * (2 if strategy.pp == 1 else 1)) / 1000
        return stages

    def transition(self, former, latter):
        if degree(former) != degree(latter):
            g = max(degree(former), degree(latter))
            local = self.case.batch / self.case.chunks / (self.case.devices // former.pp // g)
            size = (g - 1) / g * local * self.case.sequence * self.case.hidden * self.bytes
            return size * self.profile.allreduce_ms_per_mb(self.case.devices, g, True) * 1e-7
        if former.tensor != latter.tensor:
            same = former[3:] == latter[3:]
            return 1e-10 if same and latter.ulysses > 1 else 0.0
        to_shards, to_checkpoints = latter.sharding == "zero3", latter.checkpoint
        shards, checkpoints = former.sharding != latter.sharding, former.checkpoint != latter.checkpoint
        if not shards and not checkpoints:
            return 0.0
        if to_shards and to_checkpoints:
            return 3e-9
        if shards and checkpoints:
            return 1e-9 if former.sharding == "zero3" and to_checkpoints else 0.0
        if shards:
            return 1e-9 if to_shards else 0.0
        return 2e-9 if to_checkpoints else 0.0

    def tables(self, layers, memory, costs, transitions):
        """By layer, strategy and MB: the least cost up to there, and the strategy before that has it."""
        count = len(costs)
        cost = np.zeros((count, self.budget + 1))
        choices = []
        for layer in range(layers):
            new = np.full_like(cost, np.inf)
            choice = np.zeros((count, self.budget + 1), dtype=np.int16)
            for s, need in enumerate(memory):
                if need > self.budget:
                    continue
                steps = cost[:, :self.budget + 1 - need] + (transitions[:, s, None] if layer else 0.0) + costs[s]
                choice[s, need:] = steps.argmin(axis=0)
                new[s, need:] = steps.min(axis=0)
            cost = new
            choices.append(choice)
        return cost, choices

    @staticmethod
    def trace(tables, memory, budget):
        """The cheapest strategy per layer within the budget; None if nothing fits."""
        cost, choices = tables
        if budget < 0 or not math.isfinite(cost[:, budget].min()):
            return None
        picked, free = [int(cost[:, budget].argmin())], budget
        for choice in choices[:0:-1]:
            before = int(choice[picked[-1], free])
            free -= memory[picked[-1]]
            picked.append(before)
        return picked[::-1]

    def pipeline_time(self, division, plan, other):
        m, p = self.case.chunks, len(division)
        bounds = np.cumsum([0, *division])
        alone = {s: (self.layer_time(s, True), self.layer_time(s, False)) for s in set(plan)}
        slices = [plan[bounds[i]:bounds[i + 1]] for i in range(p)]
        synchronised = [sum(alone[s][0] for s in stage) for stage in slices]
        compute = [sum(alone[s][1] for s in stage) + other[i] for i, stage in enumerate(slices)]
        first = sum(compute) + compute[-1] * (m - 1)
        ramp, rest = min(p - 1, m - 1) * compute[0], sum(compute[1:])
        second = max(ramp / 3, rest / 3) + max(ramp * 2 / 3, rest * 2 / 3) + compute[0] * max(0, m + 1 - p)
        late = max(synchronised[i] - sum(compute[:i + 1]) for i in range(p))
        return max(first, second) + max(0.0, late)

    def task(self, pp, mode, largest):
        """(time, layers' strategies, embedding's strategy) of one task, or None."""
        case = self.case
        most = max(1, min(case.batch // case.chunks, case.devices // pp))
        layers = [s for s in candidates(case) if s.pp == pp and degree(s) <= largest and s.dp <= most and
                  not (mode == "tensor" and s.ulysses > 1) and not (mode == "ulysses" and s.tensor > 1)]
        embeddings = sorted({s._replace(checkpoint=False) for s in layers})
        division = [case.layers // pp] * (pp - 1) + [case.layers - case.layers // pp * (pp - 1)]
        memory = [[math.ceil(self.layer_memory(s, stage)) for s in layers] for stage in range(pp)]
        if case.coarse:
            plans = self.uniform_plans(layers, division, memory, pp, largest, mode)
        else:
            plans = self.layerwise_plans(layers, embeddings, division, memory, pp, largest, mode)
        best = None
        for plan, embedding in plans:
            time = self.pipeline_time(division, plan, self.other_time(embedding))
            if best is None or time < best[0]:
                best = (time, plan, embedding)
        return best

    def uniform_plans(self, layers, division, memory, pp, largest, mode):
        for i, strategy in enumerate(layers):
            embedding = strategy._replace(checkpoint=False)
            taken = [math.ceil(mb) + math.ceil(self.buffer(pp, largest, mode)) for mb in self.other_memory(embedding)]
            if all(taken[stage] + division[stage] * memory[stage][i] <= self.budget for stage in range(pp)):
                yield [strategy] * self.case.layers, embedding

    def layerwise_plans(self, layers, embeddings, division, memory, pp, largest, mode):
        costs = [self.layer_time(s, True) for s in layers]
        transitions = np.array([[self.transition(a, b) for b in layers] for a in layers])
        tables = [self.tables(division[stage], memory[stage], costs, transitions) for stage in range(pp)]
        for embedding in embeddings:
            taken = [math.ceil(mb) + int(self.buffer(pp, largest, mode)) for mb in self.other_memory(embedding)]
            picked = [self.trace(tables[stage], memory[stage], self.budget - taken[stage]) for stage in range(pp)]
            if None not in picked:
                yield [layers[i] for stage in picked for i in stage], embedding

    def run(self):
        case, best = self.case, None
        for pp in sorted({s.pp for s in candidates(case)}):
            if pp > case.chunks:
                continue
            most = max(1, min(case.batch // case.chunks, case.devices // pp))
            top = case.devices // pp
            for mode in ("tensor", "ulysses", "both"):
                degrees = [t for t in (1 << i for i in range(20)) if max(1, top // most) <= t <= top]
                for largest in [top] if mode == "ulysses" else degrees:
                    found = self.task(pp, mode, largest)
                    if found is not None and (best is None or found[0] < best[0]):
                        best = found
        return best


def search(folder, case):
    """What `longhaul plan --galvatron-profile` prints, but for infeasible cases: None."""
    found = Search(Profile(folder, case.sequence), case).run()
    if found is None:
        return None
    time, plan, embedding = found
    return {"candidates": [name(s) for s in candidates(case)], "samples_per_s": case.batch / time,
            "pipeline_degree": plan[0].pp, "layers": [name(s) for s in plan],
            "embedding_tensor_degree": degree(embedding)}
