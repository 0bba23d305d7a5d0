# SPDX-License-Identifier: Apache-2.0
"""From proxy to target: the numbers of the notes, conventions of the decay, and a model that obeys the table."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

import forescale as fs
from forescale.core.errors import InputError, QueryError, RefusedError
from forescale.laws import find
from forescale.laws.transfer import MUP
from forescale.planning import transfer
from forescale.planning._plan import Plan
from forescale.testing.planners import Ladder, PlannerCase

FOUR = {"proxy_width": 256, "width": 1024, "lr": 4e-3, "weight_decay": 0.1}


class TestTransfer(PlannerCase):
    """The conformance tests."""

    planners = (transfer.planner,)
    ladders: ClassVar = {
        "transfer": Ladder("width", (512, 1024, 4096), rising=("wd_matrix",), falling=("lr_matrix", "std_matrix"))
    }
    conflicts: ClassVar = {"transfer": (
            {"tied": True, "head": "rate"}, {"width": 1000, "heads": 3}, {"tied": True, "lr_head": 1e-3},
            {"batch": "2B", "tokens": "1B"},
        )
    }  # fmt: skip


# -- the rules ------------------------------------------------------------------------------------------------------


def test_four_times_the_width() -> None:
    """w1 of the notes (pretraining 11): rate 1e-3, decay 0.2, 2,500 to 5,000 remembered steps, a ratio of 1."""
    plan = fs.plan("transfer", **FOUR)
    assert plan["lr_matrix"].value == 1e-3
    assert plan["wd_matrix"].value == pytest.approx(0.2, rel=1e-12)
    assert plan["wd_vector"].value == 0.0
    assert plan["lr_vector"].value == 4e-3
    assert plan["forgetting_steps"].value == pytest.approx(5000.0)
    rows = {row["rule"]: row for row in plan.table("sensitivity").records()}
    assert rows["the plan"]["top singular value / proxy"] == pytest.approx(1.0, rel=1e-12)
    # Constant decay lets it grow as width^1/4, decay in proportion to width fall as width^-1/4.
    assert rows["constant"]["top singular value / proxy"] == pytest.approx(4**0.25)
    assert rows["width: rate times decay constant"]["top singular value / proxy"] == pytest.approx(4**-0.25)


def test_mup_by_tensor() -> None:
    """The table of the notes: matrices 1/fan-in and 1/m, embedding and norms constant, the head by 1/m."""
    plan = fs.plan(
        "transfer", **FOUR, lr_embedding=2e-3, lr_vector=8e-3, lr_head=1e-3, std_embedding=0.02, std_head=0.05
    )
    assert plan["lr_embedding"].value == 2e-3
    assert plan["std_embedding"].value == 0.02
    assert plan["lr_vector"].value == 8e-3
    assert plan["std_matrix"].value == pytest.approx(1024**-0.5)
    assert plan["std_down"].value == pytest.approx(4096**-0.5)
    assert (plan["lr_head"].value, plan["multiplier_head"].value) == (1e-3, 0.25)
    assert plan["std_head"].value == 0.05
    # Head size stays 64: 1 / d_head from a proxy with 1 / sqrt(d_head) is the same 1/8.
    assert plan["attention_scale"].value == pytest.approx(1 / 8)
    wide_heads = fs.plan("transfer", **FOUR, proxy_heads=4, heads=4)
    assert wide_heads["attention_scale"].value == pytest.approx(8 / 256)
    other = fs.plan("transfer", **FOUR, head="rate", lr_head=1e-3, std_head=0.05)
    assert (other["lr_head"].value, other["multiplier_head"].value) == (2.5e-4, 1.0)
    assert other["std_head"].value == pytest.approx(0.05 / 4)


def test_every_kind_moves_features_by_the_same_at_every_width() -> None:
    """Adam moves each entry by its rate. Summed over the fan-in in step, times the multiplier, that is width^0."""
    for name, kind in MUP.items():
        fan_in = 0.0 if name in ("embedding", "vector") else 1.0
        assert kind.rate + kind.multiplier + fan_in == 0.0, name
        # At the start entries are independent: outputs of matrices keep their size, heads may only fall.
        size = 0.5 * (kind.variance + fan_in) + kind.multiplier
        assert size == (-0.5 if name.startswith("head") else 0.0), name


def test_decay_that_is_not_multiplied_by_the_rate() -> None:
    """Notes: the product must fall as width^-1/2, so the decay itself does, and sigma stands still all the same."""
    plan = fs.plan("transfer", **{**FOUR, "weight_decay": 4e-4}, decay="independent")
    assert plan["wd_matrix"].value == pytest.approx(2e-4)
    assert plan["forgetting_steps"].value == pytest.approx(5000.0)
    row = plan.table("sensitivity").records()[0]
    assert row["top singular value / proxy"] == pytest.approx(1.0)


def test_a_measured_slope_corrects_the_power_by_twice_of_it() -> None:
    plan = fs.plan("transfer", **FOUR, slope=0.1)
    assert plan["decay_power"].value == pytest.approx(0.7)
    assert plan.table("sensitivity").records()[0]["top singular value / proxy"] == pytest.approx(1.0)


def test_powers_from_proxies_of_ones_own() -> None:
    """Nine widths, rates and decays with other powers and 2 % noise: the power of the decay and its interval."""
    rng = np.random.default_rng(1)
    grid = np.meshgrid([1e-3, 2e-3, 4e-3], [0.05, 0.1, 0.2], [256.0, 512.0, 1024.0])
    rate, decay, width = (a.ravel() for a in grid)
    truth = {"k": 1.3, "b": 0.5, "c": 0.5, "w": 0.85}
    sigma = find("top-singular-value")(truth, lr_peak=rate, weight_decay=decay, width=width)
    table = {"lr_peak": rate, "weight_decay": decay, "width": width, "sigma_max": sigma}
    table["sigma_max"] = sigma * np.exp(0.02 * rng.standard_normal(27))
    plan = fs.plan("transfer", fs.load(table), **FOUR)
    found = plan["decay_power"]
    assert found.lower < 0.7 < found.upper
    assert plan["wd_matrix"].lower < 0.1 * 4**0.7 < plan["wd_matrix"].upper
    assert plan.evidence.rows == 27


def test_settings_are_read_by_a_program() -> None:
    lines = dict(line.split("=") for line in fs.plan("transfer", **FOUR).settings("env").splitlines())
    assert float(lines["LR_MATRIX"]) == 1e-3
    assert float(lines["WD_MATRIX"]) == pytest.approx(0.2)
    assert float(lines["MULTIPLIER_HEAD"]) == 0.25
    assert "STD_VECTOR" not in lines  # gains start at one, biases at zero
    tied = fs.plan("transfer", **FOUR, tied=True)
    assert not {"lr_head", "std_head"} & set(tied.decision)
    assert tied["multiplier_head"].value == 0.25


# -- what the rules do not cover ------------------------------------------------------------------------------------


def test_what_is_not_covered_is_said() -> None:
    plan = fs.plan(
        "transfer", **FOUR, proxy_depth=6, depth=24, proxy_tokens="5B", tokens="100B", proxy_batch="500k", batch="2M"
    )
    codes = {w.code for w in plan.warnings}
    assert {"depth", "horizon"} <= codes
    assert plan["multiplier_branch"].value == 0.5
    factors = {row["what changes"]: row["factor"] for row in plan.table("horizon").records()}
    assert sorted(factors.values()) == pytest.approx(sorted([20**0.307, 20**-0.32, 2.0]))
    rows = {row["rule"]: row for row in plan.table("sensitivity").records()}
    # 10,000 and 50,000 steps: the share of the run that AdamW remembers is that of the proxy, 2,500 / 10,000.
    assert rows["rate times decay times steps constant"]["remembered / run"] == pytest.approx(0.25)
    assert rows["the plan"]["remembered / run"] == pytest.approx(0.1)
    short = fs.plan("transfer", **FOUR, proxy_tokens="1B", proxy_batch="500k")
    assert {"not-settled-proxy", "not-settled-target"} <= {w.code for w in short.warnings}
    assert any(w.code == "no-decay" for w in fs.plan("transfer", **{**FOUR, "weight_decay": 0.0}).warnings)
    assert any(w.code == "far-proxy" for w in fs.plan("transfer", **{**FOUR, "width": 8192}).warnings)
    assert any(w.code == "small-proxy" for w in fs.plan("transfer", **{**FOUR, "proxy_width": 64}).warnings)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"width": 0}, "width"),
        ({"lr": -1.0}, "lr"),
        ({"lr": float("nan")}, "lr"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"proxy_heads": 7}, "proxy_heads"),
        ({"width": 1000}, "heads"),
        ({"head": "both"}, "head"),
        ({"lr": float("inf")}, "lr"),
        ({"weight_decay": float("inf")}, "weight_decay"),
        ({"slope": 1.9}, "slope"),
    ],
)
def test_bad_input_is_named(query: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        fs.plan("transfer", **{**FOUR, **query})
    with pytest.raises(QueryError, match="lr"):
        fs.plan("transfer", proxy_width=256, width=512)


def test_what_no_proxy_says_is_refused() -> None:
    """Proxies of one width, and a decay that takes all of a matrix in each step."""
    one = {"lr_peak": [1e-3, 2e-3] * 3, "weight_decay": [0.1, 0.2] * 3, "width": [256.0] * 6,
           "sigma_max": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}  # fmt: skip
    with pytest.raises(RefusedError, match="vary apart"):
        fs.plan("transfer", fs.load(one), **FOUR)
    with pytest.raises(RefusedError, match="every step"):
        fs.plan("transfer", **{**FOUR, "weight_decay": 1000.0})


# -- a model that obeys ---------------------------------------------------------------------------------------------

WIDTHS = (128, 256, 512, 1024)


def _moved(plan: Plan | None, width: int) -> tuple[float, float]:
    """Root mean square change of the last hidden layer and of the logits after four steps of Adam, from a plan.

    Without one the settings of the narrowest model are kept (standard parametrisation: initialisation 1 / fan-in).
    """
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    lr = 2e-3
    use = (
        (lambda name: plan[name].value)
        if plan is not None
        else {
            "std_embedding": WIDTHS[0] ** -0.5, "std_matrix": width**-0.5, "std_head": width**-0.5,
            "lr_embedding": lr, "lr_matrix": lr, "lr_head": lr, "multiplier_head": 1.0,
        }.__getitem__
    )  # fmt: skip
    tokens = torch.arange(32).repeat(4)
    labels = (7 * tokens + 3) % 32
    embedding = torch.nn.Parameter(torch.randn(32, width) * use("std_embedding"))
    matrices = [torch.nn.Parameter(torch.randn(width, width) * use("std_matrix")) for _ in range(3)]
    head = torch.nn.Parameter(torch.randn(width, 32) * use("std_head"))

    def forward() -> tuple[Any, Any]:
        x = embedding[tokens]
        for matrix in matrices:
            x = torch.tanh(x @ matrix * 1.6)
        return x, x @ head * use("multiplier_head")

    optimiser = torch.optim.Adam(
        [
            {"params": [embedding], "lr": use("lr_embedding")},
            {"params": matrices, "lr": use("lr_matrix")},
            {"params": [head], "lr": use("lr_head")},
        ],
        eps=1e-12,
    )
    with torch.no_grad():
        before = forward()
    for _ in range(4):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(forward()[1], labels).backward()
        optimiser.step()
    with torch.no_grad():
        after = forward()
    hidden, logits = (float((a - b).square().mean().sqrt()) for a, b in zip(after, before))
    return hidden, logits


@pytest.mark.slow
def test_a_small_model_moves_by_the_same_at_every_width() -> None:
    """A perceptron of three hidden matrices: slopes of the change in log width are near zero under the table (within
    .15: what random entries add falls as width^-1/2) and plainly positive where the proxy's settings are kept. The
    two heads are one function."""
    pytest.importorskip("torch")
    x = np.log(WIDTHS)
    proxy = {"proxy_width": WIDTHS[0], "lr": 2e-3, "proxy_heads": 1, "heads": 1}
    moved = {
        head: [_moved(fs.plan("transfer", **proxy, width=width, head=head), width) for width in WIDTHS]
        for head in ("multiplier", "rate")
    }
    np.testing.assert_allclose(moved["rate"], moved["multiplier"], rtol=1e-3)
    kept = np.log([_moved(None, width) for width in WIDTHS])
    for i, name in enumerate(("hidden", "logits")):
        assert abs(np.polyfit(x, np.log(moved["multiplier"])[:, i], 1)[0]) < 0.15, name
        assert np.polyfit(x, kept[:, i], 1)[0] > 0.3, name
