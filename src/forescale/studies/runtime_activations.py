# SPDX-License-Identifier: Apache-2.0
"""Running times: do activations tell the time of an image model better than its multiply-adds?"""

from __future__ import annotations

import numpy as np

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, rms
from forescale.studies._study import Claim, Outcome, Study, holds, measured

DOLLAR = "Dollár et al. 2021: activations track time on accelerators better than FLOP"
ACCELERATORS = {
    "timm-inference": "inference on a GPU (1,441 models)",
    "timm-training": "training on a GPU (665 models)",
}
CPU = ("timm-inference-cpu", "inference on a CPU (1,440 models)")
"""No accelerator: the paper claims nothing here, so these figures are measured, not judged."""

LARGEST = 0.8
"""Quantile of multiply-adds above which models are hidden."""

ENOUGH = 10
"""Models that make a family."""

TIME = fs.law("runtime-power")

WORK = {"macs": "multiply-adds", "flops": "FLOP"}


def run() -> Outcome:
    """RegNets, then timm's models on three machines, then error against time for ResNet-RS."""
    gpus, cpu = [accelerator(name, words) for name, words in ACCELERATORS.items()], elsewhere(*CPU)
    claims = [*regnets(), *(claim for one in gpus for claim in one), *cpu, *resnets()]
    inner = [f"{100 * one[0].ours:.0f}" for one in gpus]
    outer = [f"{one[-1].ours / float(one[-1].theirs or np.nan):.2f}" for one in gpus]
    return Outcome(
        claims=tuple(claims),
        sentence=(
            f"Activations correlate more with time than multiply-adds in {' and '.join(inner)} % of the families on "
            f"GPUs (inference, training), and in {100 * cpu[0].ours:.0f} % on a CPU. For the largest models, hidden, "
            f"they leave {' and '.join(outer)} of the error of multiply-adds, on the CPU "
            f"{cpu[1].ours / cpu[2].ours:.2f}."
        ),
        charts={"gpu": drawn("timm-inference", "GPU"), "cpu": drawn("timm-inference-cpu", "CPU")},
    )


def regnets() -> list[Claim]:
    """The correlations of training time in the model zoo of pycls."""
    runs = fs.dataset("regnet-runtime")
    time = {column: correlation(runs["seconds"], runs[column]) for column in ("acts", "flops", "N")}
    slope = fs.fit(runs, TIME.on(size="flops"))
    acts = np.polyfit(np.log(runs["flops"]), np.log(runs["acts"]), 1)[0]
    return [
        holds(
            f"{len(runs)} RegNets: correlation of training time with activations, less the one with FLOP",
            ours=time["acts"] - time["flops"],
            least=0.0,
            source=DOLLAR,
            note="{acts:.3f} with activations, {flops:.3f} with FLOP, {N:.3f} with parameters.".format(**time),
        ),
        measured("RegNets: exponent of activations in FLOP", float(acts)),
        measured("RegNets: exponent of training time in FLOP", slope.params["k"]),
        hidden("RegNets", runs, "flops"),
    ]


def inside(runs: fs.Runs) -> np.ndarray:
    """(families, 2): correlation of log time with log activations and log multiply-adds in each family."""
    families, counts = np.unique(runs.labels["family"], return_counts=True)
    parts = [runs.where(runs.labels["family"] == family) for family in families[counts >= ENOUGH]]
    return np.array(
        [[correlation(np.log(one["seconds"]), np.log(one[column])) for column in ("acts", "macs")] for one in parts]
    )


def accelerator(name: str, words: str) -> list[Claim]:
    """Inside families, and for hidden large models, on a GPU."""
    runs = fs.dataset(name)
    both = inside(runs)
    acts, macs = np.median(both, axis=0)
    return [
        holds(
            f"{words}: share of {len(both)} families in which activations correlate more with time",
            ours=float(np.mean(both[:, 0] > both[:, 1])),
            least=0.5,
            source=DOLLAR,
            note="Half would be chance.",
        ),
        measured(f"{words}: median correlation inside families, log time with log activations", float(acts)),
        measured(f"{words}: the same with log multiply-adds", float(macs)),
        hidden(words, runs, "macs"),
    ]


def elsewhere(name: str, words: str) -> list[Claim]:
    """The same figures where the claim is not made."""
    runs = fs.dataset(name)
    both, (acts, macs) = inside(runs), (float(e.mean()) for e in errors(runs, "macs"))
    share = float(np.mean(both[:, 0] > both[:, 1]))
    return [
        measured(f"{words}: share of {len(both)} families in which activations correlate more with time", share),
        measured(f"{words}: mean error of log time on the largest fifth, hidden, by activations", acts),
        measured(f"{words}: the same by multiply-adds", macs),
    ]


def errors(runs: fs.Runs, work: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors of log time on the largest fifth by work, from the others: by a power of activations, or of the work."""
    large = runs[work] > np.quantile(runs[work], LARGEST)
    rest = runs.where(large)

    def error(column: str) -> np.ndarray:
        fit = fs.fit(runs.where(~large), TIME.on(size=column))
        return np.abs(np.log(fit.predict(rest).estimate / rest["seconds"]))

    return error("acts"), error(work)


def hidden(words: str, runs: fs.Runs, work: str) -> Claim:
    """Which of the two predicts the hidden times better."""
    ours, theirs = errors(runs, work)
    text = f"{words}: mean error of log time on the largest fifth, hidden, by activations"
    return fewer_errors(text, ours=ours, theirs=theirs, source=f"the same power of {WORK[work]}")


def resnets() -> list[Claim]:
    """Error of ResNet-RS against its time on a TPU."""
    runs = fs.dataset("resnet-rs")
    fit = fs.fit(runs, "power-floor(tpu_ms)", loss="log-squared")
    off = rms(np.log(fit.predict(runs).estimate / runs["loss"]))
    return [
        measured(
            f"ResNet-RS, {len(runs)} models: exponent of error in time, above a floor",
            fit.params["alpha"],
            note=f"Floor {100 * fit.params['E']:.2f} %; scatter {100 * off:.2f} % of the error.",
        ),
        measured(
            "ResNet-RS: error at 4,000 ms, %",
            100 * float(fit.predict(tpu_ms=4000.0).estimate[0]),
            note=f"The slowest here takes {runs['tpu_ms'].max():,.0f} ms.",
        ),
    ]


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's."""
    return float(np.corrcoef(x, y)[0, 1])


def drawn(name: str, device: str) -> dict[str, object]:
    """Time per image against activations and multiply-adds, each over its median."""
    runs = fs.dataset(name)
    series = []
    for words, column in (("activations", "acts"), ("multiply-adds", "macs")):
        size = runs[column] / np.median(runs[column])
        grid = np.geomspace(size.min(), size.max(), 40)
        line = fs.fit(runs, TIME.on(size=column)).predict({column: grid * np.median(runs[column])}).estimate
        series += [Series(words, size, 1e3 * runs["seconds"]), Series(words, grid, 1e3 * line, "line")]
    return xy(
        f"Inference time on a {device} against two sizes",
        ["each model twice: the tighter cloud tells its time better"],
        series,
        x="size of the model, median = 1",
        y="milliseconds per image",
        log_x=True,
        log_y=True,
    )


runtime_activations = Study(
    id="runtime-activations",
    title="What tells the running time of an image model",
    question="Do activations tell the time of an image model better than its multiply-adds?",
    papers=("dollar2021", "bello2021", "heaton2017"),
    datasets=("regnet-runtime", "timm-inference", "timm-training", "timm-inference-cpu", "resnet-rs"),
    laws=("runtime-power", "power-floor"),
    run=run,
)
