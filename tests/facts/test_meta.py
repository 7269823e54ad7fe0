import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aam.facts.meta import git_state, run_metadata


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    command = ["git", *identity, *arguments]
    return subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_git_state_is_that_of_the_packages_own_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "aam"
    package.mkdir(parents=True)
    assert git_state(package) == {"commit": None, "dirty": None}
    git(tmp_path, "init", "--quiet")
    (package / "__init__.py").write_text("")
    (tmp_path / ".gitignore").write_text("outputs/\nsite/\n")
    assert git_state(package) == {"commit": None, "dirty": True}
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert len(commit) == 40
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "run").write_text("ignored")
    monkeypatch.setenv("GIT_DIR", os.fspath(tmp_path / "elsewhere"))
    assert git_state(package) == {"commit": commit, "dirty": False}
    (package / "new.py").write_text("")
    assert git_state(package) == {"commit": commit, "dirty": True}

    installed = tmp_path / "site" / "lib" / "aam"  # in an environment inside someone's repository
    installed.mkdir(parents=True)
    assert git_state(installed) == {"commit": None, "dirty": None}


def test_without_git_the_state_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_run_metadata_says_what_ran_on_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "table.biom"
    table.write_bytes(b"counts" * 100_000)
    monkeypatch.setattr(
        sys, "argv", ["/venv/bin/aam-train", "loop=pretrain", "data.table=a b.biom"]
    )
    monkeypatch.chdir(tmp_path)
    meta = run_metadata(
        seed=3,
        device="cpu",
        inputs={"table": Path("table.biom"), "tree": None},
        num_samples={"train": 5, "val": 2, "test": 1},
    )
    assert meta["command"] == "aam-train loop=pretrain 'data.table=a b.biom'"
    assert meta["working_dir"] == str(tmp_path)
    assert meta["inputs"] == {
        "table": {
            "path": str(table),
            "sha256": hashlib.sha256(b"counts" * 100_000).hexdigest(),
            "num_bytes": 600_000,
        }
    }
    assert meta["versions"]["python"] == platform.python_version()
    assert meta["versions"]["numpy"] == np.__version__
    assert set(meta["versions"]) == {"aam", "python", "torch", "numpy"}
    assert (meta["seed"], meta["device"], meta["pid"]) == (3, "cpu", os.getpid())
    assert meta["num_samples"] == {"train": 5, "val": 2, "test": 1}
