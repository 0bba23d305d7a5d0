# SPDX-License-Identifier: Apache-2.0
"""Losses and likelihoods behind one interface.

An `Objective` is plain data (an id, the kind of formula, its numbers), so it can be compared, printed and sent to a
worker process. Per row it gives the contribution `f`, its derivative `g = df/dpred`, and a curvature `h >= 0` that
makes Gauss-Newton steps descend (the Fisher or reweighting curvature); `curvature` gives the true second derivative,
which may be negative or zero. Nuisance parameters (a residual scale, a dispersion) are profiled: set to their exact
optimum for the prediction at hand, one set per problem of the batch, so every objective here is a function of the
prediction alone.

Which one when:

| id | for | true likelihood |
|---|---|---|
| `log-huber` (delta 1e-3) | losses of training runs; the field's default (Hoffmann et al. 2022, appendix D.3) | no |
| `student-t` | the same with outliers that sit where they have leverage; scale fitted | yes |
| `gaussian-log` | losses whose noise is proportional to the loss; scale fitted | yes |
| `squared`, `log-squared`, `huber` | clean data, textbook problems | no |
| `pinball:q`, `expectile:q` | a quantile (an expectile) of the runs instead of their middle | no |
| `one-sided:penalty`, `lower-envelope` | envelope of under-tuned runs: overestimates cost `penalty` times more | no |
| `frontier` | the law of well-tuned runs and the excess of the others, estimated jointly | yes |
| `binomial`, `beta-binomial` | k successes in n trials; the second one with fitted overdispersion | yes |

Scale "log" compares log(pred) with log(y); "raw" compares pred with y; "probability" takes pred as a probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from forescale.core.errors import DataError, QueryError, message, nearest
from forescale.numerics import _frontier

Array: TypeAlias = NDArray[np.float64]
Scale: TypeAlias = Literal["log", "raw", "probability"]
Rows: TypeAlias = tuple[Array, Array, Array]

_HALF_LOG_TAU = 0.5 * np.log(2.0 * np.pi)
_NO_LINEAR_ZONE = 1e6  # half-width of the quadratic zone of an expectile: no residual of a logarithm reaches it


@dataclass(frozen=True)
class Response:
    """What was observed: `y` (n,) or (B, n), one row per problem; `trials` only for counts.

    `target` is what residuals are taken against: log y on the scale "log", y itself otherwise.
    """

    y: Array
    target: Array
    trials: Array | None = None

    @property
    def rows(self) -> int:
        """Number of observations n."""
        return int(self.y.shape[-1])

    @property
    def batched(self) -> bool:
        """True when each problem of the batch has its own y."""
        return self.y.ndim == 2

    def take(self, problems: NDArray[np.intp] | slice) -> Response:
        """The responses of some problems; the same object when all share one y."""
        if not self.batched:
            return self
        return Response(self.y[problems], self.target[problems], self.trials)

    def row_subset(self, keep: NDArray[np.intp] | NDArray[np.bool_]) -> Response:
        """The responses of some rows."""
        trials = None if self.trials is None else self.trials[keep]
        return Response(self.y[..., keep], self.target[..., keep], trials)


@dataclass(frozen=True)
class Coupling:
    """Second derivatives that involve nuisance parameters, those at a bound left out (their entries are zero).

    Attributes:
        score: (B, n, K) derivative of each row's contribution by the nuisance parameters.
        cross: (B, n, K) derivative of g by them.
        inverse: (B, K, K) inverse of the weighted sum of their second derivatives.
    """

    score: Array
    cross: Array
    inverse: Array


@dataclass(frozen=True)
class Objective:
    """One loss or likelihood (final; made by the factories below or by `loss(name)`).

    Attributes:
        id: the name it answers to, e.g. `log-huber`, `pinball:0.1`.
        kind: which formula.
        scale: "log", "raw" or "probability".
        numbers: the constants of the formula (delta, nu, q, penalty, ...).
        nuisance: how many nuisance parameters are profiled (0, 1 or 2).
        likelihood: whether `f` is a true negative log-likelihood in nats, normalising terms included, as AICc needs.
    """

    id: str
    kind: str
    scale: Scale
    numbers: tuple[float, ...] = ()
    nuisance: int = 0
    likelihood: bool = False

    def response(self, y: object, trials: object = None) -> Response:
        """Observations in the form that the other methods take.

        Args:
            y: (n,) or (B, n): losses, or counts of successes for binomial objectives.
            trials: (n,), for binomial objectives only.

        Raises:
            DataError: non-finite y; y <= 0 on the scale "log"; counts that are negative or above the trials.
        """
        values = np.ascontiguousarray(np.asarray(y, dtype=np.float64))
        if not np.isfinite(values).all():
            raise DataError(message("the observed values contain NaN or infinity", "finite numbers", "drop the rows"))
        if self.scale == "log":
            if (values <= 0).any():
                raise DataError(
                    message(
                        f"{int((values <= 0).sum())} observed values are zero or negative",
                        f"positive values, because {self.id} compares logarithms",
                        "drop the rows, or use a loss on the raw scale (loss='huber')",
                    )
                )
            return Response(values, np.log(values))
        if self.scale == "probability":
            if trials is None:
                raise DataError(message(f"{self.id} got no trials", "the number of trials per row"))
            n = np.asarray(trials, dtype=np.float64)
            if (values < 0).any() or (values > n).any() or (n <= 0).any():
                raise DataError(message("counts lie outside 0 ... trials", "0 <= successes <= trials, trials > 0"))
            return Response(values, values / n, n)
        return Response(values, values)

    def profile(self, pred: Array, data: Response, weights: Array, previous: Array | None = None) -> Array:
        """The optimal nuisance parameters (B, K) for predictions (B, n); `previous` is only a head start."""
        with np.errstate(all="ignore"):
            return _KINDS[self.kind].profile(self, pred, data, weights, previous)

    def pointwise(self, pred: Array, data: Response, nuisance: Array) -> Rows:
        """Contribution f, gradient g = df/dpred and descent curvature h >= 0 per row, each (B, n).

        A prediction outside the domain (pred <= 0 on the scale "log") gives f = inf or NaN; solvers reject it.
        """
        with np.errstate(all="ignore"):
            return _KINDS[self.kind].pointwise(self, pred, data, nuisance)

    def curvature(self, pred: Array, data: Response, nuisance: Array) -> Array:
        """The true second derivative d2f/dpred2 (B, n) at fixed nuisance; the derivative of psi = g."""
        with np.errstate(all="ignore"):
            return _KINDS[self.kind].curvature(self, pred, data, nuisance)

    @property
    def scouts(self) -> tuple[Objective, ...]:
        """Cheaper objectives that rank starts in place of this one: the middle and the lower edge of the runs."""
        return (huber(), one_sided()) if self.kind == "frontier" else ()

    def coupling(self, pred: Array, data: Response, weights: Array, nuisance: Array) -> Coupling | None:
        """How the nuisance parameters hang on the predictions, or None where nothing depends on it (a scale of
        symmetric noise)."""
        with np.errstate(all="ignore"):
            return _frontier_coupling(self, pred, data, weights, nuisance) if self.kind == "frontier" else None

    def value(self, pred: Array, data: Response, weights: Array, nuisance: Array | None = None) -> Array:
        """The objective (B,): sum over rows of weight times contribution, nuisance profiled unless given."""
        known = self.profile(pred, data, weights) if nuisance is None else nuisance
        f = self.pointwise(pred, data, known)[0]
        with np.errstate(all="ignore"):
            return np.asarray((weights * f).sum(axis=-1))

    def residual(self, pred: Array, data: Response) -> Array:
        """Residuals pred - observed on the objective's scale (log ratio on the scale "log")."""
        with np.errstate(all="ignore"):
            return (np.log(pred) if self.scale == "log" else pred) - data.target


# --- factories ----------------------------------------------------------------------------------------------------


def squared(scale: Scale = "raw") -> Objective:
    """Half the squared residual."""
    return Objective("squared" if scale == "raw" else "log-squared", "squared", scale)


def huber(delta: float = 1e-3, scale: Scale = "log") -> Objective:
    """Huber's loss: quadratic below `delta`, linear above (Huber 1964). `log-huber` with 1e-3 is the default.

    On the raw scale `delta` is in units of y.
    """
    if not delta > 0:
        raise QueryError(message(f"huber delta is {delta}", "a positive number"))
    name = "log-huber" if scale == "log" else "huber"
    return Objective(name if delta == 1e-3 else f"{name}:{delta:g}", "huber", scale, (float(delta),))


def student_t(nu: float = 3.0, scale: Scale = "log") -> Objective:
    """Student-t likelihood with fitted scale.

    `nu` is fixed (Lange, Little & Taylor 1989: estimated from tens of rows it adds variance, and small values make
    the likelihood unbounded). 3 is the smallest integer with a finite variance; the influence of a row falls off as
    (nu + 1)/residual, which resists leverage. The price: 85 % efficiency when the noise is Gaussian (nu = 4: 89 %).
    2, 3 and 4 were compared on Epoch's Chinchilla rows with and without the five that Epoch drops; 4 moves beta by
    0.43 standard errors there, 3 by 0.29. Those rows are therefore no independent test of this choice.
    """
    if not nu > 0:
        raise QueryError(message(f"student-t nu is {nu}", "a positive number"))
    name = "student-t" if scale == "log" else "student-t-raw"
    return Objective(name if nu == 3.0 else f"{name}:{nu:g}", "student-t", scale, (float(nu),), 1, True)


def gaussian_log() -> Objective:
    """Gaussian likelihood of log y with fitted standard deviation."""
    return Objective("gaussian-log", "gaussian", "log", (), 1, True)


def gaussian() -> Objective:
    """Gaussian likelihood of y with fitted standard deviation."""
    return Objective("gaussian", "gaussian", "raw", (), 1, True)


def pinball(q: float, scale: Scale = "log", width: float = 1e-3) -> Objective:
    """Quantile loss for the q-quantile of y given the inputs (Koenker & Bassett 1978), smoothed.

    The kink is replaced by a parabola for residuals below `width` (as in Huber's loss, each side with its own slope),
    so that least-squares steps work; quantiles move by at most `width`.
    """
    if not 0 < q < 1:
        raise QueryError(message(f"pinball quantile is {q}", "a number between 0 and 1, e.g. pinball:0.1"))
    name = "pinball" if scale == "log" else "pinball-raw"
    return Objective(f"{name}:{q:g}", "asymmetric", scale, (float(width), 1.0 - q, q))


def expectile(q: float = 0.1) -> Objective:
    """Asymmetric least squares: the q-expectile of y given the inputs (Newey & Powell 1987).

    Smoother than a quantile, and moved by far outliers as least squares is.
    """
    if not 0 < q < 1:
        raise QueryError(message(f"an expectile of {q}", "a number between 0 and 1, e.g. expectile:0.1"))
    zone = _NO_LINEAR_ZONE
    return Objective(f"expectile:{q:g}", "asymmetric", "log", (zone, 2 * (1 - q) * zone, 2 * q * zone))


def one_sided(penalty: float = 10.0, scale: Scale = "log", delta: float = 1e-3) -> Objective:
    """Lower envelope: Huber's loss, with predictions above the observed value costing `penalty` times more.

    For tables of under-tuned runs, whose noise is almost only upwards. Where the noise is symmetric the curve comes
    to lie below it all the same, near its 1/(1 + penalty) quantile, and noise that is larger at some sizes bends it.
    """
    if not penalty > 0:
        raise QueryError(message(f"one-sided penalty is {penalty}", "a positive number, e.g. one-sided:10"))
    return Objective(f"one-sided:{penalty:g}", "asymmetric", scale, (float(delta), float(penalty) * delta, delta))


def frontier(most: float = _frontier.MOST) -> Objective:
    """The law of well-tuned runs: a share of the runs lies above it by an excess, the others scatter about it.

    log y = log(law) + noise + excess; the scale of the noise and the share (at most `most`) of runs with an excess
    are estimated jointly with the law by maximum likelihood (see `_frontier`; Aigner, Lovell & Schmidt 1977). Noise
    that is merely symmetric gives a share near zero: the law then runs through the middle of the runs. `most = 0` is
    the same likelihood without an excess, the null hypothesis of `judge.excess`.
    """
    if not 0.0 <= most <= 0.95:
        raise QueryError(
            message(f"a largest share of under-tuned runs of {most}", "a number from 0 to 0.95", "frontier (0.6)")
        )
    name = "frontier" if most == _frontier.MOST else f"frontier:{most:g}"
    return Objective(name, "frontier", "log", (float(most),), 2, True)


def binomial() -> Objective:
    """Binomial likelihood: pred is the success probability, y the successes, trials their number."""
    return Objective("binomial", "binomial", "probability", (), 0, True)


def beta_binomial() -> Objective:
    """Beta-binomial likelihood with mean pred and fitted precision kappa (intra-class correlation 1/(1+kappa))."""
    return Objective("beta-binomial", "beta-binomial", "probability", (), 1, True)


_NAMES: dict[str, Callable[..., Objective]] = {
    "squared": lambda: squared("raw"),
    "log-squared": lambda: squared("log"),
    "huber": lambda delta=1e-3: huber(delta, "raw"),
    "log-huber": lambda delta=1e-3: huber(delta, "log"),
    "student-t": lambda nu=3.0: student_t(nu, "log"),
    "student-t-raw": lambda nu=3.0: student_t(nu, "raw"),
    "gaussian": gaussian,
    "gaussian-log": gaussian_log,
    "pinball": lambda q: pinball(q, "log"),
    "pinball-raw": lambda q: pinball(q, "raw"),
    "expectile": lambda q=0.1: expectile(q),
    "one-sided": lambda penalty=10.0: one_sided(penalty),
    "lower-envelope": lambda penalty=10.0: one_sided(penalty),
    "frontier": lambda most=_frontier.MOST: frontier(most),
    "binomial": binomial,
    "beta-binomial": beta_binomial,
}


def loss_names() -> tuple[str, ...]:
    """The names that `loss` knows."""
    return tuple(_NAMES)


def loss(name: str | Objective) -> Objective:
    """An objective by name, with an optional number after a colon: `log-huber`, `log-huber:0.01`, `pinball:0.1`.

    Raises:
        QueryError: unknown name, or a number that is missing or does not fit.
    """
    if isinstance(name, Objective):
        return name
    head, _, tail = name.strip().lower().replace("_", "-").partition(":")
    make = _NAMES.get(head)
    if make is None:
        raise QueryError(message(f"unknown loss {name!r}", "a loss or likelihood", nearest(head, _NAMES)))
    try:
        return make(float(tail)) if tail else make()
    except (TypeError, ValueError) as error:
        if isinstance(error, QueryError):
            raise
        hint = "for example pinball:0.1, one-sided:10, log-huber:0.001"
        raise QueryError(message(f"loss {name!r} cannot be read", "a name, or name:number", hint)) from error


# --- formulas -----------------------------------------------------------------------------------------------------
#
# Each kind with residuals is written for psi(r), the derivative in r; `_on_scale` turns derivatives in r into
# derivatives in pred: on the log scale dr/dpred = 1/pred and d2r/dpred2 = -1/pred**2.


@dataclass(frozen=True)
class _Kind:
    pointwise: Callable[[Objective, Array, Response, Array], Rows]
    curvature: Callable[[Objective, Array, Response, Array], Array]
    profile: Callable[[Objective, Array, Response, Array, Array | None], Array]


def _no_nuisance(o: Objective, pred: Array, data: Response, weights: Array, previous: Array | None) -> Array:
    return np.zeros((pred.shape[0], 0))


def _on_scale(o: Objective, pred: Array, f: Array, slope: Array, bend: Array) -> Rows:
    if o.scale != "log":
        return f, slope, bend
    inverse = 1.0 / pred
    return f, slope * inverse, bend * (inverse * inverse)


def _true_on_scale(o: Objective, pred: Array, slope: Array, bend: Array) -> Array:
    return (bend - slope) / (pred * pred) if o.scale == "log" else bend


def _weighted_quantile(x: Array, w: Array, q: float) -> Array:
    order = np.argsort(x, axis=1)
    cumulative = np.cumsum(np.take_along_axis(w, order, axis=1), axis=1)
    index = (cumulative < q * cumulative[:, -1:]).sum(axis=1, keepdims=True)
    index = np.minimum(index, x.shape[1] - 1)
    return np.asarray(np.take_along_axis(np.take_along_axis(x, order, axis=1), index, axis=1)[:, 0])


def _squared_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    r = o.residual(pred, data)
    return _on_scale(o, pred, 0.5 * r * r, r, np.ones_like(r))


def _squared_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    r = o.residual(pred, data)
    return _true_on_scale(o, pred, r, np.ones_like(r))


def _huber_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    delta = o.numbers[0]
    r = o.residual(pred, data)
    size = np.abs(r)
    # One expression for both zones: with c = min(|r|, delta), f = c |r| - c**2 / 2 and psi = c sign(r).
    c = np.minimum(size, delta)
    f = c * (size - 0.5 * c)
    return _on_scale(o, pred, f, np.copysign(c, r), delta / np.maximum(size, delta))


def _huber_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    delta = o.numbers[0]
    r = o.residual(pred, data)
    return _true_on_scale(o, pred, np.clip(r, -delta, delta), np.where(np.abs(r) <= delta, 1.0, 0.0))


def _asymmetric_parts(o: Objective, pred: Array, data: Response) -> tuple[Array, Array, Array]:
    width, above, below = o.numbers  # slope where the prediction lies above / below the observation
    r = o.residual(pred, data)
    return r, np.where(r > 0, above, below) / width, np.minimum(np.abs(r), width)


def _asymmetric_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    r, slope, c = _asymmetric_parts(o, pred, data)
    size = np.abs(r)
    f = slope * c * (size - 0.5 * c)
    return _on_scale(o, pred, f, slope * np.copysign(c, r), slope * o.numbers[0] / np.maximum(size, o.numbers[0]))


def _asymmetric_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    r, slope, c = _asymmetric_parts(o, pred, data)
    return _true_on_scale(o, pred, slope * np.copysign(c, r), np.where(np.abs(r) <= o.numbers[0], slope, 0.0))


def _log_jacobian(o: Objective, data: Response) -> Array | float:
    # Density of y from density of log y, so that likelihoods on both scales can be compared.
    return data.target if o.scale == "log" else 0.0


def _smallest_scale(o: Objective, data: Response) -> Array | float:
    # Noiseless data have no maximum-likelihood scale; rounding of the data itself sets the floor.
    if o.scale == "log":
        return 1e-12
    return np.asarray(np.maximum(1e-12 * np.abs(data.y).max(axis=-1, keepdims=True), 1e-300))


def _gaussian_profile(o: Objective, pred: Array, data: Response, weights: Array, previous: Array | None) -> Array:
    r = o.residual(pred, data)
    w = np.broadcast_to(weights, r.shape)
    sigma = np.sqrt((w * r * r).sum(axis=1, keepdims=True) / w.sum(axis=1, keepdims=True))
    return np.asarray(np.maximum(sigma, _smallest_scale(o, data)))


def _gaussian_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    u = o.residual(pred, data) / nuisance
    f = 0.5 * u * u + np.log(nuisance) + _HALF_LOG_TAU + _log_jacobian(o, data)
    return _on_scale(o, pred, f, u / nuisance, np.broadcast_to(nuisance**-2.0, u.shape))


def _gaussian_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    r = o.residual(pred, data)
    return _true_on_scale(o, pred, r / nuisance**2, np.broadcast_to(nuisance**-2.0, r.shape))


def _student_profile(o: Objective, pred: Array, data: Response, weights: Array, previous: Array | None) -> Array:
    nu = o.numbers[0]
    r2 = np.square(o.residual(pred, data))
    w = np.broadcast_to(weights, r2.shape)
    total = w.sum(axis=1)
    floor = np.broadcast_to(np.square(_smallest_scale(o, data)), (r2.shape[0], 1))[:, 0]
    if previous is not None:
        s2 = np.square(previous[:, 0])
    else:
        s2 = _weighted_quantile(r2, w, 0.5) / 0.55
    s2 = np.maximum(np.where(np.isfinite(s2), s2, 1.0), floor)
    # Score in log s2: a falling sigmoid, so Newton with clipped steps cannot run away.
    for _ in range(60):
        bottom = nu * s2[:, None] + r2
        share = r2 / bottom
        score = (nu + 1.0) * (w * share).sum(axis=1) - total
        slope = (nu + 1.0) * nu * s2 * (w * share / bottom).sum(axis=1)
        step = np.clip(np.where(slope > 0, score / slope, np.sign(score)), -2.0, 2.0)
        s2 = np.maximum(s2 * np.exp(np.where(np.isfinite(step), step, 0.0)), floor)
        if not (np.abs(np.where(s2 > floor, step, 0.0)) > 1e-13).any():
            break
    return np.asarray(np.sqrt(s2)[:, None])


def _student_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    nu = o.numbers[0]
    r = o.residual(pred, data)
    bottom = nu * nuisance * nuisance + r * r
    weight = (nu + 1.0) / bottom
    f = 0.5 * (nu + 1.0) * np.log(bottom / (nu * nuisance * nuisance)) + np.log(nuisance) + _student_constant(nu)
    return _on_scale(o, pred, f + _log_jacobian(o, data), weight * r, weight)


def _student_constant(nu: float) -> float:
    from math import lgamma, log, pi

    return lgamma(0.5 * nu) - lgamma(0.5 * (nu + 1.0)) + 0.5 * log(nu * pi)


def _student_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    nu = o.numbers[0]
    r = o.residual(pred, data)
    s2 = nu * nuisance * nuisance
    bottom = s2 + r * r
    return _true_on_scale(o, pred, (nu + 1.0) * r / bottom, (nu + 1.0) * (s2 - r * r) / (bottom * bottom))


def _excess_of(o: Objective, pred: Array, data: Response, nuisance: Array) -> tuple[Array, Array, Array]:
    s, share = nuisance[:, :1], nuisance[:, 1:]
    return -o.residual(pred, data) / s, s, share


def _frontier_profile(o: Objective, pred: Array, data: Response, weights: Array, previous: Array | None) -> Array:
    r = -o.residual(pred, data)
    return _frontier.profile(r, np.broadcast_to(weights, r.shape), o.numbers[0], previous)


def _frontier_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    z, s, share = _excess_of(o, pred, data, nuisance)
    parts = _frontier.density(z)
    by = _frontier.score(z, s, share, parts)
    bend = _frontier.tightness(s, share, parts) / (s * s)
    return _on_scale(o, pred, by.contribution + _log_jacobian(o, data), -by.slope / s, bend)


def _frontier_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    z, s, share = _excess_of(o, pred, data, nuisance)
    by = _frontier.score(z, s, share, _frontier.density(z))
    return _true_on_scale(o, pred, -by.slope / s, by.bend / (s * s))


def _frontier_coupling(o: Objective, pred: Array, data: Response, weights: Array, nuisance: Array) -> Coupling:
    """By log s and the share."""
    z, s, share = _excess_of(o, pred, data, nuisance)
    by = _frontier.score(z, s, share, _frontier.density(z))
    w = np.broadcast_to(weights, z.shape)
    score = np.stack([by.scale, by.share], axis=2)
    cross = -np.stack([by.slope_scale, by.slope_share], axis=2) / (s * pred)[:, :, None]
    a = (w * by.scale_scale).sum(axis=1)
    b, c = (w * by.share * by.share).sum(axis=1), (w * by.scale_share).sum(axis=1)
    free = (share[:, 0] > 0.0) & (share[:, 0] < o.numbers[0])
    score[~free, :, 1], cross[~free, :, 1] = 0.0, 0.0
    b, c = np.where(free & (b > 0), b, 1.0), np.where(free, c, 0.0)
    det = a * b - c * c
    inverse = np.stack([np.stack([b, -c], axis=1), np.stack([-c, a], axis=1)], axis=1) / det[:, None, None]
    # Away from the optimum the profile may be no minimum in a direction: nothing is known about the coupling there.
    return Coupling(score, cross, np.where((det > 0)[:, None, None] & (a > 0)[:, None, None], inverse, 0.0))


def _log_choose(k: Array, n: Array) -> Array:
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def _trials(data: Response) -> Array:
    if data.trials is None:
        raise DataError(message("a binomial objective got a response without trials", "response(successes, trials)"))
    return data.trials


def _probability(pred: Array) -> Array:
    # Exactly 0 and 1 are legal ends of a saturating law; outside of [0, 1] is not.
    inside = (pred >= 0.0) & (pred <= 1.0)
    return np.where(inside, np.clip(pred, 1e-15, 1.0 - 1e-15), np.nan)


def _binomial_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    k, n, p = data.y, _trials(data), _probability(pred)
    f = -(k * np.log(p) + (n - k) * np.log1p(-p)) - _log_choose(k, n)
    return f, (n - k) / (1.0 - p) - k / p, n / (p * (1.0 - p))


def _binomial_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    k, n, p = data.y, _trials(data), _probability(pred)
    return np.asarray(k / (p * p) + (n - k) / (1.0 - p) ** 2)


def _beta_binomial_value(k: Array, n: Array, p: Array, kappa: Array) -> Array:
    from scipy.special import betaln

    a, b = p * kappa, (1.0 - p) * kappa
    return np.asarray(betaln(a, b) - betaln(k + a, n - k + b) - _log_choose(k, n))


def _beta_binomial_profile(
    o: Objective, pred: Array, data: Response, weights: Array, previous: Array | None
) -> Array:
    """Precision kappa by a grid in log kappa and golden sections around the best point (several minima can occur)."""
    k, n, p = data.y, _trials(data), _probability(pred)

    def total(log_kappa: Array) -> Array:
        f = (weights * _beta_binomial_value(k, n, p, np.exp(log_kappa)[:, None])).sum(axis=1)
        return np.where(np.isfinite(f), f, np.inf)

    if previous is None:
        grid = np.linspace(np.log(1e-2), np.log(1e8), 24)
        scores = np.stack([total(np.full(p.shape[0], g)) for g in grid], axis=1)
        centre, half = grid[scores.argmin(axis=1)], grid[1] - grid[0]
    else:
        centre, half = np.log(previous[:, 0]), 1.0
    low, high = centre - half, centre + half
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    x1, x2 = high - ratio * (high - low), low + ratio * (high - low)
    f1, f2 = total(x1), total(x2)
    for _ in range(36):
        left = f1 <= f2
        low, high = np.where(left, low, x1), np.where(left, x2, high)
        x1n, x2n = high - ratio * (high - low), low + ratio * (high - low)
        fresh = total(np.where(left, x1n, x2n))
        f1, f2 = np.where(left, fresh, f2), np.where(left, f1, fresh)
        x1, x2 = x1n, x2n
    return np.asarray(np.exp(np.clip(0.5 * (low + high), np.log(1e-2), np.log(1e8)))[:, None])


def _beta_binomial_pointwise(o: Objective, pred: Array, data: Response, nuisance: Array) -> Rows:
    from scipy.special import digamma

    k, n, p = data.y, _trials(data), _probability(pred)
    a, b = p * nuisance, (1.0 - p) * nuisance
    f = _beta_binomial_value(k, n, p, nuisance)
    g = nuisance * (digamma(a) - digamma(k + a) - digamma(b) + digamma(n - k + b))
    # Variance of a count is n p (1 - p) (1 + (n - 1) rho), rho = 1 / (1 + kappa): the quasi-likelihood information.
    return f, g, n / (p * (1.0 - p) * (1.0 + (n - 1.0) / (1.0 + nuisance)))


def _beta_binomial_curvature(o: Objective, pred: Array, data: Response, nuisance: Array) -> Array:
    from scipy.special import polygamma

    k, n, p = data.y, _trials(data), _probability(pred)
    a, b = p * nuisance, (1.0 - p) * nuisance
    trigamma = polygamma(1, a) - polygamma(1, k + a) + polygamma(1, b) - polygamma(1, n - k + b)
    return np.asarray(nuisance * nuisance * trigamma)


_KINDS: dict[str, _Kind] = {
    "squared": _Kind(_squared_pointwise, _squared_curvature, _no_nuisance),
    "huber": _Kind(_huber_pointwise, _huber_curvature, _no_nuisance),
    "asymmetric": _Kind(_asymmetric_pointwise, _asymmetric_curvature, _no_nuisance),
    "gaussian": _Kind(_gaussian_pointwise, _gaussian_curvature, _gaussian_profile),
    "student-t": _Kind(_student_pointwise, _student_curvature, _student_profile),
    "frontier": _Kind(_frontier_pointwise, _frontier_curvature, _frontier_profile),
    "binomial": _Kind(_binomial_pointwise, _binomial_curvature, _no_nuisance),
    "beta-binomial": _Kind(_beta_binomial_pointwise, _beta_binomial_curvature, _beta_binomial_profile),
}
