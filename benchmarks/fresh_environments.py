"""Installs paravox into new environments, predicts and trains there, and writes a table of docs/environments.md.

    python benchmarks/fresh_environments.py
    python benchmarks/fresh_environments.py --only newest

Each environment is made from nothing with its own Python, which must be on the path as `python3.12` and so on. It is
removed before the next one is made; with PyPI's builds of torch for Linux each takes several gigabytes. What is
installed is a copy of the files that git knows, by the README's install line. In a folder outside of the checkout, the
programs list their YAML files, an ensemble that was saved by the environment of this program predicts one clip, and the
demo trains on fewer clips than usual. Where an environment is only to open saved models, paravox is not installed, and
every class and encoder is opened with the code that it carries.

The program fails if one of these fails, or if a prediction differs by more than the tolerance of
transformers_versions.py. The numbers are kept in benchmarks/environments.json.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from environments import RESULTS, ROOT, record_environments
from floors import CONSTRAINTS
from transformers.utils.logging import disable_progress_bar
from transformers_versions import COMPARE, RATE, TOLERANCE, compare, make_clips, save_models, slug, values_of


class Failure(Exception):
    """Something does not work in an environment."""


@dataclass(frozen=True)
class Environment:
    """What is installed: on which Python, which versions are fixed, and whether paravox is installed, too."""

    python: str
    versions: dict[str, str] = field(default_factory=dict)
    opens_only: bool = False


ENVIRONMENTS = {
    "oldest": Environment(
        "3.10", dict(line.split("==") for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    ),
    "oldest, to open only": Environment("3.10", {"torch": "2.6.0", "transformers": "4.57.6"}, opens_only=True),
    "between": Environment("3.12", {"torch": "2.9.1", "transformers": "5.12.1"}),
    "newest": Environment("3.11"),
    "newest, newest Python": Environment("3.13"),
}
# The demo with a tenth of its clips, in two epochs.
DEMO = ("--train", "90", "--validation", "40", "--test", "40", "--num_train_epochs", "2")
MODEL = "ensemble"  # of three encoders


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", choices=ENVIRONMENTS, default=ENVIRONMENTS, help="Environments to try.")
    arguments = parser.parse_args()
    disable_progress_bar()
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        expected = save_models(folder / "models")
        soundfile.write(folder / "clip.wav", make_clips()[0], RATE, subtype="FLOAT")
        copy_checkout(folder / "source")
        for name in arguments.only:
            try:
                found = try_environment(ENVIRONMENTS[name], folder, expected)
            except Failure as error:
                found = {"Python": ENVIRONMENTS[name].python, "error": str(error)[-1000:]}
            for made in ("environment", "demo"):
                shutil.rmtree(folder / made, ignore_errors=True)
            print(f"{name}: {json.dumps(found)}", flush=True)
            failed |= "error" in found or found["largest_difference"] > TOLERANCE
            so_far = json.loads(RESULTS.read_text()).get("fresh", {}) | {name: found}
            record_environments("fresh", {known: so_far[known] for known in ENVIRONMENTS if known in so_far})
    if failed:
        sys.exit("an environment does not do what it should")


def copy_checkout(folder: Path) -> None:
    """Copies what git knows, because an installation leaves files in the folder that it installs."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


def try_environment(environment: Environment, folder: Path, expected: dict[str, Any]) -> dict[str, Any]:
    """Makes one environment, and returns its versions, the largest difference of a prediction, and the seconds."""
    start = time.perf_counter()
    run(f"python{environment.python}", "-m", "venv", folder / "environment", folder=folder)
    programs = folder / "environment" / "bin"
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in environment.versions.items()))
    wanted = ("torch", "transformers", "soundfile", "soxr") if environment.opens_only else (folder / "source",)
    run(programs / "pip", "install", "--quiet", "--constraint", constraints, *wanted, folder=folder)
    found = versions_of(programs / "python", folder) | {"installing": round(time.perf_counter() - start)}
    if environment.opens_only:
        return found | {"largest_difference": open_everything(programs / "python", folder, expected)}
    configs = run(programs / "paravox", "configs", folder=folder)
    if "real_bursts" not in configs:
        raise Failure(f"the YAML files are not found: {configs}")
    command = (programs / "paravox", "predict", "clip.wav", "--model", Path("models") / slug(MODEL), "--json")
    record = json.loads(run(*command, folder=folder).splitlines()[-1])
    differences = [
        np.abs(np.array(values_of(record[task])) - rows[0]).max() for task, rows in expected[MODEL]["alone"].items()
    ]
    found["largest_difference"] = float(f"{max(differences):.1e}")
    start = time.perf_counter()
    run(programs / "python", "-m", "paravox.recipes.demo.demo", "--output_dir", "demo", *DEMO, folder=folder)
    return found | {"demo": round(time.perf_counter() - start)}


def run(*command: str | Path, folder: Path, **options: Any) -> str:
    """Runs a program in a folder outside of the checkout, where Python finds nothing but what is installed."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, **options)
    if done.returncode:
        raise Failure(done.stdout + done.stderr)
    return done.stdout


def versions_of(python: Path, folder: Path) -> dict[str, str]:
    code = (
        "import platform, torch, transformers as t; print(platform.python_version(), torch.__version__, t.__version__)"
    )
    return dict(zip(("Python", "torch", "Transformers"), run(python, "-c", code, folder=folder).split(), strict=True))


def open_everything(python: Path, folder: Path, expected: dict[str, Any]) -> float:
    """The largest difference of what the saved models predict where paravox is not installed."""
    names = [name for name in expected if name != COMPARE]  # needs openSMILE, too
    places = [folder / "models" / slug(name) for name in names]
    clips = json.dumps([clip.tolist() for clip in make_clips()])
    answers = run(python, Path(__file__).with_name("open_saved_models.py"), *places, folder=folder, input=clips)
    lines = [json.loads(line) for line in answers.splitlines() if line.startswith("{")]
    rows = [compare([line], expected[name]) for name, line in zip(names, lines, strict=True)]
    failures = [row["error"] for row in rows if "error" in row]
    if failures:
        raise Failure(failures[0])
    return max(row["largest_difference"] for row in rows)


if __name__ == "__main__":
    main()
