"""The options of every program that compares runs: where its runs and its results go."""

import argparse
from pathlib import Path


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options `--output_dir`, `--output` and `--overwrite`, which every program that compares runs has."""
    parser.add_argument("--output_dir", type=Path, required=True, help="Folder that gets one sub-folder per run.")
    parser.add_argument(
        "--output", type=Path, required=True, help="JSON file for the results. The figures are written beside it."
    )
    parser.add_argument("--overwrite", action="store_true", help="Repeat runs that are already finished.")
