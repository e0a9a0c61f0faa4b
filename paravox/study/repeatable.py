"""What makes two runs of a trial equal: seeds, and kernels whose sums always have one order."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# cuBLAS needs it for products that are equal in every run. It is read once, at the first product on a CUDA device.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

_demanded = True


@contextmanager
def repeatable(seed: int, device: torch.device) -> Iterator[None]:
    """Everything random inside depends on the seed alone, and nothing outside is changed.

    On a CUDA device, only kernels are used whose results do not differ from one run to the next.

    Args:
        seed (`int`): of torch's and NumPy's own generators, which dropout and SpecAugment draw from.
        device (`torch.device`): where the trial runs.
    """
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            with _equal_kernels(device):
                yield
        finally:
            np.random.set_state(state)


@contextmanager
def _equal_kernels(device: torch.device) -> Iterator[None]:
    if device.type != "cuda":
        yield
        return
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    fills = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=not _demanded)
    # Otherwise every new tensor is filled, though nothing here reads one before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
        torch.utils.deterministic.fill_uninitialized_memory = fills


def give_way(error: RuntimeError) -> bool:
    """Takes any kernel from now on, if the error says that the device lacks one that is equal in every run.

    Returns:
        `bool`: whether the trial is worth another try.
    """
    global _demanded
    if not _demanded or "deterministic" not in str(error):
        return False
    _demanded = False
    print(f"two runs on this device may differ in their last bits ({str(error).splitlines()[0]})", file=sys.stderr)
    return True
