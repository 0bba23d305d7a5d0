# SPDX-License-Identifier: Apache-2.0
"""A comparison in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from forescale.core.quantity import format_short
from forescale.judge._compare_difference import BEYOND, Crossing
from forescale.judge._compare_savings import Savings

if TYPE_CHECKING:
    from forescale.judge._comparison import Comparison

_KINDS = {"C": "flop", "N": "parameters", "D": "tokens"}


MANY = 1000
"""More seeds than this are nobody's plan."""
MOST_PAIRS = 8
"""Up to this many pairs are listed one by one."""


def place(variable: str, x: float) -> str:
    """x as people write it: "1.2e20 FLOP", "7.1B", "n_members = 12"."""
    kind = _KINDS.get(variable)
    if kind == "flop":
        return f"{_short(x)} FLOP"
    return f"{variable} = {format_short(x, 'parameters') if kind else _short(x)}"


def _short(x: float) -> str:
    mantissa, e, exponent = f"{x:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa


def headline(c: Comparison) -> str:
    """The verdict with the names of the arms."""
    a, b = c.names
    o = c.outcome
    word = o.word
    if word.startswith(("A ", "B ")):
        winner = a if word[0] == "A" else b
        word = f"{winner}{word[1:]}"
    if math.isfinite(o.where):
        word = word.replace("C*", place(c.variable, o.where))
    return f"{word}: {o.reason.format(a=a, b=b)}"


def crossing_sentence(c: Comparison, found: Crossing) -> str:
    """One crossing."""
    winner = c.names[0] if found.better_above == "A" else c.names[1]
    text = f"crossing at {place(c.variable, found.x)}"
    if math.isfinite(found.lower):
        low = f"below {place(c.variable, c.range[0])}" if found.lower == 0.0 else f"{found.lower:.3g}"
        high = f"beyond {place(c.variable, BEYOND * c.range[1])}" if math.isinf(found.upper) else f"{found.upper:.3g}"
        text += f" ({100 * c.level:g} %: {low} to {high}; in {100 * found.chance:.0f} % of the draws)"
    text += f", {winner} better above"
    if found.beyond:
        text += "; beyond the range of the runs"
    return text


def saving_text(s: Savings, i: int) -> str:
    """The multiplier at one x."""
    if math.isnan(s.multiplier[i]):
        return ""
    if math.isinf(s.multiplier[i]):
        return "never reached"
    text = f"x {s.multiplier[i]:.3g}"
    if math.isfinite(s.lower[i]):
        high = "never" if math.isinf(s.upper[i]) else f"{s.upper[i]:.3g}"
        text += f" ({s.lower[i]:.3g} to {high})"
    return text + (" *" if s.extrapolates[i] else "")


def summary(c: Comparison) -> str:
    """Plain text: the verdict, the numbers behind it, what to do next."""
    a, b = c.names
    level = f"{100 * c.level:g} %"
    low, high = c.range
    lines = [
        f"{b} (B) against {a} (A), by {c.laws[0]}"
        + (f" and {c.laws[1]}" if c.laws[1] != c.laws[0] else "")
        + f", over {place(c.variable, low)} to {place(c.variable, high)}",
        "",
        f"  {headline(c)}",
        "",
    ]
    if c.crossings:
        lines += [f"  {crossing_sentence(c, found)}" for found in c.crossings]
    else:
        rest = "" if math.isnan(c.chance_of_crossing) else f" ({100 * c.chance_of_crossing:.0f} % of the draws do)"
        lines.append(f"  no crossover in range: the estimates do not change places{rest}")
    if c.pairs is not None:
        p = c.pairs
        text = f"  {len(p)} design points with runs of both ({', '.join(p.key)}): {b} is lower at {p.b_wins}"
        if math.isfinite(p.lower):
            text += (
                f"; mean difference {100 * p.mean:+.3f} % of the loss ({level}: {100 * p.lower:+.3f} to "
                f"{100 * p.upper:+.3f} %)"
            )
        if math.isfinite(p.slope) and len(p) > 3:
            text += (
                f", {100 * p.slope:+.3f} % per decade of {c.variable} ({100 * p.slope_lower:+.3f} to "
                f"{100 * p.slope_upper:+.3f})"
            )
        lines.append(text)
        if len(p) <= MOST_PAIRS:
            lines += [f"    {place(c.variable, x):<18} {100 * d:+.3f} %" for x, d in zip(p.x, p.log_ratio)]
    lines += ["", f"  {c.variable:<14} {'difference':<28} P({b} better)   compute multiplier of {b}"]
    for i, point in enumerate(c.points):
        if math.isnan(point.difference):
            lines.append(f"  {point.x:<14.4g} outside of the pairs")
            continue
        difference = f"{100 * point.difference:+.3g} %"
        if math.isfinite(point.lower):
            difference += f" ({100 * point.lower:+.3g} to {100 * point.upper:+.3g})"
        chance = "" if math.isnan(point.b_better) else f"{point.b_better:.3f}"
        saving = "" if c.savings is None else saving_text(c.savings_at, i) if c.savings_at is not None else ""
        lines.append(f"  {point.x:<14.4g} {difference:<28} {chance:<{len(b) + 12}} {saving}".rstrip())
    lines.append(
        f"  differences are log(loss of {b} / loss of {a}), negative where {b} is better; intervals at {level}"
        + (
            "; * reads a curve outside its runs"
            if c.savings_at is not None and c.savings_at.extrapolates.any()
            else ""
        )
    )
    lines += ["", f"  {noise_sentence(c)}"]
    if c.next is not None:
        lines.append(f"  {next_sentence(c)}")
    return "\n".join([*lines, *(f"  note: {note}" for note in c.notes)])


def noise_sentence(c: Comparison) -> str:
    """The noise and the seeds."""
    if not math.isfinite(c.noise):
        return "noise between runs: unknown (give it, or compare fits to runs)"
    text = f"noise between runs: {100 * c.noise:.3g} % ({c.noise_from})"
    if c.seeds is None or c.seeds > MANY:
        return f"{text}; more than {MANY} seeds of each arm would be needed to show a difference at " + place(
            c.variable, c.target
        )
    return (
        f"{text}; {c.seeds} seeds of each arm would show the difference at {place(c.variable, c.target)} "
        f"(t test at {100 * c.level:g} %, power 80 %)"
    )


def next_sentence(c: Comparison) -> str:
    """The next run."""
    n = c.next
    assert n is not None  # noqa: S101  (the caller has looked)
    at = place(c.variable, n.target)
    if n.settled:
        return f"the sign at {at} is settled: the chance that it is wrong is {n.chance_wrong:.2g}"
    now = f"the sign at {at} is wrong with chance {n.chance_wrong:.2f}"
    if n.seeds:
        each = f"{n.seeds} seeds" if n.seeds > 1 else "one run"
        return f"{now}; smallest next run: {each} of each arm at {place(c.variable, n.x)} bring it to {n.after:.2f}"
    return (
        f"{now}; no pair of runs up to there settles it; the most informative one is at "
        f"{place(c.variable, n.informative)} ({n.bits:.2f} bit, chance {n.after:.2f} afterwards)"
    )
