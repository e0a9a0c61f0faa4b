"""Joins a batch that is spread over several processes, with its gradient, so that a loss sees all of it."""

from typing import Any

import torch
import torch.distributed


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, values.contiguous())
        ctx.rows = len(values)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        # Every process computes the same loss from the gathered batch, so this sums as many equal gradients as there
        # are processes. Data parallelism averages over the processes, which divides by their number again.
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        start = torch.distributed.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows]


def gather_batch(values: torch.Tensor) -> torch.Tensor:
    """Joins the rows of all processes in the order of their ranks. Every process gets the same result.

    A model that gathers its batch before its loss has, under data parallelism, the same gradient as one process with
    the whole batch. This also holds for losses such as CCC, which are not a mean over clips.

    Args:
        values (`torch.Tensor` of shape `(batch, ...)`): it must have the same shape on all processes.

    Returns:
        `torch.Tensor` of shape `(processes * batch, ...)`.
    """
    return _Gather.apply(values)
