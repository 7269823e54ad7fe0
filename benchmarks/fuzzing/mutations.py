"""What can go wrong with the bytes and the text of a file that was whole."""

import random
import struct
from collections.abc import Callable, Sequence

MOST_BYTES = 2**20  # of one input: more would test how fast readers are, not how safe

_HUGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
NUMBERS = (
    "-1", "-0", "0.5", "1e309", "-1e309", "nan", "NaN", "inf", "-Infinity", "1_000", "0x10", "٣",
    "²", "1e", "+", "1,5", "9" * 5000, "1" + "0" * 400, "1e-400", "18446744073709551616", "",
)  # fmt: skip
WORDS = (
    "", " ", "\t", "\n", "\r", "\r\n", '"', "'", '"a\tb', "''", "\0", "\x0b", "\x1b[31m", "\x85",
    "\u2028", "\ufeff", "\u202e", "é", "e\u0301", "٣", "🧬", "\U0010ffff", "#", "#q2:types",
    "#q2:missing", "id", "sample-id", "numeric", "categorical", "taxonomy", ">", ";", ":", ",", "(",
    ")", "()", "(,)", "[", "]", "[x]", "{", "}", "null", "true", "NaN", "../../etc/passwd",
    "%s%n", "$(id)", "${oc.env:HOME}", "!!python/object/apply:os.system [id]", "&a [*a]", "*a", "~",
)  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def mutated(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to four mutations of a file's bytes; ``others`` are files to take parts of."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        change = rng.choice(_OF_BYTES)
        content = change(rng, content)[:MOST_BYTES]
    if others and rng.random() < 0.05:
        content = _spliced(rng, content, rng.choice(others))
    return content


def mutated_text(rng: random.Random, text: str, tokens: Sequence[str] = ()) -> bytes:
    """Some mutations of lines, cells and words, now and then of the encoding or the bytes too.

    ``tokens`` are words that mean something to the reader.
    """
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = rng.choice(_OF_TEXT)(rng, text, tokens)[:MOST_BYTES]
    content = text.encode("utf-8", "surrogatepass")
    kind = rng.random()
    if kind < 0.05:
        encoding = rng.choice(("latin-1", "utf-16", "utf-8-sig", "utf-32", "cp037"))
        content = text.encode(encoding, "replace")
    elif kind < 0.25:
        content = mutated(rng, content)
    return content


def _spot(rng: random.Random, content: bytes) -> tuple[int, int]:
    """Begin and end of a part, short ones more often than long ones."""
    start = rng.randrange(len(content) + 1)
    return start, min(len(content), start + int(2 ** (rng.random() * 12)))


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut_off(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _cut_out(rng: random.Random, content: bytes) -> bytes:
    start, stop = _spot(rng, content)
    return content[:start] + content[stop:]


def _double(rng: random.Random, content: bytes) -> bytes:
    start, stop = _spot(rng, content)
    return content[:stop] + content[start:stop] * rng.choice((1, 1, 2, 50)) + content[stop:]


def _move(rng: random.Random, content: bytes) -> bytes:
    start, stop = _spot(rng, content)
    rest = content[:start] + content[stop:]
    place = rng.randrange(len(rest) + 1)
    return rest[:place] + content[start:stop] + rest[place:]


def _overwrite(rng: random.Random, content: bytes) -> bytes:
    start, stop = _spot(rng, content)
    filler = rng.choice((b"\0", b"\xff", b"A", rng.randbytes(1)))
    return content[:start] + filler * (stop - start) + content[stop:]


def _huge_number(rng: random.Random, content: bytes) -> bytes:
    """A number as programs store it, at a place where one may be."""
    letter, size = rng.choice((("B", 1), ("H", 2), ("I", 4), ("Q", 8)))
    number = rng.choice(_HUGE) % 256**size
    packed = struct.pack(rng.choice("<>") + letter, number)
    place = rng.randrange(max(1, len(content) - size + 1))
    place -= place % rng.choice((1, size))
    return content[:place] + packed + content[place + size :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    return content[:place] + rng.randbytes(int(2 ** (rng.random() * 8))) + content[place:]


def _random(rng: random.Random, content: bytes) -> bytes:
    kept = content[: rng.choice((0, 0, 4, 8, 16, 512))]
    return kept + rng.randbytes(int(2 ** (rng.random() * 14)))


def _append(rng: random.Random, content: bytes) -> bytes:
    return content + rng.choice((b"\0" * 100, content, rng.randbytes(100), b"\n" * 1000))


def _spliced(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)] + other[rng.randrange(len(other) + 1) :]


_OF_BYTES: tuple[Mutation, ...] = (
    _flip, _flip, _flip, _cut_off, _cut_out, _double, _move, _overwrite, _huge_number, _huge_number,
    _insert, _random, _append,
)  # fmt: skip


def _lines(rng: random.Random, text: str, _: Sequence[str]) -> str:
    lines = text.split("\n")
    row, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[row]
        case 1:
            lines.insert(other, lines[row])
        case 2:
            lines[row], lines[other] = lines[other], lines[row]
        case 3:
            lines[row] += lines[other]
        case 4:
            lines[row] = lines[row] * rng.choice((2, 30))
        case _:
            rng.shuffle(lines)
    return rng.choice(("\n", "\n", "\n", "\r\n", "\r", "\n\n")).join(lines)


def _cells(rng: random.Random, text: str, tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    row = rng.randrange(len(lines))
    cells = lines[row].split("\t")
    column = rng.randrange(len(cells))
    match rng.randrange(6):
        case 0:
            del cells[column]
        case 1:
            cells.insert(column, rng.choice(cells))
        case 2:
            cells[column] = _word(rng, tokens)
        case 3:
            cells[column] = rng.choice(NUMBERS)
        case 4:
            cells[column] = '"' + cells[column]
        case _:
            rng.shuffle(cells)
    lines[row] = "\t".join(cells)
    return "\n".join(lines)


def _number(rng: random.Random, text: str, _: Sequence[str]) -> str:
    """One run of digits becomes a number that is none, too large or of another kind."""
    digits = [k for k, letter in enumerate(text) if letter.isdigit()]
    if not digits:
        return text + rng.choice(NUMBERS)
    start = stop = rng.choice(digits)
    while stop < len(text) and text[stop].isdigit():
        stop += 1
    return text[:start] + rng.choice(NUMBERS) + text[stop:]


def _insert_word(rng: random.Random, text: str, tokens: Sequence[str]) -> str:
    place = rng.randrange(len(text) + 1)
    word = _word(rng, tokens)
    return text[:place] + word * rng.choice((1, 1, 1, 2, 100)) + text[place:]


def _very_long(rng: random.Random, text: str, tokens: Sequence[str]) -> str:
    """A very long line, cell or number of cells, or deep nesting."""
    place = rng.randrange(len(text) + 1)
    word = rng.choice(
        ("x", "\t", "1\t", "(", "((", ")", "[", "{", ",", "'", "\n", "- ", "a: ", "0")
    )
    times = int(10 ** (2 + 3.5 * rng.random()))
    return (
        text[:place] + (word if rng.random() < 0.8 else _word(rng, tokens)) * times + text[place:]
    )


def _letters(rng: random.Random, text: str, _: Sequence[str]) -> str:
    for _times in range(rng.choice((1, 1, 4, 20))):
        place = rng.randrange(len(text) + 1)
        letter = chr(rng.choice((rng.randrange(128), rng.randrange(0xD800), 0xFEFF, 0xA0, 0x663)))
        text = text[:place] + letter + text[place + rng.randrange(2) :]
    return text


def _cut(rng: random.Random, text: str, _: Sequence[str]) -> str:
    start = rng.randrange(len(text) + 1)
    stop = min(len(text), start + int(2 ** (rng.random() * 10)))
    return text[:start] + text[stop:] if rng.random() < 0.7 else text[:start]


def _word(rng: random.Random, tokens: Sequence[str]) -> str:
    return rng.choice(tokens) if tokens and rng.random() < 0.5 else rng.choice(WORDS)


_OF_TEXT = (_lines, _cells, _cells, _number, _insert_word, _very_long, _letters, _cut)
