from pathlib import Path

import pytest

from aam.errors import UserError
from aam.facts.settings import CONFIG, OVERRIDES, read_config, read_overrides, read_settings


def test_settings_by_their_dotted_keys(tmp_path: Path) -> None:
    (tmp_path / CONFIG).parent.mkdir()
    (tmp_path / CONFIG).write_text(
        "loop: {name: pretrain}\noptimizer: {lr: 1.0e-4, betas: [0.9, 0.999]}\n"
        "data: {table: null}\nscheduler: {}\nrun_name: 'on'\n"
    )
    (tmp_path / OVERRIDES).write_text("- optimizer.lr=1e-4\n- run_name=on\n")
    assert read_settings(tmp_path) == {
        "loop.name": "pretrain",
        "optimizer.lr": "0.0001",
        "optimizer.betas": "[0.9, 0.999]",
        "data.table": "null",
        "scheduler": "{}",
        "run_name": "on",
    }
    assert read_overrides(tmp_path) == ["optimizer.lr=1e-4", "run_name=on"]


# Nine times nine times nine …: what an alias stands for is built anew by whoever walks it.
LAUGHS = b"a: &a [x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (new, new, b", ".join([b"*%c" % old] * 9))
    for old, new in zip(range(97, 117), range(98, 118), strict=True)
)


def test_keys_that_json_has_not(tmp_path: Path) -> None:
    (tmp_path / CONFIG).parent.mkdir()
    (tmp_path / CONFIG).write_text("a: [{2001-02-03: x}]\n2: 2001-02-03\n")
    assert read_settings(tmp_path) == {
        "a": "[{datetime.date(2001, 2, 3): 'x'}]",
        "2": '"2001-02-03"',
    }


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"{",
        b"\xff",
        b"text",
        b"- 1",
        b"!!python/name:os",
        b"a: 2001-99-99",
        b"a: !!int x",
        b"a: !!timestamp x",
        LAUGHS,
        b"a: &a {b: *a}",
        b"a: " + b"[" * 100_000,
        b"a: " + b"{a: " * 60 + b"}" * 60,
        b"a: " + b"${oc.env:HOME}" * 20_000,
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / CONFIG).parent.mkdir()
        (tmp_path / CONFIG).write_bytes(content)
        (tmp_path / OVERRIDES).write_bytes(content)
    with pytest.raises(UserError, match=r"config\.yaml") as caught:
        read_config(tmp_path)
    assert "\n" not in str(caught.value)
    assert read_overrides(tmp_path) in ([], ["1"])
