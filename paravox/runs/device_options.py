"""The options `--device` and `--dtype` of every program that runs a model."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Those of paravox.trainers.devices. They are written out, because torch takes seconds to import, and help needs none.
DTYPES = ("float32", "bfloat16", "float16")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--device` and `--dtype` to the options of a program."""
    parser.add_argument(
        "--device", help="Where the model runs, such as cuda:1 or cpu (default: cuda, then mps, then cpu)."
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="Precision of the computation (default: bfloat16 on a CUDA device that has it, otherwise float32).",
    )


def chosen_device(device: str | None, dtype: str | None) -> "tuple[torch.device, torch.dtype]":
    """The device and precision of these options, which a line on stderr names.

    Raises:
        ConfigError: if there is no such device or precision.
    """
    from paravox.trainers.devices import choose_device, choose_dtype, device_line

    chosen = choose_device(device)
    precision = choose_dtype(dtype, chosen)
    print(device_line(chosen, precision), file=sys.stderr)
    return chosen, precision
