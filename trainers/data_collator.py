"""From drawn clips to the arguments of a model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from paravox.modeling.losses import UNKNOWN_CLASS

from .multi_task_dataset import ALL_TASKS


@dataclass
class MultiTaskCollator:
    """Turns the clips of a batch into the model's inputs, padded to their longest, with the labels of the batch's task.

    Args:
        feature_extractor ([`Burst2VecFeatureExtractor`] or [`Burst2VecEnsembleFeatureExtractor`]): takes a list of
            `(samples, rate)`.
    """

    feature_extractor: Any

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch: the model's inputs, `index` `(batch,)`, and in training `task` and `labels`.

        A batch of all tasks has the labels of each and no `task`. Labels of clips that are not counted are made unknown.
        """
        draws = [item["draw"] for item in items]
        if "pooled_states" in items[0]:
            batch = {"pooled_states": torch.from_numpy(np.stack([item["pooled_states"] for item in items]))}
        elif "lower_states" in items[0]:
            states = [torch.from_numpy(item["lower_states"]) for item in items]
            frames = torch.tensor([len(clip) for clip in states])
            batch = {"lower_states": pad_sequence(states, batch_first=True)}
            batch["attention_mask"] = (torch.arange(int(frames.max())) < frames.unsqueeze(1)).long()
            pooled = [item["lower_pooled_states"] for item in items]
            if pooled[0] is not None:
                batch["lower_pooled_states"] = torch.from_numpy(np.stack(pooled))
        else:
            batch = dict(self.feature_extractor([item["audio"] for item in items], return_tensors="pt"))
        batch["index"] = torch.tensor([draw.index for draw in draws])
        task = draws[0].task
        if task == ALL_TASKS:
            batch["labels"] = {name: _labels(items, name) for name in items[0]["labels"]}
        elif task is not None:
            batch |= {"task": task, "labels": {task: _labels(items, task)}}
        return batch


def _labels(items: list[dict[str, Any]], task: str) -> torch.Tensor:
    labels = torch.from_numpy(np.stack([item["labels"][task] for item in items]))
    counted = torch.tensor([item["draw"].counted for item in items])
    labels[~counted] = UNKNOWN_CLASS if labels.dtype == torch.int64 else torch.nan
    return labels
