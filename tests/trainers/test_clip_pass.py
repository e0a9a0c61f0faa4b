"""A pass over clips: every clip once, results in the order of the clips, batches by length, in the right precision."""

import numpy as np
import pytest
import torch
from torch import nn

from paravox.trainers.clip_pass import (
    PassSettings,
    in_row_order,
    own_generator,
    pass_over_clips,
    read_ahead,
    run_batches,
)
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments

LENGTHS = (3, 9, 1, 7, 9, 2, 8)


class Counted:
    """Clips of different lengths, row r filled with r + 1; its seconds are its numbers."""

    def __init__(self, lengths=LENGTHS):
        self.seconds = np.array(lengths, np.float64)
        self.read = []

    def __len__(self):
        return len(self.seconds)

    def __getitem__(self, draw):
        self.read.append(draw.index)
        return draw.index, torch.full((int(self.seconds[draw.index]),), draw.index + 1.0)


def collate(items):
    values = nn.utils.rnn.pad_sequence([clip for _, clip in items], batch_first=True)
    return {"index": torch.tensor([row for row, _ in items]), "values": values}


class Scale(nn.Module):
    """Adds up a clip with a weight; in training it would give something else."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.layer.weight, 1 + 2**-10)  # which bfloat16 rounds to 1
        self.sizes = []

    def forward(self, values):
        self.sizes.append(tuple(values.shape))
        sums = self.layer(values.sum(dim=1, keepdim=True))
        return sums if not self.training else torch.full_like(sums, torch.nan)


def step(model, inputs):
    assert set(inputs) == {"values"}
    return {"sum": model(inputs["values"]), "frames": (inputs["values"] != 0).sum(dim=1)}


def sums(lengths=LENGTHS):
    """What [`Scale`] gives for each clip, by hand."""
    return np.array([[length * (row + 1) * (1 + 2**-10)] for row, length in enumerate(lengths)])


def run(model, clips, **settings):
    return pass_over_clips(model, clips, collate, step, PassSettings(show_progress=False, **settings))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_results_come_back_in_the_order_of_the_clips(batch_size, workers):
    clips, model = Counted(), Scale()
    batches = list(run(model, clips, batch_size=batch_size, num_workers=workers))
    rows = [row for rows, _ in batches for row in rows.tolist()]
    assert sorted(rows) == list(range(len(LENGTHS)))
    assert rows != sorted(rows) or batch_size == 100  # the longest clips come first
    assert all(len(rows) <= batch_size for rows, _ in batches)
    results = in_row_order(batches, len(clips))
    np.testing.assert_allclose(results["sum"], sums(), rtol=1e-6)
    assert results["frames"].tolist() == list(LENGTHS) and results["frames"].dtype == np.int64
    assert workers or sorted(clips.read) == list(range(len(LENGTHS)))  # each clip is read once


def test_the_longest_clips_come_first_and_lengths_are_not_mixed():
    model = Scale()
    rows = [rows.tolist() for rows, _ in run(model, Counted((1, 100, 1, 100, 100, 1)), batch_size=3)]
    assert [set(batch) for batch in rows] == [{1, 3, 4}, {0, 2, 5}]
    assert model.sizes == [(3, 100), (3, 1)]


def test_the_budget_holds_and_a_clip_beyond_it_is_alone():
    model = Scale()
    list(run(model, Counted((2, 2, 2, 2, 2, 2)), batch_size=100, max_batch_seconds=4.0))
    assert model.sizes == [(2, 2)] * 3
    model = Scale()
    clips = Counted((2, 3, 50, 2, 3))
    batches = list(run(model, clips, batch_size=100, max_batch_seconds=10.0))
    assert batches[0][0].tolist() == [2] and model.sizes[0] == (1, 50)
    np.testing.assert_allclose(in_row_order(batches, 5)["sum"], sums((2, 3, 50, 2, 3)), rtol=1e-6)


def test_no_clips_give_no_results():
    assert list(run(Scale(), Counted(()), max_batch_seconds=3.0)) == []


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_restored(training):
    model = Scale().train(training)
    results = in_row_order(run(model, Counted()), len(LENGTHS))
    assert np.isfinite(results["sum"]).all()  # it ran in evaluation mode
    assert model.training == model.layer.training == training


def test_the_mode_is_restored_where_the_consumer_stops_or_a_step_fails():
    model = Scale().train()
    batches = run(model, Counted(), batch_size=2)
    next(batches)
    assert not model.training
    batches.close()
    assert model.training
    for _ in run(model, Counted(), batch_size=2):
        break
    assert model.training

    def failing(model, inputs):
        raise RuntimeError("no memory left")

    with pytest.raises(RuntimeError, match="no memory left"):
        list(pass_over_clips(model, Counted(), collate, failing, PassSettings(show_progress=False)))
    assert model.training


def test_nothing_of_a_pass_has_a_gradient():
    model, seen = Scale(), []

    def watching(model, inputs):
        output = model(inputs["values"])
        seen.append(output.requires_grad)
        return {"sum": output}

    list(pass_over_clips(model, Counted(), collate, watching, PassSettings(show_progress=False)))
    assert seen == [False]


def test_half_precision_is_really_used_and_the_weights_stay():
    model, seen = Scale(), []

    def watching(model, inputs):
        output = model(inputs["values"])
        seen.append(output.dtype)
        return {"sum": output}

    settings = PassSettings(dtype=torch.bfloat16, show_progress=False)
    results = in_row_order(pass_over_clips(model, Counted((1, 1)), collate, watching, settings), 2)["sum"]
    assert seen == [torch.bfloat16] and results.dtype == np.float32
    # The weight of 1 + 1/1024 is 1 in bfloat16.
    assert results.tolist() == [[1.0], [2.0]]
    assert model.layer.weight.dtype == torch.float32 and model.layer.weight.item() == 1 + 2**-10
    assert in_row_order(run(model, Counted((1, 1))), 2)["sum"].tolist() == [[1 + 2**-10], [2 * (1 + 2**-10)]]


def test_rows_that_only_fill_a_batch_are_left_out():
    batches = [{"index": torch.tensor([2, 0]), "values": torch.ones(2, 3)}]
    asked = []

    def gather(values, padding):
        asked.append(padding)
        return torch.cat([values, torch.full_like(values[:1], padding)])

    ((rows, results),) = run_batches(Scale(), batches, step, "cpu", gather=gather)
    assert rows.tolist() == [2, 0] and results["frames"].tolist() == [3, 3]
    assert asked == [-1, 0, 0]


def test_batches_are_read_ahead_in_order_and_errors_arrive():
    made = []

    def batches():
        for number in range(4):
            made.append(number)
            yield number
        raise ValueError("no more")

    ahead = read_ahead(batches())
    assert next(ahead) == 0 and next(ahead) == 1
    with pytest.raises(ValueError, match="no more"):
        assert [next(ahead), next(ahead)] == [2, 3]
        next(ahead)
    assert made == [0, 1, 2, 3]
    assert list(read_ahead([])) == []


def test_settings_follow_the_arguments_of_a_run(tmp_path):
    def settings(**arguments):
        arguments = {"output_dir": str(tmp_path), "use_cpu": True, "report_to": [], **arguments}
        return PassSettings.from_arguments(MultiTaskTrainingArguments(**arguments))

    found = settings(per_device_eval_batch_size=5, max_batch_seconds=30.0, dataloader_num_workers=2, disable_tqdm=True)
    assert (found.batch_size, found.max_batch_seconds, found.num_workers) == (5, 30.0, 2)
    assert found.device == torch.device("cpu") and found.dtype == torch.float32 and not found.show_progress
    assert settings(bf16=True).dtype == torch.bfloat16 and settings(disable_tqdm=False).show_progress


def test_reading_draws_nothing_from_the_generator_of_the_process():
    model = Scale()
    before = torch.get_rng_state()
    list(run(model, Counted(), num_workers=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert own_generator() is not torch.default_generator
