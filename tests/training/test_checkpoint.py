"""Checkpoints: whole or not at all, and never a way to run somebody's code."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.errors import UserError
from aam.training.checkpoint import BEST, MODEL, link_model, load_checkpoint, save_checkpoint

CONTENT: dict[str, Any] = {
    "epoch": 3,
    "model": {"weight": torch.arange(6.0).view(2, 3)},
    "curves": {"val": [0.5, None]},
    "rng": torch.get_rng_state(),
    "config": {"data": {"table": "t.biom", "families": {}}},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / BEST, CONTENT)
    return tmp_path / BEST


def test_what_was_saved_comes_back(path: Path) -> None:
    found = load_checkpoint(path)
    assert torch.equal(found["model"]["weight"], CONTENT["model"]["weight"])
    assert torch.equal(found["rng"], CONTENT["rng"])
    assert found["curves"] == CONTENT["curves"]
    assert found["config"] == CONTENT["config"]
    # Anyone may read it with torch alone, for all the checksum at its end.
    alone = torch.load(path, weights_only=True)
    assert torch.equal(alone["model"]["weight"], CONTENT["model"]["weight"])


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, {**CONTENT, "epoch": 4})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert load_checkpoint(path)["epoch"] == 3
    assert [entry.name for entry in path.parent.iterdir()] == [BEST]


@pytest.mark.parametrize("place", [0, 0.3, 0.6, 0.95, -90, -30, -1])
def test_every_altered_byte_is_noticed(path: Path, place: float) -> None:
    raw = bytearray(path.read_bytes())
    raw[int(place * len(raw)) if 0 < place < 1 else int(place)] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"best_model\.pt is damaged .*use another checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 1, 60, 0.5, -1])
def test_every_cut_is_noticed(path: Path, kept: float) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(kept * len(raw)) if 0 < kept < 1 else int(kept)])
    with pytest.raises(UserError, match=r"best_model\.pt is damaged .*cut short or altered"):
        load_checkpoint(path)


class Malicious:
    """A pickle that touches a file when it is loaded."""

    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.touched,))


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize("sealed", [False, True])
def test_foreign_code_does_not_run(tmp_path: Path, kind: str, sealed: bool) -> None:
    path, touched = tmp_path / "evil.pt", tmp_path / "touched"
    content = {"format": 1, "model": Malicious(touched)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    if sealed:  # a checksum keeps no one out: anyone can make one
        raw = path.read_bytes()
        path.write_bytes(raw + b"\naam-sha256:" + hashlib.sha256(raw).hexdigest().encode())
    said = "no checkpoint that is safe to load" if sealed else "is damaged"
    with pytest.raises(UserError, match=rf"evil\.pt {said}|evil\.pt is {said}"):
        load_checkpoint(path)
    assert not touched.exists()
    torch.load(path, weights_only=False) if kind == "torch" else pickle.loads(path.read_bytes())
    assert touched.exists()  # so the file did hold what it should not


def test_other_files_are_refused_in_a_sentence(tmp_path: Path) -> None:
    plain = tmp_path / "plain.pt"
    torch.save({"weight": torch.ones(2)}, plain)
    with pytest.raises(UserError, match=r"plain\.pt is damaged"):
        load_checkpoint(plain)
    with pytest.raises(UserError, match=r"there is no checkpoint .*none\.pt"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        load_checkpoint(tmp_path)
    save_checkpoint(plain, {"format": 99})
    with pytest.raises(UserError, match="no aam checkpoint of format 1"):
        load_checkpoint(plain)


def test_model_pt_leads_to_the_best_model(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link_model(path.parent)
    link_model(path.parent)  # again, over the link that is there
    model = path.parent / MODEL
    assert model.readlink() == Path(BEST)
    save_checkpoint(path, {**CONTENT, "epoch": 9})
    assert load_checkpoint(model)["epoch"] == 9

    def no_links(*_: object) -> None:
        raise OSError("no links on this file system")

    monkeypatch.setattr(Path, "symlink_to", no_links)
    link_model(path.parent)
    assert not model.is_symlink()
    assert load_checkpoint(model)["epoch"] == 9
