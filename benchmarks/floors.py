"""Runs the tests with the oldest versions that setup.cfg allows, and writes down what came of it.

    python benchmarks/floors.py
    python benchmarks/floors.py --python python3.10 --folder floors -- -k modeling

The versions are those of constraints-floors.txt. They are installed into an environment of its own, which is removed
afterwards unless --folder names it. With PyPI's builds of torch for Linux it takes several gigabytes. What follows `--`
is given to pytest; the numbers of passed tests are kept in benchmarks/environments.json only without it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from environments import ROOT, record_environments

CONSTRAINTS = ROOT / "constraints-floors.txt"
EXTRAS = "tests"
TESTS = ["tests", "-m", "not slow", "--ignore", "tests/slow", "--numprocesses", "2", "--dist", "worksteal"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--python", default="python3.10", help="The oldest Python (default: %(default)s).")
    parser.add_argument("--folder", type=Path, help="Make the environment here and keep it.")
    parser.add_argument("tests", nargs="*", help="Arguments of pytest, behind --.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary) / "floors").resolve()
        python = make_environment(arguments.python, folder)
        report = Path(temporary) / "report.xml"
        command = [python, "-m", "pytest", f"--junitxml={report}", *(arguments.tests or TESTS)]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        if not arguments.tests:
            suite = ElementTree.parse(report).getroot()[0].attrib
            failed = int(suite["failures"]) + int(suite["errors"])
            passed = int(suite["tests"]) - failed - int(suite["skipped"])
            versions = dict(line.split("==") for line in CONSTRAINTS.read_text().split() if "==" in line)
            version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout.split()[1]
            found = {"Python": version, "passed": passed, "failed": failed, "skipped": int(suite["skipped"])}
            record_environments("floors", found | {"versions": versions})
    sys.exit(done.returncode)


def make_environment(python: str, folder: Path) -> Path:
    """An environment with exactly the floors, and with this checkout."""
    inside = folder / "bin" / "python"
    if not inside.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    pip = [inside, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS]
    subprocess.run([*pip, "torch", "setuptools", "wheel"], check=True)
    subprocess.run([*pip, "--no-build-isolation", "--editable", f"{ROOT}[{EXTRAS}]"], check=True)
    return inside


if __name__ == "__main__":
    main()
