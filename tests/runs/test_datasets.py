# SPDX-License-Identifier: Apache-2.0
"""Public data sets: the facts that their sources state, and the cards themselves.

The facts need the files: set FORESCALE_MIRROR to a folder of copies. Without it those tests are skipped, and nothing
is downloaded.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from forescale.core.errors import ColumnError, InputError, ReadError
from forescale.runs.checks import check
from forescale.runs.datasets import card, dataset, datasets, find, names
from forescale.runs.datasets._cards import mirror_hashes
from forescale.runs.datasets._load import source
from forescale.runs.readers._open import load

AT_LEAST = {
    "chinchilla_epoch", "gadre_overtraining", "loss_to_loss", "isoflop_collection", "porian_compute_optimal",
    "misfitting", "step_law", "parscale", "hitchhiker_and_nsl_benchmarks", "pystdlib",
}  # fmt: skip

mirrored = pytest.mark.skipif(not os.environ.get("FORESCALE_MIRROR"), reason="FORESCALE_MIRROR is not set")


def test_the_cards_are_complete() -> None:
    assert {c.id for c in datasets()} >= AT_LEAST
    taken: set[str] = set()
    for c in datasets():
        assert callable(source(c.source).read)
        assert c.title
        assert len(c.about) > 60
        assert c.licence
        assert c.units
        assert c.citations
        assert not taken & {c.id, *c.variants}, f"{c.id}: a name is used twice"
        taken |= {c.id, *c.variants}
        assert c.upstream is None or re.fullmatch(r"https://\S+/[0-9a-f]{40}", c.upstream), "an address at a commit"
        for file in c.files:
            assert re.fullmatch(r"|[0-9a-f]{16}|[0-9a-f]{64}", file.sha256)
            if not c.shipped:
                assert re.fullmatch(r"[0-9a-f]{64}", mirror_hashes()[c.id][file.name])
        assert c.to_dict()["id"] == c.id


def test_names() -> None:
    assert card("chinchilla").id == "chinchilla_epoch"
    found = find("chinchilla_epoch")
    assert found is not None
    assert found[1].name == "chinchilla"
    assert {"chinchilla", "chinchilla-all", "gadre"} <= set(names())
    assert find("nothing") is None
    with pytest.raises(InputError, match="did you mean 'chinchilla'"):
        dataset("chinchila")


@mirrored
@pytest.mark.parametrize("name", [n for n in names() if not card(n).shipped])
def test_rows_conventions_and_provenance(name: str) -> None:
    runs = dataset(name)
    found = find(name)
    assert found is not None
    made, variant = found
    assert len(runs) == variant.rows
    assert runs.dataset == made.id
    assert runs.licence == made.licence
    assert runs.citations == made.citations
    note = next(n for n in runs.notes if n.code == "dataset")
    assert made.licence in note.text
    assert made.citations[0] in note.text
    assert "D" not in runs or runs.conventions.D in ("tokens", "samples")
    assert all(np.isfinite(runs[c]).all() and (runs[c] > 0).all() for c in ("N", "D", "C", "loss") if c in runs)
    assert not [n for n in check(runs) if n.code in ("units-N", "units-D", "units-C", "swapped", "equal-losses")]


@mirrored
def test_chinchilla() -> None:
    every, main = load("chinchilla-all"), load("chinchilla")
    assert (len(every), len(main)) == (245, 240)
    assert np.allclose(every["D"], every["C"] / (6 * every["N"]), rtol=1e-14)
    # the five rows left out are those of highest loss, and also those of fewest tokens per parameter
    highest = set(np.argsort(every["loss"])[-5:].tolist())
    assert highest == set(np.argsort(every["D"] / every["N"])[:5].tolist())
    assert main["loss"].max() < every["loss"][sorted(highest)].min()
    assert every["loss"].max() == pytest.approx(5.005581996196243)


@mirrored
def test_gadre() -> None:
    runs = dataset("gadre")
    sizes = sorted(set(runs["N"].tolist()))
    assert sizes == [10569312, 78914048, 153677376, 411616256, 1439795200, 6889410560]
    counts = dict(zip(*np.unique(runs.labels["dataset"], return_counts=True)))
    assert counts == {"c4_original": 34, "rpj": 35, "rw_original": 35}
    assert np.allclose(runs["M"], 20 * runs["multiplier"], rtol=0.01)
    rpj = dataset("gadre_overtraining", dataset="rpj", eval="c4")
    large = rpj.where(rpj["N"] == 6889410560)
    assert large["loss"].tolist() == large["loss_c4"].tolist()
    other = dataset("gadre", eval="openlm")
    assert other["loss"].tolist() == runs["loss_openlm"].tolist()
    with pytest.raises(InputError, match="did you mean 'openlm'"):
        dataset("gadre", eval="open_lm")
    with pytest.raises(InputError, match="one of c4_original, rpj, rw_original"):
        dataset("gadre", dataset="pile")
    with pytest.raises(ColumnError, match="corpus"):
        dataset("gadre", corpus="pile")


@mirrored
def test_loss_to_loss() -> None:
    runs = dataset("loss-to-loss")
    assert len(set(runs.labels["dataset"].tolist())) == 6
    assert (runs["C"].min(), runs["C"].max()) == (2e17, 4.84e19)
    assert np.allclose(runs["C"], 6 * runs["N"] * runs["D"], rtol=1e-12)
    own = dataset("loss-to-loss", dataset="starcoder")
    assert own["loss"].tolist() == own["eval/starcoder_val/CrossEntropyLoss"].tolist()


@mirrored
def test_isoflops() -> None:
    runs = dataset("isoflop_collection")
    sizes = dict(zip(*np.unique(runs.labels["group"], return_counts=True)))
    assert sorted(sizes.values()) == [123, 124, 133, 133, 176]
    assert dataset("isoflops-chinchilla").conventions.loss == "nats/token"
    assert dataset("isoflops-llama3").conventions.loss is None
    assert len(dataset("isoflops", outlier="False")) == 85 + 115 + 116 + 106 + 89


@mirrored
def test_porian() -> None:
    runs = dataset("porian_compute_optimal")
    assert len(set(runs.labels["group"].tolist())) == 15
    assert np.allclose(runs["C"], 6 * runs["N"] * runs["D"], rtol=1e-12)
    assert runs.conventions.N is None
    assert any(n.code == "mixed-N" for n in runs.notes)
    assert dataset("porian-kaplan").conventions.N == "non-embedding"
    assert dataset("porian", param_count="standard").conventions.N == "matrices+head"


@mirrored
def test_misfitting() -> None:
    final, every = dataset("misfitting"), dataset("misfitting-checkpoints")
    assert set(final["progress"].tolist()) == {1.0}
    assert len(set(every["N"].tolist())) == 11
    assert (every["N"] - every["N_nonemb"] > 0).all()
    assert any(n.code == "checkpoints" for n in check(every))
    assert set(final.labels["run"].tolist()) <= set(every.labels["run"].tolist())


@mirrored
def test_step_law() -> None:
    runs = dataset("step_law")
    assert len({*zip(runs["N"].tolist(), runs["D"].tolist())}) == 15
    assert np.allclose(runs["batch_tokens"] * runs["steps"], runs["D"], rtol=0.003)
    assert runs.conventions.N == "non-embedding"


@mirrored
def test_parscale() -> None:
    runs = dataset("parscale")
    assert sorted(set(runs["P"].tolist())) == [1, 2, 4, 8]
    assert {len(dataset("parscale", dataset=d)) for d in ("pile", "stack_v2_python")} == {24}


@mirrored
def test_learning_curves() -> None:
    runs = dataset("hitchhiker_and_nsl_benchmarks")
    assert len(set(runs.labels["run"].tolist())) == 92
    assert set(runs["training"].tolist()) == {0.0, 1.0}
    assert dataset("nsl-vision").conventions.loss == "1-accuracy"
    assert len(dataset("nsl-benchmark", domain="BB")) == 430
    curves, opt = dataset("colpret"), dataset("colpret-opt")
    assert len(set(curves.labels["run"].tolist())) + len(set(opt.labels["run"].tolist())) == 192
    assert opt.conventions.loss == "perplexity"
    assert opt["loss"].min() > 9


@mirrored
def test_a_changed_copy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path(os.environ["FORESCALE_MIRROR"]).expanduser() / "parscale" / "parscale_losses.csv"
    copy = tmp_path / "parscale" / "parscale_losses.csv"
    copy.parent.mkdir()
    copy.write_bytes(original.read_bytes())
    monkeypatch.setenv("FORESCALE_MIRROR", str(tmp_path))
    assert len(dataset("parscale")) == 48
    copy.write_bytes(original.read_bytes().replace(b"1.1722", b"1.1721"))
    with pytest.raises(ReadError, match=r"SHA-256 .* the copy was changed"):
        dataset("parscale")
    copy.unlink()
    with pytest.raises(ReadError, match=r"has no parscale/parscale_losses\.csv"):
        dataset("parscale")


def test_our_own_sweep() -> None:
    try:
        runs = dataset("pystdlib")
    except ReadError:
        pytest.skip("the sweep is not in this checkout")
    assert runs.conventions.loss == "nats/byte"
    assert runs.licence == "Apache-2.0"
    assert np.allclose(runs["C"], 6 * runs["N"] * runs["D"], rtol=1e-6)
    assert set(runs.labels["purpose"].tolist()) <= {"isoflop", "seed"}
    assert (runs["epochs"] <= 4).all()
    assert len(dataset("pystdlib-all")) >= len(runs)
