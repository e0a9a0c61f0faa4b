"""Where the slow tests find real recordings and weights."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared():
    """The folder with `corpora` and `encoders`, from the variable PARAVOX_SHARED or beside the repository."""
    beside = Path(__file__).resolve().parents[2].parent / "shared"
    folder = Path(os.environ.get("PARAVOX_SHARED", beside))
    if not folder.is_dir():
        pytest.skip(f"no real recordings or weights at {folder}: set PARAVOX_SHARED to their folder")
    return folder
