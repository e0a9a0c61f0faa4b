"""The device that a model runs on, and the precision of its computation."""

import torch

from paravox.modeling.errors import ConfigError, did_you_mean

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(name: str | None = None) -> torch.device:
    """The device of a name, or the best one that is here.

    Args:
        name (`str`, *optional*): such as `cpu`, `cuda`, `cuda:1` or `mps`. By default a CUDA device, then Apple's MPS,
            then the CPU.

    Raises:
        ConfigError: if there is no such device.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {name!r} cannot be used here ({reason}): use another one, such as cpu") from None
    return device


def choose_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """The precision of a name, or the one that suits a device.

    Args:
        name (`str`, *optional*): `float32`, `bfloat16` or `float16`. By default `bfloat16` on a CUDA device that
            computes in it, otherwise `float32`.
        device (`torch.device`): where the model runs.

    Raises:
        ConfigError: if there is no such precision.
    """
    if name is None:
        computes_in_it = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if computes_in_it else torch.float32
    if name not in DTYPES:
        raise ConfigError(f"dtype {name!r} is not one of {', '.join(DTYPES)}: {did_you_mean(name, DTYPES)}")
    return DTYPES[name]


def device_line(device: torch.device, dtype: torch.dtype) -> str:
    """One line that says where a model runs, such as `running on cuda (NVIDIA H100 80GB HBM3) in bfloat16`."""
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    return f"running on {device}{name} in {str(dtype).removeprefix('torch.')}"
