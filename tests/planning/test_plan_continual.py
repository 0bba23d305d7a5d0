# SPDX-License-Identifier: Apache-2.0
"""Continual pre-training: the three uses with known answers, the published table, fits to made runs, trouble."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core.errors import ConventionError, ForescaleError, QueryError, RefusedError
from forescale.core.frozen import Frozen
from forescale.fitting.estimate import fit
from forescale.fitting.surface import Surface
from forescale.laws import find
from forescale.planning import continual
from forescale.planning._parts import grounds
from forescale.planning._plan import Basis, Grounds, Plan
from forescale.planning._run import read
from forescale.runs.table import Conventions, Runs
from forescale.testing.planners import Ladder, PlannerCase

LAW = find("d-cpt")
# eta + beta = 1, gamma = 1, epsilon = 0 (nearly): with D = D_d / r the best share is sqrt(C D_d^beta / B).
DOMAIN = {
    "E": 0.6, "A": 300.0, "alpha": 0.35, "B": 2000.0, "eta": 0.6, "beta": 0.4, "C": 0.05, "epsilon": 1e-12,
    "gamma": 1.0,
}  # fmt: skip
GENERAL = {
    "E": 1.8, "A": 300.0, "alpha": 0.35, "B": 1e-9, "eta": 0.5, "beta": 0.4, "C": 0.3, "epsilon": 0.2, "gamma": 0.5,
}  # fmt: skip
TABLE = Runs.from_columns(
    {
        "share": [0.9, 0.91, 0.92, 0.924, 0.93, 0.94, 1.0],
        "loss_general": [2.9052, 2.9193, 2.9376, 2.9445, 2.9644, 2.9848, 3.4667],
        "loss_domain": [1.7321, 1.7312, 1.7311, 1.7291, 1.7279, 1.7265, 1.7220],
    }
)
"""specs/pretraining 15, usage 1: chemistry, 1.8B parameters, 10B tokens."""


def standing(**parts: dict[str, Any]) -> Grounds:
    return Grounds(
        Frozen({
            name: Basis(Surface(
                find("critical-share") if name == "critical" else LAW,
                Frozen({k: np.asarray(v, dtype=float).reshape(-1, 1) for k, v in params.items()}),
            ))
            for name, params in parts.items()
        })
    )  # fmt: skip


def ask(where: Grounds, **query: Any) -> Plan:
    return continual.planner.answer(where, read(continual.planner, query))


def made(params: dict[str, float], noise: float = 0.001, seed: int = 0) -> Runs:
    N, D, share = (
        a.ravel()
        for a in np.meshgrid(
            [5e8, 1.8e9, 4e9], [2e9, 5e9, 2e10], [0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1.0], indexing="ij"
        )
    )
    y = LAW(params, N=N, D=D, share=share) * np.exp(noise * np.random.default_rng(seed).standard_normal(N.size))
    return Runs.from_columns({"N": N, "D": D, "share": share, "loss": y})


class TestContinual(PlannerCase):
    planners = (continual.planner,)
    grounds: ClassVar = {"continual": (fit(made({**DOMAIN, "epsilon": 0.1}), LAW),)}
    ladders: ClassVar = {"continual": Ladder("domain_tokens", ("2B", "5B", "10B"), rising=("share", "domain_tokens"))}
    conflicts: ClassVar = {
        "continual": (
            {"budget": "1e21 FLOP", "params": "1.8B", "domain_tokens": "5B"},
            {"tolerance": 0.03},
            {"general_before": 2.8},
        )
    }


# ----------------------------------------------------------------------------------------------------- the three uses


@pytest.mark.parametrize("tokens", [1e9, 5e9, 2e10])
def test_limited_domain_data(tokens: float) -> None:
    """Use 2: r = sqrt(C D_d^beta / B), and the run has D_d / r tokens."""
    plan = ask(standing(domain=DOMAIN), params="1.8B", domain_tokens=tokens)
    r = np.sqrt(0.05 * tokens**0.4 / 2000.0)
    assert plan["share"].value == pytest.approx(100 * r, rel=1e-6)
    assert plan["D"].value == pytest.approx(tokens / r, rel=1e-6)
    assert plan["domain_tokens"].value == pytest.approx(tokens, rel=1e-12)
    exact = LAW(DOMAIN, N=1.8e9, D=tokens / r, share=r)
    assert plan.expected["loss"].value == pytest.approx(float(exact), rel=1e-12)


def test_the_general_loss_held() -> None:
    """Use 1: the general share at which E + A / N^alpha + C / (r + epsilon)^gamma is at the limit."""
    where = standing(domain=DOMAIN, general=GENERAL)
    N, before = 1.8e9, 2.3
    level = 1.8 + 300.0 * N**-0.35
    general = (0.3 / (1.03 * before - level)) ** 2 - 0.2
    plan = ask(where, params=N, tokens="1000B", tolerance=0.03, general_before=before)
    assert plan["share"].value == pytest.approx(100 * (1 - general), rel=1e-6)
    assert "general loss" in plan.binding
    assert plan["general_rise"].value == pytest.approx(3.0, rel=1e-6)
    more = ask(where, params=N, tokens="1000B", tolerance=0.05, general_before=before)
    assert more["share"].value > plan["share"].value
    assert more.expected["loss"].value < plan.expected["loss"].value


def test_a_budget() -> None:
    """Use 3: chinchilla's split with B r^eta, at a share that is held; without one, the share that is best."""
    C, r = 1e21, 0.5
    best = find("chinchilla").optimum(C, E=0.6, A=300.0, alpha=0.35, B=2000.0 * r**0.6, beta=0.4)
    plan = ask(standing(domain=DOMAIN), budget=C, share=r)
    assert plan["N"].value == pytest.approx(float(best["N"]), rel=1e-12)
    assert plan["D"].value == pytest.approx(float(best["D"]), rel=1e-12)
    free = ask(standing(domain=DOMAIN), budget=C)
    assert free.expected["loss"].value <= plan.expected["loss"].value
    tried = [ask(standing(domain=DOMAIN), budget=C, share=s).expected["loss"].value for s in (0.3, 0.6, 0.9, 1.0)]
    assert free.expected["loss"].value <= min(tried) * (1 + 1e-12)


def test_both_limits_at_once() -> None:
    """Limited domain data and a general loss: the tighter one binds."""
    where = standing(domain=DOMAIN, general=GENERAL)
    free = ask(where, params="1.8B", domain_tokens="5B")
    tight = ask(where, params="1.8B", domain_tokens="5B", tolerance=0.0, general_before=2.25)
    loose = ask(where, params="1.8B", domain_tokens="5B", tolerance=0.5, general_before=2.25)
    assert loose["share"].value == pytest.approx(free["share"].value, rel=1e-6)
    assert tight["share"].value < free["share"].value
    short = ask(where, params="1.8B", domain_tokens="5B", tokens="6B")
    assert short["D"].value == pytest.approx(6e9, rel=1e-9)
    assert short.binding == "the tokens of the run"


def test_the_published_table() -> None:
    """d1: .924 is the largest listed share within 3 % of 2.8602; straight lines give .9245."""
    plan = ask(grounds(continual.planner, [TABLE], draws=0), tolerance=0.03, general_before=2.8602)
    assert plan["run_share"].value == pytest.approx(92.4)
    assert plan["share"].value == pytest.approx(92.45, abs=0.005)
    assert 1.7279 < plan.expected["loss"].value < 1.7291


def test_critical_share() -> None:
    """Gu et al., 460M: .2976 at T = 100 (in their unit) caps what the domain alone would want."""
    critical = find("critical-share").constants("gu2024-460m")
    where = standing(domain={**DOMAIN, "B": 1e-9}, critical=critical)
    plan = ask(where, params="460M", tokens=100.0)
    assert plan["share"].value == pytest.approx(29.76, abs=0.01)
    assert plan.binding == "the critical share"
    with pytest.raises(RefusedError):
        ask(where, params="460M", tokens=10.0)


def test_fits_to_made_runs() -> None:
    """From runs with .1 % noise the plan lies near the truth, and its interval holds it."""
    truth = {**DOMAIN, "epsilon": 0.1}
    runs = fit(made(truth, seed=3), LAW)
    plan = ask(grounds(continual.planner, [runs], draws=400), params="1.8B", domain_tokens="5B")
    exact = ask(standing(domain=truth), params="1.8B", domain_tokens="5B")
    # the valley is flat: what counts is the loss of the share chosen, under the truth
    r = plan["share"].value / 100
    lost = float(LAW(truth, N=1.8e9, D=5e9 / r, share=r)) / exact.expected["loss"].value - 1
    assert 0 <= lost < 0.002
    lower, upper = plan["share"].lower, plan["share"].upper
    assert lower is not None
    assert upper is not None
    assert lower <= exact["share"].value <= upper


def test_across_domains() -> None:
    """d-cpt-cross is d-cpt with a constant that the share does not move: the same share, another loss."""
    law = find("d-cpt-cross")
    cross = {**DOMAIN, "w1": 1.0, "w2": 1.0, "mu": 1.0}
    where = Grounds(Frozen({"domain": Basis(Surface(law, Frozen({k: np.array([[v]]) for k, v in cross.items()})))}))
    query = {"params": "1.8B", "domain_tokens": "5B"}
    plan = ask(where, **query, loss_before=2.0, loss_slope_initial=0.3)
    plain = ask(standing(domain=DOMAIN), **query)
    assert plan["share"].value == pytest.approx(plain["share"].value, rel=1e-6)
    assert plan.expected["loss"].value == pytest.approx(plain.expected["loss"].value + 1 / (0.5 + 0.3), rel=1e-9)
    with pytest.raises(QueryError, match="loss_before"):
        ask(where, **query)


# ------------------------------------------------------------------------------------------------------------ trouble


def test_no_share_is_allowed() -> None:
    where = standing(domain=DOMAIN, general=GENERAL)
    with pytest.raises(RefusedError, match="general loss"):
        ask(where, params="1.8B", tokens="10B", tolerance=0.0, general_before=1.5)
    with pytest.raises(RefusedError):
        ask(where, params="1.8B", tokens="10B", tolerance=0.03, general_before=2.3, share=1.0)


def test_a_law_that_rises_in_the_share_is_said() -> None:
    """Many tokens' worth of penalty: B r^eta outweighs C / r near a share of one."""
    plan = ask(standing(domain={**DOMAIN, "C": 1e-3, "B": 2e5}), params="1.8B", tokens="10B", share=0.9)
    assert any(w.code == "shape" for w in plan.warnings)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"params": "1.8B"},
        {"tokens": "10B"},
        {"params": "1.8B", "tokens": "10B", "tolerance": 0.03, "general_before": 2.3},
        {"params": "1.8B", "tokens": "10B", "share": 1.5},
        {"params": "1.8B", "tokens": "10B", "tolerance": -0.1, "general_before": 2.3},
        {"params": "1.8B", "tokens": "10B", "loss_before": 1.9},
        {"params": "1.8B", "tokens": "1B", "domain_tokens": "5B"},
        {"params": "1.8B", "tokens": "6B", "domain_tokens": "5B", "share": 0.1},
    ],
)
def test_bad_questions(query: dict[str, Any]) -> None:
    with pytest.raises(ForescaleError):
        ask(standing(domain=DOMAIN), **query)


def test_tables_of_trouble() -> None:
    where = grounds(continual.planner, [TABLE], draws=0)
    with pytest.raises(QueryError):
        ask(where)
    with pytest.raises(QueryError, match="runs exist"):
        ask(where, tolerance=0.5, general_before=2.8602)
    with pytest.raises(QueryError, match="domain"):
        ask(Grounds(), params="1.8B", tokens="10B")
    with pytest.raises(QueryError, match="share"):
        ask(where, tolerance=0.03, general_before=2.8602, share=0.5)


def test_a_tolerance_needs_a_law_of_the_general_loss() -> None:
    """A critical share has a tolerance of its own: another one cannot be asked of it."""
    where = standing(domain=DOMAIN, critical=find("critical-share").constants("gu2024-460m"))
    with pytest.raises(QueryError, match="general loss"):
        ask(where, params="460M", tokens=100.0, tolerance=0.03, general_before=2.3)


def test_units_of_the_loss() -> None:
    """A general loss in another unit than the fits is refused."""
    table = made({**DOMAIN, "epsilon": 0.1})
    nats = Runs.from_columns(dict(table.columns), conventions=Conventions(loss="nats/token"))
    where = grounds(continual.planner, [fit(nats, LAW), fit(nats, LAW)], draws=0)
    query = {"params": "1.8B", "tokens": "10B", "tolerance": 0.03}
    assert ask(where, **query, general_before="1.2 nats/token")["share"].value > 0
    with pytest.raises(ConventionError):
        ask(where, **query, general_before="1.2 bits/byte")


def test_noise_is_relative_whatever_the_scale_of_the_fit() -> None:
    """Fitted to the loss or to its logarithm: one run scatters by the same share."""
    table = made({**DOMAIN, "epsilon": 0.1}, noise=0.004)
    titles = [
        ask(grounds(continual.planner, [fit(table, LAW, loss=loss)], draws=0), params="1.8B", tokens="10B")
        .table("alternatives").title
        for loss in ("log-squared", "squared")
    ]  # fmt: skip
    shares = [float(title.split("within ")[1].split(" %")[0]) for title in titles]
    assert shares[0] == pytest.approx(shares[1], rel=0.3)
