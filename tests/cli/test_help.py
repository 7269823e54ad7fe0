"""``aam-train --help``: quick, and naming all that there is."""

import os
import re
import subprocess
import sys

import pytest

from aam import __version__
from aam.composing.config_files import config_dir, default_choices, groups
from aam.composing.keys import known_keys
from aam.config import TrainerConfig

HEAVY = {"torch", "hydra", "omegaconf", "numpy", "pandas", "skbio", "matplotlib", "yaml"}


@pytest.mark.parametrize(
    "code",
    [
        "import aam, aam.config, aam.errors, aam.loops, aam.facts.reader, aam.cli.train",
        "import sys; sys.argv = ['aam-train', '--help']; import aam.cli.train as t; t.main()",
        "import sys; sys.argv = ['aam-train', '--version']; import aam.cli.train as t; t.main()",
    ],
)
def test_stays_light(code):
    listed = f"{code}\nimport sys\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", listed], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(done.stderr.split()) == set()


def test_a_reader_that_leaves_is_no_error():
    code = "import sys; sys.argv = ['aam-train', '--help']; import aam.cli.train as t; t.main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_a_terminal_without_the_signs_is_no_error():
    code = "import sys; sys.argv = ['aam-train', '--help']; import aam.cli.train as t; t.main()"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


def test_names_every_choice_and_key(aam_train):
    done = aam_train("model=small", "--help")
    assert (done.code, done.err) == (0, "")
    for group, choices in groups().items():
        for choice in choices:
            mark = r"\*" if default_choices().get(group) == choice else " "
            assert re.search(rf"^  {mark} {group}={choice}   *\w", done.out, re.MULTILINE), choice
    for key in known_keys():
        assert f"  {key.name}" in done.out
    epochs = f"trainer.epochs={TrainerConfig().epochs}  (int)"
    for text in (epochs, "data.table=null  (str | None)", "optimizer.lr=1"):
        assert text in done.out


def test_every_group_is_shown():
    folders = {path.name for path in config_dir().iterdir() if path.is_dir()}
    assert default_choices().keys() == groups().keys() == folders - {"hydra"}


def test_version(aam_train):
    assert aam_train("--version").out == f"aam {__version__}\n"
