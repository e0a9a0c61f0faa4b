"""The collator: from the clips of a batch to the arguments of a model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from paravox.modeling.losses import UNKNOWN_CLASS

from .clip_sources import ClipSource
from .sampler import ALL_TASKS


@dataclass
class MultiTaskCollator:
    """Turns the clips of a batch into the model's inputs, with the labels of the batch's task.

    The inputs are padded to the longest clip of the batch, or to the length that the sampler gives its draws.

    Args:
        source ([`ClipSource`]): the source that the clips were read from.
        feature_extractor (*optional*): that of the model, which takes a list of `(samples, rate)`. A source of stored
            states or functionals does not use it.
    """

    source: ClipSource
    feature_extractor: Any = None

    def __call__(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch: the model's inputs, `index` `(batch,)`, and in training `task` and `labels`.

        A batch of all tasks has the labels of every task and no `task`. Labels of clips that are not counted become
        unknown.

        Args:
            items (list of `dict`): from a [`MultiTaskDataset`].
        """
        draws = [item["draw"] for item in items]
        clips = [item["clip"] for item in items]
        batch = self.source.collate(clips, self.feature_extractor, draws[0].padded_seconds or None)
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
