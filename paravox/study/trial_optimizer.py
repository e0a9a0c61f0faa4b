"""AdamW for a trial: the weights that learn are float32, whatever the encoder computes in."""

import torch

from paravox.modeling.model_with_encoder import ModelWithEncoder
from paravox.study.grid import StudySettings


class TrialOptimizer:
    """AdamW with a learning rate that rises and falls linearly.

    In half precision, the encoder of the model is rounded, and the optimizer keeps its weights in float32. After each
    step it rounds them anew, so that steps that are smaller than the rounding are not lost. The layers behind the
    encoder stay float32.

    Args:
        model ([`ModelWithEncoder`]): a model in float32, with the weights frozen that do not learn.
        settings ([`StudySettings`]): of which the learning rate, its warmup and the weight decay count.
        steps (`int`): the largest number of steps.
        dtype (`torch.dtype`): what the encoder computes in.
    """

    def __init__(self, model: ModelWithEncoder, settings: StudySettings, steps: int, dtype: torch.dtype) -> None:
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        exact = [weight.detach() for weight in self._weights]  # these keep the values that rounding replaces
        if dtype != torch.float32:
            model.encoder.to(dtype)
        rounded = [weight.dtype != torch.float32 for weight in self._weights]
        learning = [
            value if is_rounded else weight
            for weight, value, is_rounded in zip(self._weights, exact, rounded, strict=True)
        ]
        self._rounded = [
            (weight, value, torch.empty_like(value))
            for weight, value, is_rounded in zip(self._weights, exact, rounded, strict=True)
            if is_rounded
        ]
        is_cuda = self._weights[0].device.type == "cuda"
        self._adamw = torch.optim.AdamW(
            learning, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True if is_cuda else None
        )
        self._rate, self._taken = settings.learning_rate, 0
        self._steps, self._warmup = steps, int(settings.warmup * steps)

    @torch.no_grad()
    def step(self) -> None:
        """Takes one step along the gradients of the model, and removes them."""
        used = [parts for parts in self._rounded if parts[0].grad is not None]
        if used:
            weights, values, gradients = (list(column) for column in zip(*used, strict=True))
            # All tensors in a few kernels; one by one, they are several hundred.
            torch._foreach_copy_(gradients, [weight.grad for weight in weights])
            for value, gradient in zip(values, gradients, strict=True):
                value.grad = gradient
        self._adamw.param_groups[0]["lr"] = self._rate * self._share_of_rate()
        self._adamw.step()
        self._taken += 1
        if used:
            torch._foreach_copy_(weights, values)
            for value in values:
                value.grad = None
        for weight in self._weights:
            weight.grad = None

    def _share_of_rate(self) -> float:
        """The share of the learning rate that the next step takes: it rises during the warmup, and then falls to zero.

        It is not a scheduler of torch, which holds its optimizer in a circle of references: the memory of a trial
        would then stay on the device until Python happens to look for such circles.
        """
        if self._taken < self._warmup:
            return self._taken / self._warmup
        return max(0.0, (self._steps - self._taken) / max(1, self._steps - self._warmup))
