"""The batches: of one task, complete, repeatable, within their budget, and dealt evenly to processes."""

import itertools
from collections import Counter

import numpy as np
import pytest

from paravox.modeling.errors import ConfigError
from paravox.trainers.sampler import (
    ALL_TASKS,
    PADDED_LENGTHS,
    AllTasksBatchSampler,
    Bucket,
    ClipDraw,
    EvaluationBatchSampler,
    OneTaskBatchSampler,
    padded_lengths,
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


def test_the_order_of_tasks_depends_on_seed_and_epoch(make_sampler):
    for strategy in ("proportional", "uniform"):
        orders = []
        for seed, epoch in ((7, 0), (7, 0), (8, 0), (7, 1)):
            sampler = make_sampler(task_batching=strategy, seed=seed)
            sampler.set_epoch(epoch)
            orders.append([batch[0].task for batch in sampler])
        assert orders[0] == orders[1] and orders[0] not in orders[2:]


def test_draws_carry_their_epoch(make_sampler):
    sampler = make_sampler()
    sampler.set_epoch(3)
    assert {draw.epoch for batch in sampler for draw in batch} == {3}


def sizes(sampler):
    return sorted(len(batch) for batch in sampler)


def test_batches_are_as_few_and_as_even_as_their_limits_allow():
    seconds = np.ones(20)

    def sampler(clips, batch_size, **settings):
        return OneTaskBatchSampler({"age": np.arange(clips)}, seconds, {"age": batch_size}, **settings)

    assert sizes(sampler(8, 4)) == [4, 4]
    assert sizes(sampler(9, 4)) == [3, 3, 3]
    # The budget is that of one process, the clips are those of all.
    assert sizes(sampler(12, 8, max_batch_seconds=2.0)) == [2] * 6
    assert sizes(sampler(12, 8, max_batch_seconds=2.0, processes=2)) == [2] * 6
    assert sizes(sampler(16, 4, processes=2)) == [4] * 4


def test_the_longest_clips_do_not_shrink_the_batches_of_shorter_ones():
    # Four clips of 10 s and sixteen of 1 s, at most 10 s a batch.
    seconds = np.array([10.0] * 4 + [1.0] * 16)
    sampler = OneTaskBatchSampler({"age": np.arange(20)}, seconds, {"age": 8}, max_batch_seconds=10.0)
    assert sizes(sampler) == [1] * 4 + [8] * 2


def test_clips_of_about_one_length_are_mixed_anew_each_epoch():
    seconds = np.linspace(1.0, 1.1, 32)
    sampler = OneTaskBatchSampler({"age": np.arange(32)}, seconds, {"age": 4})
    batches = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        batches.append({frozenset(draw.index for draw in batch) for batch in sampler})
    assert not batches[0] & batches[1]
    # Clips of several batches are mixed, not only those next to each other in length.
    assert all(max(batch) - min(batch) > 4 for batch in batches[0] | batches[1])
    # But not all with all: the longer half is in the first bucket, of four batches.
    assert {batch <= set(range(16)) or batch <= set(range(16, 32)) for batch in batches[0]} == {True}


def test_tasks_of_the_same_clips_draw_other_batches():
    clips = np.arange(32)
    sampler = OneTaskBatchSampler({"age": clips, "country": clips}, np.ones(32), {"age": 4, "country": 4})
    batches = {task: set() for task in ("age", "country")}
    for batch in sampler:
        batches[batch[0].task].add(frozenset(draw.index for draw in batch))
    assert not batches["age"] & batches["country"]


@pytest.mark.parametrize("strategy", ["round_robin", "uniform"])
def test_a_task_that_runs_out_of_clips_starts_again_in_another_order(strategy):
    clips = {"few": np.arange(8), "many": np.arange(8, 200)}
    sampler = OneTaskBatchSampler(clips, np.ones(200), {"few": 2, "many": 2}, task_batching=strategy)
    drawn = [frozenset(draw.index for draw in batch) for batch in sampler if batch[0].task == "few"]
    passes = [drawn[start : start + 4] for start in range(0, len(drawn) - 3, 4)]
    assert len(passes) >= 5
    assert all(frozenset().union(*batches) == set(range(8)) for batches in passes)  # every clip before any comes again
    assert len({tuple(batches) for batches in passes}) == len(passes)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_longest_clips_are_not_always_drawn_first(strategy):
    clips = {"age": np.arange(40)}
    sampler = OneTaskBatchSampler(clips, np.arange(40, 0, -1.0), {"age": 4}, task_batching=strategy)
    first = []
    for epoch in range(12):
        sampler.set_epoch(epoch)
        first.append(min(draw.index for draw in next(iter(sampler))))
    assert max(first) > 20 and len(set(first)) > 4


def test_evaluation_batches_have_one_length_each(seconds):
    batches = list(EvaluationBatchSampler(np.array([1.0, 5.0, 1.0, 5.0, 1.0, 5.0]), batch_size=3))
    assert [sorted(draw.index for draw in batch) for batch in batches] == [[1, 3, 5], [0, 2, 4]]
    assert padding_share(list(EvaluationBatchSampler(seconds, batch_size=8)), seconds) < 0.08


def test_the_share_of_padding_is_that_of_the_audio():
    draws = [[ClipDraw(0), ClipDraw(1)], [ClipDraw(2)]]
    assert padding_share(draws, np.array([4.0, 1.0, 2.0])) == pytest.approx(3 / 10)
    assert padding_share([], np.array([])) == 0


def test_what_fills_a_batch_or_lengthens_it_is_padding():
    draws = [[ClipDraw(0, padded_seconds=5.0), ClipDraw(0, counted=False, padded_seconds=5.0)]]
    assert padding_share(draws, np.array([4.0])) == pytest.approx(6 / 10)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_padded_to_buckets_the_shapes_of_batches_repeat(make_sampler, seconds, strategy, processes):
    settings = {"task_batching": strategy, "max_batch_seconds": 24.0, "processes": processes}
    sampler, shapes = make_sampler(pad_to_buckets=True, **settings), set()
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler)
        for batch in batches:
            (padded,) = {draw.padded_seconds for draw in batch}
            assert max(seconds[draw.index] for draw in batch) <= padded and len(batch) * padded <= 24.0
            assert len(batch) <= {"emotion": 8, "age": 4, "country": 8}[batch[0].task]
            shapes.add((len(batch), padded))
        drawn = Counter((draw.task, draw.index) for batch in batches for draw in batch if draw.counted)
        # Every batch has at most one clip less than the largest of its bucket.
        assert sum(not draw.counted for batch in batches for draw in batch) <= len(batches)
        if strategy == "proportional":
            assert drawn == Counter((task, clip) for task, clips in CLIPS.items() for clip in clips.tolist())
    assert shapes <= sampler.shapes() and len({length for _, length in shapes}) <= PADDED_LENGTHS
    assert len(shapes) <= 2 * PADDED_LENGTHS


def test_padded_lengths_are_those_with_the_least_padding():
    generator = np.random.default_rng(0)
    longest = generator.choice(np.arange(1, 40), size=9, replace=False) / 4
    buckets = [Bucket(np.arange(generator.integers(1, 30)), 4, length) for length in longest]

    def audio(lengths):
        return sum(
            len(bucket.clips) * min(length for length in lengths if length >= bucket.longest) for bucket in buckets
        )

    for count in (1, 3, 8, 20):
        others = itertools.combinations(sorted(longest), min(count, len(buckets)))
        least = min(audio(lengths) for lengths in others if max(lengths) == longest.max())
        chosen = padded_lengths(buckets, count)
        assert audio(chosen) == pytest.approx(least) and len(chosen) <= count and list(chosen) == sorted(chosen)


def test_repeated_shapes_cost_little_padding():
    seconds = np.random.default_rng(1).lognormal(0.7, 0.5, size=5000)
    shares = [
        padding_share(
            list(OneTaskBatchSampler({"emotion": np.arange(5000)}, seconds, {"emotion": 32}, pad_to_buckets=repeat)),
            seconds,
        )
        for repeat in (False, True)
    ]
    assert shares[0] < shares[1] < shares[0] + 0.06


def test_vectors_are_not_padded():
    sampler = OneTaskBatchSampler({"age": np.arange(9)}, np.zeros(9), {"age": 4}, pad_to_buckets=True)
    assert {(len(batch), batch[0].padded_seconds) for batch in sampler} == {(3, 0.0)} == sampler.shapes()
