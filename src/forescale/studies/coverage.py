# SPDX-License-Identifier: Apache-2.0
"""Repeated sampling (Brown et al. 2024): coverage of Pythia on MATH, two forms of it, and what few attempts tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, digamma, gammaln

import forescale as fs
from forescale.reporting.charts.xy import Series, xy
from forescale.studies._study import Claim, Outcome, Study, Table, better, holds, measured, reproduced

Array = NDArray[np.float64]

SOURCE = "noted from the released counts"
MODELS = ("70M", "160M", "410M", "1B", "2.8B", "6.9B", "12B")
N = np.array([18.915e6, 85.056e6, 302.31e6, 805.74e6, 2.5177e9, 6.4442e9, 11.327e9])
"""Parameters without embeddings."""
TOKENS = 3e11
ATTEMPTS = 10_000
AT = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])
SHARES = np.array(
    [
        [0.00065, 0.00597, 0.03610, 0.12414, 0.26562],
        [0.00267, 0.02509, 0.16191, 0.41016, 0.57031],
        [0.00622, 0.05172, 0.22718, 0.48180, 0.65625],
        [0.00833, 0.06646, 0.27452, 0.54619, 0.74219],
        [0.02031, 0.13475, 0.42204, 0.67779, 0.81250],
        [0.01856, 0.13140, 0.43165, 0.68773, 0.83594],
        [0.02319, 0.15682, 0.48343, 0.72325, 0.87500],
    ]
)
"""Shares of problems solved in 1 to 10,000 attempts, as noted."""
EXPONENTS = (0.1938, 0.2845, 0.2893, 0.3156, 0.3397, 0.3518, 0.3720)
"""Slopes of log(-log coverage) on log k."""
TAILS = (
    (0.0650, 100.08), (0.1755, 65.58), (0.1804, 28.75), (0.2156, 25.49), (0.2460, 11.70), (0.2698, 14.16),
    (0.2955, 12.37),
)  # fmt: skip
"""alpha, beta by likelihood."""
JAILBREAKS = {
    "Claude 3.5 Sonnet": (0.1872, 5.485), "Gemini 1.5 Pro": (0.1451, 82.53), "Gemini 1.5 Flash": (0.2017, 71.71),
    "GPT4o": (0.2359, 4.289), "GPT4o Mini": (0.3307, 4.514), "Claude 3.5 Opus": (0.3482, 4.629),
    "Llama 3 8B IT": (0.7648, 17.30),
}  # fmt: skip
HINDCAST = {100: (0.057, 0.140, 0.075), 464: (0.042, 0.062, 0.036), 1000: (0.038, 0.046, 0.029)}
"""Attempts kept -> noted relative errors of the exponent (line, beta form), error of the beta form at 10,000."""
DRAWS = 40


def coverage(trials: float, passed: Array, k: Array) -> Array:
    """Unbiased share of problems solved in k attempts: mean over problems of 1 - C(n - c, k) / C(n, k)."""
    left = trials - passed[:, None] - k
    none = np.exp(
        gammaln(trials - passed + 1)[:, None] - gammaln(np.maximum(left, 0.0) + 1) - gammaln(trials + 1)
        + gammaln(trials - k + 1)
    )  # fmt: skip
    return np.asarray(1.0 - np.where(left < 0, 0.0, none).mean(axis=0))


def tail(trials: Array, passed: Array) -> tuple[float, float]:
    """alpha and beta of success rates, by the likelihood of beta-binomial counts."""
    (n, c), weight = np.unique(np.stack([trials, passed]), axis=1, return_counts=True)

    def negative(u: Array) -> tuple[float, Array]:
        a, b = np.exp(u)
        value = -(weight * (betaln(a + c, b + n - c) - betaln(a, b))).sum()
        both = digamma(a + b) - digamma(a + b + n)
        slope_a = -(weight * (digamma(a + c) - digamma(a) + both)).sum()
        slope_b = -(weight * (digamma(b + n - c) - digamma(b) + both)).sum()
        return float(value), np.array([a * slope_a, b * slope_b])

    found = minimize(negative, np.log([0.3, 20.0]), jac=True, method="L-BFGS-B", options={"gtol": 1e-8, "ftol": 0.0})
    return float(np.exp(found.x[0])), float(np.exp(found.x[1]))


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
    claims, rows, tails = _constants(passed)
    more, table = _hindcast(passed)
    claims += more
    claims += _sizes(passed)
    claims += _jailbreaks(fs.dataset("jailbreak-counts"))
    return Outcome(
        claims=tuple(claims),
        sentence=(
            "Shares and constants come back from the counts. From a hundred attempts, a line in logarithms foretells "
            "the coverage of ten thousand better than the beta form; from a thousand both do equally well. Across "
            "sizes, both laws promise larger models too much."
        ),
        charts={"coverage": _chart(passed, tails)},
        tables=(
            Table("Constants from all 10,000 attempts", ("model", "a", "b", "alpha", "beta"), tuple(rows)),
            table,
        ),
    )


def _constants(passed: dict[str, Array]) -> tuple[list[Claim], list[tuple[str, ...]], dict[str, tuple[float, float]]]:
    shares = np.stack([coverage(ATTEMPTS, c, AT) for c in passed.values()])
    lines, rows, tails = [], [], {}
    for model, c in passed.items():
        k = grid(ATTEMPTS, 100)
        lines.append(slope(k, coverage(ATTEMPTS, c, k))[1])
        k = grid(ATTEMPTS, 40)
        fit = fs.fit(fs.Runs.from_columns({"attempts": k, "score": coverage(ATTEMPTS, c, k)}), "coverage-power")
        tails[model] = tail(np.full(c.size, float(ATTEMPTS)), c)
        rows.append(
            (model, f"{fit.params['a']:.4f}", f"{fit.params['b']:.4f}", *(f"{value:.4f}" for value in tails[model]))
        )
    distances = (
        ("largest distance of 35 shares from the noted ones", np.abs(shares - SHARES), 1e-5),
        ("largest distance of seven exponents from the noted ones", np.abs(np.array(lines) - EXPONENTS), 5e-4),
        (
            "largest relative distance of alpha and beta from the noted ones",
            np.abs(np.array(list(tails.values())) / np.array(TAILS) - 1),
            0.01,
        ),
    )
    claims = [holds(text, ours=float(off.max()), most=most, source=SOURCE) for text, off, most in distances]
    return claims, rows, tails


def _hindcast(passed: dict[str, Array]) -> tuple[list[Claim], Table]:
    """Thin the attempts of each problem, learn, and compare with what all attempts say; means over seven models."""
    rng = np.random.default_rng(0)
    every = grid(ATTEMPTS, 100)
    truth = {
        m: (slope(every, coverage(ATTEMPTS, c, every))[1], coverage(ATTEMPTS, c, AT[-1:])[0])
        for m, c in passed.items()
    }
    claims, rows = [], []
    for kept, noted in HINDCAST.items():
        k = grid(kept, 100)
        errors = []
        for model, c in passed.items():
            b_all, end = truth[model]
            for _ in range(DRAWS):
                some = rng.hypergeometric(c.astype(int), (ATTEMPTS - c).astype(int), kept).astype(np.float64)
                a, b = slope(k, coverage(kept, some, k))
                alpha, beta = tail(np.full(some.size, float(kept)), some)
                form = fs.law("coverage-beta")({"alpha": alpha, "beta": beta}, attempts=every)
                errors.append((abs(b / b_all - 1), abs(slope(every, form)[1] / b_all - 1),
                               abs(np.exp(-a * ATTEMPTS**-b) - end), abs(form[-1] - end)))  # fmt: skip
        line, beta_form, line_end, beta_end = (float(v) for v in np.mean(errors, axis=0))
        words = f"{kept} attempts"
        for what, ours, theirs in (
            ("relative error of the exponent, line in logarithms", line, noted[0]),
            ("relative error of the exponent, beta form", beta_form, noted[1]),
            ("error of the coverage at 10,000, beta form", beta_end, noted[2]),
        ):
            claims.append(
                reproduced(f"{words}: {what}", ours=ours, theirs=theirs, within=0.015, source=SOURCE,
                           note=f"{DRAWS} thinnings of each model; other draws than noted")
            )  # fmt: skip
        claims.append(
            better(f"{words}: error of the coverage at 10,000, line in logarithms", ours=line_end, theirs=beta_end,
                   tie=0.05, source="the beta form on the same thinned counts")
        )  # fmt: skip
        rows.append((f"{kept}", *(f"{v:.3f}" for v in (line, beta_form, line_end, beta_end))))
    head = ("attempts", "exponent, line", "exponent, beta form", "coverage at 10,000, line", "the same, beta form")
    return claims, Table("Mean errors when attempts are thinned", head, tuple(rows))


def _sizes(passed: dict[str, Array]) -> list[Claim]:
    """Pass rates in N (PassUntil), and the surface in C and k: what sizes up to 2.8B say of the next two."""
    rate = np.array([c.sum() for c in passed.values()]) / (128 * ATTEMPTS)
    F = np.log(-np.log(rate))
    line = np.polyfit(np.log(N[:5]), F[:5], 1)
    ahead = np.exp(-np.exp(np.polyval(line, np.log(N[5:]))))
    ours = fs.fit(fs.Runs.from_columns({"N": N[:5], "score": rate[:5]}), "pass-until").predict(N=N[5:]).estimate
    claims = [
        reproduced(f"pass rate of {model} from five smaller sizes, over the measured one", ours=value, theirs=theirs,
                   within=0.01, source=SOURCE, note="a regression of log(-log rate) on log N")
        for model, value, theirs in zip(MODELS[5:], (ahead / rate[5:]).tolist(), (1.57, 1.59))
    ]  # fmt: skip
    claims.append(measured("the same by our fit of relative errors, mean of both", float((ours / rate[5:]).mean())))
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
    for name, value, theirs, within in zip(
        ("log A", "slope in log C", "slope in log k", "product term"), every, (6.7030, -0.1036, 0.8941, -0.024687),
        (5e-4, 5e-5, 5e-4, 5e-6),
    ):  # fmt: skip
        claims.append(
            reproduced(f"surface in C and k: {name}", ours=float(value), theirs=theirs, within=within, source=SOURCE)
        )
    claims.append(reproduced("surface in C and k: R2", ours=float(r2), theirs=0.9867, within=1e-4, source=SOURCE))
    small = np.exp(-np.exp(np.einsum("i,ik->k", plane(slice(0, 5)), columns[:, -1])))
    seen = coverage(ATTEMPTS, passed["12B"], k)
    claims.append(
        reproduced("surface up to 2.8B: mean error of the coverage of 12B", ours=float(np.abs(small - seen).mean()),
                   theirs=0.053, within=2e-3, source=SOURCE, note=f"too high at {np.mean(small > seen):.0%} of the k")
    )  # fmt: skip
    return claims


def _jailbreaks(runs: fs.Runs) -> list[Claim]:
    """Left tails of success rates of attempts that stopped at a success: by likelihood, which does not mind."""
    found = {}
    for model in JAILBREAKS:
        some = runs.where(runs.labels["model"] == model)
        found[model] = tail(some["trials"], some["passed"])
    off = np.abs(np.array(list(found.values())) / np.array(list(JAILBREAKS.values())) - 1)
    return [
        holds(
            "jailbreaks of seven chat models: largest relative distance of alpha and beta from the noted ones",
            ours=float(off.max()), most=0.01, source=SOURCE,
        ),
        measured(
            "jailbreaks: alpha of Llama 3 8B", found["Llama 3 8B IT"][0],
            note="the lightest tail: nearly every request gives way in the end, and no power law is left",
        ),
    ]  # fmt: skip


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
    laws=("coverage-power", "coverage-beta", "coverage-surface", "pass-until"),
    run=run,
)
