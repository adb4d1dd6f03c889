"""How links' rungs follow a network that changes: from the steps' events and the times of the changes."""
import re
import statistics


def rungs_by_link(steps):
    """{(from, to, direction): the rung of each step}; None where the events do not tell links."""
    if not steps or any("links" not in step for step in steps):
        return None
    rungs = {}
    for step in steps:
        for link in step["links"]:
            if link["direction"] in ("forward", "backward"):
                rungs.setdefault((link["from"], link["to"], link["direction"]), []).append(link["rung"])
    return rungs


def begin_of(step):
    return step["unix_ms"] / 1e3 - step["step_time_s"]


def settled_after(rungs):
    """How many steps after the first it takes until the rung stays: single steps on another rung, after which it
    comes back, are tries. Returns that number and the tries."""
    rest = list(rungs)
    tries = 0
    for i in range(1, len(rest) - 1):
        if rest[i - 1] == rest[i + 1] != rest[i]:
            rest[i], tries = rest[i - 1], tries + 1
    last = max((i for i in range(1, len(rest)) if rest[i] != rest[i - 1]), default=0)
    return last, tries


def settle(steps, moments):
    """For each lasting change at a unix time, until the next: steps that the slowest link needs to settle, counted
    from the step that the change falls into; tries; and the same of each link, with its rungs."""
    rungs = rungs_by_link(steps)
    if rungs is None:
        return None
    rows = []
    for start, end in zip(moments, [*moments[1:], float("inf")]):
        inside = [i for i, step in enumerate(steps) if step["unix_ms"] / 1e3 > start and begin_of(step) < end]
        if not inside or inside[0] == 0:
            continue  # before or after the training
        parts = {link: settled_after([of_link[i] for i in inside]) for link, of_link in rungs.items()}
        links = {" ".join(map(str, link)): {"before": rungs[link][inside[0]], "at_the_end": rungs[link][inside[-1]],
                                            "settled_after": after, "tries": tries}
                 for link, (after, tries) in parts.items()}
        rows.append({"steps": len(inside), "settled_after": max(after for after, _ in parts.values()),
                     "tries": sum(tries for _, tries in parts.values()), "links": links})
    return rows


def nominal_bits(rung):
    """Bits per entry by a rung's name, indices left out: enough to tell a harder rung from a milder one."""
    density = re.match(r"topk([0-9.]+)%", rung)
    values = re.search(r"(?:fp|bf|int)(\d+)", rung)
    return (float(density[1]) / 100 if density else 1.0) * (int(values[1]) if values else 32)


def changes_per_half_wave(steps, start, half_s):
    """Changes of rung per link and half wave of a wave that began at a unix time, as the policy counts them: moves one
    way in successive steps are one, since density at most halves or doubles per step. A change takes place where a
    step begins. The most, the mean, and how many steps a half wave has."""
    rungs = rungs_by_link(steps)
    if rungs is None:
        return None
    counts = {}
    waves = {int((begin_of(step) - start) // half_s) for step in steps[1:]}
    for link, of_link in rungs.items():
        for wave in waves:
            counts[link, wave] = 0
        former = 0
        for before, now, step in zip(of_link, of_link[1:], steps[1:]):
            way = (nominal_bits(now) > nominal_bits(before)) - (nominal_bits(now) < nominal_bits(before))
            counts[link, int((begin_of(step) - start) // half_s)] += before != now and (way == 0 or way != former)
            former = way
    return {"most": max(counts.values(), default=0), "mean": statistics.mean(counts.values()) if counts else 0.0,
            "steps_per_half_wave": half_s / statistics.mean(step["step_time_s"] for step in steps)}
