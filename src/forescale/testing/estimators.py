# SPDX-License-Identifier: Apache-2.0
"""What every estimator must pass. A package with one of its own tests it by

from forescale.testing.estimators import EstimatorCase

class TestMine(EstimatorCase):
    examples = ((my_estimator, runs, {"option": 1}),)
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from forescale.core import cite
from forescale.core.errors import DataError, InputError
from forescale.fitting._estimator import Estimator, estimate
from forescale.runs.table import Runs

Example = tuple[Estimator, Runs, dict[str, Any]]


class EstimatorCase:
    """The properties of an estimator. Subclasses give `examples`: estimator, rows it can learn from, options."""

    examples: ClassVar[Sequence[Example]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test per property and example."""
        if "example" in metafunc.fixturenames and metafunc.cls is not None:
            metafunc.parametrize("example", metafunc.cls.examples, ids=lambda e: str(e[0].id))

    def test_documented(self, example: Example) -> None:
        """Title, meaning, traps, options with meanings, papers that the bibliography knows."""
        estimator = example[0]
        assert estimator.title
        assert len(estimator.meaning) > 40
        assert estimator.traps
        assert all(len(text) > 5 for text in estimator.about_options.values())
        assert estimator.papers
        assert all(cite.short(key) for key in estimator.papers)

    def test_predicts_its_own_rows(self, example: Example) -> None:
        """Finite predictions, one per row, the same on every call."""
        estimator, runs, options = example
        made = estimate(runs, estimator, **options)
        one, two = made.predict(runs).estimate, estimate(runs, estimator, **options).predict(runs).estimate
        assert one.shape == (len(runs),)
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, two)

    def test_rows_are_a_set(self, example: Example) -> None:
        """The order of the rows does not matter."""
        estimator, runs, options = example
        order = np.random.default_rng(3).permutation(len(runs))
        one = estimate(runs, estimator, **options).predict(runs).estimate
        other = estimate(runs.where(order), estimator, **options).predict(runs).estimate
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-10)

    def test_bands(self, example: Example) -> None:
        """A bootstrap gives both bands, in order, and the same for the same seed."""
        estimator, runs, options = example
        made = estimate(runs, estimator, **options).bootstrap(8, rng=1)
        found = made.predict(runs)
        assert (found.prediction.lower <= found.estimate).all()
        assert (found.prediction.upper >= found.estimate).all()
        assert (found.confidence.lower <= found.estimate + 1e-12).all()
        again = estimate(runs, estimator, **options).bootstrap(8, rng=1).predict(runs)
        np.testing.assert_array_equal(found.confidence.upper, again.confidence.upper)
        for name in made.numbers:
            low, high = made.interval(name)
            assert np.isnan(low) or low <= high
            assert f"  {name}" in made.summary()
        with pytest.raises(InputError, match="finds no"):
            made.interval("nonsense")

    def test_travels(self, example: Example) -> None:
        """What was learned can be sent to a worker process."""
        estimator, runs, options = example
        made = estimate(runs, estimator, **options)
        again = pickle.loads(pickle.dumps(made.state))  # noqa: S301
        columns = {**runs.columns, **runs.labels}
        np.testing.assert_array_equal(estimator.predict(again, columns), estimator.predict(made.state, columns))

    def test_bad_input(self, example: Example) -> None:
        """Too few rows and unknown options are errors that say so."""
        estimator, runs, options = example
        with pytest.raises(DataError):
            estimate(runs.where(np.arange(estimator.least - 1)), estimator, **options)
        with pytest.raises(InputError, match="no option"):
            estimate(runs, estimator, nonsense=1)
