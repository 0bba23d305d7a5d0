# SPDX-License-Identifier: Apache-2.0
"""Formulas of laws as MathML, which browsers draw without scripts or fonts from elsewhere.

The LaTeX that laws carry uses few commands: fractions, powers, indices, fences, Greek letters and upright words.
Anything else gives None, and the caller shows the LaTeX itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape

_NAMES = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_GREEK = dict(zip(_NAMES.split(), "αβγδεζηθικλμνξπρστφχψωΓΔΘΛΞΠΣΦΨΩ"))
_WORDS = ("exp", "log", "ln", "min", "max")
_SPACES = {",": "0.17em", ";": "0.28em", "quad": "1em", "!": "0em", " ": "0.3em"}
_SIGNS = {"cdot": "·", "times": "×", "sum": "∑", "leq": "≤", "geq": "≥", "le": "≤", "ge": "≥", "to": "→"}
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?(?:e[+-]?\d+)?|[A-Za-z]|[{}^_]|[^\s]")


class _UnknownError(Exception):
    """A command outside the subset."""


def mathml(latex: str, values: Mapping[str, float] | None = None) -> str | None:
    """A formula as a MathML element, or None when it uses more than the subset.

    Args:
        values: LaTeX symbol such as "\\alpha_{N}" -> number to write in its place.
    """
    try:
        tokens = _Tokens(_TOKEN.findall(latex))
        body = "".join(_sequence(tokens, values or {}, end=None))
    except (_UnknownError, IndexError):
        return None
    return f'<math display="block">{body}</math>'


class _Tokens:
    def __init__(self, items: list[str]) -> None:
        self.items, self.place = items, 0

    def peek(self) -> str | None:
        return self.items[self.place] if self.place < len(self.items) else None

    def take(self) -> str:
        self.place += 1
        return self.items[self.place - 1]


def _sequence(tokens: _Tokens, values: Mapping[str, float], end: str | None) -> Iterator[str]:
    while (piece := tokens.peek()) is not None and piece != end:
        yield _scripted(tokens, values)
    if end is not None:
        if tokens.peek() is None:
            raise _UnknownError
        tokens.take()


def _group(tokens: _Tokens, values: Mapping[str, float]) -> str:
    if tokens.peek() == "{":
        tokens.take()
        return f"<mrow>{''.join(_sequence(tokens, values, '}'))}</mrow>"
    return _atom(tokens, values)[0]


def _scripted(tokens: _Tokens, values: Mapping[str, float]) -> str:
    start = tokens.place
    base, symbol = _atom(tokens, values)
    index = None
    if tokens.peek() == "_":
        tokens.take()
        index = _group(tokens, {})
        symbol = "".join(tokens.items[start : tokens.place])
    if symbol in values:
        base, index = _number(values[symbol]), None
    if tokens.peek() == "^":
        tokens.take()
        power = _group(tokens, values)
        if symbol in values and values[symbol] < 0:
            base = f"<mrow><mo>(</mo>{base}<mo>)</mo></mrow>"
        return f"<msup>{base}{power}</msup>" if index is None else f"<msubsup>{base}{index}{power}</msubsup>"
    return base if index is None else f"<msub>{base}{index}</msub>"


def _atom(tokens: _Tokens, values: Mapping[str, float]) -> tuple[str, str]:
    """One element, and the LaTeX that named it."""
    piece = tokens.take()
    name = piece[1:]
    if piece == "{":
        return f"<mrow>{''.join(_sequence(tokens, values, '}'))}</mrow>", ""
    if piece in "}^_":
        raise _UnknownError
    if not piece.startswith("\\"):
        if piece.isalpha():
            return f"<mi>{piece}</mi>", piece
        if piece[0].isdigit():
            return _number(float(piece)), piece
        return f"<mo>{escape('−' if piece == '-' else piece)}</mo>", piece
    if name == "frac":
        above = _group(tokens, values)
        return f"<mfrac>{above}{_group(tokens, values)}</mfrac>", ""
    if name == "sqrt":
        return f"<msqrt>{_group(tokens, values)}</msqrt>", ""
    if name in ("left", "right"):
        fence = tokens.take()
        return ("" if fence == "." else f"<mo>{escape(fence.removeprefix(chr(92)))}</mo>"), ""
    if name in ("mathrm", "text", "operatorname"):
        if tokens.take() != "{":
            raise _UnknownError
        letters = []
        while (letter := tokens.take()) != "}":
            letters.append(letter.removeprefix("\\"))
        return f'<mi mathvariant="normal">{escape("".join(letters))}</mi>', f"\\{name}{{{''.join(letters)}}}"
    if name in _GREEK:
        return f"<mi>{_GREEK[name]}</mi>", piece
    if name in _WORDS:
        return f"<mi>{name}</mi>", piece
    if name in _SPACES:
        return f'<mspace width="{_SPACES[name]}"/>', ""
    if name in _SIGNS:
        return f"<mo>{_SIGNS[name]}</mo>", piece
    raise _UnknownError


def _number(value: float) -> str:
    text = f"{abs(value):.4g}"
    mantissa, _, power = text.partition("e")
    sign = "<mo>−</mo>" if value < 0 else ""
    if not power:
        return f"<mrow>{sign}<mn>{text}</mn></mrow>" if sign else f"<mn>{text}</mn>"
    tens = f"<msup><mn>10</mn><mn>{int(power)}</mn></msup>".replace("<mn>-", "<mn>−")
    return f"<mrow>{sign}<mn>{mantissa}</mn><mo>·</mo>{tens}</mrow>"
