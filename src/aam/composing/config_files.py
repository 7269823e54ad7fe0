"""Where the files lie that come with the program, and what choices the YAML files give."""

from itertools import dropwhile, islice, takewhile
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def config_dir() -> Path:
    """``aam/configs`` of an installed wheel, or ``configs`` of the checkout."""
    shipped = _PACKAGE / "configs"
    return shipped if shipped.is_dir() else _PACKAGE.parents[1] / "configs"


def hpc_dir() -> Path:
    """``aam/hpc`` of an installed wheel, or ``hpc`` of the checkout: what clusters are given."""
    return config_dir().parent / "hpc"


def groups() -> dict[str, tuple[str, ...]]:
    """Config group → its choices; none of Hydra's own, as ``hydra/sweeper`` is."""
    return {
        folder.name: tuple(sorted(file.stem for file in folder.glob("*.yaml")))
        for folder in sorted(config_dir().iterdir())
        if folder.is_dir() and folder.name != "hydra"
    }


def default_choices() -> dict[str, str]:
    """Config group → the choice that ``config.yaml`` makes, in its order."""
    lines = (config_dir() / "config.yaml").read_text(encoding="utf-8").splitlines()
    entries = [_bare(line).strip("- ").partition(": ") for line in lines if line.startswith("  - ")]
    known = groups()
    return {group: choice for group, _, choice in entries if group in known}


def plot_families() -> tuple[str, ...]:
    """The keys that ``logging.families`` has."""
    lines = settings("logging", "plots_standard")
    inside = dropwhile(lambda line: line != "families:", lines)
    below = takewhile(lambda line: line.startswith("  "), islice(inside, 1, None))
    return tuple(line.partition(":")[0].strip() for line in below)


def settings(group: str, choice: str) -> tuple[str, ...]:
    """The ``key: value`` lines of a choice, without comments."""
    text = (config_dir() / group / f"{choice}.yaml").read_text(encoding="utf-8")
    lines = map(_bare, text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def summary(group: str, choice: str) -> str:
    """What the first comment of a choice says after the command that uses it."""
    text = (config_dir() / group / f"{choice}.yaml").read_text(encoding="utf-8")
    comments = [line for line in text.splitlines() if line.startswith("# aam-")]
    return comments[0].partition("   ")[2] if comments else ""


def _bare(line: str) -> str:
    """A line of YAML without the comment at its end."""
    return line.partition("  #")[0].rstrip()
