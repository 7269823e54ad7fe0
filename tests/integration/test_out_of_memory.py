"""A training that takes more memory than its process may have: what it leaves, and going on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aam.facts.reader import read_events

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS"),
]
# Threads take address space too: one.
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(2.2 * 2**30),) * 2)
sys.argv[0] = "aam-train"
from aam.cli.train import main
sys.exit(main())
"""
WIDE = ("model.dim=128", "model.patch_size=1", "model.nucleotide_layers=4", "loop.min_updates=2")
SHORT = ("trainer.epochs=1", "trainer.num_threads=1", "logging=none")


def limited(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = {"AAM_OUTPUTS": str(folder / "outputs"), "AAM_CACHE": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments],
        env=os.environ | places | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_training_too_large_says_so_and_goes_on_within_a_bound(tmp_path):
    done = limited(tmp_path, *WIDE, *SHORT, "model.activation_checkpointing=none")
    assert done.returncode == 1
    assert re.fullmatch(
        r"out of memory. What was saved is intact; go on with: aam-train resume=(\S+) "
        r"trainer\.memory_gib=GIB, or start anew with .*",
        done.stderr.strip(),
    )
    (run,) = (tmp_path / "outputs" / "runs").iterdir()
    last = read_events(run)[-1]
    assert last["moment"] == "on_exception"
    assert "allocate memory" in last["error"]["message"]

    free = "model.activation_checkpointing=null"
    bounded = limited(tmp_path, f"resume={run}", "trainer.memory_gib=1.5", free)
    assert (bounded.returncode, bounded.stderr) == (0, "")
    assert read_events(run)[-1]["moment"] == "on_test_end"
