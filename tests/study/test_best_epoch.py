"""Which epoch is kept, and when training stops, for scores that are given."""

import pytest
import torch
from torch import nn

from paravox.study.best_epoch import BestEpoch


def follow(scores, patience):
    """Lets a model with one weight, the number of the epoch, go through the scores until it is over."""
    model = nn.Linear(1, 1, bias=False)
    best = BestEpoch(model, patience)
    epoch = 0
    for epoch, score in enumerate(scores, start=1):
        nn.init.constant_(model.weight, epoch)
        best.update(epoch, score)
        if best.is_over:
            break
    best.restore()
    return best, epoch, model.weight.item()


@pytest.mark.parametrize(
    ("scores", "patience", "best_epoch", "last"),
    [
        ([0.1, 0.5, 0.4, 0.5, 0.3, 0.9], 3, 2, 5),  # a score that is as good does not count as better
        ([0.1, 0.5, 0.4, 0.5, 0.6, 0.9], 3, 6, 6),
        ([0.0, 0.0, 0.0], 2, 1, 3),  # even the worst score is better than none
        ([0.7, 0.1, 0.2], 1, 1, 2),
    ],
)
def test_the_first_of_the_best_epochs_is_restored(scores, patience, best_epoch, last):
    best, epoch, weight = follow(scores, patience)
    assert (best.epoch, best.score, epoch, weight) == (best_epoch, scores[best_epoch - 1], last, best_epoch)


def test_without_scores_the_last_weights_stay():
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    best = BestEpoch(model, 3)
    best.restore()
    assert torch.equal(model.weight, before) and best.epoch is None and best.score is None and not best.is_over
