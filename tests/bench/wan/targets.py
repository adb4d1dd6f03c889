"""What adaptive links are to reach on each network, and whether a table's rows do."""

TITLES = {"case": "network", "what": "what", "target": "target", "measured": "measured", "met": "met", "marked": "busy"}
# Network: least share of the unlimited network's tokens/s, most held-out loss over dense's in percent.
CASES = {"rho 4": (0.97, 0.3), "rho 10": (0.95, 0.5), "rho 30": (0.85, 3.0), "cities": (0.85, 1.0)}
ANNEALED_PERCENT = 2.0
TIMES_ADATOPK = 2.0
SETTLED_STEPS, CHANGES_PER_HALF_WAVE = 3, 1
EQUAL_PERCENT = 0.3  # what counts as no loss of quality, and as equal loss


def percent(loss, dense):
    return 100 * (loss / dense - 1)


def check(case, what, target, measured, met, row):
    return {"case": case, "what": what, "target": target, "measured": measured, "met": met,
            "marked": bool(row["marked"])}


def check_case(case, made):
    """`made`: the rows of a network by method."""
    checks = []
    adaptive, dense, annealed = (made.get(name) for name in ("adaptive", "dense", "adaptive, anneal"))
    if adaptive and case in CASES:
        least, most = CASES[case]
        checks.append(check(case, "adaptive's tokens/s of unlimited's", f">= {least:g}", adaptive["of_unlimited"],
                            adaptive["of_unlimited"] >= least, adaptive) | {"at_least": least})
        checks.append(check(case, "held-out loss over dense's, %", f"<= {most:g}", adaptive["on_percent"],
                            adaptive["on_percent"] <= most, adaptive))
    if annealed:
        checks.append(check(case, "annealed, codec off, over dense's, %", f"<= {ANNEALED_PERCENT:g}",
                            annealed["off_percent"], annealed["off_percent"] <= ANNEALED_PERCENT, annealed))
    if adaptive and dense:
        times = adaptive["tokens_per_s"] / dense["tokens_per_s"]
        checks.append(check(case, "times dense's speed", ">= 1", times, times >= 1, adaptive))
    return checks


def check_cities(made):
    """Against adatopk at the fastest ratio whose loss is adaptive's; where none has it, at the ratio of least loss,
    which is then said."""
    adaptive = made.get("adaptive")
    rivals = [row for name, row in made.items() if name.startswith("adatopk")]
    if not adaptive or not rivals:
        return []
    equal = [row for row in rivals if percent(row["loss_on"], adaptive["loss_on"]) <= EQUAL_PERCENT]
    rival = max(equal, key=lambda row: row["tokens_per_s"]) if equal else min(rivals, key=lambda row: row["loss_on"])
    times = adaptive["tokens_per_s"] / rival["tokens_per_s"]
    loss = "of equal loss" if equal else f"whose loss is {percent(rival['loss_on'], adaptive['loss_on']):+.2f} %"
    return [check("cities", f"times the speed of {rival['method']}, {loss}", f">= {TIMES_ADATOPK:g}", times,
                  times >= TIMES_ADATOPK, adaptive)]


def check_trace(case, row):
    """`row` has "settling" or "waves", None where the events do not tell each step's rungs."""
    checks = [check(case, "held-out loss over dense's, %", f"<= {EQUAL_PERCENT:g}", row["on_percent"],
                    row["on_percent"] <= EQUAL_PERCENT, row)]
    missing = "not told: step events have no links"
    if "settling" in row:
        parts = row["settling"]
        most = max((part["settled_after"] for part in parts), default=None) if parts else None
        checks.append(check(case, "steps until rungs settle, the slowest link and change", f"<= {SETTLED_STEPS}",
                            missing if parts is None else most, None if most is None else most <= SETTLED_STEPS, row))
    if "waves" in row:
        waves = row["waves"]
        checks.append(check(case, "changes of a link per half wave, the most" +
                            (f" ({waves['steps_per_half_wave']:.1f} steps each)" if waves else ""),
                            f"<= {CHANGES_PER_HALF_WAVE}", waves["most"] if waves else missing,
                            waves["most"] <= CHANGES_PER_HALF_WAVE if waves else None, row))
    return checks
