"""A batch that lies on several processes, joined with its gradient, so that a loss sees all of it."""

import torch
import torch.distributed


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(values) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, values.contiguous())
        ctx.rows = len(values)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        # What is worked out behind the gathering is the same on every process, so this adds up as many equal gradients
        # as there are processes; data parallelism, which averages, divides by their number.
        gradient = gradient.contiguous()
        torch.distributed.all_reduce(gradient)
        start = torch.distributed.get_rank() * ctx.rows
        return gradient[start : start + ctx.rows]


def gather_batch(values: torch.Tensor) -> torch.Tensor:
    """Joins the rows of all processes, in the order of their ranks; every process gets the same.

    A model that gathers a batch before its loss, under data parallelism, has the gradient of one process with the whole
    batch: also for losses such as CCC's that are not a mean over clips.

    Args:
        values (`torch.Tensor` of shape `(batch, ...)`): of one shape on all processes.

    Returns:
        `torch.Tensor` of shape `(processes * batch, ...)`.
    """
    return _Gather.apply(values)
