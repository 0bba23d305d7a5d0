# SPDX-License-Identifier: Apache-2.0
"""The page of a plan, and charts of plans that have curves of their own."""

from __future__ import annotations

import re

import numpy as np
import pytest

import forescale as fs
from forescale import api
from forescale.core.errors import InputError
from forescale.core.frozen import Frozen
from forescale.planning._plan import Decided, Evidence, Plan
from forescale.reporting.charts.plan import curve, kinds
from forescale.reporting.plan import page

HOSTILE = "<script>alert(1)</script>\u202e"


@pytest.fixture(scope="module")
def joint() -> Plan:
    return fs.plan("joint", budget="1e22 FLOP", unique="300B", served="2T")


def test_the_page_holds_every_number_table_and_chart(joint: Plan) -> None:
    html = page(joint, ["forescale plan joint ..."]).html
    assert "What should be trained" in html
    for decided in joint.decision.values():
        assert decided.meaning in html
    for table in joint.tables:
        assert table.title in html
    assert html.count("<figure") == len(joint.curves)
    assert "forescale plan joint ..." in html
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!https?://|#)', html)


def test_the_page_shows_what_was_asked_and_not_the_defaults(joint: Plan) -> None:
    html = page(joint).html
    assert "<dt>unique</dt><dd>300B</dd>" in html
    assert "prompt share" not in html


def test_the_same_plan_gives_the_same_bytes(joint: Plan) -> None:
    assert page(joint).html == page(joint).html


def test_a_plan_read_from_a_file_has_the_same_page(joint: Plan, tmp_path) -> None:  # type: ignore[no-untyped-def]
    joint.save(tmp_path / "plan.json")
    assert page(fs.open(tmp_path / "plan.json")).html == page(joint).html


def test_a_name_that_ends_in_html_gives_a_page(joint: Plan, tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert api.save_plan(joint, tmp_path / "plan.html").read_text().startswith("<!doctype html>")
    assert api.save_plan(joint, tmp_path / "plan.json").read_text().startswith("{")


def test_plans_along_a_budget_keep_their_valley_and_frontier() -> None:
    plan = fs.plan("compute-optimal", "chinchilla:besiroglu2024", budget="1e22")
    assert kinds(plan) == ("valley", "frontier")
    assert page(plan).html.count("<figure") == 2


def test_hostile_texts_are_harmless() -> None:
    evidence = Evidence(HOSTILE, "", None, None, "", float("nan"), None, 0, "none", 1.0)
    made = Plan(HOSTILE, HOSTILE, {HOSTILE: Decided(1.0, None, None, "")}, {}, (), HOSTILE, evidence)
    html = page(made, [HOSTILE]).html
    assert "<script" not in html
    assert "\u202e" not in html


def test_a_curve_of_any_columns_is_drawn_with_its_band() -> None:
    x = np.geomspace(1, 1e4, 9)
    columns = Frozen({"steps": x, "loss": 3 / x, "other": 2 / x, "lower": 2.9 / x, "upper": 3.1 / x})
    evidence = Evidence("here", "", None, None, "", float("nan"), None, 0, "none", 1.0)
    made = Plan("q", "h", {}, {}, (), "b", evidence, curves={"fall": columns})
    spec = curve(made, "fall")
    marks = [layer["mark"]["type"] for layer in spec["layer"]]
    assert marks.count("area") == 1
    assert marks.count("line") == 2
    with pytest.raises(InputError, match="fall"):
        made.plot("rise")
