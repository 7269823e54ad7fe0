"""Where a run stands: its folder, and whether it goes on with what is there."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """``run_dir`` is None where nothing may be written."""

    run_dir: Path | None
    resume: bool = False
