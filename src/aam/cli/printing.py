"""Text for people on standard output. Imports next to nothing: ``--help`` comes through here."""

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aam.errors import UserError

# Names in foreign facts could steer the terminal. JSON has these escaped already.
_CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in range(32) if chr(code) not in "\n\t"}


def show(text: str) -> bool:
    """Print it, and tell whether anybody reads: one who has left, as ``head`` does, is no error."""
    try:
        print(text.translate(_CONTROLS), flush=True)
    except BrokenPipeError:
        # Python flushes once more at exit, and must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def show_json(document: Any) -> None:
    """Print one strict JSON document: what is not finite is null, paths are text."""
    show(json_text(document, indent=2))


def json_text(document: Any, indent: int | None = None) -> str:
    """Strict JSON, in one line or indented."""
    import json

    from aam.facts.plain import plain

    return json.dumps(plain(document, "", []), indent=indent, ensure_ascii=False, allow_nan=False)


@contextmanager
def written_to(output: Path) -> Iterator[None]:
    """Have ``output=`` blamed if what it names cannot be written.

    Raises
    ------
    UserError
        In place of an ``OSError``.
    """
    try:
        yield
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"output={output} cannot be written: its folder is a file") from None
    except OSError as error:
        raise UserError(f"output={output} cannot be written: {error.strerror or error}") from None


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> list[str]:
    """Lines of a table; the columns named in ``right`` are aligned to the right, as numbers are."""
    columns = zip(head, *rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in [head, *rows]
    ]
