import json

from aam.cli.printing import show, show_json


def test_names_cannot_steer_the_terminal(capsys):
    show("a\x1b[2Jb\x07\tc\nµ")
    assert (
        capsys.readouterr().out == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}\tc\nµ\n"
    )
    show_json({"name": "\x1b[2J"})
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert json.loads(out) == {"name": "\x1b[2J"}
