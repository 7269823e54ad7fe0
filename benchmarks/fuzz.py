"""Broken and hostile files for every reader of aam: nothing but a value or one plain sentence.

    python benchmarks/fuzz.py [READER …] [--inputs 10000] [--seed 0] [--at NUMBER]

Each input is a valid small file that was broken in ways that suit its format (or not at all suit
it), read in a process of its own with a limit on memory and time. A defect is any exception but
``UserError``, a sentence of more than one line, a warning, more than 2 s of CPU time or 2 GiB, a
crash, or code from the file that ran. Defects go to stderr, the table to stdout; the exit code is
1 if there is one. ``--at`` reads one input again, with the whole traceback, and leaves a defect's
input in the working directory.
"""

import argparse
import os
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("readers", nargs="*", metavar="READER", help="default: all")
    parser.add_argument("--inputs", type=int, default=10_000, help="of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", type=int, help="only the input of this number")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")

    from fuzzing import all_readers
    from fuzzing.worker import attempt, fuzz

    readers = {reader.name: reader for reader in all_readers()}
    unknown = [name for name in given.readers if name not in readers]
    if unknown:
        parser.error(f"there is no {unknown[0]!r}; there is {', '.join(readers)}")
    chosen = [readers[name] for name in given.readers or readers]
    if given.at is not None:
        for reader in chosen:
            print(attempt(reader, given.at, given.seed, Path.cwd())[0])
        return 0
    num_defects = 0
    print("| reader | inputs | valid | refused | slowest (ms) | peak (MiB) | defects |")
    print("|---|---:|---:|---:|---:|---:|---:|", flush=True)
    for reader in chosen:
        tally = fuzz(reader, range(given.inputs), given.seed)
        num_defects += len(tally.defects)
        print(
            f"| {tally.name} | {tally.inputs:,} | {tally.valid:,} | {tally.refused:,} | "
            f"{tally.slowest_ms:.0f} | {tally.peak_mib:.0f} | {len(tally.defects)} |",
            flush=True,
        )
        for number, what in tally.defects.items():
            last = what.rstrip().rpartition("\n")[2]
            print(f"{tally.name}, input {number}: {last[:300]}", file=sys.stderr)
    return 1 if num_defects else 0


if __name__ == "__main__":
    sys.exit(main())
