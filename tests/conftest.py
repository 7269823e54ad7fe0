"""Fixtures that all tests share."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says that it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are absent ({SHARED_DATA} does not exist)")
    return SHARED_DATA
