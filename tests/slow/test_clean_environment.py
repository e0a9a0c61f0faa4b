"""A published model opens in an environment with torch, transformers, soundfile and soxr, and without paravox."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch", "transformers", "soundfile", "soxr")


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory):
    """The interpreter of a new virtual environment."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the packages of a clean environment cannot be downloaded here: {done.stderr.strip()[-300:]}")
    return python


def test_round_trips_in_a_clean_environment(clean_python):
    absent = "import importlib.util, sys; sys.exit(any(map(importlib.util.find_spec, sys.argv[1:])))"
    subprocess.run([clean_python, "-c", absent, "paravox", "accelerate", "datasets", "librosa"], check=True)
    tests = [sys.executable, "-m", "pytest", "-q", ROOT / "tests" / "test_hub.py"]
    done = subprocess.run(
        [*tests, "-k", "leaves_a_model or snippets_run or ensembles_are_pushed or models_are_published"],
        env=os.environ | {"PARAVOX_ELSEWHERE_PYTHON": str(clean_python)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "4 passed" in done.stdout
