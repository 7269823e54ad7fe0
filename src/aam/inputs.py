"""What all readers of input files share: is the file there, what kind is it, is it text."""

import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from aam.errors import UserError

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
GZIP_MAGIC = b"\x1f\x8b"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# Deflate can reach 1000:1; what is both this large and this dense is a bomb, not a table or a tree.
SUSPECT_BYTES = 2**24
SUSPECT_RATIO = 200
MAX_ID_SHOWN = 40  # an ASV id is often its whole sequence


def read_bytes(path: Path, what: str) -> bytes:
    """The whole content of a file that has some; ``what`` names it in the sentence, "the table"."""
    read_start(path, what)
    return path.read_bytes()


def read_start(path: Path, what: str) -> bytes:
    """The first bytes of a file, which tell its kind.

    Raises
    ------
    UserError
        There is no such file, it is a directory or a pipe, cannot be read, is empty, or is
        compressed.
    """
    if path.is_dir():
        raise UserError(f"{what} {path} is a directory; give a file")
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # it may never end, and is read more than once
            raise UserError(f"{what} {path} is a pipe or a device; write it to a file first")
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist; check the path") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror or error}") from None
    if not start:
        raise UserError(f"{what} {path} is empty (0 bytes); check how it was made or copied")
    if start.startswith(GZIP_MAGIC):
        raise UserError(f"{what} {path} is gzip-compressed; decompress it first (gunzip)")
    return start


def decode_text(content: bytes, what: str, path: Path, first_line: int = 1) -> str:
    """UTF-8 text, with or without a byte order mark; ``UserError`` for anything else.

    ``first_line`` is the number of the line that ``content`` begins with.
    """
    if content.startswith(UTF16_MARKS):
        raise UserError(f"{what} {path} is UTF-16 text; save it as UTF-8 (in Excel: as plain text)")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + first_line
        raise UserError(
            f"{what} {path} is not UTF-8 text (byte 0x{content[error.start]:02x} in line {line});"
            " save it as UTF-8"
        ) from None
    if "\0" in text:
        raise UserError(f"{what} {path} is a binary file, not text; give the text file")
    return text


def parse_number(cell: str) -> float:
    """A number as Python reads it, without its underscores: to other programs 1_000 is none."""
    return float(cell.replace("_", "?"))


def repeated(names: Iterable[str]) -> list[str]:
    """The names that stand more than once, in order of first appearance."""
    return [name for name, count in Counter(names).items() if count > 1]


def short(names: Iterable[str]) -> list[str]:
    """Names cut to what a sentence can hold."""
    return [n if len(n) <= MAX_ID_SHOWN else f"{n[: MAX_ID_SHOWN - 1]}…" for n in names]
