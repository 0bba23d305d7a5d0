# SPDX-License-Identifier: Apache-2.0
"""Which of two methods errs less, with rows that share their errors, and figures in sentences."""

from __future__ import annotations

import numpy as np
import pytest

from forescale.studies._common import fewer_errors, mean_error, span, tally
from forescale.studies._study import BETTER, EQUAL, holds


def test_groups_of_one_size_are_their_means() -> None:
    values = np.random.default_rng(0).normal(size=(7, 5))
    groups = np.repeat(list("abcdefg"), 5)
    error, count, what = mean_error(values.ravel(), groups)
    assert error == pytest.approx(values.mean(axis=1).std(ddof=1) / np.sqrt(7), rel=1e-12)
    assert (count, what) == (7, "groups of rows")


def test_rows_without_groups_and_with_two() -> None:
    values = np.random.default_rng(0).normal(size=12)
    expected = values.std(ddof=1) / np.sqrt(12)
    for groups in (None, np.repeat([0, 1], 6), np.arange(12)):
        error, count, what = mean_error(values, groups)
        assert error == pytest.approx(expected, rel=1e-12)
        assert (count, what) == (12, "rows")


def test_checkpoints_of_few_runs_are_no_independent_rows() -> None:
    gain = np.repeat([0.3, 0.2, -0.2, -0.1], 50)  # 0.05 in the mean: little for four runs, much for 200 rows
    ours, theirs = 1.0 - gain, np.ones(200)
    assert fewer_errors("x", ours=ours, theirs=theirs, source="").verdict == BETTER
    claim = fewer_errors("x", ours=ours, theirs=theirs, groups=np.repeat(list("abcd"), 50), source="")
    assert claim.verdict == EQUAL
    assert "4 groups" in claim.note


def test_words() -> None:
    good, bad = (holds("x", ours=x, least=0.0, source="") for x in (1.0, -1.0))
    assert [tally(found) for found in ([good, good], [good, bad], [bad])] == ["all 2", "1 of 2", "none of 1"]
    assert span([13.2, 2.1, 5.0]) == "2.1 to 13"
    assert span([60.0, 60.0], ".0f") == "60"
