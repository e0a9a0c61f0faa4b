"""The trainer of Burst2Vec."""

from typing import Any

import numpy as np
import torch

from .clip_sources import PooledStates
from .multi_task_dataset import MultiTaskDataset
from .multi_task_trainer import MultiTaskTrainer


class Burst2VecTrainer(MultiTaskTrainer):
    """Trains a [`Burst2VecForMultiTask`] on clips, or on the states that a frozen encoder gave for them.

    It logs the terms of the loss, `shared`, `specific` and `joint` and, where the model is adversarial, `discriminator`
    and `adversarial` (Burst2Vec, equations 5 to 8), and `discriminator_accuracy/<task>`. The arguments are as in
    [`MultiTaskTrainer`].
    """

    def logged_values(self, output: Any, task: str | None) -> dict[str, torch.Tensor]:
        accuracies = output.discriminator_accuracy or {}
        return super().logged_values(output, task) | {
            f"discriminator_accuracy/{name}": value for name, value in accuracies.items()
        }

    def pool_clips(self, dataset: MultiTaskDataset) -> MultiTaskDataset:
        """Runs the encoder once over all clips, so that the rest of the model can be trained while it is frozen.

        Args:
            dataset ([`MultiTaskDataset`]): of recordings.

        Returns:
            [`MultiTaskDataset`]: the same clips and labels, with [`PooledStates`] as its source.

        Raises:
            ConfigError: if the clips are augmented.
        """
        dataset.recordings.refuse_augmentation()
        outputs = self.run_clips(self.get_eval_dataloader(dataset), self._pool)
        self.control = self.callback_handler.on_predict(
            self.args, self.state, self.control, {}
        )  # ends the progress bar
        return dataset.with_source(PooledStates(np.ascontiguousarray(outputs["pooled_states"])))

    @staticmethod
    def _pool(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"pooled_states": model.pool(**inputs)}
