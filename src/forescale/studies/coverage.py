# SPDX-License-Identifier: Apache-2.0
"""Repeated sampling (Brown et al. 2024): coverage of Pythia on MATH, two forms of it, and what few attempts tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import forescale as fs
from forescale.fitting.estimators.success_rates import pass_at_k
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._common import fewer_errors, same_figures
from forescale.studies._study import Claim, Outcome, Study, Table, measured, reproduced

Array = NDArray[np.float64]
Pairs = list[tuple[float, str]]

EARLIER = "an earlier computation of ours from the released counts"
SCHAEFFER = "Schaeffer et al. 2025, abstract: an order of magnitude lower relative error of the exponent"
MODELS = ("70M", "160M", "410M", "1B", "2.8B", "6.9B", "12B")
N = np.array([18.915e6, 85.056e6, 302.31e6, 805.74e6, 2.5177e9, 6.4442e9, 11.327e9])
"""Parameters without embeddings."""
TOKENS = 3e11
ATTEMPTS = 10_000
AT = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])
SHARES = (
    ("0.00065", "0.00597", "0.03610", "0.12414", "0.26562"),
    ("0.00267", "0.02509", "0.16191", "0.41016", "0.57031"),
    ("0.00622", "0.05172", "0.22718", "0.48180", "0.65625"),
    ("0.00833", "0.06646", "0.27452", "0.54619", "0.74219"),
    ("0.02031", "0.13475", "0.42204", "0.67779", "0.81250"),
    ("0.01856", "0.13140", "0.43165", "0.68773", "0.83594"),
    ("0.02319", "0.15682", "0.48343", "0.72325", "0.87500"),
)
"""Earlier shares of problems solved in 1 to 10,000 attempts."""
EXPONENTS = ("0.1938", "0.2845", "0.2893", "0.3156", "0.3397", "0.3518", "0.3720")
"""Earlier slopes of log(-log coverage) on log k."""
TAILS = (
    ("0.0650", "100.08"), ("0.1755", "65.58"), ("0.1804", "28.75"), ("0.2156", "25.49"), ("0.2460", "11.70"),
    ("0.2698", "14.16"), ("0.2955", "12.37"),
)  # fmt: skip
"""Earlier alpha and beta by likelihood."""
JAILBREAKS = {
    "Claude 3.5 Sonnet": ("0.1872", "5.485"), "Gemini 1.5 Pro": ("0.1451", "82.53"),
    "Gemini 1.5 Flash": ("0.2017", "71.71"), "GPT4o": ("0.2359", "4.289"), "GPT4o Mini": ("0.3307", "4.514"),
    "Claude 3.5 Opus": ("0.3482", "4.629"), "Llama 3 8B IT": ("0.7648", "17.30"),
}  # fmt: skip
SURFACE = ("6.7030", "-0.1036", "0.8941", "-0.024687", "0.9867")
"""Earlier log A, slopes in log C and log k, product term and R2 of the surface."""
HINDCAST = {100: (0.057, 0.140, 0.075), 464: (0.042, 0.062, 0.036), 1000: (0.038, 0.046, 0.029)}
"""Attempts kept -> earlier relative errors of the exponent (line, beta form), error of the beta form at 10,000."""
SIMULATED = {"heavy tail: .8 Beta(.15, 3.5)": (0.15, 3.5, 0.8), "light tail: .1 Beta(.4, 5)": (0.4, 5.0, 0.1)}
"""Two of the authors' distributions of success rates: alpha, beta, largest rate."""
PROBLEMS, FEW = 128, 100
DRAWS = 40


def coverage(trials: float, passed: Array, k: Array) -> Array:
    """Unbiased share of problems solved in k attempts, mean over problems."""
    return np.asarray(pass_at_k(trials, passed[:, None], k).mean(axis=0))


def tail(trials: float | Array, passed: Array) -> tuple[float, float]:
    """alpha and beta of success rates by likelihood."""
    counts = fs.Runs.from_columns({"trials": np.broadcast_to(trials, passed.shape), "passed": passed})
    found = fs.estimate(counts, "success-rates").numbers
    return found["alpha"], found["beta"]


def grid(most: float, count: int) -> Array:
    """Whole numbers of attempts, evenly spaced in the logarithm as far as they differ."""
    return np.unique(np.logspace(0, np.log10(most), count).astype(int)).astype(np.float64)


def slope(k: Array, share: Array) -> tuple[float, float]:
    """a and b of -log coverage = a k^-b, by a line in logarithms."""
    inside = (share > 0) & (share < 1)
    line = np.polyfit(np.log(k[inside]), np.log(-np.log(share[inside])), 1)
    return float(np.exp(line[1])), float(-line[0])


def run() -> Outcome:
    """Shares and constants from all counts; then from 100 to 1,000 of the 10,000 attempts; then across sizes."""
    runs = fs.dataset("pythia-math-counts")
    passed = {m: runs["passed"][runs.labels["model"] == f"Pythia {m}"] for m in MODELS}
    ahead, table = _hindcast(passed)
    constants, pairs, rows, tails = _constants(passed)
    sizes, more = _sizes(passed)
    stopped, others = _jailbreaks(fs.dataset("jailbreak-counts"))
    earlier = same_figures(
        "figures of {n}",
        [*pairs, *more, *others],
        source=EARLIER,
        note=(
            "Shares solved in 1 to 10,000 attempts, exponents and constants of the beta form of seven models, the "
            "surface, and constants of jailbreaks of seven chat models."
        ),
    )
    claims = [*_simulated(), *ahead, *constants, *sizes, stopped, earlier]
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "Over four orders of magnitude coverage follows a power law of attempts, though not with one exponent "
            "for all sizes of a family. Where success rates have a heavy tail the likelihood of the beta form finds "
            "their exponent best, as the authors say; on the real counts a plain line in logarithms foretells ten "
            "thousand attempts as well or better. Across sizes, both laws promise larger models too much."
        ),
        charts={"coverage": _chart(passed, tails)},
        tables=(
            Table(
                "Constants from all 10,000 attempts",
                ("model", "a", "b", "mean error of the power law", "alpha", "beta"),
                tuple(rows),
                "a and b by least squares on coverage; alpha and beta by likelihood.",
            ),
            table,
        ),
    )


def _constants(
    passed: dict[str, Array],
) -> tuple[list[Claim], Pairs, list[tuple[str, ...]], dict[str, tuple[float, float]]]:
    shares = np.stack([coverage(ATTEMPTS, c, AT) for c in passed.values()])
    lines, rows, tails, misses = [], [], {}, []
    for model, c in passed.items():
        every = grid(ATTEMPTS, 100)
        seen = coverage(ATTEMPTS, c, every)
        lines.append(slope(every, seen)[1])
        k = grid(ATTEMPTS, 40)
        fit = fs.fit(fs.Runs.from_columns({"attempts": k, "score": coverage(ATTEMPTS, c, k)}), "coverage-power")
        misses.append(float(np.abs(fit.predict(attempts=every).estimate - seen).mean()))
        tails[model] = tail(ATTEMPTS, c)
        rows.append(
            (
                model,
                *(f"{fit.params[name]:.4f}" for name in ("a", "b")),
                f"{misses[-1]:.4f}",
                *(f"{value:.4f}" for value in tails[model]),
            )
        )
    pairs: Pairs = [
        *((float(ours), value) for row, earlier in zip(shares, SHARES) for ours, value in zip(row, earlier)),
        *zip(lines, EXPONENTS),
        *(pair for ours, earlier in zip(tails.values(), TAILS) for pair in zip(ours, earlier)),
    ]
    claims = [
        measured("power law of attempts: largest mean error of coverage, seven models, 1 to 10,000", max(misses)),
        measured(
            "exponent of 12B over that of 70M",
            lines[-1] / lines[0],
            note="Brown et al. 2024 find the curves of a family to be shifted copies, which would make it 1.",
        ),
    ]
    return claims, pairs, rows, tails


def _simulated() -> list[Claim]:
    """Exponents from 100 attempts at 128 problems whose success rates are drawn from a known distribution."""
    rng = np.random.default_rng(1)
    k = grid(FEW, 100)
    claims = []
    for words, (alpha, beta, largest) in SIMULATED.items():
        errors = []
        for _ in range(DRAWS):
            passed = rng.binomial(FEW, largest * rng.beta(alpha, beta, PROBLEMS)).astype(np.float64)
            by_line = slope(k, coverage(FEW, passed, k))[1]
            by_tail = tail(FEW, passed)[0]
            errors.append((abs(by_tail / alpha - 1), abs(by_line / alpha - 1)))
        ours, theirs = np.array(errors).T
        claims.append(
            fewer_errors(
                f"simulated, {words}: relative error of the exponent from {FEW} attempts, likelihood",
                ours=ours,
                theirs=theirs,
                names=("the likelihood", "the line"),
                source=f"a line in logarithms, on the same counts; {SCHAEFFER}",
            )
        )
    return claims


def _hindcast(passed: dict[str, Array]) -> tuple[list[Claim], Table]:
    """Thin the attempts of each problem, learn, and compare with what all attempts say."""
    rng = np.random.default_rng(0)
    every = grid(ATTEMPTS, 100)
    truth = {
        m: (slope(every, coverage(ATTEMPTS, c, every))[1], coverage(ATTEMPTS, c, AT[-1:])[0])
        for m, c in passed.items()
    }
    claims, rows = [], []
    for kept, earlier in HINDCAST.items():
        k = grid(kept, 100)
        errors = []
        for model, c in passed.items():
            b_all, end = truth[model]
            drawn = []
            for _ in range(DRAWS):
                some = rng.hypergeometric(c.astype(int), (ATTEMPTS - c).astype(int), kept).astype(np.float64)
                a, b = slope(k, coverage(kept, some, k))
                alpha, beta = tail(kept, some)
                form = fs.law("coverage-beta")({"alpha": alpha, "beta": beta}, attempts=every)
                drawn.append((abs(b / b_all - 1), abs(slope(every, form)[1] / b_all - 1),
                              abs(np.exp(-a * ATTEMPTS**-b) - end), abs(form[-1] - end)))  # fmt: skip
            errors.append(np.mean(drawn, axis=0))
        line, beta_form, line_end, beta_end = np.array(errors).T
        if kept == FEW:
            claims.append(
                fewer_errors(
                    f"real counts, {kept} attempts: relative error of the exponent over all 10,000, likelihood",
                    ours=beta_form,
                    theirs=line,
                    names=("the likelihood", "the line"),
                    source=f"a line in logarithms, on the same counts; {SCHAEFFER}",
                    note="The authors' figure is for simulated rates, whose exponent is that of the far tail.",
                )
            )
        claims.append(
            fewer_errors(
                f"real counts, {kept} attempts: error of the coverage at 10,000, line in logarithms",
                ours=line_end,
                theirs=beta_end,
                names=("the line", "the likelihood"),
                source="the beta form by likelihood, on the same counts",
                note=f"Means of {DRAWS} thinnings of each of seven models.",
            )
        )
        means = (float(v.mean()) for v in (line, beta_form, beta_end))
        both = [f"{ours:.3f} ({before:.3f})" for ours, before in zip(means, earlier)]
        rows.append((f"{kept}", *both[:2], f"{line_end.mean():.3f}", both[2]))
    head = ("attempts", "exponent, line", "exponent, beta form", "coverage at 10,000, line", "the same, beta form")
    note = (
        "In brackets an earlier computation of ours, with other draws and another grid of k, which moves the line's."
    )
    return claims, Table("Mean errors when attempts are thinned", head, tuple(rows), note)


def _sizes(passed: dict[str, Array]) -> tuple[list[Claim], Pairs]:
    """Pass rates in N (PassUntil), and the surface in C and k: what sizes up to 2.8B say of the next two."""
    rate = np.array([c.sum() for c in passed.values()]) / (PROBLEMS * ATTEMPTS)
    F = np.log(-np.log(rate))
    line = np.polyfit(np.log(N[:5]), F[:5], 1)
    ahead = np.exp(-np.exp(np.polyval(line, np.log(N[5:])))) / rate[5:]
    ours = fs.fit(fs.Runs.from_columns({"N": N[:5], "score": rate[:5]}), "pass-until").predict(N=N[5:]).estimate
    k = grid(ATTEMPTS, 40)
    C = 6 * N * TOKENS
    depth = np.stack([np.log(-np.log(coverage(ATTEMPTS, c, k))) for c in passed.values()])
    x, y = np.log(C)[:, None] + 0 * np.log(k), np.log(k) + 0 * np.log(C)[:, None]
    columns = np.stack([np.ones_like(x), x, y, x * y])

    def plane(models: slice) -> Array:
        design = columns[:, models].reshape(4, -1).T
        return np.asarray(np.linalg.lstsq(design, depth[models].ravel(), rcond=None)[0])

    every = plane(slice(None))
    predicted = np.einsum("i,imk->mk", every, columns)
    r2 = 1 - ((depth - predicted) ** 2).sum() / ((depth - depth.mean()) ** 2).sum()
    small = np.exp(-np.exp(np.einsum("i,ik->k", plane(slice(0, 5)), columns[:, -1])))
    seen = coverage(ATTEMPTS, passed["12B"], k)
    claims = [
        *(
            reproduced(
                f"pass rate of {model} from five smaller sizes, over the measured one",
                ours=value,
                theirs=theirs,
                within=0.01,
                source=EARLIER,
                note="A regression of log(-log rate) on log N.",
            )
            for model, value, theirs in zip(MODELS[5:], ahead.tolist(), (1.57, 1.59))
        ),
        measured("the same by our fit of relative errors, mean of both", float((ours / rate[5:]).mean())),
        reproduced(
            "surface in C and k of sizes up to 2.8B: mean error of the coverage of 12B",
            ours=float(np.abs(small - seen).mean()),
            theirs=0.053,
            within=5e-4,
            source=EARLIER,
            note=f"It is too high at {100 * np.mean(small > seen):.0f} % of the k.",
        ),
    ]
    return claims, list(zip([*every.tolist(), float(r2)], SURFACE))


def _jailbreaks(runs: fs.Runs) -> tuple[Claim, Pairs]:
    """Left tails of success rates of attempts that stopped at a success: by likelihood, which does not mind."""
    found = {}
    for model in JAILBREAKS:
        some = runs.where(runs.labels["model"] == model)
        found[model] = tail(some["trials"], some["passed"])
    claim = measured(
        "jailbreaks: alpha of Llama 3 8B",
        found["Llama 3 8B IT"][0],
        note="The lightest tail of seven chat models: nearly every request gives way in the end.",
    )
    return claim, [pair for model, values in JAILBREAKS.items() for pair in zip(found[model], values)]


def _chart(passed: dict[str, Array], tails: dict[str, tuple[float, float]]) -> object:
    series = []
    k, few = grid(ATTEMPTS, 30), grid(100, 100)
    for model in ("70M", "1B", "12B"):
        c = passed[model]
        a, b = slope(few, coverage(ATTEMPTS, c, few))
        series += [
            Series(f"Pythia {model}", k, coverage(ATTEMPTS, c, k)),
            Series(f"Pythia {model}", k, np.exp(-a * k**-b), "line"),
            Series(
                f"Pythia {model}", k,
                fs.law("coverage-beta")(dict(zip(("alpha", "beta"), tails[model])), attempts=k), "dashes",
            ),
        ]  # fmt: skip
    return xy(
        "Share of 128 MATH problems solved in k attempts",
        ["lines: power law through k up to 100", "dashes: beta form from all counts"],
        series,
        x="attempts",
        y="coverage",
        log_x=True,
        kind_x="count",
    )


coverage_study = Study(
    id="coverage",
    title="Repeated sampling: the law of coverage and what few attempts foretell",
    question="Does coverage follow a power law of attempts, and which form foretells it from few?",
    papers=("brown2024", "schaeffer2025", "hu2023", "krajewski2025", "hughes2024"),
    datasets=("pythia-math-counts", "jailbreak-counts"),
    laws=("coverage-power", "coverage-beta", "success-rates", "coverage-surface", "pass-until"),
    run=run,
)
