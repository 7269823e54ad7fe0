"""What torch is not to load, and what is not to be made of it."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from aam.errors import UserError
from aam.training.safe_load import part, safe_load, understood


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def packed(payload: bytes, packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(payload)) as old, zipfile.ZipFile(buffer, "w", packing) as new:
        for member in old.infolist():
            new.writestr(member.filename, old.read(member))
    return buffer.getvalue()


def test_plain_values_come_back() -> None:
    loop: list[Any] = [torch.ones(3), {"a": (1, 2.5, None, "x", b"y")}]
    loop.append(loop)
    found = safe_load(saved({"loop": loop}))["loop"]
    assert found[0].tolist() == [1, 1, 1]
    assert found[1] == loop[1]
    assert found[2] is found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(1).expand(10**6, 10**6), r"a tensor of shape \[1000000, 1000000\] in"),
        ([{"a": (torch.zeros(1).expand(9, 10**9),)}], r"a tensor of shape \[9, 1000000000\] in"),
        (torch.eye(3).to_sparse(), "layout torch.sparse_coo on cpu"),
        (torch.empty(3, device="meta"), "layout torch.strided on meta"),
        (torch.nn.Parameter(torch.zeros(3)), "a tensor that takes a gradient"),
        (print, "Unsupported global"),
    ],
)
def test_what_is_refused(content: object, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        safe_load(saved({"x": content}))
    assert "\n" not in str(caught.value)


def test_packed_files_are_not_unpacked() -> None:
    payload = saved({"x": torch.zeros(10**6)})
    assert safe_load(packed(payload, zipfile.ZIP_STORED))["x"].numel() == 10**6
    with pytest.raises(ValueError, match="bytes would unpack to 4000"):
        safe_load(packed(payload))


def test_whatever_goes_wrong_with_a_content_is_one_sentence() -> None:
    path = Path("last.pt")
    for act in (
        lambda: part({"config": torch.ones(2)}, "config"),
        lambda: part({}, "config"),
        lambda: torch.ones(2) @ torch.ones(3),
    ):
        with pytest.raises(UserError, match=r"^last\.pt holds something else .*Error: "):  # noqa: SIM117
            with understood(path):
                act()
    with pytest.raises(UserError, match=r"^mine$"), understood(path):
        raise UserError("mine")
