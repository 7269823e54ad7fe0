"""Predictions of a table: the model's own, whatever stands beside a sample, or a reason."""

import hashlib
import io
import logging
import os
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from models.studies import whole_batch

from aam.config import Config, ForestConfig, MlpConfig
from aam.data.predictions import predicted_columns
from aam.data.recipe import Recipe, common_lengths
from aam.data.study import Study
from aam.errors import UserError
from aam.facts.recorder import Recorder
from aam.prediction.predictor import Predictions, predict
from aam.prediction.samples import read_samples
from aam.prediction.trained import load_trained
from aam.training.checkpoint import BEST, save_checkpoint

from .runs import (
    CLASSIFICATION,
    COVARIATES,
    REGRESSION,
    Table,
    add_calibration,
    save_run,
    table_of,
    tiny_model,
)

RECIPES = {"numbers": REGRESSION, "classes": CLASSIFICATION}


def predicted(run: Path, table: Path, batch_size: int = 64, **files: str) -> Predictions:
    trained = load_trained(str(run))
    samples = read_samples(trained.data, trained.recipe, table=str(table), **files)
    return predict(trained, samples, batch_size)


def by_id(predictions: Predictions, column: str) -> dict[str, float]:
    columns = predictions.columns
    return dict(zip(columns["sample-id"], columns[column], strict=True))


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_it_is_the_model_that_speaks(tmp_path, demo: Study, recipe: Recipe):
    rows = np.arange(0, 160, 7)
    run = save_run(tmp_path / "run", recipe)
    add_calibration(run, demo, recipe)
    given = predicted(run, table_of(demo, rows).write(tmp_path / "table.tsv"), batch_size=5)
    model, batch = tiny_model(recipe), whole_batch(demo, rows)
    with torch.no_grad():
        encoded = model.encode(model.encoder.nucleotides(batch.tokens), batch)
        raw = model.outputs(encoded, batch).double().numpy()
    for name, values in predicted_columns(recipe.names, recipe.classes, recipe.finish(raw)).items():
        if isinstance(values[0], str):
            assert given.columns[name] == values
        else:
            assert given.columns[name] == pytest.approx(values, rel=1e-5, abs=1e-5)
    vectors = np.array(list(given.embeddings.values())[1:]).T
    assert given.embeddings["sample-id"] == list(batch.sample_ids)
    np.testing.assert_allclose(vectors, encoded.clades_BK, atol=1e-5)
    assert given.columns["reason"] == [None] * len(rows)


@pytest.mark.parametrize("drawn", [{}, {"rarefaction_depth": 1500, "token_limit": 20}])
def test_nothing_else_matters(tmp_path, demo: Study, table: Table, drawn):
    """Not the order of samples and ASVs, the batch size, or the samples beside."""
    run = save_run(tmp_path / "run", REGRESSION, **drawn)
    add_calibration(run, demo, REGRESSION)
    one = predicted(run, table.write(tmp_path / "one.tsv"))
    more = table_of(demo, range(0, 96, 4)).permuted(3).write(tmp_path / "more.tsv")
    for other in (
        predicted(run, table.permuted(1).write(tmp_path / "mixed.tsv"), batch_size=5),
        predicted(run, more, batch_size=7),
        predicted(run, table.take([4]).write(tmp_path / "alone.tsv")),
    ):
        for column in ("predicted", "lower_90", "nearest_distance", "novelty_p"):
            first, second = by_id(one, column), by_id(other, column)
            shared = first.keys() & second.keys()
            assert len(shared) in (1, 12)
            for name in shared:
                assert second[name] == pytest.approx(first[name], rel=1e-5, abs=1e-5)


def test_what_is_known_of_how_sure_they_are(tmp_path, demo: Study):
    run = save_run(tmp_path / "run", REGRESSION)
    add_calibration(run, demo, REGRESSION)
    # From row 120 on they are validation samples; the last is made to hold a single ASV.
    table = table_of(demo, [0, 1, 150, 151])
    table.counts[3] = np.where(np.arange(table.counts.shape[1]) == 7, 5000, 0)
    given = predicted(run, table.write(tmp_path / "table.tsv")).columns
    reach = load_trained(str(run)).calibration.reach[0]
    assert np.subtract(given["upper_90"], given["predicted"]) == pytest.approx([reach] * 4)
    assert np.subtract(given["predicted"], given["lower_90"]) == pytest.approx([reach] * 4)
    assert given["nearest_distance"][:2] == pytest.approx([0, 0], abs=1e-5)
    assert given["novelty_p"][:2] == [1, 1]
    assert given["nearest_distance"][2] > 1e-4
    assert 2 / 41 <= given["novelty_p"][2] < 1
    assert given["novelty_p"][3] == 1 / 41
    assert given["out_of_distribution"] == ["no", "no", "no", "yes"]


def test_without_calibration_cells_are_empty(tmp_path, table: Table, demo: Study, caplog):
    run, path = save_run(tmp_path / "run", CLASSIFICATION), table.write(tmp_path / "table.tsv")
    given = predicted(run, path).columns
    for column in ("set_90", "nearest_distance", "novelty_p", "out_of_distribution"):
        assert given[column] == [None] * 12
    assert "there is no calibration.pt" in caplog.text
    caplog.clear()
    add_calibration(run, demo, CLASSIFICATION, num_val=8)
    given = predicted(run, path).columns
    assert given["set_90"] == given["novelty_p"] == [None] * 12
    assert None not in given["nearest_distance"]
    (record,) = caplog.records
    assert (
        "8 validation samples, too few for a 90 % interval (9 needed) and a flag"
        in record.msg % (record.args)
    )


def test_every_sample_has_a_prediction_or_a_reason(tmp_path, table: Table):
    run = save_run(tmp_path / "run", REGRESSION, rarefaction_depth=1000, min_sample_depth=500)
    table.counts[1] = 0
    table.counts[2] = np.where(np.arange(table.counts.shape[1]) == table.counts[2].argmax(), 12, 0)
    given = predicted(run, table.write(tmp_path / "table.tsv"))
    reasons = {name: why for name, why in by_id(given, "reason").items() if why}
    assert given.columns["sample-id"] == sorted(table.sample_ids)
    assert reasons == {
        table.sample_ids[1]: "no reads",
        table.sample_ids[2]: "12 reads, fewer than the run's data.rarefaction_depth=1000",
    }
    for name, value in by_id(given, "predicted").items():
        assert (value is None) == (name in reasons)


def test_a_table_of_reasons_alone(tmp_path, table: Table):
    run = save_run(tmp_path / "run", CLASSIFICATION, min_sample_depth=10**6)
    given = predicted(run, table.write(tmp_path / "table.tsv"))
    assert given.columns["predicted"] == [None] * 12
    assert None not in given.columns["reason"]
    assert given.embeddings["sample-id"] == []


def test_md5_ids(tmp_path, table: Table):
    run = save_run(tmp_path / "run", REGRESSION)
    names = [hashlib.md5(one.encode()).hexdigest() for one in table.asv_ids]
    fasta = tmp_path / "rep_seqs.fasta"
    fasta.write_text("".join(f">{n}\n{s}\n" for n, s in zip(names, table.asv_ids, strict=True)))
    plain = predicted(run, table.write(tmp_path / "plain.tsv"))
    named = replace(table, asv_ids=names).write(tmp_path / "named.tsv")
    with pytest.raises(UserError, match="are not DNA sequences"):
        predicted(run, named)
    assert predicted(run, named, rep_seqs=str(fasta)).columns == plain.columns


def test_other_trim_lengths_are_said(tmp_path, table: Table, demo: Study, caplog):
    assert common_lengths(demo, np.arange(9)) == (150, 150)
    run = save_run(tmp_path / "run", REGRESSION)
    predicted(run, table.write(tmp_path / "table.tsv"))
    assert "not of the length" not in caplog.text
    other = replace(table, asv_ids=[one + "ACGTA" for one in table.asv_ids])
    given = predicted(run, other.write(tmp_path / "other.tsv")).columns
    assert "are not of the length that the model was trained on: they have 155" in caplog.text
    assert None not in given["predicted"]
    long = replace(table, asv_ids=[2 * one for one in table.asv_ids]).write(tmp_path / "long.tsv")
    with pytest.raises(UserError, match="300 bases but the model reads 160"):
        predicted(run, long)


def test_covariates(tmp_path, table: Table, caplog):
    recipe = replace(REGRESSION, covariates=COVARIATES)
    run, path = save_run(tmp_path / "run", recipe), table.write(tmp_path / "table.tsv")
    with pytest.raises(UserError, match="reads weight, diet beside the microbes: set metadata="):
        predicted(run, path)

    def written(*cells: str, header: str = "id\tweight\tdiet\n") -> str:
        """Metadata of all samples but the first; the last has cells of its own."""
        rows = [f"{name}\t60\ta\n" for name in table.sample_ids[1:-1]]
        last = "\t".join([table.sample_ids[-1], *cells])
        (tmp_path / "metadata.tsv").write_text(header + "".join(rows) + last + "\n")
        return str(tmp_path / "metadata.tsv")

    first = predicted(run, path, metadata=written("60", "a"))
    assert by_id(first, "reason")[table.sample_ids[0]] == "absent from the metadata"
    caplog.set_level(logging.WARNING, "aam.prediction")
    second = predicted(run, path, metadata=written("", "vegan"))
    assert "1 of 11 samples have no known value of the covariate weight (empty)" in caplog.text
    assert "covariate diet ('vegan')" in caplog.text
    moved = [
        name
        for name, value in by_id(first, "predicted").items()
        if value is not None and abs(value - by_id(second, "predicted")[name]) > 1e-4
    ]
    assert moved == [table.sample_ids[-1]]
    with pytest.raises(UserError, match="no column 'weight'"):
        predicted(run, path, metadata=written("60", "a", header="id\tmass\tdiet\n"))


def test_metadata_that_are_not_read(tmp_path, table: Table, caplog):
    run, path = save_run(tmp_path / "run", REGRESSION), table.write(tmp_path / "table.tsv")
    given = predicted(run, path, metadata="absent.tsv").columns
    assert "metadata=absent.tsv is not read" in caplog.text
    assert None not in given["predicted"]


def test_loops_that_cannot_predict(tmp_path):
    for loop in (Config().loop, MlpConfig()):
        run = tmp_path / loop.name
        run.mkdir()
        save_checkpoint(run / BEST, {"model": {}, "epoch": 1, "config": {"loop": asdict(loop)}})
        with pytest.raises(UserError, match=f"a run of loop={loop.name} cannot predict: it"):
            load_trained(str(run / BEST))
    run = tmp_path / "forest"
    recorder = Recorder(run, loop=ForestConfig().name, metric_names=())
    recorder.emit("on_start", meta={})
    recorder.close()
    with pytest.raises(UserError, match="a forest cannot be kept"):
        load_trained(str(run))
    with pytest.raises(UserError, match="there is no checkpoint"):
        load_trained(str(tmp_path / "absent"))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save({"format": 1, "model": Evil()}, buffer)
    signed = buffer.getvalue()
    signed += b"\naam-sha256:" + hashlib.sha256(signed).hexdigest().encode()
    (tmp_path / "signed.pt").write_bytes(signed)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="no checkpoint that is safe to load"):
        load_trained("signed.pt")
    with pytest.raises(UserError, match="damaged"):
        load_trained("bare.pt")
    assert not (tmp_path / "evil").exists()
