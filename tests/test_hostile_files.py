"""A malicious file of each kind: reading one runs nothing that is in it, and writes nowhere.

Whoever finds the marker after a file was read has found that code ran. Each payload is shown to
work by loading it once the unsafe way.
"""

import hashlib
import io
import pickle
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml

from aam.cli.resume import taken_up
from aam.config import Config, DataConfig, FinetuneConfig
from aam.data.sequences import read_rep_seqs
from aam.data.table import read_table
from aam.errors import UserError
from aam.facts.settings import read_overrides, read_settings
from aam.loops.pretrained import build_encoder
from aam.loops.run import Run
from aam.phylogeny.distances import read_distances
from aam.phylogeny.tree import read_tree
from aam.prediction.calibration import FILE, load_calibration
from aam.prediction.trained import load_trained
from aam.submit.experiment import load
from aam.training.checkpoint import BEST, LAST, load_checkpoint, save_checkpoint


class Malicious:
    """Makes the marker when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "code-ran"


def as_pickle(content: object) -> bytes:
    return pickle.dumps(content)


def as_zip(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def as_legacy(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def resume(folder: Path) -> None:
    load_checkpoint(folder / LAST)


def predict(folder: Path) -> None:
    load_trained(str(folder / BEST))


def start_from(folder: Path) -> None:
    run = Run(run_dir=None)
    data = DataConfig(target="age")
    build_encoder(Config(loop=FinetuneConfig(), data=data, pretrained=str(folder / BEST)), run)


def calibrate(folder: Path) -> None:
    load_calibration(folder, 1)


@pytest.mark.parametrize("pack", [as_pickle, as_zip, as_legacy])
@pytest.mark.parametrize(
    ("name", "read"),
    [(LAST, resume), (BEST, predict), (BEST, start_from), (FILE, calibrate)],
    ids=["last", "best_model", "pretrained", "calibration"],
)
def test_pickles_in_checkpoints(
    tmp_path: Path,
    marker: Path,
    name: str,
    read: Callable[[Path], None],
    pack: Callable[[object], bytes],
) -> None:
    payload = pack({"format": 1, "epoch": 1, "config": Malicious(marker), "model": {}})
    digest = hashlib.sha256(payload).hexdigest().encode()
    (tmp_path / name).write_bytes(payload + b"\naam-sha256:" + digest)
    with pytest.raises(UserError, match="no checkpoint that is safe to load"):
        read(tmp_path)
    assert not marker.exists()
    if pack is as_pickle:
        pickle.loads(payload)
    else:
        torch.load(io.BytesIO(payload), weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("read", [predict, start_from])
@pytest.mark.parametrize("content", [{}, {"config": {}, "model": 1}, {"config": {"loop": 1}}])
def test_whole_checkpoints_of_something_else(
    tmp_path: Path, content: dict[str, Any], read: Callable[[Path], None]
) -> None:
    save_checkpoint(tmp_path / BEST, content)
    with pytest.raises(UserError, match="holds something else than this version of aam saves"):
        read(tmp_path)


@pytest.mark.parametrize("is_array", [True, False])
def test_pickles_in_npy(tmp_path: Path, marker: Path, is_array: bool) -> None:
    path = tmp_path / "d.npy"
    (tmp_path / "d.ids.txt").write_text("a\nb\n")
    if is_array:
        np.save(path, np.array([Malicious(marker), 1], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(b"\x93NUMPY" + pickle.dumps(Malicious(marker)))
    with pytest.raises(UserError, match=r"d\.npy"):
        read_distances(path)
    assert not marker.exists()
    if is_array:
        np.load(path, allow_pickle=True)
    else:
        pickle.loads(path.read_bytes()[6:])
    assert marker.exists()


def test_tags_in_yaml(tmp_path: Path, marker: Path) -> None:
    evil = f"!!python/object/apply:os.mkdir ['{marker}']"
    (tmp_path / LAST).touch()
    (tmp_path / ".hydra").mkdir()
    for name in ("config.yaml", "overrides.yaml", "hydra.yaml", "resume-1.yaml"):
        (tmp_path / ".hydra" / name).write_text(f"run_name: {evil}\n")
    with pytest.raises(UserError, match="could not determine a constructor"):
        read_settings(tmp_path)
    assert read_overrides(tmp_path) == []
    with pytest.raises(UserError, match="could not determine a constructor"):
        taken_up([f"resume={tmp_path}"])
    (tmp_path / "submit.yaml").write_text(f"submit: {evil}\n")
    with pytest.raises(UserError, match="could not determine a constructor"):
        load(tmp_path)
    assert not marker.exists()
    yaml.load(evil, yaml.UnsafeLoader)
    assert marker.exists()


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "aam.inputs.Path", "torch.optim.optimizer.deepcopy"]
)
def test_targets_in_the_settings_of_a_run(target: str) -> None:
    """What ``_target_`` names is called: a run folder may not choose freely."""
    from aam.training.targets import resolve

    with pytest.raises(UserError, match=r"must name something in torch\.optim, "):
        resolve("optimizer", {"_target_": target, "command": "touch marker"})


def test_paths_and_links_in_artifacts(tmp_path: Path) -> None:
    """Nothing is unpacked, so that neither can lead anywhere."""
    inside = tmp_path / "inside"
    inside.mkdir()
    secret = tmp_path / "secret.nwk"
    secret.write_text("(a:1,b:2);")
    kinds = {
        "Phylogeny[Rooted]": ("tree.nwk", lambda path: read_tree(path, ["a", "b"])),
        "FeatureTable[Frequency]": ("feature-table.biom", read_table),
        "FeatureData[Sequence]": ("dna-sequences.fasta", read_rep_seqs),
        "DistanceMatrix": ("distance-matrix.tsv", read_distances),
    }
    for semantic_type, (name, read) in kinds.items():
        path = inside / "artifact.qza"
        for escape in ("../escaped", str(tmp_path / "escaped"), "u/../../escaped"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("u/metadata.yaml", f"type: {semantic_type}\n")
                archive.writestr(escape, "x")
            with pytest.raises(UserError, match="unsafe path"):
                read(path)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("u/metadata.yaml", f"type: {semantic_type}\n")
            link = zipfile.ZipInfo(f"u/data/{name}")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, str(secret))
        with pytest.raises(UserError):  # the text of the link is no tree
            read(path)
        assert [entry.name for entry in inside.iterdir()] == ["artifact.qza"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inside", "secret.nwk"]


def test_links_and_filters_in_hdf5(tmp_path: Path) -> None:
    """A table whose ids are those of another file is none."""
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["ids"] = ["password"]
    path = tmp_path / "t.biom"
    with h5py.File(path, "w") as file:
        file["sample/ids"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/ids")
        file["observation/ids"] = ["ACGT"]
        for name, values in (("data", [1.0]), ("indices", [0]), ("indptr", [0, 1])):
            file[f"sample/matrix/{name}"] = values
    with pytest.raises(UserError, match="it has no sample/ids") as caught:
        read_table(path)
    assert "password" not in str(caught.value)
    with h5py.File(path, "r+") as file:
        assert file["sample/ids"][0] == b"password"  # so the link does lead there
        del file["sample/ids"]
        file["sample/ids"] = ["s1"]
    assert read_table(path).sample_ids == ("s1",)
    shutil.copy(path, tmp_path / "d.h5")
    with pytest.raises(UserError, match="no dataset order nor matrix"):
        read_distances(tmp_path / "d.h5")
