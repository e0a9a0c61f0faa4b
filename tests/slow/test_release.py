"""What would be released: the archives are well made, and work where there is no checkout."""

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Some tests that read files beside the packages: documents, results, benchmarks, helpers.
TESTS_OF_SDIST = ("test_house.py", "test_document_statements.py", "corpora", "runs/test_packaged_settings.py")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The sdist and the wheel, built from a copy of what git knows."""
    folder = tmp_path_factory.mktemp("release")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is not a checkout: git does not list its files")
    for name in listed.stdout.splitlines():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "source"],
        check=True,
        capture_output=True,
    )
    return sorted((folder / "dist").iterdir())


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory):
    """The folder of the programs of a new environment into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    wheel = next(path for path in archives if path.suffix == ".whl")
    install = [folder / "bin" / "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    done = subprocess.run([*install, "torch", wheel], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"the packages of the wheel cannot be downloaded here: {done.stderr.strip()[-300:]}")
    return folder / "bin"


def run(*command, cwd, **environment):
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_archives_are_well_made(archives):
    assert len(archives) == 2
    assert "PASSED" in run(sys.executable, "-m", "twine", "check", "--strict", *archives, cwd=ROOT)


def test_tests_run_from_the_sdist(archives, tmp_path):
    sdist = next(path for path in archives if path.name.endswith(".tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    tests = [f"tests/{name}" for name in TESTS_OF_SDIST]
    # The folder comes first, before the checkout that is installed in this environment.
    assert " passed" in run(
        sys.executable, "-m", "pytest", "-q", "-m", "not slow", *tests, cwd=source, PYTHONPATH=str(source)
    )


def test_the_wheel_works_where_there_is_no_checkout(installed, tmp_path):
    """From nothing to a prediction with what the wheel carries: its YAML files, card templates and metrics."""
    assert run(installed / "paravox", "--version", cwd=tmp_path).startswith("paravox ")
    assert "real_bursts" in run(installed / "paravox", "configs", cwd=tmp_path)
    code = (
        "from paravox.corpora.synthetic import write_synthetic_corpus\n"
        "write_synthetic_corpus('corpus', {'train': 180, 'validation': 40, 'test': 40}, seed=0)"
    )
    run(installed / "python", "-c", code, cwd=tmp_path)
    options = ["--data_dir", "corpus", "--output_dir", "runs/tiny", "--max_steps", "4", "--eval_strategy", "no"]
    quick = ["--save_strategy", "no", "--load_best_model_at_end", "false", "--use_cpu", "true"]
    run(installed / "paravox", "train", "tiny_demo", *options, *quick, cwd=tmp_path)
    clip = next((tmp_path / "corpus" / "audio").iterdir())
    table = run(installed / "python", "-m", "paravox", "predict", clip, "--model", "runs/tiny/model", cwd=tmp_path)
    assert "country" in table


def test_without_an_extra_its_name_is_said(installed, tmp_path):
    code = (
        "from paravox.evaluation.significance import holm\n"
        "try: holm([0.01, 0.2])\n"
        "except ValueError as error: print(error)"
    )
    said = run(installed / "python", "-c", code, cwd=tmp_path)
    assert said.strip() == (
        "a significance test needs statsmodels, which is not installed: pip install 'paravox[study]'"
    )
