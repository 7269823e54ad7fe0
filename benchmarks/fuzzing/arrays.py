"""NumPy files: distance matrices whose header lies, and pickles."""

import io
import pickle
import random
from pathlib import Path

import numpy as np

from fuzzing.hdf5 import MATRIX
from fuzzing.mutations import mutated, mutated_text
from fuzzing.pickles import Malicious
from fuzzing.texts import SAMPLES, read_distances
from fuzzing.worker import Reader

IDS = "\n".join(SAMPLES) + "\n"
_SHAPES = (
    "(4, 4)", "(1000000, 1000000)", "(4294967296, 4294967296)", "(-1, 4)", "(4,)", "()", "(0, 0)",
    "(2, 8)", "(1, 4, 4)", "(True, 4)", "(4.0, 4)", "4", "None", "(99999, 99999)", "(3, 3)",
    "((((((4, 4))))))", "[4, 4]", "(9999999999999999999999, 4)", "(5, 4)",
)  # fmt: skip
_TYPES = (
    "'<f8'", "'<f4'", "'>f8'", "'|O'", "'<U9'", "'|S8'", "'<i8'", "'|b1'", "'<c16'", "'<M8[s]'",
    "''", "'<f8,<f8'", "[('a', '<f8')]", "[('a', '|O')]", "('<f8', (4,))", "'<f16'", "'<e'", "1",
    "None", "'<V8'", "'<f99'", "{'names': ['a'], 'formats': ['|O']}",
)  # fmt: skip


def npy_bytes(array: np.ndarray) -> bytes:
    """A ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def broken_npy(rng: random.Random, folder: Path) -> bytes:
    """Other headers, other arrays, pickles, or broken bytes."""
    kind = rng.random()
    content = npy_bytes(MATRIX)
    if kind < 0.35:
        content = _other_header(rng)
    elif kind < 0.5:
        content = npy_bytes(_other_array(rng))
    elif kind < 0.6:
        evil = Malicious(folder)
        content = rng.choice(
            (npy_bytes(np.array([evil, 1], dtype=object)), pickle.dumps(evil), pickle.dumps([evil]))
        )
    return mutated(rng, content) if kind > 0.6 or rng.random() < 0.2 else content


def _other_header(rng: random.Random) -> bytes:
    header = (
        f"{{'descr': {rng.choice(_TYPES)}, 'fortran_order': {rng.choice(('False', 'True', '1'))}, "
        f"'shape': {rng.choice(_SHAPES)}, }}"
    )
    if rng.random() < 0.2:
        odd = ("(" * 500, "-" * 9000, "1" * 6000, "{" * 3000, "x" * 60_000, "# ", "\n", "1e999")
        header = header.replace(rng.choice((" ", "(", "'")), rng.choice(odd), 1)
    version = rng.choice((1, 1, 1, 2, 3, 9))
    size = len(header) + 1 if rng.random() < 0.8 else rng.choice((0, 1, 65_535))
    length = size.to_bytes(2 if version == 1 else 4, "little")
    packed = length + (header + "\n").encode() if size < 65_536 else b"\xff\xff\xff\xff"
    return b"\x93NUMPY" + bytes((version, 0)) + packed + MATRIX.tobytes()


def _other_array(rng: random.Random) -> np.ndarray:
    matrix = MATRIX.copy()
    row, column = rng.randrange(4), rng.randrange(4)
    odd = rng.choice((-1.0, float("nan"), float("inf"), 1e308, -0.0, 5e-324, 0.5))
    matrix[row, column] = matrix[column, row] = odd
    kinds = ("f8", "f4", "f2", "g", "i4", "u1", "c16", "?", "S4", "U2", ">f8")
    with np.errstate(all="ignore"):
        other = np.nan_to_num(matrix).astype(rng.choice(kinds)) if rng.random() < 0.5 else matrix
    return other[:, : rng.choice((4, 4, 4, 3, 0))]


def write_npy(folder: Path, content: bytes, ids: bytes) -> None:
    (folder / "d.npy").write_bytes(content)
    (folder / "d.ids.txt").write_bytes(ids)


def _write(rng: random.Random, folder: Path) -> None:
    ids = mutated_text(rng, IDS, SAMPLES) if rng.random() < 0.2 else IDS.encode()
    write_npy(folder, broken_npy(rng, folder), ids)


def readers() -> tuple[Reader, ...]:
    """The one."""
    return (
        Reader(
            "distances .npy",
            _write,
            lambda folder: write_npy(folder, npy_bytes(MATRIX), IDS.encode()),
            lambda folder: read_distances(folder / "d.npy"),
        ),
    )
