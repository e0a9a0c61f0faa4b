"""The wheel: it holds what the folders hold, nothing at top level but paravox, and imports from anywhere."""

import configparser
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("paravox", "modeling", "trainers", "recipes", "model_cards")
CARRIED = {".py", ".yaml", ".jinja"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    # Built from a copy: setuptools leaves build/ and egg-info beside setup.py.
    for name in [*FOLDERS, "setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]:
        subprocess.run(["cp", "-r", str(ROOT / name), str(copy)], check=True)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(folder),
        str(copy),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def expected_files():
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT)
            if path.suffix in CARRIED and "__pycache__" not in relative.parts:
                yield str(relative) if folder == "paravox" else f"paravox/{relative}"


def test_the_wheel_holds_what_the_folders_hold(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    carried = {name for name in names if Path(name).suffix in CARRIED}
    assert carried == set(expected_files()) and len(carried) > 40
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"paravox"}


def test_the_description_on_a_package_index_has_no_dead_link(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith("METADATA")]
    text = archive.read(metadata).decode()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all(link.startswith("https://") for link in links)
    assert "\n# paravox\n" in text and "Training has all keys" in text  # the words of a link stay


def test_every_python_that_is_named_is_one_that_setup_allows(wheel):
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    named = re.findall(r"Python :: (3\.\d+)", settings["metadata"]["classifiers"])
    assert f">={named[0]}" == settings["options"]["python_requires"] and len(named) >= 2
    # Those on which the tests ran, or the demo: that of the oldest versions, that of constraints.txt, and new ones.
    found = json.loads((ROOT / "benchmarks" / "environments.json").read_text())
    tried = [found["floors"]["Python"], *(row["Python"] for row in found.get("fresh", {}).values() if "demo" in row)]
    assert set(named) == {"3.11", *(version.rpartition(".")[0] for version in tried)}


def test_the_floors_are_the_lower_bounds():
    """What make test-floors installs is what setup.cfg promises."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    floors = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "constraints-floors.txt").read_text(), re.MULTILINE))
    core = dict(re.findall(r"^([\w-]+) >=([\d.]+)", settings["options"]["install_requires"], re.MULTILINE))
    extras = {}
    for part in ("study", "compare", "av", "secrets", "tensorboard"):
        extras |= dict(re.findall(r"^([\w-]+) >=([\d.]+)", settings["options.extras_require"][part], re.MULTILINE))
    assert len(core) >= 19 and core | extras == floors


@pytest.mark.slow
def test_every_module_imports_from_the_wheel(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    modules = [name.removesuffix(".py").replace("/", ".") for name in sorted(expected_files()) if name.endswith(".py")]
    modules = [module.removesuffix(".__init__") for module in modules]
    code = (
        "import importlib, sys\n"
        "sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]\n"
        f"for module in {modules!r}: importlib.import_module(module)\n"
        "import paravox; print(paravox.__file__, *paravox.__all__)\n"
        "[getattr(paravox, name) for name in paravox.__all__]"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert str(tmp_path / "site") in done.stdout and "Burst2VecForMultiTask" in done.stdout
