"""A real one-machine HTCondor pool in a folder of its own, by the tool that stands beside us."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = ROOT.parent / "shared" / "tools" / "condor-pool"
SYSTEM = Path(os.environ.get("CONDOR_POOL_DIR", "/tmp/condor-pool")) / "root"
UID = 4711  # of the user that jobs belong to


def why_not() -> str:
    """Why there can be no pool here; empty if there can."""
    if not TOOL.is_file():
        return f"there is no {TOOL} to run a pool of HTCondor"
    if os.getuid() != 0:
        return "a pool of HTCondor is started by root"
    if shutil.which("debootstrap") is None:
        return "debootstrap, which builds the pool, is not installed"
    if Path(sys.base_prefix) == Path("/usr"):
        return "this Python is a part of the system, and the pool has a system of its own"
    return ""


@dataclass(frozen=True)
class Pool:
    """Runs commands within the pool, where the checkout and ``folder`` lie as they do outside."""

    folder: Path
    """May be written by jobs."""

    def run(self, *command: str | Path, as_root: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command as the pool's user, with outputs and cache in the folder."""
        variables = ["env", f"AAM_OUTPUTS={self.folder}/outputs", f"AAM_CACHE={self.folder}/cache"]
        return subprocess.run(
            [TOOL, "root" if as_root else "run", *variables, *map(str, command)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def call(self, *command: str | Path, as_root: bool = False) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.run(*command, as_root=as_root)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def queue(self, attribute: str) -> list[str]:
        """An attribute of our jobs in the queue; the pool may have others."""
        return self.call("condor_q", *self._ours(), "-af", attribute).splitlines()

    def clear(self) -> None:
        """Take our jobs out of the queue."""
        self.run("condor_rm", *self._ours())

    def _ours(self) -> list[str]:
        return ["-constraint", f'regexp("^{self.folder}/", UserLog)']


@contextmanager
def condor_pool(folder: Path) -> Iterator[Pool]:
    """Have a pool while the block runs; one that was up before stays up."""
    was_up = _tool("root", "condor_status").returncode == 0
    folder.chmod(0o755)
    os.chown(folder, UID, UID)
    up = _tool("up", str(ROOT), sys.prefix, sys.base_prefix, str(folder))
    assert up.returncode == 0, up.stdout + up.stderr
    pool = Pool(folder)
    try:
        yield pool
    finally:
        pool.clear()
        if was_up:
            subprocess.run(["umount", f"{SYSTEM}{folder}"], check=False)
        else:
            _tool("down")


def _tool(*words: str) -> subprocess.CompletedProcess[str]:
    command: Sequence[str | Path] = [TOOL, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)
