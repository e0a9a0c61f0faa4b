"""The machine that a program runs on, in words, for results that depend on it."""

import os
import platform
from pathlib import Path

import torch

CPU_INFO = Path("/proc/cpuinfo")


def machine_name(device: torch.device | str = "cpu") -> str:
    """The accelerator if the device is one, otherwise the processor with its cores, and the version of torch.

    Args:
        device (`torch.device` or `str`, *optional*, defaults to `"cpu"`): where the program computes.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    processor = platform.processor() or platform.machine()
    if CPU_INFO.is_file():
        named = (line.partition(":")[2].strip() for line in CPU_INFO.read_text().splitlines() if "model name" in line)
        processor = next(named, processor)
    kind = f"{device.type} of " if device.type != "cpu" else ""
    return f"{kind}{processor}, {os.cpu_count()} cores, torch {torch.__version__}"
