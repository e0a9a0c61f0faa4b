"""The trainer of the challenge's ComParE baseline."""

from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers.trainer_utils import EvalLoopOutput

from paravox.modeling.errors import ConfigError

from .multi_task_arguments import MultiTaskTrainingArguments
from .multi_task_trainer import MultiTaskTrainer


class ComParETrainer(MultiTaskTrainer):
    """Trains a [`ComParEForMultiTask`] on functionals, with the optimiser of the organisers.

    This is Adam with a weight decay that is added to the gradient (an L2 penalty) of every parameter. AdamW, the
    Trainer's own, is another method.

    It logs `loss/<task>/mse` or `loss/<task>/cross_entropy`. An evaluation gives `eval_<task>_loss`, the weighted loss
    of the task over the split, and `eval_loss`, the sum of these, which training minimises. The arguments are as in
    [`MultiTaskTrainer`].

    Raises:
        ConfigError: if an argument concerns an encoder, which this model does not have, or chooses an optimiser.
    """

    def __init__(
        self, model: Any = None, args: MultiTaskTrainingArguments | None = None, *others: Any, **kwargs: Any
    ) -> None:
        args = MultiTaskTrainingArguments() if args is None else args
        for name in ("encoder_learning_rate", "trainable_encoder_layers", "torch_compile"):
            value = getattr(args, name)
            if value is not None and value is not False:
                raise ConfigError(f"{name} is {value!r}, but this model has no encoder: leave it out")
        if args.optim != MultiTaskTrainingArguments.optim:
            raise ConfigError(f"optim is {args.optim!r}, but this model is trained by torch.optim.Adam: leave it out")
        super().__init__(model, args, *others, **kwargs)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            args = self.args
            self.optimizer = torch.optim.Adam(
                (self.model if model is None else model).parameters(),
                lr=args.learning_rate,
                betas=(args.adam_beta1, args.adam_beta2),
                eps=args.adam_epsilon,
                weight_decay=args.weight_decay,
            )
        return self.optimizer

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        output = super().evaluation_loop(dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix)
        metrics: Any = output.metrics
        # A split without labels, such as Test of ExVo, has no losses.
        losses = [metrics[name] for task in self.tasks if (name := f"{metric_key_prefix}_{task}_loss") in metrics]
        if losses:
            metrics[f"{metric_key_prefix}_loss"] = sum(losses)
        return output
