"""QIIME 2 artifacts: zip files with unsafe names, false sizes, bombs, or broken files inside."""

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from fuzzing.hdf5 import biom_bytes, broken_hdf5
from fuzzing.mutations import WORDS, mutated, mutated_text
from fuzzing.texts import FASTA, LSMAT, TREE, read_distances, read_fasta, read_table, read_tree
from fuzzing.worker import Reader

TOP = "0f1a3c5e-0000-4000-8000-000000000000"
_NAMES = (
    "../evil", "/etc/evil", f"{TOP}/../../evil", f"{TOP}\\..\\evil", "C:\\evil", "", ".", "..", "/",
    f"{TOP}/data/", f"{TOP}//data/x", f"{TOP}/./metadata.yaml", f"{TOP}/metadata.yaml", "data/x",
    f"{TOP}/data/\0x", f"{TOP}/data/\nx", "é/data/x", "x" * 5000, f"{TOP}/" + "d/" * 5000,
)  # fmt: skip
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
# Of a member in the directory, where they begin and their bytes: flags, method, checksum, packed
# size, size, length of the name and of extras, place.
_NUMBERS = ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (42, 4))
Inner = Callable[[random.Random, Path], bytes]


def artifact(semantic_type: str, name: str, content: bytes) -> bytes:
    """An artifact laid out as QIIME 2 lays it out."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{TOP}/VERSION", "QIIME 2\narchive: 5\nframework: 2024.2.0\n")
        archive.writestr(f"{TOP}/metadata.yaml", f"uuid: {TOP}\ntype: {semantic_type}\nformat: x\n")
        archive.writestr(f"{TOP}/data/{name}", content)
    return buffer.getvalue()


def broken_artifact(
    rng: random.Random, semantic_type: str, name: str, whole: bytes, inner: bytes
) -> bytes:
    """An artifact of a broken file, another set of members, or broken bytes of a zip file."""
    kind = rng.random()
    if kind < 0.3:
        return artifact(semantic_type, name, inner)
    content = artifact(semantic_type, name, whole)
    if kind < 0.6:
        content = _other_members(rng, semantic_type, name, whole)
    elif kind < 0.75:
        if rng.random() < 0.3:
            content = artifact(semantic_type, name, _large(rng))
        return _false_numbers(rng, content)
    return mutated(rng, content, [whole]) if rng.random() < 0.6 else content


def _other_members(rng: random.Random, semantic_type: str, name: str, whole: bytes) -> bytes:
    buffer = io.BytesIO()
    metadata = f"uuid: {TOP}\ntype: {semantic_type}\n"
    if rng.random() < 0.4:
        metadata = mutated_text(rng, metadata, ("type", "FeatureData[Sequence]")).decode("latin-1")
    members: list[tuple[str, bytes]] = [
        (f"{TOP}/metadata.yaml", metadata.encode("utf-8", "replace")),
        (f"{TOP}/data/{name}", _large(rng) if rng.random() < 0.15 else whole),
    ]
    odd = [*_NAMES, *(f"{TOP}/{word}" for word in WORDS)]
    members += [(rng.choice(odd), b"x") for _ in range(rng.choice((0, 1, 2, 2000)))]
    rng.shuffle(members)
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in members:
            info = zipfile.ZipInfo(path.replace("\0", "?") or "?")
            info.filename = info.orig_filename = path
            info.compress_type = rng.choice(_METHODS) if len(members) < 9 else 0
            if len(content) > 10**6:  # the others take minutes to pack what is always the same
                info.compress_type = zipfile.ZIP_DEFLATED
            if rng.random() < 0.1:
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _large(rng: random.Random) -> bytes:
    """What compresses a thousandfold."""
    return rng.choice((b"\0", b"(", b"A", b">a\nA\n", b"\t")) * rng.choice(
        (10**5, 10**6, 3 * 10**7)
    )


def _false_numbers(rng: random.Random, content: bytes) -> bytes:
    """Sizes, places, methods and flags of the directory that are not those of the members."""
    changed = bytearray(content)
    entries = [k for k in range(len(content) - 4) if content[k : k + 4] == b"PK\x01\x02"]
    ends = [k for k in range(len(content) - 4) if content[k : k + 4] == b"PK\x05\x06"]
    for _ in range(rng.choice((1, 1, 2))):
        if rng.random() < 0.2:
            place = ends[-1] + rng.choice((8, 10, 12, 16))
            struct.pack_into("<I", changed, place, rng.getrandbits(31))
            continue
        offset, size = rng.choice(_NUMBERS)
        number = rng.choice((0, 1, 8, 12, 14, 99, 0xFFFF, 2**31, 2**32 - 1, rng.getrandbits(32)))
        place = rng.choice(entries) + offset
        changed[place : place + size] = (number % 256**size).to_bytes(size, "little")
    return bytes(changed)


def zip_reader(
    reader: str,
    semantic_type: str,
    name: str,
    make: Callable[[], bytes],
    broken: Inner,
    read: Callable[[Path], object],
) -> Reader:
    """A reader of one artifact whose ``data/name`` is as ``make`` makes it."""
    file = "artifact.qza"

    def write(rng: random.Random, folder: Path) -> None:
        whole, inner = make(), broken(rng, folder)
        content = broken_artifact(rng, semantic_type, name, whole, inner)
        (folder / file).write_bytes(content)

    def write_whole(folder: Path) -> None:
        (folder / file).write_bytes(artifact(semantic_type, name, make()))

    return Reader(reader, write, write_whole, lambda folder: read(folder / file))


def _broken_text(text: str) -> Inner:
    return lambda rng, _: mutated_text(rng, text)


def readers() -> tuple[Reader, ...]:
    """All of them."""
    biom: list[bytes] = []

    def table() -> bytes:
        if not biom:
            biom.append(biom_bytes())
        return biom[0]

    return (
        zip_reader(
            "table .qza", "FeatureTable[Frequency]", "feature-table.biom", table,
            lambda rng, folder: broken_hdf5(rng, table(), folder), read_table,
        ),
        zip_reader(
            "rep-seqs .qza", "FeatureData[Sequence]", "dna-sequences.fasta", FASTA.encode,
            _broken_text(FASTA), read_fasta,
        ),
        zip_reader(
            "tree .qza", "Phylogeny[Rooted]", "tree.nwk", TREE.encode, _broken_text(TREE), read_tree
        ),
        zip_reader(
            "distances .qza", "DistanceMatrix", "distance-matrix.tsv", LSMAT.encode,
            _broken_text(LSMAT), read_distances,
        ),
    )  # fmt: skip
