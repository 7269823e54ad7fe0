"""Checkpoints: broken bytes, and wholly sealed ones that hold what no run saves."""

import hashlib
import io
import pickle
import random
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fuzzing.mutations import mutated
from fuzzing.pickles import Malicious
from fuzzing.runs import EPOCH, Content, study, whole_calibration, whole_model
from fuzzing.texts import SAMPLES
from fuzzing.values import mutated_value, odd_value
from fuzzing.worker import Reader

_SEAL = b"\naam-sha256:"  # anyone can make one
_NUMBERS = (-1, 0, 1, 3, 7, 64, 10**6, 10**9, 2**40, 2**63, -(2**63), 0.5, 1e308, float("nan"))


def sealed(payload: bytes) -> bytes:
    """With the checksum of whoever wrote it."""
    return payload + _SEAL + hashlib.sha256(payload).hexdigest().encode()


def payload_of(content: object) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def odd_tensor(rng: random.Random) -> Any:
    """What a checkpoint may hold, and other things."""
    import torch

    if rng.random() < 0.4:
        return odd_value(rng)
    if rng.random() < 0.4:
        return rng.choice(_NUMBERS)
    makers: tuple[Callable[[], Any], ...] = (
        lambda: torch.zeros(0),
        lambda: torch.zeros(()),
        lambda: torch.full((4,), float("nan")),
        lambda: torch.zeros(1).expand(10**5, 10**6),
        lambda: torch.zeros(1).expand(3, 10**9),
        lambda: torch.zeros(4, 4, dtype=torch.complex64),
        lambda: torch.zeros(4, dtype=torch.int64),
        lambda: torch.zeros(7, 3, dtype=torch.bool),
        lambda: torch.eye(4).to_sparse(),
        lambda: torch.empty(4, 4, device="meta"),
        lambda: torch.nn.Parameter(torch.zeros(3)),
        lambda: torch.zeros(7, 3, dtype=torch.bfloat16),
        lambda: {1, 2},
        lambda: (1, "a"),
        lambda: b"bytes",
        lambda: 1j,
        lambda: torch.Size([3]),
        lambda: torch.float32,
    )
    return rng.choice(makers)()


def broken_checkpoint(rng: random.Random, whole: Content, folder: Path) -> bytes:
    """Broken content, malicious pickles, broken payloads under a whole seal, broken bytes."""
    kind = rng.random()
    if kind < 0.5:
        with suppress(RecursionError):  # nested too deeply for torch.save
            return sealed(payload_of(mutated_value(rng, whole, odd_tensor)))
    if kind < 0.6:
        return _malicious(rng, whole, folder)
    content = payload_of(whole)
    if kind < 0.75:
        return sealed(mutated(rng, content))
    if kind < 0.9:
        return sealed(_other_pickle(rng, content))
    return mutated(rng, sealed(content))


def _malicious(rng: random.Random, whole: Content, folder: Path) -> bytes:
    """Code in the place of a value, as a plain pickle or as torch packs it."""
    evil = Malicious(folder, rng.randrange(4))
    content = {**whole, rng.choice([*whole, "x"]): rng.choice((evil, [evil], {"a": evil}))}
    way = rng.randrange(4)
    if way == 0:
        return sealed(pickle.dumps(content))
    if way == 1:
        import torch

        buffer = io.BytesIO()
        torch.save(content, buffer, _use_new_zipfile_serialization=False)
        return sealed(buffer.getvalue())
    return payload_of(content) if way == 2 else sealed(payload_of(content))


def _other_pickle(rng: random.Random, payload: bytes) -> bytes:
    """The zip file of torch with one of its files broken, packed, doubled or gone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    chosen = rng.randrange(len(members))
    name, content = members[chosen]
    match rng.randrange(6):
        case 0:
            del members[chosen]
        case 1:
            members[chosen] = name, b"\0" * rng.choice((0, 1, 10**6, 10**7))
        case 2:
            members[chosen] = rng.choice(members)[0] + "x", content
        case 3 if name.endswith("data.pkl"):
            depth = rng.choice((50, 10_000, 200_000))
            members[chosen] = name, b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."
        case _:
            members[chosen] = name, mutated(rng, content)
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for path, inside in members:
            archive.writestr(path, inside)
    return buffer.getvalue()


def read_checkpoint(folder: Path) -> None:
    """As resuming does."""
    from aam.training.checkpoint import load_checkpoint

    load_checkpoint(folder / "last.pt")


def predict(folder: Path) -> None:
    """As ``aam-predict`` does, past the files of samples."""
    from aam.prediction.trained import load_trained

    _predict(load_trained(str(folder)))


def calibrate(folder: Path) -> None:
    """As ``aam-predict`` does with a model that was loaded before."""
    from aam.prediction.trained import calibrated

    path = folder / "model.pt"
    _predict(calibrated(_loaded(path.read_bytes()), path, EPOCH))


@cache
def _loaded(content: bytes) -> Any:
    from aam.prediction.trained import load_trained

    with TemporaryDirectory() as folder:
        (Path(folder) / "model.pt").write_bytes(content)
        return load_trained(folder)


def _predict(trained: Any) -> None:
    import numpy as np

    from aam.prediction.predictor import predict
    from aam.prediction.samples import Samples

    num_values = sum(one.num_values for one in trained.recipe.covariates)
    covariates = np.zeros((4, num_values), np.float32) if num_values else None
    predictions = predict(trained, Samples(study(), covariates, {}))
    assert predictions.columns["sample-id"] == sorted(SAMPLES)


def start_from(folder: Path) -> None:
    """As ``pretrained=`` does."""
    from aam.config import Config, DataConfig, FinetuneConfig
    from aam.loops.pretrained import build_encoder
    from aam.loops.run import Run

    config = Config(
        loop=FinetuneConfig(),
        data=DataConfig(target="age"),
        pretrained=str(folder / "model.pt"),
    )
    build_encoder(config, Run(run_dir=None))


def checkpoint_reader(
    name: str,
    file: str,
    make: Callable[[bool], Content],
    read: Callable[[Path], object],
    beside: dict[str, Callable[[bool], Content]],
) -> Reader:
    """A reader of one checkpoint of a run folder, the others of it being whole."""

    @cache
    def whole_bytes(make: Callable[[bool], Content], is_classification: bool) -> bytes:
        return sealed(payload_of(make(is_classification)))

    def write(folder: Path, content: bytes, is_classification: bool) -> None:
        for other, make_other in beside.items():
            (folder / other).write_bytes(whole_bytes(make_other, is_classification))
        (folder / file).write_bytes(content)

    def write_broken(rng: random.Random, folder: Path) -> None:
        kind = rng.random() < 0.3
        write(folder, broken_checkpoint(rng, make(kind), folder), kind)

    return Reader(
        name,
        write_broken,
        lambda folder: write(folder, whole_bytes(make, False), False),
        read,
        ("torch", "aam.prediction.trained", "aam.loops.pretrained"),
    )


def readers() -> tuple[Reader, ...]:
    """All of them."""
    return (
        checkpoint_reader("checkpoint", "last.pt", whole_model, read_checkpoint, {}),
        checkpoint_reader(
            "model of aam-predict", "model.pt", whole_model, predict,
            {"calibration.pt": whole_calibration},
        ),
        checkpoint_reader(
            "calibration.pt", "calibration.pt", whole_calibration, calibrate,
            {"model.pt": whole_model},
        ),
        checkpoint_reader("pretrained=", "model.pt", whole_model, start_from, {}),
    )  # fmt: skip
