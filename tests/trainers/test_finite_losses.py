"""A loss that is not finite stops the run, at once or one step later, and the message names its own step and clips."""

import pytest
import torch

from paravox.modeling.errors import TrainingError
from paravox.trainers.finite_losses import FiniteLosses

NAN, ONE = torch.tensor(torch.nan), torch.tensor(1.0)


def batch(*rows, **said):
    return {"index": torch.tensor(rows), **(said or {"task": "age"})}


def test_on_the_cpu_it_is_seen_at_once():
    losses = FiniteLosses()
    losses.add(ONE, 1, batch(1, 2))
    with pytest.raises(TrainingError, match=r"loss of task 'age' is nan at step 2, clips \[3, 4\]"):
        losses.add(NAN, 2, batch(3, 4))


def test_later_the_message_is_that_of_the_step_that_failed():
    losses = FiniteLosses(later=True)
    losses.add(torch.tensor(torch.inf), 7, batch(3, 4, labels={"age": None, "emotion": None}))
    with pytest.raises(TrainingError, match=r"loss of task 'age', 'emotion' is inf at step 7, clips \[3, 4\]"):
        losses.add(ONE, 8, batch(5))


def test_who_logs_or_saves_sees_it_before():
    losses = FiniteLosses(later=True)
    losses.check()
    losses.add(ONE, 1, batch(1))
    losses.check()
    losses.add(NAN, 2, batch(1))
    with pytest.raises(TrainingError, match="at step 2"):
        losses.check()
    losses.check()  # said once
