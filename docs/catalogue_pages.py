# SPDX-License-Identifier: Apache-2.0
"""Pages that are made as a whole: one for each law, one for each study. `generate.py` writes and checks them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MADE = "<!-- made by docs/generate.py: do not edit -->"

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def pages(table: Table) -> dict[Path, str]:
    """Path -> text of every page."""
    found = {HERE / "laws" / f"{law.id.partition('(')[0]}.md": _law_page(law, table) for law, _ in catalogue()}
    for name, estimator in _estimators().items():
        found[HERE / "laws" / f"{name}.md"] = _estimator_page(estimator, table)
    for name, study in studies().items():
        found[HERE / "studies" / f"{name}.md"] = _study_page(name, study, table)
    return {path: text.rstrip() + "\n" for path, text in found.items()}


@cache
def catalogue() -> tuple[tuple[Any, Any], ...]:
    """(law, its family or None) of everything built in, by topic and id."""
    from forescale.laws import TOPICS, families
    from forescale.laws import catalogue as laws

    found = [(entry.value, None) for entry in laws().values() if entry.origin.startswith("forescale.")]
    found += [
        (entry.value.member(), entry.value) for entry in families().values() if entry.origin.startswith("forescale.")
    ]
    return tuple(sorted(found, key=lambda pair: (TOPICS.index(pair[0].topic), pair[0].id.lower())))


def _estimators() -> dict[str, Any]:
    from forescale.fitting._estimator import estimators

    return {name: e.value for name, e in estimators().items() if e.origin.startswith("forescale.")}


def studies() -> dict[str, Any]:
    """What docs/studies.json holds: `forescale study --all --json` wrote it."""
    path = HERE / "studies.json"
    return json.loads(path.read_text(encoding="utf-8"))["studies"] if path.exists() else {}


@cache
def _benchmark() -> tuple[Mapping[str, Any], ...]:
    """Method by case: of the whole benchmark, and of the laws and cases that came later."""
    rows: dict[tuple[str, str], Mapping[str, Any]] = {}
    for name in ("benchmark.json", "benchmark_laws.json"):
        for row in json.loads((HERE / name).read_text(encoding="utf-8"))["by_case"]:
            rows.setdefault((row["group"], row["method"]), row)
    return tuple(rows.values())


# -- laws -----------------------------------------------------------------------------------------------------------


def _law_page(law: Any, table: Table) -> str:
    from forescale.laws._describe import formula_text
    from forescale.reporting._mathml import mathml

    drawn = mathml(law.latex) if law.latex else None
    blocks = [
        MADE,
        f"# {law.id}",
        f"*{law.topic}* · {law.title}.",
        drawn or "",
        f"```text\n{formula_text(law)}\n```",
        law.meaning,
        *_asked_with(law, table),
        "## Parameters",
        table(
            ("parameter", "kind", "support", "meaning"),
            ((f"`{name}`", p.kind, _support(p), p.meaning) for name, p in law.params.items()),
        ),
        *_answers(law),
        *_constants(law, table),
        "## Traps",
        "\n".join(f"- {trap}" for trap in law.traps),
        *_benchmarked(law, table),
        *_studied(law.id.partition("(")[0]),
        "## Papers",
        "\n".join(f"- {_cited(key)}" for key in law.papers),
    ]
    return "\n\n".join(block for block in blocks if block)


def _asked_with(law: Any, table: Table) -> list[str]:
    from forescale.core.columns import COLUMNS

    rows = []
    for name in law.inputs:
        known = COLUMNS.get(name)
        words = known.meaning if known else "a column of the runs"
        if name in law.conventions:
            words += f" ({law.conventions[name]})"
        rows.append((f"`{name}`", "read", known.unit if known else "", words))
    schedule = getattr(law, "schedule", None)
    if schedule:
        rows.append((f"`{schedule}`", "read", "per step", "the learning rate of every step, from the runs' curves"))
    out = COLUMNS.get(law.output)
    rows.append((f"`{law.output}`", "predicted", out.unit if out else "", out.meaning if out else "the response"))
    need = len(law.params) + 2
    return [
        "## Data it needs",
        table(("column", "", "unit", "meaning"), rows),
        f"At least {need} rows for intervals, better {3 * len(law.params)}. Loss of a fit by default: `{law.loss}`.",
        f"```text\n$ forescale fit runs.csv --law {shlex.quote(law.id)}\n```",
    ]


def _support(parameter: Any) -> str:
    ends = (parameter.lower, parameter.upper)
    return {(0.0, float("inf")): "> 0", (float("-inf"), float("inf")): "any sign"}.get(
        ends, f"({ends[0]:g}, {ends[1]:g})"
    )


def _answers(law: Any) -> list[str]:
    lines = [f"It answers: {', '.join(f'`{q}`' for q in law.valid_for)}."]
    lines += [f"- `{question}` is refused: {why}." for question, why in law.refuses.items()]
    return ["## Questions", "\n".join([lines[0], "", *lines[1:]]) if lines[1:] else lines[0]]


def _constants(law: Any, table: Table) -> list[str]:
    from forescale.laws._describe import remarks

    if not law.published:
        return []
    blocks = ["## Published constants", f"Each set stands where a fit does, as `{law.id}:SOURCE`."]
    names = list(law.params)
    rows = []
    for source, p in law.published.items():
        cells = []
        for name in names:
            text = f"{p.values[name]:.7g}"
            if name in p.printed and f"{p.printed[name]:.7g}" != text:
                text += f" (printed {p.printed[name]:g})"
            if name in p.standard_errors:
                text += f" ± {p.standard_errors[name]:.3g}"
            cells.append(text)
        rows.append((f"`{source}`", *cells, p.reproduced))
    blocks.append(table(("source", *names, "reproduced by us"), rows))
    for (label, text), sources in remarks(law).items():
        if label != "Reproduced by us":
            whose = "all" if len(sources) == len(law.published) else ", ".join(f"`{s}`" for s in sources)
            blocks.append(f"- {label} ({whose}): {text}")
    keys = dict.fromkeys(p.source for p in law.published.values())
    blocks.append("Sources: " + "; ".join(_cited(key) for key in keys) + ".")
    return blocks


def _benchmarked(law: Any, table: Table) -> list[str]:
    """Every case of the extrapolation benchmark that this law answered, beside the best method there."""
    rows = [r for r in _benchmark() if r["method"] == law.id and r["error"] is not None]
    if not rows:
        return [
            "## How good it was",
            "No case of the [extrapolation benchmark](../benchmark.md) has the columns of this law"
            + (": see the studies below." if _studied(law.id.partition("(")[0]) else "; no public runs were found."),
        ]
    best: dict[str, Any] = {}
    for r in _benchmark():
        whole = r["error"] is not None and r["answered"] == r["tasks"]
        if whole and (r["group"] not in best or r["error"] < best[r["group"]]["error"]):
            best[r["group"]] = r
    lines = []
    for r in rows:
        b = best.get(r["group"])
        unit = " %" if r["metric"] == "mape" else ""
        lines.append(
            (
                r["group"],
                f"{r['error']:.3g}{unit} on {r['answered']} of {r['tasks']}",
                "" if r["covered"] is None else f"{100 * r['covered']:.0f} %",
                "" if b is None else f"{b['error']:.3g}{unit} ({b['method']})",
            )
        )
    return [
        "## How good it was",
        "Larger runs hidden and predicted ([the extrapolation benchmark](../benchmark.md)); bands are nominal 90 %.",
        table(("case", "error of this law", "in its bands", "best on all tasks"), lines),
    ]


def _studied(law: str) -> list[str]:
    rows = [
        f"- [{study['title']}](../studies/{name}.md): {study.get('verdict', 'not run')}"
        for name, study in studies().items()
        if law in study["laws"]
    ]
    return ["## Studies", "\n".join(rows)] if rows else []


def _cited(key: str) -> str:
    from forescale.core import cite
    from forescale.core.errors import InputError

    try:
        link = cite.reference(key).link
        return f"[{cite.short(key)}]({link})" if link else cite.short(key)
    except InputError:
        return key


# -- estimators -----------------------------------------------------------------------------------------------------


def _estimator_page(estimator: Any, table: Table) -> str:
    options = table(
        ("option", "default", "meaning"),
        ((f"`{n}`", f"`{v!r}`", estimator.about_options[n]) for n, v in estimator.options.items()),
    )
    blocks = [
        MADE,
        f"# {estimator.id}",
        f"*{estimator.topic}* · an estimator, not a formula · {estimator.title}.",
        estimator.meaning,
        "## Data it needs",
        f"Columns: {', '.join(f'`{n}`' for n in estimator.needs) or 'see above'}; it predicts `{estimator.output}`. "
        f"At least {estimator.least} rows.",
        f'```text\nfs.estimate(runs, "{estimator.id}").bootstrap(200).predict(points)\n```',
        *(["## Options", options] if estimator.options else []),
        "## Traps",
        "\n".join(f"- {trap}" for trap in estimator.traps),
        *_studied(estimator.id),
        "## Papers",
        "\n".join(f"- {_cited(key)}" for key in estimator.papers),
    ]
    return "\n\n".join(block for block in blocks if block)


def estimators_table(table: Table) -> str:
    """One line per estimator."""
    return table(
        ("estimator", "predicts", "what it is"),
        ((f"[`{n}`](laws/{n}.md)", f"`{e.output}`", e.title) for n, e in _estimators().items()),
    )


# -- studies --------------------------------------------------------------------------------------------------------


def _number(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.4g}"


def _study_page(name: str, study: Mapping[str, Any], table: Table) -> str:
    if "left_out" in study:
        body = [f"Not run: {study['left_out']}"]
    else:
        body = [
            f"**{study['verdict'][0].upper()}{study['verdict'][1:]}.** {study['sentence']}",
            table(
                ("claim", "ours", "theirs or bar", "verdict", "source, remarks"),
                (
                    (
                        c["text"],
                        _number(c["ours"]),
                        _number(c["theirs"]) + (f" ± {c['within']:.2g}" if c["within"] is not None else ""),
                        c["verdict"],
                        " ".join(part for part in (c["source"], c["note"]) if part),
                    )
                    for c in study["claims"]
                ),
            ),
        ]
        body += [f"![{path.stem}]({path.name})" for path in sorted((HERE / "studies").glob(f"{name}-*.png"))]
        for t in study["tables"]:
            body += [f"### {t['title']}", table(t["head"], t["rows"]), t["note"]]
    laws = ", ".join(f"[`{law}`](../laws/{law}.md)" for law in study["laws"])
    blocks = [
        MADE,
        f"# {study['title']}",
        study["question"],
        *body,
        f"Laws: {laws}. Data: {', '.join(f'`{d}`' for d in study['datasets']) or 'none'}.",
        "\n".join(f"- {_cited(key)}" for key in study["papers"]),
        f"```text\n$ forescale study {name} -o {name}.html\n```",
    ]
    return "\n\n".join(block for block in blocks if block)


def studies_table(table: Table) -> str:
    """One line per study."""
    return table(
        ("study", "question", "verdict"),
        (
            (f"[{s['title']}](studies/{name}.md)", s["question"], s.get("verdict", f"not run: {s.get('left_out')}"))
            for name, s in studies().items()
        ),
    )
