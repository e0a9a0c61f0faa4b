"""The batches: of one task, complete, repeatable, within their budget, and dealt evenly to processes."""

from collections import Counter

import numpy as np
import pytest

from paravox.modeling.errors import ConfigError
from paravox.trainers.sampler import (
    ALL_TASKS,
    AllTasksBatchSampler,
    EvaluationBatchSampler,
    OneTaskBatchSampler,
    padding_share,
)

STRATEGIES = ("proportional", "round_robin", "uniform")
# Rows reveal their task: emotion below 100, age from 100, country from 200; the last ten of age have a country too.
CLIPS = {"emotion": np.arange(75), "age": np.arange(100, 141), "country": np.arange(131, 150)}


@pytest.fixture
def seconds():
    # Lengths as of real bursts: most about two seconds, a few of ten.
    return np.minimum(np.random.default_rng(0).lognormal(0.7, 0.5, size=250), 10.0)


@pytest.fixture
def make_sampler(seconds):
    def make(**settings):
        return OneTaskBatchSampler(CLIPS, seconds, {"emotion": 8, "age": 4, "country": 8}, **settings)

    return make


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("budget", [None, 24.0])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_batch_is_of_one_task_and_the_length_is_honest(make_sampler, strategy, budget, processes):
    sampler = make_sampler(task_batching=strategy, max_batch_seconds=budget, processes=processes)
    for epoch in range(3):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) and len(batches) % processes == 0
        for batch in batches:
            (task,) = {draw.task for draw in batch}
            assert {draw.index for draw in batch} <= set(CLIPS[task].tolist())
            assert len(batch) <= {"emotion": 8, "age": 4, "country": 8}[task]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_proportional_draws_every_pair_once_an_epoch(make_sampler, processes):
    drawn = [draw for batch in make_sampler(processes=processes) for draw in batch]
    counted = Counter((draw.task, draw.index) for draw in drawn if draw.counted)
    assert counted == Counter((task, clip) for task, clips in CLIPS.items() for clip in clips.tolist())
    assert processes > 1 or all(draw.counted for draw in drawn)


def test_round_robin_takes_turns_and_uniform_draws_each_about_as_often(make_sampler):
    as_many = len(make_sampler())
    turns = [batch[0].task for batch in make_sampler(task_batching="round_robin")]
    assert turns == (list(CLIPS) * as_many)[:as_many]
    sampler, counts = make_sampler(task_batching="uniform"), Counter()
    for epoch in range(200):
        sampler.set_epoch(epoch)
        counts.update(batch[0].task for batch in sampler)
    expected = 200 * as_many / 3
    assert all(abs(counts[task] - expected) < 5 * np.sqrt(expected) for task in CLIPS)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batches_depend_on_seed_and_epoch_alone(make_sampler, strategy):
    first, second = (make_sampler(task_batching=strategy, seed=7) for _ in range(2))
    list(first)  # what was drawn before leaves no trace
    assert list(first) == list(second) != list(make_sampler(task_batching=strategy, seed=8))
    second.set_epoch(1)
    assert [sorted(batch) for batch in first] != [sorted(draw._replace(epoch=0) for draw in batch) for batch in second]


@pytest.mark.parametrize("length_buckets", [True, False])
def test_the_budget_counts_padding(make_sampler, seconds, length_buckets):
    for batch in make_sampler(max_batch_seconds=15.0, length_buckets=length_buckets):
        assert len(batch) * max(seconds[draw.index] for draw in batch) <= 15.0


def test_a_clip_beyond_the_budget_is_an_error(make_sampler):
    with pytest.raises(ConfigError, match="more than max_batch_seconds of 3"):
        make_sampler(max_batch_seconds=3.0)


def test_length_buckets_keep_padding_below_8_percent():
    seconds = np.random.default_rng(1).lognormal(0.7, 0.5, size=5000)
    shares = {
        buckets: padding_share(
            list(OneTaskBatchSampler({"emotion": np.arange(5000)}, seconds, {"emotion": 32}, length_buckets=buckets)),
            seconds,
        )
        for buckets in (True, False)
    }
    assert shares[True] < 0.08 and shares[False] > 0.4


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_a_task_and_a_size_at_every_step(make_sampler, processes):
    batches = list(make_sampler(processes=processes))
    for step in range(0, len(batches), processes):
        shares = batches[step : step + processes]
        assert len({share[0].task for share in shares}) == 1 and len({len(share) for share in shares}) == 1
        fillers = [draw for share in shares for draw in share if not draw.counted]
        real = {draw.index for share in shares for draw in share if draw.counted}
        assert len(fillers) < processes and {draw.index for draw in fillers} <= real


def test_accelerate_finds_nothing_to_fill_or_drop_by(make_sampler):
    assert not hasattr(make_sampler(), "batch_size") and not hasattr(make_sampler(), "drop_last")


@pytest.mark.parametrize("processes", [1, 2])
def test_batches_of_all_tasks_draw_every_clip_once(seconds, processes):
    clips = np.unique(np.concatenate(list(CLIPS.values())))
    sampler = AllTasksBatchSampler(clips, seconds, 8, processes=processes, max_batch_seconds=24.0, seed=3)
    batches = list(sampler)
    assert len(batches) == len(sampler) and len(batches) % processes == 0
    counted = [draw.index for batch in batches for draw in batch if draw.counted]
    assert sorted(counted) == clips.tolist()
    assert {draw.task for batch in batches for draw in batch} == {ALL_TASKS}
    assert all(len(batch) * seconds[[draw.index for draw in batch]].max() <= 24.0 for batch in batches)


def test_a_task_without_clips_is_an_error(seconds):
    with pytest.raises(ConfigError, match="task 'age' has no labelled clip"):
        OneTaskBatchSampler({"emotion": np.arange(3), "age": np.arange(0)}, seconds, {"emotion": 2, "age": 2})


@pytest.mark.parametrize("processes", [1, 2])
def test_evaluation_takes_every_clip_the_longest_first(seconds, processes):
    batches = list(EvaluationBatchSampler(seconds, batch_size=16, max_batch_seconds=40.0, processes=processes))
    assert {draw.index for batch in batches for draw in batch} == set(range(len(seconds)))
    assert len(batches) % processes == 0 and batches[0][0].task is None
    assert max(seconds[draw.index] for draw in batches[0]) >= max(seconds[draw.index] for draw in batches[-1])
    assert all(len(batch) * max(seconds[draw.index] for draw in batch) <= 40.0 for batch in batches)
