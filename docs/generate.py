# SPDX-License-Identifier: Apache-2.0
"""The parts of the documentation that are read off the program.

    python docs/generate.py            write them into the pages
    python docs/generate.py --check    exit with 1 when a page is not up to date (a test does the same)

A page holds `<!-- generated: NAME -->` ... `<!-- end -->`; what stands between is replaced. Pages of laws,
questions and studies are made as a whole (`catalogue_pages.py`, `plan_pages.py`); one whose law, question or study is
gone is removed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import catalogue_pages  # noqa: E402  (beside this file)
import plan_pages  # noqa: E402

WHOLE = ("laws", "plans", "studies")
CITED = re.compile(r" \([^()]*\d{4}[^()]*\)$")
REGION = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Every page with generated parts: path -> the text that it should have."""
    found = {}
    for path in sorted(HERE.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if REGION.search(text):
            found[path] = REGION.sub(lambda m: f"{m[1]}\n{PARTS[m['name']]().strip()}\n\n{m[3]}", text)
    return {**found, **whole()}


def whole() -> dict[Path, str]:
    """Every page that is made as a whole."""
    return {**catalogue_pages.pages(table), **plan_pages.pages(table)}


def orphans() -> list[Path]:
    """Pages made as a whole whose law, question or study is gone."""
    known = whole()
    return [path for folder in WHOLE for path in sorted((HERE / folder).glob("*.md")) if path not in known]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


# -- laws -----------------------------------------------------------------------------------------------------------


def laws() -> str:
    """One line per law, by topic."""
    from forescale.laws import TOPICS
    from forescale.laws._describe import formula_text

    blocks = []
    for topic in TOPICS:
        rows = [
            (
                f"[`{law.id}`](laws/{law.id.partition('(')[0]}.md)",
                f"`{CITED.sub('', formula_text(law))}`",
                ", ".join(law.inputs),
                ", ".join(law.valid_for),
                _sentence(law.meaning),
            )
            for law, _ in catalogue_pages.catalogue()
            if law.topic == topic
        ]
        if rows:
            blocks.append(f"### {topic[0].upper()}{topic[1:]}")
            blocks.append(table(("law", "formula", "columns", "answers", "when"), rows))
    return "\n\n".join(blocks)


def _sentence(text: str) -> str:
    """The first sentence."""
    return re.split(r"(?<=[a-z)]\.) (?=[A-Z])", text, maxsplit=1)[0]


def estimators() -> str:
    """One line per estimator."""
    return catalogue_pages.estimators_table(table)


def studies() -> str:
    """One line per study."""
    return catalogue_pages.studies_table(table)


def papers() -> str:
    """The map of the literature."""
    from forescale.core import cite

    return table(
        ("paper", "where it works", "what is missing"),
        (
            (
                f"[{cite.short(p.reference.key)}]({p.reference.link})" if p.reference.link else p.reference.key,
                ", ".join(f"`{name}`" for name in p.works),
                p.missing,
            )
            for p in cite.papers()
        ),
    )


def formula_functions() -> str:
    """What a formula may call."""
    from forescale.laws._expression import FUNCTIONS

    return ", ".join(f"`{name}`" for name in FUNCTIONS)


def kinds() -> str:
    """Kinds of parameters."""
    from forescale.laws._law import KINDS

    return ", ".join(f"`{kind}`" for kind in KINDS)


# -- columns --------------------------------------------------------------------------------------------------------


def columns() -> str:
    """The columns that have a meaning, with the names that are understood."""
    from forescale.core.columns import COLUMNS

    text = resources.files("forescale.core").joinpath("aliases.toml").read_text(encoding="utf-8")
    known: dict[str, list[str]] = {}
    for entry in tomllib.loads(text)["alias"]:
        known.setdefault(entry["column"], []).extend([*entry.get("exact", []), *entry["names"]])
    return table(
        ("column", "meaning", "unit", "some of the names that are understood"),
        (
            (
                f"`{c.name}`",
                c.meaning,
                c.unit,
                ", ".join(f"`{n}`" for n in [n for n in known.get(c.name, []) if n != c.name][:4]),
            )
            for c in COLUMNS.values()
        ),
    )


def conventions() -> str:
    """What N, D, C and loss may mean."""
    from forescale.core.columns import CONVENTIONS

    return table(
        ("of", "convention", "meaning"),
        ((name, f"`{word}`", text) for name, words in CONVENTIONS.items() for word, text in words.items()),
    )


def readers() -> str:
    """Formats."""
    from forescale.runs.readers._open import readers as known

    return table(
        ("reader", "what it reads", "files"),
        ((f"`{r.id}`", r.summary, ", ".join(f"`{glob}`" for glob in r.globs)) for r in known().values()),
    )


# -- losses, thresholds ---------------------------------------------------------------------------------------------


def losses() -> str:
    """The table in the docstring of `numerics.losses`, and the names."""
    from forescale.numerics import losses as module

    lines = [line for line in (module.__doc__ or "").splitlines() if line.startswith("|")]
    return "\n".join(lines) + "\n\nAll names: " + ", ".join(f"`{n}`" for n in module.loss_names()) + "."


def thresholds() -> str:
    """judge/thresholds.toml as a table."""
    text = resources.files("forescale.judge").joinpath("thresholds.toml").read_text(encoding="utf-8")
    return table(
        ("threshold", "value", "why", "simulation"),
        (
            (f"`{name}`", f"{entry['value']:g}", entry["reason"], entry.get("simulated", ""))
            for name, entry in tomllib.loads(text).items()
        ),
    )


def interval_levels() -> str:
    """tests/data/interval_levels.toml as a table; widths are half-widths of the curve's band."""
    text = (HERE.parent / "tests" / "data" / "interval_levels.toml").read_text(encoding="utf-8")
    methods = ("wald", "curve", "new run", "profile", "bootstrap", "bootstrap curve")

    def cell(level: dict[str, Any]) -> str:
        if level["refused"] > 0.9:
            return "refused"
        some = f" ({100 * level['refused']:.0f} % refused)" if level["refused"] > 0.05 else ""
        return f"{level['rate']:.2f}{some}"

    return table(
        ("noise", "n", *methods, "half-width of curve"),
        (
            (
                entry["noise"],
                str(entry["n"]),
                *(cell(entry["methods"][method]) for method in methods),
                "" if entry["methods"]["curve"]["refused"] > 0.9 else f"{entry['methods']['curve']['width']:.2f}",
            )
            for entry in tomllib.loads(text)["cell"]
        ),
    )


# -- planners -------------------------------------------------------------------------------------------------------


def planners() -> str:
    """Questions by topic, each with what it stands on."""
    return plan_pages.questions(table)


def hardware() -> str:
    """Devices that budgets may name."""
    text = resources.files("forescale.costs").joinpath("hardware.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    devices = content.get("device", content)
    names = [d["id"] if isinstance(d, dict) else d for d in devices] if isinstance(devices, list) else list(devices)
    return ", ".join(f"`{name}`" for name in names)


# -- command line ---------------------------------------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments and options."""
    import typer.main

    from forescale.cli.main import COMMANDS, build

    group: Any = typer.main.get_command(build(list(COMMANDS)))
    blocks = []
    for name in COMMANDS:
        command = group.commands[name]
        blocks.append(_command(name, command, 2))
        if name == "plan":
            blocks.append(_plan_options(command.commands["compute-optimal"]))
            continue
        for sub, inner in sorted(getattr(command, "commands", {}).items()):
            blocks.append(_command(f"{name} {sub}", inner, 3))
    return "\n\n".join(blocks)


def _plan_options(command: Any) -> str:
    """What every question takes; its own fields stand on its page."""
    own = ("fits", "group", "law", "loss", "out", "style", "as_json")
    rows = [
        (
            ", ".join(f"`{flag}`" for flag in parameter.opts if flag.startswith("-")) or "`FIT...`",
            parameter.help or "",
        )
        for parameter in command.params
        if parameter.name in own
    ]
    said = (
        "One sub-command for each question, with its fields as options: [the questions](plans.md). All of them take"
    )
    return said + "\n\n" + table(("", ""), rows)


def _command(name: str, command: Any, depth: int) -> str:
    words, _, example = (command.help or "").rpartition("Example:")
    parts = [f"{'#' * depth} {name}", " ".join(words.split()), f"```console\n$ {' '.join(example.split())}\n```"]
    rows = []
    for parameter in command.params:
        flags = [f"`{flag}`" for flag in [*parameter.opts, *parameter.secondary_opts]]
        if parameter.param_type_name == "argument":
            flags = [f"`{parameter.name.upper()}`"]
        rows.append((", ".join(flags), getattr(parameter, "help", None) or ""))
    if rows:
        parts.append(table(("", ""), rows))
    return "\n\n".join(part for part in parts if part)


# -- data sets ------------------------------------------------------------------------------------------------------


def datasets() -> str:
    """One section per card."""
    from forescale.runs.datasets import datasets as cards

    blocks = []
    for card in cards():
        where = "ships with forescale" if card.shipped else f"{card.repository} at commit `{card.commit[:10]}`"
        if card.upstream is None and not card.shipped:
            where = f"put together from {card.repository}; needs a mirror"
        variants = table(
            ("name", "rows", "what is in it"),
            ((f"`{v.name}`", "" if v.rows is None else f"{v.rows:,}", v.summary) for v in card.variants.values()),
        )
        lines = [
            f"### {card.id}",
            f"{card.title.rstrip('.')}. {' '.join(card.about.split())}",
            variants,
            f"- Units: {card.units}\n- Source: {where}\n- Licence: {card.licence}\n"
            + "\n".join(f"- Cite: {citation}" for citation in card.citations),
        ]
        if card.traps:
            lines.append("Traps:\n\n" + "\n".join(f"- {trap}" for trap in card.traps))
        blocks.append("\n\n".join(lines))
    return "\n\n".join(blocks)


# -- the extrapolation benchmark ------------------------------------------------------------------------------------


def benchmark_cases() -> str:
    """One line per protocol file."""
    from forescale.judge._protocol import protocols

    return table(
        ("case", "what", "protocol", "data", "error"),
        (
            (
                f"`{p.case}`",
                f"{p.title}. {' '.join(p.about.split())}",
                p.origin,
                ", ".join(
                    f"`{name}`" for name in dict.fromkeys([p.dataset, *(f.dataset for f in p.families)]) if name
                ),
                p.metric.upper(),
            )
            for p in protocols()
        ),
    )


def benchmark_methods() -> str:
    """One line per recipe; laws have their own page."""
    from forescale.judge._methods import RECIPES

    lines = table(("method", "what"), ((f"`{m.id}`", m.about) for m in RECIPES))
    return f"Every law of the [catalogue](laws.md) whose columns a task has, by its id; and\n\n{lines}"


def _benchmark_tables(name: str) -> str:
    import json

    from forescale.judge._tables import markdown

    return markdown(json.loads((HERE / name).read_text(encoding="utf-8")))


def benchmark_tables() -> str:
    """The tables in docs/benchmark.json."""
    return _benchmark_tables("benchmark.json")


def benchmark_laws() -> str:
    """The tables in docs/benchmark_laws.json."""
    return _benchmark_tables("benchmark_laws.json")


def sweep() -> str:
    """What was measured, from the card beside the data."""
    import json

    folder = resources.files("forescale.runs.datasets").joinpath("pystdlib")
    try:
        card = json.loads(folder.joinpath("card.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "The sweep is not in this checkout."
    rows = [(name, _plain(value)) for name, value in card.items() if name not in ("columns", "learning_rates")]
    found = [table(("", ""), rows)]
    if "columns" in card:
        found.append(table(("column", "meaning"), ((f"`{k}`", v) for k, v in card["columns"].items())))
    if "learning_rates" in card:
        found.append(
            table(
                ("N", "depth", "width", "tuned at (FLOP)", "peak rate", "validation loss by rate tried"),
                (
                    (
                        f"{r['N']:,}",
                        str(r["depth"]),
                        str(r["width"]),
                        f"{r['tuned_at_flop']:.2g}",
                        "not yet" if r["lr_peak"] is None else f"{r['lr_peak']:g}",
                        ", ".join(f"{rate}: {loss:.3f}" for rate, loss in r["tried"].items()),
                    )
                    for r in card["learning_rates"]
                ),
            )
        )
    return "\n\n".join(found)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "; ".join(_plain(v) for v in value)
    if isinstance(value, float) and abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


PARTS: dict[str, Callable[[], str]] = {
    "laws": laws,
    "estimators": estimators,
    "studies": studies,
    "papers": papers,
    "formula-functions": formula_functions,
    "kinds": kinds,
    "columns": columns,
    "conventions": conventions,
    "readers": readers,
    "losses": losses,
    "thresholds": thresholds,
    "interval-levels": interval_levels,
    "planners": planners,
    "hardware": hardware,
    "commands": commands,
    "datasets": datasets,
    "sweep": sweep,
    "benchmark-cases": benchmark_cases,
    "benchmark-methods": benchmark_methods,
    "benchmark-tables": benchmark_tables,
    "benchmark-laws": benchmark_laws,
}


def main() -> int:
    """Write, or check."""
    made = pages()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    gone = orphans()
    if "--check" in sys.argv[1:]:
        for path in (*stale, *gone):
            print(f"{path.name} is not up to date: python docs/generate.py")
        return 1 if stale or gone else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
        print(f"written: {path.relative_to(HERE)}")
    for path in gone:
        path.unlink()
        print(f"removed: {path.relative_to(HERE)}")
    print(f"{len(made) - len(stale)} pages unchanged")
    return 0


if __name__ == "__main__":
    sys.exit(main())
