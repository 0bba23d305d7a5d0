# SPDX-License-Identifier: Apache-2.0
"""Learning-rate schedules as people write them: "wsd: 24k steps, peak 3e-4, decay 20% linear, warmup 2160".

One word says what it is (cosine, constant, wsd, stepped); what follows a colon or stands between commas are its
numbers, each with the word that says which. What is left out is filled by whoever asks: `Recipe.schedule`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from forescale.core._numerals import leading_number, show, tidy
from forescale.core.errors import QuantityError, QueryError, message, nearest
from forescale.core.frozen import Frozen
from forescale.core.quantity import format_number
from forescale.core.schedule import SHAPES, Schedule

KINDS = ("cosine", "constant", "wsd", "stepped")
EXAMPLE = "a schedule such as 'cosine to 10%' or 'wsd: 24000 steps, peak 3e-4, decay 20% linear'"
LONGEST = 5_000_000
"""Steps of the longest schedule: its rates are held step by step."""

_NAMES = {"cos": "cosine", "flat": "constant", "trapezoid": "wsd", "warmup-stable-decay": "wsd", "steps": "stepped"}


@dataclass(frozen=True)
class Recipe:
    """A schedule with some of its numbers left open.

    Attributes:
        kind: one of `KINDS`.
        steps, peak, warmup: None where open.
        end: last rate; `relative` says that it is a share of the peak. None: zero, of a constant the peak.
        decay: cool-down of a wsd: a share of all steps below 1, else a number of steps; None: 20 %.
        begin: or the step after which it begins.
        shape: how it falls, one of `SHAPES`.
        pieces: of a stepped one: first step -> rate.
        text: as it was written.
    """

    kind: str
    steps: int | None = None
    peak: float | None = None
    warmup: int | None = None
    end: float | None = None
    relative: bool = False
    decay: float | None = None
    begin: int | None = None
    shape: str = "linear"
    pieces: Mapping[int, float] = field(default_factory=Frozen)
    text: str = ""

    def schedule(self, steps: int, peak: float, warmup: int = 0) -> Schedule:
        """The schedule, with what was left open as given here.

        Raises:
            QueryError: an end above the peak; a cool-down that begins after the end, or before the warm-up is over.
            DataError: see `Schedule`.
        """
        total = self.steps or steps
        top = self.peak or peak
        warm = warmup if self.warmup is None else self.warmup
        end = 0.0 if self.end is None else self.end * top if self.relative else self.end
        if end > top:
            raise QueryError(
                message(f"a schedule that ends at {end:g}, above its peak of {top:g}", "an end below it")
            )
        if self.kind == "constant":
            return Schedule.constant(top, total, warmup=warm)
        if self.kind == "cosine":
            return Schedule.cosine(top, total, end=end, warmup=warm)
        if self.kind == "stepped":
            return Schedule.stepped(self.pieces, total, warmup=warm)
        decay = 0.2 if self.decay is None else self.decay
        if self.begin is not None:
            if not warm <= self.begin < total:
                seen = f"a cool-down from step {self.begin:,} of {total:,}, {warm:,} of which are warm-up"
                raise QueryError(message(seen, "a step after the warm-up and before the end"))
            decay = float(total - self.begin)
        if decay == 1.0:  # one step; as a share it would be all of them
            decay = 1.0 + 1e-9
        return Schedule.wsd(top, total, decay=decay, end=end, shape=self.shape, warmup=warm)


def parse_recipe(text: str | Recipe) -> Recipe:
    """A recipe from text; see the top of this file.

    Raises:
        QuantityError: no known kind, a word that no number belongs to, a number that is none or says the impossible.
    """
    if isinstance(text, Recipe):
        return text
    clean = tidy(text, EXAMPLE).lower()
    word, _, rest = clean.partition(" ")
    kind, colon, more = word.partition(":")
    rest = f"{more} {rest}".strip() if colon else rest
    kind = _NAMES.get(kind.rstrip(","), kind.rstrip(","))
    if kind not in KINDS:
        raise QuantityError(message(f"{show(text)} is no schedule", EXAMPLE, nearest(kind, KINDS)))
    found = Recipe(kind, text=clean)
    for part in (part.strip() for part in re.split(r",(?!\d)|;", rest.lstrip(": "))):
        if part:
            found = _with(found, part)
    if kind == "stepped" and not found.pieces:
        raise QuantityError(message(f"{show(text)} has no rates", "'stepped: 3e-4, 9e-5 from 8000'"))
    if found.begin is not None and found.decay is not None:
        raise QuantityError(message(f"{show(text)} says how long and from where it decays", "one of them"))
    return found


def parse_recipes(text: str) -> tuple[Recipe, ...]:
    """Several, between semicolons: "cosine to 10%; wsd: decay 20%; constant"."""
    parts = [part for part in text.split(";") if part.strip()] if isinstance(text, str) else [text]
    if not parts:
        raise QuantityError(message("no schedule", EXAMPLE))
    return tuple(parse_recipe(part) for part in parts)


def _with(found: Recipe, part: str) -> Recipe:
    """The recipe with one more of its numbers: `decay 20% linear`, `24000 steps`, `peak 3e-4`, `9e-5 from 8000`."""
    word = part.split(" ", 1)[0]
    rule = _RULES.get(word)
    if rule is not None:
        return rule(found, part.removeprefix(word).strip(), part)
    if found.kind == "stepped" and not part.endswith("steps"):
        rate, _, first = part.partition(" from ")
        at = _count(first, part) if first else 1
        return replace(found, pieces=Frozen({**found.pieces, at: _rate(rate, part)[0]}))
    _value, _, unit = leading_number(part, part)
    if unit in ("steps", "step"):
        return replace(found, steps=_count(part.removesuffix(unit), part))
    raise QuantityError(message(f"{show(part)} in a schedule", ", ".join(_RULES) + ", or a number of steps", EXAMPLE))


def _decay(found: Recipe, rest: str, part: str) -> Recipe:
    if found.kind != "wsd":
        raise QuantityError(message(f"{show(part)} of a {found.kind} schedule", "a wsd schedule decays"))
    words = [word for word in rest.split() if word not in ("over", "steps")]
    shape = next((word for word in words if word in (*SHAPES, "sqrt")), None)
    words = [word for word in words if word not in (*SHAPES, "sqrt")]
    changed = found if shape is None else replace(found, shape="1-sqrt" if shape == "sqrt" else shape)
    if words[:1] == ["from"]:
        return replace(changed, begin=_count(" ".join(words[1:]), part))
    if not words:
        return changed
    value, relative = _rate(" ".join(words), part)
    if (relative and not value < 1.0) or (not relative and value < 1.0) or value <= 0.0:
        raise QuantityError(message(f"{show(part)} in a schedule", "a share below 100 %, or a number of steps"))
    if not relative:
        value = float(_count(" ".join(words), part))
    return replace(changed, decay=value)


def _end(found: Recipe, rest: str, part: str) -> Recipe:
    value, relative = _rate(rest, part)
    return replace(found, end=value, relative=relative)


def _peak(found: Recipe, rest: str, part: str) -> Recipe:
    value, relative = _rate(rest, part)
    if relative or value <= 0.0:
        raise QuantityError(message(f"{show(part)} in a schedule", "a learning rate above zero, e.g. peak 3e-4"))
    return replace(found, peak=value)


def _warmup(found: Recipe, rest: str, part: str) -> Recipe:
    return replace(found, warmup=_count(rest, part, least=0))


def _rate(text: str, part: str) -> tuple[float, bool]:
    """A number, and whether it is a share (written with %)."""
    if text in ("zero", "0"):
        return 0.0, False
    value, _, unit = leading_number(text, part)
    if unit not in ("", "%"):
        raise QuantityError(message(f"{show(part)} in a schedule", "a number, or a share such as 10%"))
    return (value / 100.0, True) if unit else (value, False)


def _count(text: str, part: str, least: int = 1) -> int:
    value, _, unit = leading_number(text.strip(), part)
    if unit not in ("", "steps", "step") or value != int(value) or not least <= value <= LONGEST:
        raise QuantityError(
            message(
                f"{show(part)} in a schedule", f"a whole number of steps from {least} to {format_number(LONGEST)}"
            )
        )
    return int(value)


_RULES: dict[str, Callable[[Recipe, str, str], Recipe]] = {
    "decay": _decay,
    "linear": lambda found, rest, part: _decay(found, "linear " + rest, part),
    "1-sqrt": lambda found, rest, part: _decay(found, "1-sqrt " + rest, part),
    "exponential": lambda found, rest, part: _decay(found, "exponential " + rest, part),
    "from": lambda found, rest, part: _decay(found, "from " + rest, part),
    "to": _end,
    "end": _end,
    "peak": _peak,
    "warmup": _warmup,
    "warm-up": _warmup,
}
