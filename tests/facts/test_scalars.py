from pathlib import Path

import pytest

from aam.errors import UserError
from aam.facts.scalars import Scalars


@pytest.mark.parametrize("content", [b"\xff\xfe", b"epoch,split," + b"x" * 200_000])
def test_a_broken_file_is_named_before_a_run_goes_on(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scalars.csv"
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"scalars\.csv is no table that a run wrote .*move it away"
    ):
        Scalars(path, ["mae"]).check_header()
