"""Reads inputs in a process of its own, which may hang, die or ask for too much memory.

The process limits itself to ``MOST_MIB`` above what it has when it starts, so that a reader that
trusts a size in a file fails there as it would on a small machine.
"""

import faulthandler
import logging
import multiprocessing
import os
import random
import resource
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

MOST_MIB = 2048
MOST_CPU_S = 2.0
HANGS_S = 20.0  # of wall time, on a machine that has other things to do
MARKER = "code-ran"  # what malicious inputs make beside their folder, if they can
LONGEST_SENTENCE = 10_010  # 1,000 letters, each of them an escape code


@dataclass(frozen=True)
class Reader:
    """One reader with its inputs; every input is known by its seed and number."""

    name: str
    write: Callable[[random.Random, Path], None]
    """Write a hostile input into a folder."""
    write_whole: Callable[[Path], None]
    """Write a valid one: a fuzzer of a reader that refuses even that would find nothing."""
    read: Callable[[Path], object]
    """Read what lies in the folder, and use what was read."""
    modules: tuple[str, ...] = ()
    """What takes long to load: the process that starts all others does it, once."""


@dataclass
class Tally:
    """What came of the inputs of one reader."""

    name: str
    inputs: int = 0
    valid: int = 0
    refused: int = 0
    slowest_ms: float = 0.0
    peak_mib: float = 0.0
    defects: dict[int, str] = field(default_factory=dict)
    """Number of the input → what went wrong."""


def fuzz(reader: Reader, inputs: range, seed: int, hangs_s: float = HANGS_S) -> Tally:
    """Have a process read all inputs; where it hangs or dies, another one goes on after it."""
    tally = Tally(reader.name)
    for module in reader.modules:
        import_module(module)
    done = inputs.start
    while done < inputs.stop:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            rest = range(done, inputs.stop)
            for number, *outcome in _outcomes(reader, rest, seed, Path(folder), hangs_s):
                _count(tally, number, *outcome)
                done = number + 1
    return tally


def _count(tally: Tally, number: int, outcome: str, cpu_s: float, peak_mib: float) -> None:
    tally.inputs += 1
    tally.slowest_ms = max(tally.slowest_ms, 1000 * cpu_s)
    tally.peak_mib = max(tally.peak_mib, peak_mib)
    if outcome == "valid":
        tally.valid += 1
    elif outcome == "refused":
        tally.refused += 1
    else:
        tally.defects[number] = outcome
    if cpu_s > MOST_CPU_S:
        tally.defects.setdefault(number, f"took {cpu_s:.1f} s of CPU time")


def _outcomes(
    reader: Reader, numbers: range, seed: int, folder: Path, hangs_s: float
) -> Iterator[tuple[int, str, float, float]]:
    """Outcomes until the process has read everything, hangs or dies."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_work, args=(reader, numbers, seed, folder, there)
    )
    process.start()
    there.close()
    number = None
    try:
        here.recv()  # ready: a valid file was read
        for number in numbers:
            if not here.poll(hangs_s):
                yield number, f"hung for {hangs_s:g} s", hangs_s, 0.0
                return
            yield here.recv()
    except EOFError:
        process.join()
        if number is None:
            raise RuntimeError(f"{reader.name}: the valid file could not be read") from None
        yield number, f"died with exit code {process.exitcode}", 0.0, 0.0
    finally:
        process.kill()
        process.join()
        here.close()


def _work(reader: Reader, numbers: range, seed: int, folder: Path, results: Connection) -> None:
    os.nice(max(0, 15 - os.nice(0)))
    faulthandler.disable()  # a crash is told by whoever waits for it
    logging.basicConfig(handlers=[_Notices()], level=logging.INFO)
    whole = folder / "whole"
    whole.mkdir()
    reader.write_whole(whole)
    reader.read(whole)
    warnings.simplefilter("error")
    _limit_memory()
    results.send("ready")
    for number in numbers:
        results.send((number, *attempt(reader, number, seed, folder)))


def attempt(reader: Reader, number: int, seed: int, folder: Path) -> tuple[str, float, float]:
    """Write and read one input: its outcome, CPU seconds and peak MiB."""
    inside = folder / f"input-{number}"
    inside.mkdir()
    with warnings.catch_warnings():  # the writers of broken files have none to heed
        warnings.simplefilter("ignore")
        reader.write(random.Random(f"{reader.name} {seed} {number}"), inside)
    _forget_peak()
    started, peak_before = _cpu_s(), _peak_of_children_mib()
    outcome = _outcome(reader, inside)
    cpu_s, peak_mib = _cpu_s() - started, _peak_mib()
    if _peak_of_children_mib() > peak_before:
        peak_mib = max(peak_mib, _peak_of_children_mib())
    if (folder / MARKER).exists():
        outcome = "ran code from the file"
        (folder / MARKER).unlink()
    elif peak_mib > MOST_MIB:
        outcome = f"took {peak_mib:.0f} MiB"
    if outcome in ("valid", "refused"):
        _remove(inside)
    return outcome, cpu_s, peak_mib


def _outcome(reader: Reader, inside: Path) -> str:
    from aam.errors import UserError

    try:
        reader.read(inside)
    except UserError as error:
        return _judged(str(error))
    except BaseException:
        return traceback.format_exc()
    return "valid"


def _judged(sentence: str) -> str:
    if not sentence.isprintable():
        return f"refused in more than one plain line: {sentence!r}"
    if not 10 < len(sentence) <= LONGEST_SENTENCE:
        return f"refused in {len(sentence)} letters: {sentence[:200]!r}"
    return "refused"


class _Notices(logging.Handler):
    """Takes what a console or a file could show; anything else is an error of the reader."""

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage().encode()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        raise


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + MOST_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _peak_of_children_mib() -> float:
    """Of all that ever were."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def _cpu_s() -> float:
    """Of this process and of its children."""
    return sum(os.times()[:4])


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
    folder.rmdir()
