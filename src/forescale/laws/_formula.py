# SPDX-License-Identifier: Apache-2.0
"""Laws from formula strings and from Python functions.

What is not said is guessed, by these rules; `params={"k": rate_parameter}` overrules each guess.

For a formula string, from where a parameter stands:
 - alone in the sum, with the rest of the law vanishing as every input grows: a floor;
 - linear in the law, times powers of inputs: an amplitude (positive); times anything else: real;
 - in the exponent of something that holds parameters, or of an input so that the law falls (`N**-a`, `1/N**a`): an
   exponent (positive); in the exponent of a growing power (`N**a`): real;
 - in a ratio with an input inside a power or a function (`N/N_c`): a location (positive);
 - times an input inside exp, log, tanh (`exp(-k*D)`): a rate (positive); times the falling logarithm of an input
   (`exp(a - alpha*log(N))`): an exponent (positive); otherwise inside a function: real.

For a Python function, from its values at random points and its defaults: linear parameters as above; a parameter
that scales with an input is a location; a Greek name (alpha, beta_N, ...) or a small letter is an exponent; the rest
is real. A default may be a start value, a start box (low, high) or a whole `Parameter`.

Linear parameters are those in which the law is linear *jointly*; monotone inputs and the floor are read off random
points with the guessed signs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from forescale.core.columns import COLUMNS
from forescale.core.errors import FormulaError, LawError, message, nearest
from forescale.laws._catalogue import ALIASES, families, find, known
from forescale.laws._expression import Tree, addends, latex, names_of, parse, parts
from forescale.laws._law import Formula, Law, Parameter, symbol
from forescale.numerics.jet import value_and_jacobian

_MOST_PARAMETERS = 30
_ANSWER = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\([\w\s,]*\)\s*)?=(?![=])(.*)", re.DOTALL)
_CATALOGUE = re.compile(r"\s*[A-Za-z][\w-]*\s*")
_CATALOGUE_ON = re.compile(r"\s*([A-Za-z][\w-]*)\s*\(([\w\s,]*)\)\s*")
_GREEK = re.compile(r"(alpha|beta|gamma|delta|zeta|eta|kappa|mu|nu|rho|tau|omega)(_?\w*)")

_COMPARE = ("<", "<=", ">", ">=")
_DOMAIN: dict[str, tuple[float, float]] = {"real": (-np.inf, np.inf)}
_MEANING = {
    "floor": "limit as every input grows",
    "amplitude": "size of a term",
    "exponent": "power",
    "location": "scale of an input",
    "rate": "rate",
    "real": "number of either sign",
}


def as_law(law: Law | str | Callable[..., Any], *, columns: Collection[str] = ()) -> Law:
    """A law from whatever names one: a Law, "chinchilla", "power(N)", "E + A*N**-a", or a Python function.

    Args:
        law: what names the law.
        columns: further names that are columns (those of the user's table) in a formula or function.

    Raises:
        LawError: no such law, or something that cannot be one.
        FormulaError: a formula outside the grammar.
    """
    if isinstance(law, Law):
        return law
    if isinstance(law, str):
        on = _CATALOGUE_ON.fullmatch(law)
        if _CATALOGUE.fullmatch(law) or (on and (on[1] in ALIASES or known(on[1]) or on[1] in families())):
            return find(law)
        return law_from_formula(law, inputs=columns)
    if callable(law):
        return law_from_function(law, inputs=columns)
    raise LawError(
        message(
            f"a law was given as {type(law).__name__}",
            "a law, its id, a formula or a Python function",
            "'chinchilla' or 'E + A*N**-alpha'",
        )
    )


def law_from_formula(
    text: str,
    *,
    id: str | None = None,
    output: str = "loss",
    inputs: Collection[str] = (),
    params: Mapping[str, Parameter] | None = None,
) -> Law:
    """A law from a formula string.

    Args:
        text: such as "E + A*N**-a + B*D**-b"; "L = ..." and "score = ..." name the output.
        id: name of the law; the formula itself if omitted.
        output: column that the law predicts.
        inputs: further names that are columns; canonical columns (N, D, C, M, ...) are known.
        params: name -> Parameter where the guess is not wanted; a canonical name listed here is a parameter.

    Raises:
        FormulaError: a formula outside the grammar, without a column or without a parameter.
    """
    if isinstance(text, str) and len(text) < 10_000 and (answer := _ANSWER.fullmatch(text)):
        output, text = ("loss" if answer[1] in ("L", "loss") else answer[1]), answer[2]
    expression = parse(text)
    declared = dict(params or {})
    order = list(dict.fromkeys(names_of(expression.tree)))
    columns = tuple(n for n in order if n not in declared and (n in inputs or _is_column(n)))
    names = [n for n in order if n not in columns]
    if "L" in names and "L" not in declared:
        raise FormulaError(message(f"the formula {expression.text!r} holds 'L'", "loss for the loss as an input"))
    if not columns or not names:
        lacking = "a column" if not columns else "a parameter"
        known = "N, D, C, M, loss or another canonical column as input; every other name is a parameter"
        hint = "law_from_formula(text, inputs=['my column'])" if not columns else ""
        raise FormulaError(message(f"the formula {expression.text!r} holds no name of {lacking}", known, hint))
    _check_names(f"the formula {expression.text!r}", columns, names, declared, output)
    linear = _linear_names(expression.tree, names)
    kinds = {name: _kind(expression.tree, name, columns, name in linear) for name in names}
    guessed = {name: declared.get(name) or _parameter(kinds[name]) for name in names}
    settings: dict[str, Any] = {"text": expression.text, "output": output}
    if declared:
        settings["params"] = declared
    if set(columns) - set(COLUMNS):
        settings["inputs"] = [n for n in columns if n not in COLUMNS]
    head = "L" if output == "loss" else symbol(output)
    law = Law(
        id=id or expression.text,
        title="Formula",
        inputs=columns,
        params=guessed,
        formula=expression,
        output=output,
        linear=linear,
        loss="log-huber" if output == "loss" else "squared",
        latex=f"{head}({', '.join(symbol(n) for n in columns)}) = {latex(expression.tree)}",
        meaning="A formula of the user's own.",
        expression=expression.text,
        recipe=(("formula", settings | ({"id": id} if id else {})),),
    )
    return _observed(law, frozenset(declared))


def law_from_function(
    function: Callable[..., Any],
    *,
    output: str = "loss",
    inputs: Collection[str] = (),
    params: Mapping[str, Parameter] | None = None,
) -> Law:
    """A law from a Python function of columns and parameters in plain NumPy.

    `def my_law(N, D, E, A, alpha=0.3): return E + A * N**-alpha` reads the columns N and D and has three parameters.
    A saved fit cannot recreate such a law: opening it needs the function again. Worker processes need it to live in
    an importable module.

    Args:
        function: arguments named like canonical columns are inputs, the others parameters. A default is a start
            value, a start box (low, high) or a `Parameter`.
        output: column that the law predicts.
        inputs: further names that are columns.
        params: name -> Parameter where the guess is not wanted.

    Raises:
        LawError: *args or **kwargs, no column, no parameter, a default of another kind, or a function that fails.
        FormulaError: NumPy functions whose derivative is not known.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise LawError(message(f"{function!r} has no readable arguments", "def my_law(N, D, E, A, alpha)")) from None
    name = getattr(function, "__name__", type(function).__name__)
    name = "law-of-a-lambda" if name == "<lambda>" else name
    declared = dict(params or {})
    hints: dict[str, tuple[float, float]] = {}
    for argument in signature.parameters.values():
        if argument.kind not in (argument.POSITIONAL_OR_KEYWORD, argument.KEYWORD_ONLY):
            raise LawError(message(f"the function {name!r} takes {argument}", "named arguments: def f(N, D, E, A)"))
        if argument.default is not argument.empty and argument.name not in declared:
            found = _hint(name, argument.name, argument.default)
            if isinstance(found, Parameter):
                declared[argument.name] = found
            else:
                hints[argument.name] = found
    free = [n for n in signature.parameters if n not in declared and n not in hints]
    columns = tuple(n for n in free if n in inputs or _is_column(n))
    names = [n for n in signature.parameters if n not in columns]
    if not columns or not names:
        lacking = "column" if not columns else "parameter"
        raise LawError(
            message(f"the function {name!r} has no {lacking}", "columns, then parameters: def f(N, D, E, A, alpha)")
        )
    _check_names(f"the function {name!r}", columns, names, declared, output)
    formula = _Function(function)
    _differentiable(formula, name, columns, names)
    linear = _linear_by_values(formula, name, columns, names, hints)
    guessed: dict[str, Parameter] = {}
    for parameter in names:
        kind = _kind_by_values(formula, parameter, columns, names, hints, parameter in linear)
        low = hints.get(parameter, (1.0, 1.0))[0]
        choice = declared.get(parameter) or _parameter("real" if low <= 0 else kind)
        guessed[parameter] = replace(choice, start=hints[parameter]) if parameter in hints else choice
    law = Law(
        id=name.replace("_", "-"),
        title="Function",
        inputs=columns,
        params=guessed,
        formula=formula,
        output=output,
        linear=linear,
        loss="log-huber" if output == "loss" else "squared",
        meaning=inspect.getdoc(function) or "A function of the user's own.",
        recipe=(("function", name),),
    )
    return _observed(law, frozenset(declared))


class _Function:
    """Calls a user's function by names of arguments; pickles when the function does."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, **names: Any) -> Any:
        return self.function(**names)


# --- what a name is -----------------------------------------------------------------------------------------------


def _is_column(name: str) -> bool:
    return name in COLUMNS and COLUMNS[name].kind == "number"


def _check_names(
    what: str, columns: Sequence[str], names: Sequence[str], declared: Mapping[str, Parameter], output: str
) -> None:
    if len(names) > _MOST_PARAMETERS:
        raise FormulaError(message(f"{what} has {len(names)} parameters", f"at most {_MOST_PARAMETERS}"))
    unknown = sorted(set(declared) - set(names))
    if unknown:
        raise LawError(message(f"{what} has no parameter {unknown[0]!r}", "", nearest(unknown[0], names)))
    if output in columns:
        raise LawError(message(f"{what} predicts {output!r} from itself", "an output that is no input"))


def _parameter(kind: str) -> Parameter:
    lower, upper = _DOMAIN.get(kind, (0.0, np.inf))
    return Parameter(kind, _MEANING[kind], lower, upper, _parameter_start(kind))


def _parameter_start(kind: str) -> tuple[float, float] | None:
    return (0.02, 1.5) if kind == "exponent" else None


def _hint(function: str, name: str, default: Any) -> Parameter | tuple[float, float]:
    """A default as a start box: a number is widened by 3 either way."""
    if isinstance(default, Parameter):
        return default
    if isinstance(default, (int, float)) and not isinstance(default, bool) and np.isfinite(default):
        value = float(default)
        return (value / 3, value * 3) if value > 0 else (3 * value - 1, 1.0)
    if isinstance(default, (tuple, list)) and len(default) == 2 and all(isinstance(x, (int, float)) for x in default):
        low, high = float(default[0]), float(default[1])
        if np.isfinite([low, high]).all() and low < high:
            return low, high
    raise LawError(
        message(f"{name} of {function!r} defaults to {default!r}", "a start value, a box (low, high) or a Parameter")
    )


# --- guesses from the tree ----------------------------------------------------------------------------------------


def _degree(tree: Tree, names: frozenset[str]) -> int:
    """Joint degree of the tree in the names: 0, 1, or 2 for anything that is not linear."""
    kind = tree[0]
    if kind == "number":
        return 0
    if kind == "name":
        return int(tree[1] in names)
    degrees = [_degree(part, names) for part in parts(tree)]
    if not any(degrees):
        return 0
    if kind in ("+", "-", "neg"):
        return max(degrees)
    if kind == "*":
        return min(sum(degrees), 2)
    if kind == "/" and degrees[1] == 0:
        return degrees[0]
    if kind == "call" and tree[1] == "where" and degrees[0] == 0:
        return max(degrees[1:])
    return 2


def _linear_names(tree: Tree, names: Sequence[str]) -> tuple[str, ...]:
    chosen: list[str] = []
    for name in names:
        if _degree(tree, frozenset([*chosen, name])) <= 1:
            chosen.append(name)
    return tuple(chosen)


def _kind(tree: Tree, name: str, columns: Sequence[str], linear: bool) -> str:
    if linear:
        terms = [term for _, term in addends(tree) if name in names_of(term)]
        if terms == [("name", name)]:
            return "floor"
        smooth = all(_of_powers(term) for term in terms)
        return "amplitude" if smooth else "real"
    found = [kind for kind in _roles(tree, name, frozenset(columns), 1, "plain") if kind]
    for kind in ("exponent", "location", "rate", "real"):
        if kind in found:
            return kind
    return "amplitude"


def _of_powers(tree: Tree) -> bool:
    """Whether a term is made of products, ratios, powers and exponentials only: it has one sign."""
    if tree[0] in ("number", "name"):
        return True
    if tree[0] == "call" and tree[1] == "where":
        return all(_of_powers(part) for part in tree[3:])
    if tree[0] == "call" and tree[1] not in ("exp", "sqrt"):
        return False
    if tree[0] == "call" or tree[0] == "**":
        return True
    return tree[0] in ("*", "/") and all(_of_powers(part) for part in parts(tree))


def _roles(tree: Tree, name: str, columns: frozenset[str], sign: int, place: str) -> list[str]:
    """What each occurrence of the name suggests. `sign` is -1 in denominators, `place` the innermost surrounding."""
    kind = tree[0]
    if name not in names_of(tree):
        return []
    if kind == "name":
        return [{"exponent": "exponent", "growth": "real", "function": "real", "base": "amplitude"}.get(place, "")]
    if kind == "neg":
        return _roles(tree[1], name, columns, -sign if place == "function" else sign, place)
    if kind == "-" and place == "function":
        return _roles(tree[1], name, columns, sign, place) + _roles(tree[2], name, columns, -sign, place)
    if kind in _COMPARE:
        return ["location" if columns & set(names_of(tree)) else "real"]
    if kind in ("*", "/") and place in ("base", "function"):
        # N / N_c and N_c / N are scales of N, k * D is a rate of D.
        left, right = (part[1] if part[0] == "neg" else part for part in parts(tree))
        other = right if left == ("name", name) else (left if right == ("name", name) else None)
        if other is not None and columns & set(names_of(other)):
            if _plain_product(other):
                return ["location" if kind == "/" else "rate"]
            if kind == "*" and other[0] == "call" and other[1].startswith("log") and place == "function":
                return ["exponent" if (-sign if ("neg",) in {p[:1] for p in parts(tree)} else sign) < 0 else "real"]
    if kind == "**":
        base, power = tree[1], tree[2]
        roles = _roles(base, name, columns, sign, "base")
        if name in names_of(power):
            grows = set(names_of(base)) <= columns and sign * _sign_in(power, name) > 0
            roles += _roles(power, name, columns, 1, "growth" if grows else "exponent")
        return roles
    if kind == "call":
        return [role for part in tree[2:] for role in _roles(part, name, columns, 1, "function")]
    if kind == "/":
        return _roles(tree[1], name, columns, sign, place) + _roles(tree[2], name, columns, -sign, place)
    return [role for part in parts(tree) for role in _roles(part, name, columns, sign, place)]


def _plain_product(tree: Tree) -> bool:
    return tree[0] in ("number", "name") or (tree[0] == "*" and all(_plain_product(part) for part in parts(tree)))


def _sign_in(tree: Tree, name: str) -> int:
    """Sign with which a name stands in an exponent."""
    if tree[0] == "neg":
        return -_sign_in(tree[1], name)
    if tree[0] == "-" and name in names_of(tree[2]):
        return -_sign_in(tree[2], name)
    if tree[0] == "*":
        negative = sum(part[0] == "number" and part[1] < 0 for part in parts(tree))
        inner = next(part for part in parts(tree) if name in names_of(part))
        return -_sign_in(inner, name) if negative % 2 else _sign_in(inner, name)
    found = [part for part in parts(tree) if name in names_of(part)]
    return _sign_in(found[0], name) if found else 1


# --- guesses from values ------------------------------------------------------------------------------------------

_POINTS = 24


def _differentiable(formula: Formula, name: str, columns: Sequence[str], names: Sequence[str]) -> None:
    """Meet what a fit would meet, early: `if` on a parameter, math.exp, functions without known derivative."""
    values = {column: np.linspace(2.0, 3.0, _POINTS) for column in columns}
    _values(formula, name, values | dict.fromkeys(names, 0.5))
    value_and_jacobian(lambda *theta: formula(**values, **dict(zip(names, theta))), np.full((1, len(names)), 0.5))


def _values(formula: Formula, name: str, values: Mapping[str, Any]) -> Any:
    try:
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(formula(**values), dtype=np.float64), (_POINTS,))
    except Exception as error:  # a user's function may fail in any way
        raise LawError(
            message(
                f"the function {name!r} failed on arrays: {type(error).__name__}: {error}",
                "plain NumPy that works on arrays: np.exp and np.where, not math.exp and if",
            )
        ) from error


def _sample(
    names: Sequence[str], hints: Mapping[str, tuple[float, float]], rng: np.random.Generator
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name in names:
        low, high = hints.get(name, (0.2, 0.9))
        out[name] = rng.uniform(low, high, _POINTS)
    return out


def _linear_by_values(
    formula: Formula,
    function: str,
    columns: Sequence[str],
    names: Sequence[str],
    hints: Mapping[str, tuple[float, float]],
) -> tuple[str, ...]:
    """Parameters in which the function is jointly linear: second differences vanish along every direction of them."""
    rng = np.random.default_rng(0)
    at = {name: np.exp(rng.uniform(1.0, 5.0, _POINTS)) for name in columns} | _sample(names, hints, rng)

    def straight(candidates: list[str]) -> bool:
        step = {name: rng.uniform(0.1, 0.4, _POINTS) * np.abs(at[name]) for name in candidates}
        up = _values(formula, function, at | {n: at[n] + step[n] for n in candidates})
        down = _values(formula, function, at | {n: at[n] - step[n] for n in candidates})
        middle = _values(formula, function, at)
        size = np.abs(up) + np.abs(down) + np.abs(middle)
        bend = np.abs(up + down - 2 * middle)
        good = np.isfinite(bend) & np.isfinite(size)
        return bool(good.sum() >= _POINTS // 2 and np.all(bend[good] <= 1e-11 * size[good]))

    chosen: list[str] = []
    for name in names:
        if straight([name]) and straight([*chosen, name]):
            chosen.append(name)
    return tuple(chosen)


def _kind_by_values(
    formula: Formula,
    name: str,
    columns: Sequence[str],
    names: Sequence[str],
    hints: Mapping[str, tuple[float, float]],
    linear: bool,
) -> str:
    rng = np.random.default_rng(1)
    at = {column: np.exp(rng.uniform(1.0, 5.0, _POINTS)) for column in columns} | _sample(names, hints, rng)
    middle = _values(formula, name, at)
    if linear:
        slope = _values(formula, name, at | {name: at[name] + 1.0}) - middle
        return "floor" if np.allclose(slope, 1.0, rtol=1e-9, atol=0) else "amplitude"
    for column in columns:
        scaled = _values(formula, name, at | {name: 2 * at[name], column: 2 * at[column]})
        if np.allclose(scaled, middle, rtol=1e-9, atol=0):
            return "location"
    if _GREEK.fullmatch(name) or re.fullmatch(r"[a-z]\d?", name):
        return "exponent"
    return "real"


_BOXES: dict[str, tuple[float, float]] = {
    "floor": (0.5, 3.0),
    "amplitude": (1.0, 1e3),
    "exponent": (0.2, 0.6),
    "location": (1e6, 1e12),
    "rate": (1e-12, 1e-8),
    "share": (0.1, 0.9),
    "real": (-1.0, 1.0),
}


# Columns that live on another scale than parameters, tokens and compute.
_INPUT_BOXES: dict[str, tuple[float, float]] = {
    "loss": (1.0, 5.0),
    "train_loss": (1.0, 5.0),
    "M": (1.0, 1e3),
    "epochs": (1.0, 1e2),
    "P": (1.0, 16.0),
    "depth": (2.0, 1e2),
}


def _spread(low: float, high: float, rng: np.random.Generator) -> Any:
    if low > 0 and high > 3 * low:
        return np.exp(rng.uniform(np.log(low), np.log(high), _POINTS))
    return rng.uniform(low, high, _POINTS)


def _observed(law: Law, declared: frozenset[str]) -> Law:
    """The law with what its values show: inputs in which it falls, its floor, and the questions that follow."""
    rng = np.random.default_rng(2)
    at: dict[str, Any] = {}
    for name, parameter in law.params.items():
        low, high = _BOXES.get(parameter.kind, (0.5, 2.0))
        if parameter.start is not None and parameter.start != _parameter_start(parameter.kind):
            low, high = parameter.start
        at[name] = _spread(low, high, rng)
    inputs: dict[str, Any] = {name: _spread(*_INPUT_BOXES.get(name, (1e7, 1e11)), rng) for name in law.inputs}
    here = _values(law.formula, law.id, inputs | at)
    falling = []
    for name in law.inputs:
        up = _values(law.formula, law.id, inputs | at | {name: 1.5 * inputs[name]})
        both = np.isfinite(up) & np.isfinite(here)
        change = up[both] - here[both]
        if change.size >= _POINTS // 2 and np.all(change <= 0) and np.mean(change < 0) > 0.5:
            falling.append(name)
    floors = [name for name, parameter in law.params.items() if parameter.kind == "floor"]
    far = _values(law.formula, law.id, {name: np.full(_POINTS, 1e250) for name in law.inputs} | at)
    # What rises towards its limit has a ceiling: no floor, and its sign is not known.
    floor = next((name for name in floors if falling and np.allclose(far, at[name], rtol=1e-6, atol=0)), None)
    params = {
        name: _parameter("real") if name in floors and name != floor and name not in declared else parameter
        for name, parameter in law.params.items()
    }
    split = set(law.inputs) == {"N", "D"} and set(falling) == {"N", "D"}
    valid = ("predict", *(["compute-optimal"] if split else []), *(["reach"] if floor and falling else []))
    return replace(law, params=params, floor=floor, decreasing_in=tuple(falling), valid_for=valid)
