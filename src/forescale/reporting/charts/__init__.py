# SPDX-License-Identifier: Apache-2.0
"""One declarative spec per chart. `fit.plot()` and `plan.plot()` arrive here by way of `core.registry`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from forescale.core.errors import DependencyError, InputError, message, nearest
from forescale.fitting._fit import Fit
from forescale.fitting._stack import Stack
from forescale.planning._plan import Plan
from forescale.planning._splitting import splitting

FIT_CHARTS = ("loss", "contours", "isoflop", "residuals", "profiles")
STACK_CHARTS = ("rolling", *FIT_CHARTS)
CURVE_CHARTS = ("curves", "residuals", "profiles")
"""Those of a fit to training curves."""


def render(value: Any, kind: str | None = None, **options: Any) -> Any:
    """The Altair chart of a Fit, Plan, Backtest or Calibration; see `specification` for the arguments and errors.

    Raises:
        DependencyError: Altair is not installed.
    """
    try:
        import altair as alt
    except ImportError as error:
        raise DependencyError(
            message(f"altair is not installed ({error})", "the charting library", "pip install altair")
        ) from error
    return alt.Chart.from_dict(specification(value, kind, **options))


def specification(value: Any, kind: str | None = None, **options: Any) -> dict[str, Any]:
    """The Vega-Lite specification of a chart.

    Args:
        value: what to draw.
        kind: for a Stack one of `STACK_CHARTS` (default "loss"); for a Fit one of `FIT_CHARTS` (default "loss" where
            the law has one input or is a surface over N and D, else "residuals"), for one to training curves one of
            `CURVE_CHARTS` (default "curves"); for a Plan "valley" or "frontier".
        **options: of that chart, e.g. `target=1e24`, `width=400`.

    Raises:
        InputError, DataError: unknown kind, or a chart that this value cannot fill.
        RefusedError: a plan without curves, or a profile that cannot be computed.
    """
    if isinstance(value, Fit):
        return _of_fit(value, kind)(value, **options)
    if isinstance(value, Stack):
        return _of_stack(value, kind, **options)
    if isinstance(value, Plan):
        from forescale.reporting.charts.plan import plan

        return plan(value, kind, **options)
    from forescale.judge.backtest import Backtest

    if isinstance(value, Backtest):
        from forescale.reporting.charts.backtest import backtest

        return backtest(value, **options)
    from forescale.judge.calibration import Calibration

    if isinstance(value, Calibration):
        from forescale.reporting.charts.calibration import calibration

        return calibration(value, **options)
    from forescale.judge.compare import Comparison

    if isinstance(value, Comparison):
        from forescale.reporting.charts.compare import compare

        return compare(value, kind, **options)
    expected = "a Fit, a Plan, a Backtest, a Calibration or a Comparison"
    raise InputError(message(f"a {type(value).__name__} has no chart", expected))


def _of_stack(stack: Stack, kind: str | None, **options: Any) -> dict[str, Any]:
    """The pool's own charts; the others are those of the pool as one fit; profiles, of its best member."""
    if kind in (None, "loss"):
        from forescale.reporting.charts.loss import loss

        return loss(stack, **options)
    if kind == "rolling":
        from forescale.reporting.charts.rolling import rolling

        return rolling(stack, **options)
    if kind not in FIT_CHARTS:
        raise InputError(message(f"there is no chart {kind!r} of a stack", "", nearest(kind, STACK_CHARTS)))
    split = splitting(stack)
    fit = split.best if kind == "profiles" else stack.pooled if kind == "residuals" else split.pooled
    return _of_fit(fit, kind)(fit, **options)


def _of_fit(fit: Fit, kind: str | None) -> Callable[..., dict[str, Any]]:
    from forescale.reporting.charts._data import plane

    along = fit.law.schedule is not None
    usual = "curves" if along else "loss" if plane(fit.law) or len(fit.law.inputs) == 1 else "residuals"
    chosen, charts = kind or usual, CURVE_CHARTS if along else FIT_CHARTS
    if chosen not in charts:
        whose = "a fit to training curves" if along else "a fit"
        raise InputError(message(f"there is no chart {chosen!r} of {whose}", "", nearest(chosen, charts)))
    if chosen == "curves":
        from forescale.reporting.charts.curves import curves

        return curves
    if chosen == "loss":
        from forescale.reporting.charts.loss import loss

        return loss
    if chosen == "contours":
        from forescale.reporting.charts.contours import contours

        return contours
    if chosen == "isoflop":
        from forescale.reporting.charts.isoflop import isoflop

        return isoflop
    if chosen == "residuals":
        from forescale.reporting.charts.residuals import residuals

        return residuals
    from forescale.reporting.charts.profiles import profiles

    return profiles
