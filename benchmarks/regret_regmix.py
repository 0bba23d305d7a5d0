# SPDX-License-Identifier: Apache-2.0
"""Do models of 1M parameters choose the mixture for models of 60M? By replay on RegMix (Liu et al. 2024).

    python benchmarks/regret_regmix.py                 about a minute

The planner `mixture` learns from the 512 runs of 1M parameters alone, with its defaults, and ranks the 256 test
mixtures, of which it sees the weights and no loss. Then the losses of the 60M models on them are looked up: the rank
correlation, the place of the mixture that it takes, and how far that lies above the best. Targets: the loss on
Pile-CC (the paper's), and the mean over all 13 validation domains. Linear regression and boosted trees of the paper
reach a Spearman of .893 and .987 on Pile-CC at 60M (the figures noted beside the data). Needs the data sets `regmix`
and `regmix-test-60m` (a download, or FORESCALE_MIRROR).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import forescale as fs

TARGETS = ("pile_cc", "mean of all")


@dataclass(frozen=True)
class Replay:
    """What came of a target.

    Attributes:
        spearman: of predicted and measured losses of the test mixtures; place: of the mixture taken, one is the best.
        regret: per cent that it lies above the best; equal: the same for the median mixture.
    """

    spearman: float
    place: int
    regret: float
    median: float
    taken: str


def replay(target: str) -> Replay:
    """Plan on the small runs, look up the large ones."""
    small, large = fs.dataset("regmix"), fs.dataset("regmix-test-60m")
    losses = [name for name in small.columns if name.startswith("loss_")]
    wanted = [f"loss_{target}"] if f"loss_{target}" in losses else losses
    weights = {name: large[name] for name in large.columns if name.startswith("weight_")}
    blind = fs.Runs.from_columns({**weights, "mixture": large.labels["mixture"]})
    query = ", ".join(f"{name.removeprefix('loss_')}=1" for name in wanted)
    ranking = fs.plan("mixture", small, blind, target=query).table("candidates")
    place = {str(name): i for i, name in enumerate(ranking.column("mixture"))}
    predicted = np.array([place[str(name)] for name in large.labels["mixture"]], dtype=np.float64)
    measured = np.mean([large[name] for name in wanted], axis=0)
    taken = int(np.argmin(predicted))
    return Replay(
        spearman=float(np.corrcoef(_ranks(predicted), _ranks(measured))[0, 1]),
        place=1 + int((measured < measured[taken]).sum()),
        regret=100.0 * float(measured[taken] / measured.min() - 1.0),
        median=100.0 * float(np.median(measured) / measured.min() - 1.0),
        taken=str(large.labels["mixture"][taken]),
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)


def main() -> None:
    print("target        Spearman  place of 256  regret %  median mixture %  taken")
    for target in TARGETS:
        r = replay(target)
        print(f"{target:12}  {r.spearman:8.4f}  {r.place:12d}  {r.regret:8.2f}  {r.median:16.2f}  {r.taken}")


if __name__ == "__main__":
    main()
