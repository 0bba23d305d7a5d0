# SPDX-License-Identifier: Apache-2.0
"""Bad input, from the door: one paragraph and exit code 2, or a verdict that says what to do; never a traceback,
never a number without a warning."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forescale.core.errors import ConventionError


def refused(said: Any, *words: str) -> None:
    """Exit code 2, nothing on stdout, one paragraph on stderr that holds the words."""
    assert said.code == 2, said.out[:500]
    assert said.out == ""
    text = said.err
    assert text.startswith("forescale: ")
    assert text.count("\n") == 1, "one paragraph"
    assert 20 < len(text) < 1200
    assert "Traceback" not in text
    assert "Error(" not in text
    for word in words:
        assert word in text, text


def doubted(cli: Any, *words: Any, level: str | None, code: str) -> dict[str, Any]:
    """A fit with exit code 0 whose verdict has that level and that finding; 1 under --strict when red."""
    said = cli(*words, "--json")
    assert said.code == 0, said.err
    fit = json.loads(said.out)
    level = level or fit["verdict"]["level"]
    assert fit["verdict"]["level"] == level != "green"
    found = {f["code"]: f for f in fit["verdict"]["findings"]}
    assert found[code]["level"] in (level, "amber"), sorted(found)
    assert found[code]["advice"] or "check" in found[code]["text"], "says what to do"
    assert cli(*words, "--strict").code == (1 if level == "red" else 0)
    return fit


def spoiled(columns: dict[str, np.ndarray], name: str, value: Any) -> dict[str, Any]:
    values = columns[name].tolist()
    values[4] = value
    return {**columns, name: values}


# -- columns and cells ----------------------------------------------------------------------------------------------


def test_a_missing_column(cli, columns, table) -> None:
    path = table("missing.csv", {"N": columns["N"], "loss": columns["loss"]})
    refused(cli("fit", path, "--law", "chinchilla"), "no column D", "--column D=")
    path = table("lossless.csv", {"N": columns["N"], "D": columns["D"]})
    refused(cli("fit", path), "no column loss")


def test_unknown_columns(cli, columns, table) -> None:
    path = table("unknown.csv", dict(zip(("foo", "bar", "baz"), columns.values())))
    refused(cli("fit", path), "foo", "--column N=")
    refused(cli("fit", path, "--law", "chinchilla"), "foo, bar, baz")
    refused(cli("fit", path, "--column", "N=nope"), "nope", "'foo'")


@pytest.mark.parametrize(
    "pair", [("params", "n_params"), ("tokens", "train_tokens"), ("loss", "val_loss")], ids="+".join
)
def test_two_columns_for_one_meaning(cli, columns, table, pair: tuple[str, str]) -> None:
    name = {"params": "N", "tokens": "D", "loss": "loss"}[pair[0]]
    doubled = {
        **{k: v for k, v in columns.items() if k != name},
        pair[0]: columns[name],
        pair[1]: 1.2 * columns[name],
    }
    said = cli("load", table("doubled.csv", doubled), "--json")
    if said.code == 0:  # a plain name may win over a foreign one, but not silently
        loaded = json.loads(said.out)["runs"]
        assert pair[1] in str([note["text"] for note in loaded["notes"]]) or pair[1] in loaded["columns"]
    else:
        refused(said, pair[0], pair[1])


def test_mixed_conventions(cli, columns, table, runs_csv: Path, fit_json: Path) -> None:
    path = table("counted.csv", {"non_embedding_params": columns["N"], "D": columns["D"], "loss": columns["loss"]})
    refused(cli("fit", path, "--convention", "N=wrong"), "'wrong'", "non-embedding")
    # C that follows neither N nor D as they are counted: the verdict says so
    doubled = {**columns, "C": 18 * columns["N"] * columns["D"]}
    doubted(cli, "fit", table("three.csv", doubled), level="amber", code="C-disagrees")
    # a law that was written for another count of parameters
    doubted(
        cli, "fit", runs_csv, "--law", "farseer", "--convention", "N=total", level=None, code="convention-differs"
    )
    # a target in another unit than the fit
    refused(cli("plan", "reach", fit_json, "--target", "1.1 bits/byte"), "nats/token", "bits/byte")
    # two tables that count differently
    import forescale as fs
    from forescale.runs.table import concat

    tables = [fs.load(runs_csv, conventions={"N": what}) for what in ("total", "non-embedding")]
    with pytest.raises(ConventionError, match="total"):
        concat(tables)


def test_text_in_a_number_column(cli, columns, table) -> None:
    refused(cli("fit", table("text.csv", spoiled(columns, "loss", "broken"))), "row 5", "'loss'", "'broken'")


@pytest.mark.parametrize("name", ["N", "D", "loss"])
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "0", "-1", ""], ids=lambda v: v or "empty")
def test_impossible_values(cli, columns, table, name: str, value: str) -> None:
    refused(cli("fit", table("bad.csv", spoiled(columns, name, value))), name, "row 5", "--drop-bad")


# -- tables that cannot carry a law ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2])
def test_too_few_rows(cli, columns, table, rows: int) -> None:
    few = table("few.csv", {name: values[:rows] for name, values in columns.items()})
    refused(cli("fit", few), "more rows" if rows > 1 else "several sizes")
    refused(cli("fit", few, "--law", "chinchilla"), "5 parameters")
    refused(cli("backtest", few))
    refused(cli("isoflop", few))
    assert cli("load", few).code == 0


def test_all_losses_equal(cli, columns, table) -> None:
    path = table("equal.csv", {**columns, "loss": np.full(36, 2.5)})
    doubted(cli, "fit", path, level="red", code="constant")


def test_N_proportional_to_D(cli, columns, table, tmp_path: Path) -> None:
    from forescale.laws import find

    law = find("chinchilla")
    N = np.geomspace(1e7, 1e10, 24)
    loss = law(law.constants("besiroglu2024"), N=N, D=20 * N)
    loss = loss * np.exp(0.003 * np.random.default_rng(2).standard_normal(24))
    path, out = table("ray.csv", {"N": N, "D": 20 * N, "loss": loss}), tmp_path / "ray.json"
    fit = doubted(cli, "fit", path, level="red", code="confounded")
    assert "do not " in fit["verdict"]["headline"].lower()
    cli("fit", path, "-o", out)
    said = cli("plan", "compute-optimal", out, "--budget", "1e21")
    if said.code == 0:
        assert "[red]" in said.out
        assert "Not to be relied on" in " ".join(said.out.split())
    else:
        refused(said)


# -- files ----------------------------------------------------------------------------------------------------------


def as_text(columns: dict[str, np.ndarray], **more: list[str]) -> str:
    full = {**{k: v.tolist() for k, v in columns.items()}, **more}
    rows = [",".join(full), *(",".join(str(cell) for cell in row) for row in zip(*full.values()))]
    return "\n".join(rows) + "\n"


def test_an_empty_file_and_a_bare_header(cli, tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("")
    refused(cli("fit", path), "empty.csv is empty")
    path.write_text("N,D,loss\n")
    refused(cli("fit", path), "no rows")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json"])
def test_a_truncated_file(cli, columns, tmp_path: Path, suffix: str) -> None:
    rows = [dict(zip(columns, row)) for row in zip(*(v.tolist() for v in columns.values()))]
    text = {
        ".csv": as_text(columns)[:-25],
        ".jsonl": "".join(json.dumps(row) + "\n" for row in rows)[:-25],
        ".json": json.dumps(rows)[:-25],
    }[suffix]
    path = tmp_path / f"cut{suffix}"
    path.write_text(text)
    refused(cli("fit", path, "--law", "chinchilla"), "cut", path.name)


def test_a_truncated_parquet_file(cli, columns, tmp_path: Path) -> None:
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    path = tmp_path / "cut.parquet"
    pq.write_table(pa.table(columns), path)
    path.write_bytes(path.read_bytes()[:-40])
    refused(cli("fit", path), "cut.parquet")


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode(),
    ],
    ids=["BOM", "CRLF", "UTF-16", "semicolons", "tabs"],
)
def test_spellings_of_a_good_file(cli, columns, runs_csv, tmp_path: Path, spell: Callable[[str], bytes]) -> None:
    path = tmp_path / "spelt.csv"
    path.write_bytes(spell(as_text(columns)))
    law = ("--law", "chinchilla", "--json")
    expected = json.loads(cli("fit", runs_csv, *law).out)["params"]
    assert json.loads(cli("fit", path, *law).out)["params"] == expected


def test_latin_1_is_read_and_said(cli, columns, tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(as_text(columns, nom=["modèle"] * 36).encode("latin-1"))
    doubted(cli, "fit", path, level="amber", code="latin-1")


def test_a_line_of_ten_megabytes(cli, tmp_path: Path) -> None:
    path = tmp_path / "line.csv"
    path.write_bytes(b"N,D,loss\n" + b"1" * (10 << 20) + b"\n")
    refused(cli("fit", path), "1,048,576 characters")
    path.write_bytes(b"x" * (10 << 20))
    refused(cli("fit", path))
    ledger = tmp_path / "line.jsonl"
    ledger.write_bytes(b"[" * (10 << 20))
    refused(cli("fit", ledger))
    refused(cli("score", ledger, path))


def test_a_directory_and_nothing_at_all(cli, runs_csv, tmp_path: Path) -> None:
    refused(cli("fit", tmp_path), "folder")
    refused(cli("predict", tmp_path, "--N", "1B", "--D", "20B"), "folder")
    refused(cli("score", tmp_path, runs_csv), "folder")
    refused(cli("fit", tmp_path / "absent.csv"), "there is no file")
    refused(cli("fit", runs_csv, "-o", tmp_path))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"schema": "forescale/fit"}', b'{"schema": "forescale/fit", "version": 99}'],
    ids=lambda c: c.decode() or "empty",
)
def test_a_damaged_fit_file(cli, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fit.json"
    path.write_bytes(content)
    refused(cli("predict", path, "--N", "1B", "--D", "20B"))


def test_every_cut_of_a_fit_file_is_refused(cli, fit_json: Path, tmp_path: Path) -> None:
    whole = json.loads(fit_json.read_text())
    path = tmp_path / "fit.json"
    for key in [k for k in whole if k not in ("schema", "version")]:
        path.write_text(json.dumps({k: v for k, v in whole.items() if k != key}))
        refused(cli("predict", path, "--N", "1B", "--D", "20B"))
    text = fit_json.read_text()
    for share in (0.1, 0.5, 0.9):
        path.write_text(text[: int(share * len(text))])
        refused(cli("predict", path, "--N", "1B", "--D", "20B"), "JSON")


# -- questions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "budget",
    ["7 bananas", "", "-3", "0", "nan", "inf FLOP", "1e400", "1e21 FLOP FLOP", "$2M", "10k hours", "1e21; rm -rf /"],
)
def test_budgets_that_are_none(cli, fit_json: Path, budget: str) -> None:
    refused(cli("plan", "compute-optimal", fit_json, f"--budget={budget}"), "Expected")


def test_a_budget_is_asked_for(cli, fit_json: Path) -> None:
    refused(cli("plan", "compute-optimal", fit_json), "budget")


def test_a_target_below_the_floor(cli, fit_json: Path) -> None:
    floor = json.loads(fit_json.read_text())["params"]["E"]
    for target in (0.5 * floor, 0.99 * floor):
        refused(cli("plan", "reach", fit_json, "--target", f"{target:.4f}"), "below the fitted floor", "Try:")
    for target in ("0", "two", "nan"):
        refused(cli("plan", "reach", fit_json, "--target", target))
    assert cli("plan", "reach", fit_json, "--target", f"{1.2 * floor:.4f}").code == 0


@pytest.mark.parametrize(
    "formula",
    [
        '__import__("os").system("id")',
        'exec("1")',
        'open("x")',
        "(lambda: 1)()",
        "E + N.__class__",
        "E + N[0]",
        "[1 for x in N]",
        "E if N > 1 else A",
        "E + A*N^-a",
        "E + A*N**",
        "9**9**9**9",
        "E + 1e999",
        "E + __builtins__",
        "E + " * 600 + "E",
        "(" * 300 + "E" + ")" * 300,
        "-" * 1500 + "E",
        "",
        "\x00",
        "E + A*N**-a # comment",
        "E + 10**N",
    ],
    ids=lambda f: ascii(f[:24]),
)
def test_hostile_formulas(cli, runs_csv: Path, formula: str) -> None:
    refused(cli("fit", runs_csv, f"--law={formula}"))


def test_laws_that_do_not_exist_and_laws_that_do_not_fit(cli, runs_csv: Path) -> None:
    refused(cli("fit", runs_csv, "--law", "chinchila"), "did you mean 'chinchilla'")
    refused(cli("fit", runs_csv, "--law", "E + A*M**-a"), "no column M")
    refused(cli("predict", "chinchilla:nobody", "--N", "1B", "--D", "20B"), "hoffmann2022")
    refused(cli("fit", runs_csv, "--fix", "E"), "name=value")
    refused(cli("fit", runs_csv, "--fix", "Q=1"), "'Q'")
    refused(cli("fit", runs_csv, "--fix", "E=minus one"))
    refused(cli("fit", runs_csv, "--fix", "alpha=-1"), "alpha")
    refused(cli("fit", runs_csv, "--tie", "beta=Q"), "'Q'")
    refused(cli("fit", runs_csv, "--add", "power-floor(N)"))
    refused(cli("fit", runs_csv, "--group-by", "dataset"), "dataset")
    refused(cli("fit", runs_csv, "--loss", "nonsense"), "nonsense")
    refused(cli("fit", runs_csv, "--level", "1.5"), "between 0 and 1")
    refused(cli("fit", runs_csv, "--where", "C<0"), "no row")
    refused(cli("fit", runs_csv, "--where", "C"), "COLUMN SIGN VALUE")
    refused(cli("fit", runs_csv, "--bootstrap", "100", "--resample", "nope"), "nope")


def test_points_that_are_none(cli, fit_json: Path, tmp_path: Path) -> None:
    refused(cli("predict", fit_json), "--N 70B")
    refused(cli("predict", fit_json, "--N", "7B"), "without D")
    refused(cli("predict", fit_json, "--N", "seven", "--D", "1e9"), "'seven'")
    refused(cli("predict", fit_json, "--N", "-1", "--D", "1e9"))
    refused(cli("predict", fit_json, "--N", "0", "--D", "1e9"))
    refused(
        cli("predict", fit_json, "--N", "1B", "--N", "2B", "--D", "1T", "--D", "2T", "--D", "3T"), "equal numbers"
    )
    refused(cli("predict", fit_json, "--N", "1B", "--D", "20B", "--group", "c4"), "without groups")
    refused(cli("predict", fit_json, "--N", "1B", "--D", "20B", "--loss", "squared"), "fitted already")
    ledger = tmp_path / "notes.txt"
    ledger.write_text("my notes\n")
    refused(cli("predict", fit_json, "--N", "1B", "--D", "20B", "--record", ledger), "notes.txt")
    assert ledger.read_text() == "my notes\n"


def test_a_ledger_that_is_none(cli, runs_csv: Path, tmp_path: Path) -> None:
    refused(cli("score", tmp_path / "absent.jsonl", runs_csv), "there is no file")
    refused(cli("score", runs_csv, runs_csv), "no line of")
    (tmp_path / "empty.jsonl").write_text("")
    refused(cli("score", tmp_path / "empty.jsonl", runs_csv), "empty")


def test_far_predictions_and_plans_are_never_silent(cli, fit_json: Path) -> None:
    said = cli("predict", fit_json, "--N", "1T", "--D", "100T")
    assert said.code == 0
    assert "[amber]" in said.out
    said = cli("plan", "compute-optimal", fit_json, "--budget", "1e30 FLOP")
    assert said.code == 0
    assert "Read this first" in said.out
    assert "[red]" in said.out
