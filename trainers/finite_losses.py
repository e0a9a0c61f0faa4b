"""Stops a run whose loss is no longer finite, without a wait for the device in each step."""

from typing import Any

import torch

from paravox.modeling.errors import TrainingError


class FiniteLosses:
    """Looks at the loss of each step: at once, or on a CUDA device in the next step, when it has long been computed.

    To look at once would make the process wait for the device, which would then wait for the process. Whoever is about
    to log or save calls [`FiniteLosses.check`] first, so that nothing is left of a run after a loss that is not finite.

    Args:
        later (`bool`, *optional*): whether to look in the next step. By default this depends on the loss's device.
    """

    def __init__(self, later: bool | None = None) -> None:
        self.later = later
        self._waiting: tuple[torch.Tensor, Any, int, dict[str, Any]] | None = None

    def add(self, loss: torch.Tensor, step: int, inputs: dict[str, Any]) -> None:
        """Notes the loss of a batch.

        Args:
            loss (`torch.Tensor`): a scalar.
            step (`int`): the number of the step, from 1.
            inputs (`dict`): the batch: its `index`, and its `task` or `labels`.

        Raises:
            TrainingError: if this loss or the one before is not finite.
        """
        self.check()
        copied = None
        on_cuda = loss.device.type == "cuda"
        value = loss.detach().to("cpu", non_blocking=on_cuda)
        if on_cuda:
            copied = torch.cuda.Event()
            copied.record()
        said: dict[str, Any] = {name: inputs[name] for name in ("index", "task", "labels") if name in inputs}
        self._waiting = value, copied, step, said
        if not (on_cuda if self.later is None else self.later):
            self.check()

    def check(self) -> None:
        """Raises [`TrainingError`] if the last loss that was noted is not finite."""
        if self._waiting is None:
            return
        value, copied, step, inputs = self._waiting
        self._waiting = None
        if copied is not None:
            copied.synchronize()
        if torch.isfinite(value):
            return
        task = repr(inputs["task"]) if "task" in inputs else ", ".join(map(repr, inputs["labels"]))
        raise TrainingError(
            f"the loss of task {task} is {value.item()} at step {step}, clips {inputs['index'].tolist()}: lower the "
            "learning rate, or check these clips and their labels"
        )
