"""HDF5 files: BIOM 2.1 tables and distance matrices with broken bytes or unlikely content."""

import io
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from fuzzing.mutations import mutated
from fuzzing.texts import ASVS, SAMPLES, read_distances, read_table
from fuzzing.worker import Reader

COUNTS = np.array([[5, 0, 1, 2], [0, 0, 7, 1], [2, 3, 0, 1], [0, 9, 4, 0], [1, 1, 0, 0]])
MATRIX = np.array(
    [[0, 0.25, 0.5, 1], [0.25, 0, 0.125, 0.75], [0.5, 0.125, 0, 1 / 3], [1, 0.75, 1 / 3, 0]]
)


def biom_bytes() -> bytes:
    """A table as biom-format writes it."""
    import h5py
    from biom import Table

    lineage = [{"taxonomy": ["k__Bacteria", "p__x"]}] * len(ASVS)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        Table(COUNTS.astype(float), ASVS, SAMPLES, lineage).to_hdf5(file, "fuzz")
    return buffer.getvalue()


def distance_bytes() -> bytes:
    """A matrix as ``ssu`` writes it."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["matrix"] = MATRIX
        file["order"] = [name.encode() for name in SAMPLES]
    return buffer.getvalue()


def broken_hdf5(rng: random.Random, whole: bytes, folder: Path) -> bytes:
    """Datasets of other types, shapes and sizes; links that lead elsewhere; or broken bytes."""
    content = whole
    if rng.random() < 0.6:
        content = _restructured(rng, whole, folder)
    return mutated(rng, content, [whole]) if rng.random() < 0.5 else content


def _restructured(rng: random.Random, whole: bytes, folder: Path) -> bytes:
    import h5py

    buffer = io.BytesIO(whole)
    with h5py.File(buffer, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        for _ in range(rng.choice((1, 1, 2))):
            change, name = rng.choice(_CHANGES), rng.choice(names)
            # The change before may have taken away what this one is about.
            with suppress(KeyError, OSError, OverflowError, RuntimeError, TypeError, ValueError):
                change(rng, file, name, folder)
    return buffer.getvalue()


def _replace(rng: random.Random, file: Any, name: str, _: Path) -> None:
    del file[name]
    file[name] = _odd_array(rng)


def _reshape(rng: random.Random, file: Any, name: str, _: Path) -> None:
    """The same values in another shape or type."""
    values = _values(file, name)
    if values is None:
        return
    del file[name]
    match rng.randrange(7):
        case 0:
            values = values[..., None]
        case 1:
            values = values[:1]
        case 2:
            values = np.concatenate([values] * rng.choice((2, 50)))
        case 3:
            values = values[::-1]
        case 4 if values.dtype.kind in "iuf":
            values = values.astype(rng.choice(("i1", "u8", "f2", "c16", "?", ">f4", "S8")))
        case 5:
            values = values.ravel()[0] if values.size else values
        case _:
            values = np.asarray([str(one) for one in values.ravel()], dtype="S")
    file[name] = values


def _odd_cells(rng: random.Random, file: Any, name: str, _: Path) -> None:
    """A few numbers, or ids, that are wrong."""
    values = _values(file, name)
    if values is None or not values.size:
        return
    dataset = file[name]
    place = tuple(rng.randrange(size) for size in dataset.shape)
    if values.dtype.kind in "iuf":
        odd = rng.choice((-1, 0, 2, 0.5, 2**31 - 1, -(2**31), 1e300, float("nan"), float("inf")))
        if values.dtype.kind in "iu":
            odd = int(odd) if abs(odd) < 2**31 else 99
    else:
        odd = rng.choice((b"", b"\xff\xfe", b"a\nb", b"x" * 70_000, b"s1", b"ACGTACGTAC", b"\x1b["))
    dataset[place] = odd


def _attribute(rng: random.Random, file: Any, name: str, _: Path) -> None:
    where = rng.choice((file, file[name]))
    key = rng.choice((*where.attrs.keys(), "shape", "nnz", "type", "id"))
    if rng.random() < 0.3:
        where.attrs.pop(key, None)
    else:
        where.attrs[key] = _odd_array(rng)


def _remove(_: random.Random, file: Any, name: str, __: Path) -> None:
    del file[name]


def _link(rng: random.Random, file: Any, name: str, folder: Path) -> None:
    """A link to itself, to nothing, to another file, or another object under this name."""
    import h5py

    del file[name]
    links = (
        h5py.SoftLink(f"/{name}"),
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink("/"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        h5py.ExternalLink("/dev/zero", "/x"),
        h5py.ExternalLink(str(folder / "other.h5"), "/x"),
    )
    file[name] = rng.choice(links)


def _huge(rng: random.Random, file: Any, name: str, _: Path) -> None:
    """A dataset that says it is large and has next to nothing on disk."""
    del file[name]
    shape = rng.choice(((2**40,), (2**20, 2**20), (10**9,), (2**31,), (3, 2**33), (2**27,)))
    kind = rng.choice(("f8", "i4", "S100", _text_type()))
    chunk = tuple(min(size, 1000) for size in shape)
    file.create_dataset(name, shape=shape, dtype=kind, chunks=chunk)


def _dense(rng: random.Random, file: Any, name: str, _: Path) -> None:
    """What compresses very well."""
    del file[name]
    size = rng.choice((10**5, 3 * 10**6))
    values = np.zeros(size, rng.choice(("f8", "i4", "u1")))
    file.create_dataset(name, data=values, compression="gzip", chunks=(10**5,))


def _elsewhere(rng: random.Random, file: Any, name: str, folder: Path) -> None:
    """Values that are kept in another file, or made of those of another one."""
    import h5py

    del file[name]
    if rng.random() < 0.5:
        source = rng.choice(("/etc/passwd", "/dev/zero", str(folder / "raw")))
        file.create_dataset(name, shape=(64,), dtype="f8", external=[(source, 0, 512)])
        return
    layout = h5py.VirtualLayout(shape=(64,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", shape=(64,))
    file.create_virtual_dataset(name, layout)


def _values(file: Any, name: str) -> Any:
    import h5py

    found = file.get(name)
    small = isinstance(found, h5py.Dataset) and found.shape is not None and found.size < 10**6
    return found[...] if small and found.ndim and not found.is_virtual else None


def _odd_array(rng: random.Random) -> Any:
    import h5py

    return rng.choice(
        (
            lambda: 1.0,
            lambda: "text",
            lambda: b"\xff\xfe",
            lambda: np.zeros((0,)),
            lambda: np.zeros((0, 3)),
            lambda: np.array([np.nan, np.inf, -1.0, 0.5]),
            lambda: np.array([-1, 2**62, 0]),
            lambda: np.array([1 + 2j]),
            lambda: np.array([True, False]),
            lambda: np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
            lambda: np.array([b"a", b"b"], dtype="S9"),
            lambda: np.zeros(3, dtype="V5"),
            lambda: h5py.Empty("f8"),
            lambda: h5py.Empty("S10"),
            lambda: np.array(["a\n", "", "s1"], dtype=_text_type()),
            lambda: np.array([2**64 - 1], dtype="u8"),
            lambda: np.array(range(100)),
        )
    )()


def _text_type() -> Any:
    import h5py

    return h5py.string_dtype()


_CHANGES = (
    _replace, _replace, _reshape, _reshape, _odd_cells, _odd_cells, _odd_cells, _attribute, _remove,
    _link, _huge, _dense, _elsewhere,
)  # fmt: skip


def hdf5_reader(
    name: str, file: str, make: Callable[[], bytes], read: Callable[[Path], object]
) -> Reader:
    """A reader of one HDF5 file."""
    cache: list[bytes] = []

    def whole() -> bytes:
        if not cache:
            cache.append(make())
        return cache[0]

    return Reader(
        name,
        lambda rng, folder: _write(folder / file, broken_hdf5(rng, whole(), folder)),
        lambda folder: _write(folder / file, whole()),
        lambda folder: read(folder / file),
        ("h5py", "biom", "aam.data.table"),
    )


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def readers() -> tuple[Reader, ...]:
    """All of them."""
    return (
        hdf5_reader("BIOM 2.1", "table.biom", biom_bytes, read_table),
        hdf5_reader("distances HDF5", "distances.h5", distance_bytes, read_distances),
    )
