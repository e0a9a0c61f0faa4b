"""The trainer of pre-finetuning."""

from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm import tqdm

from paravox.modeling.errors import ConfigError

from .multi_task_arguments import MultiTaskTrainingArguments
from .multi_task_dataset import MultiTaskDataset
from .multi_task_trainer import MultiTaskTrainer
from .sampler import TASK_BATCHING


@dataclass
class PreFinetuningTrainingArguments(MultiTaskTrainingArguments):
    """[`MultiTaskTrainingArguments`] whose batches come from a corpus drawn at random (Chen and Yu, section 3.2)."""

    task_batching: str = field(
        default="uniform",
        metadata={
            "help": "How the corpus of a batch is chosen: uniform (drawn at random, each as often as the others), "
            "proportional (every clip once an epoch), or round_robin.",
            "choices": list(TASK_BATCHING),
        },
    )


class PreFinetuningTrainer(MultiTaskTrainer):
    """Trains a [`Wav2Vec2ForPreFinetuning`] or [`EncoderForPreFinetuning`] on batches of one corpus each.

    It knows nothing of how the losses are scaled: the model does that. `eval_loss` is the mean of the corpora's scaled
    losses over the whole split, which the paper's early stopping watches; `eval_<corpus>_loss` and `eval_<corpus>_uar`
    stand beside it. Arguments as in [`MultiTaskTrainer`].
    """

    def encode_lower_layers(self, dataset: MultiTaskDataset) -> MultiTaskDataset:
        """The same clips after one pass of the encoder's frozen lower layers, to train what stands above on.

        These layers then run without dropout, and a clip that is cropped is cropped once. The states stay in memory:
        at 50 frames a second and a width of 512, an hour of audio takes 0.37 GB.

        Args:
            dataset ([`MultiTaskDataset`]): of recordings.

        Returns:
            [`MultiTaskDataset`]: whose clips are states `(frames, hidden)`.

        Raises:
            ConfigError: if no layer is frozen, or all are, or with several processes.
        """
        if self.args.world_size > 1:
            raise ConfigError("cache_lower_layers keeps all states in one process: turn it off to train with several")
        model = self.model
        lower = model.frozen_lower_layers
        if not 0 < lower < len(model.encoder.layers):
            raise ConfigError(
                f"{lower} of {len(model.encoder.layers)} layers are frozen: cache_lower_layers needs "
                "trainable_encoder_layers of at least 1 and fewer than all"
            )
        states: list[np.ndarray] = [np.empty(0)] * len(dataset)
        loader = self.get_eval_dataloader(dataset)
        model.eval()
        for inputs in tqdm(loader, desc="lower layers", unit="batch", disable=self.args.disable_tqdm):
            index, mask = inputs.pop("index"), inputs["attention_mask"]
            with torch.no_grad(), self.compute_loss_context_manager():
                batch = model.encoder.layer_states(inputs[model.main_input_name], mask)[lower].float()
            frames = model.encoder.frame_mask(mask, batch.shape[1]).sum(dim=1)
            for row, clip, length in zip(index.tolist(), batch.cpu().numpy(), frames.tolist(), strict=True):
                states[row] = clip[:length].copy()
        return dataset.with_lower_states(states)
