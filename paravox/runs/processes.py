"""The processes of a program that was started by `accelerate launch` or `torchrun`."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from typing_extensions import Self

# One process may have much less to do than another one.
LONGEST_WAIT = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """Which of several processes this one is.

    Args:
        rank (`int`, *optional*, defaults to 0): its number.
        count (`int`, *optional*, defaults to 1): how many there are.
        local_rank (`int`, *optional*, defaults to 0): its number among those on this machine.
        local_count (`int`, *optional*, defaults to 1): how many there are on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    @classmethod
    def from_environment(cls) -> "Self":
        """The processes that the launcher names in the environment; this one alone if there is no launcher."""
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        defaults = (0, 1, 0, 1)
        return cls(*(int(os.environ.get(name, default)) for name, default in zip(names, defaults, strict=True)))

    def share(self, items: int) -> slice:
        """The part of a list of so many items that belongs to this process. All parts in order are the whole list."""
        return slice(items * self.rank // self.count, items * (self.rank + 1) // self.count)

    def device(self, device: str | None) -> str | None:
        """The device of this process, where each has a GPU of its own; otherwise the device as given."""
        if self.count > 1 and (device == "cuda" or (device is None and torch.cuda.is_available())):
            return f"cuda:{self.local_rank % max(1, torch.cuda.device_count())}"
        return device

    def wait(self) -> None:
        """Waits until all processes have come here."""
        if self.count == 1:
            return
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
        torch.distributed.barrier()
