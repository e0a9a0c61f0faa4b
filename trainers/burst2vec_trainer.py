"""The trainer of Burst2Vec."""

from typing import Any

import numpy as np
import torch

from .clip_sources import PooledStates
from .multi_task_dataset import MultiTaskDataset
from .multi_task_trainer import MultiTaskTrainer


class Burst2VecTrainer(MultiTaskTrainer):
    """Trains a [`Burst2VecForMultiTask`]: with its loss terms in the logs, on clips or on what a frozen encoder made of them.

    The terms are `shared`, `specific` and `joint` and, where the model is adversarial, `discriminator` and
    `adversarial` (Burst2Vec, equations 5 to 8); `discriminator_accuracy/<task>` stands beside them. Arguments as in
    [`MultiTaskTrainer`].
    """

    def logged_values(self, output: Any, task: str | None) -> dict[str, torch.Tensor]:
        accuracies = output.discriminator_accuracy or {}
        return super().logged_values(output, task) | {
            f"discriminator_accuracy/{name}": value for name, value in accuracies.items()
        }

    def pool_clips(self, dataset: MultiTaskDataset) -> MultiTaskDataset:
        """The same clips after one pass of the encoder, to train the rest of the model on while the encoder is frozen.

        Args:
            dataset ([`MultiTaskDataset`]): of recordings.

        Returns:
            [`MultiTaskDataset`]: whose source is [`PooledStates`].

        Raises:
            ConfigError: if the clips are augmented.
        """
        dataset.source.refuse_augmentation()
        outputs = self.run_clips(self.get_eval_dataloader(dataset), self._pool)
        self.control = self.callback_handler.on_predict(
            self.args, self.state, self.control, {}
        )  # ends the progress bar
        return dataset.with_source(PooledStates(np.ascontiguousarray(outputs["pooled_states"])))

    @staticmethod
    def _pool(model, inputs):
        return {"pooled_states": model.pool(**inputs)}
