"""Which epoch of a trial is scored: the one that does best on the evaluation part, or the last one."""

import copy

from torch import nn


class BestEpoch:
    """Keeps the weights of the first epoch that reaches the highest score, and says when to stop.

    Args:
        model (`nn.Module`): the model that is being trained.
        patience (`int`): training is over after this many epochs in a row without a higher score.
    """

    def __init__(self, model: nn.Module, patience: int) -> None:
        self.model = model
        self.patience = patience
        self.score: float | None = None
        self.epoch: int | None = None
        self.is_over = False
        self._weights: dict | None = None

    def update(self, epoch: int, score: float) -> None:
        """Takes in the score of an epoch, counted from 1, that the model has just been through."""
        if self.score is None or score > self.score:
            self.score, self.epoch = score, epoch
            self._weights = copy.deepcopy(self.model.state_dict())
        else:
            self.is_over = epoch - self.epoch >= self.patience

    def restore(self) -> None:
        """Gives the model the weights of the best epoch back. Without any score it keeps those of the last one."""
        if self._weights is not None:
            self.model.load_state_dict(self._weights)
