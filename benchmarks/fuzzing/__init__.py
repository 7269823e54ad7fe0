"""Broken and hostile files for every reader: see ``benchmarks/fuzz.py``."""

from fuzzing import arrays, checkpoints, documents, folders, hdf5, settings, studies, texts, zips
from fuzzing.worker import Reader


def all_readers() -> tuple[Reader, ...]:
    """Every reader of files that others wrote."""
    rooms = (texts, documents, settings, folders, hdf5, zips, arrays, checkpoints, studies)
    return tuple(reader for room in rooms for reader in room.readers())
