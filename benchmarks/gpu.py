"""Measure everything that an accelerator changes, in one run of at most eight minutes on one H100.

    python benchmarks/gpu.py --clips FOLDER
    python benchmarks/gpu.py --clips FOLDER --device cpu --tiny --output /tmp/results_gpu.json

Each section runs in a process of its own, one after the other, and its figures are written as they come. Nothing is
downloaded: FOLDER needs 300 clips, which are repeated, and without --encoder the weights are random. Neither changes
how long something takes.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gpu_material import Material
from timing import record

RESULTS = Path(__file__).with_name("results_gpu.json")
# By name: the module with a function `measure`, which yields what it has found so far, and the most seconds that it may
# take.
SECTIONS = {
    "prediction": ("gpu_prediction", 70),
    "training_step": ("gpu_training_step", 80),
    "training_run": ("gpu_training_run", 130),
    "trials": ("gpu_trials", 180),
    "agreement": ("gpu_agreement", 100),
}


def main() -> None:
    arguments = parse_arguments()
    if arguments.section is not None:
        run_section(arguments)
        return
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.sections:
            started = time.perf_counter()
            print(f"== {name}", flush=True)
            command = [sys.executable, __file__, *sys.argv[1:], "--section", name, "--folder", folder]
            try:
                subprocess.run(command, check=True, timeout=SECTIONS[name][1])
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                failed.append(name)
                reason = "it took too long" if isinstance(error, subprocess.TimeoutExpired) else "it failed"
                print(f"{name}: {reason}", flush=True)
            print(f"== {name}: {time.perf_counter() - started:.0f} s", flush=True)
    if failed:
        sys.exit(f"not measured: {', '.join(failed)}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--clips", type=Path, required=True, help="Folder with at least 300 recordings.")
    parser.add_argument("--encoder", help="Folder or name of a Whisper (default: random weights).")
    parser.add_argument("--device", default="cuda", help="Where to measure (default: %(default)s).")
    parser.add_argument("--tiny", action="store_true", help="Sizes that a CPU runs in seconds, to try the program.")
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="What to measure (default: all)."
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="The file of results (default: %(default)s).")
    parser.add_argument("--section", choices=SECTIONS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def run_section(arguments: argparse.Namespace) -> None:
    """Measures one section in this process."""
    material = Material.of(arguments.folder, arguments.clips, arguments.encoder, arguments.tiny)
    measure = importlib.import_module(SECTIONS[arguments.section][0]).measure
    for values in measure(material, arguments.device):  # each time more of them
        record(arguments.section, values | material.description(), arguments.output, arguments.device)


if __name__ == "__main__":
    main()
