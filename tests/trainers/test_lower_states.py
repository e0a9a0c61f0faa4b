"""Stored states: read back as they were, joined, found again by what they depend on, never half written."""

import pickle

import numpy as np
import pytest

from paravox.modeling.errors import ConfigError
from paravox.trainers.lower_states import EncodedClip, LowerStates, check_room, states_folder, write_states


def make_clips(lengths, seed=0, layers=3, hidden=4):
    generator = np.random.default_rng(seed)
    shapes = enumerate(lengths)
    draw = lambda *shape: generator.normal(size=shape).astype(np.float32)  # noqa: E731
    return [EncodedClip(row, draw(frames, hidden), draw(layers, hidden)) for row, frames in shapes]


def check(states, clips):
    for row, clip in enumerate(clips):
        np.testing.assert_array_equal(states[row], clip.states)
        np.testing.assert_array_equal(states.pooled[row], clip.pooled)
        np.testing.assert_array_equal(states.lower_pooled(row), clip.pooled[:2])


def test_states_come_back_in_the_order_of_the_rows(tmp_path):
    clips = make_clips([5, 1, 7])
    write_states(tmp_path / "a", [clips[2], clips[0], clips[1]], count=3, layers=1)
    states = LowerStates.open(tmp_path / "a")
    assert len(states) == 3
    check(states, clips)
    check(pickle.loads(pickle.dumps(states)), clips)  # as a worker gets them
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_corpora_are_joined_one_behind_the_other(tmp_path):
    first, second = make_clips([2, 3]), make_clips([4], seed=1)
    write_states(tmp_path / "a", first, count=2, layers=1)
    write_states(tmp_path / "b", second, count=1, layers=1)
    check(LowerStates.join([LowerStates.open(tmp_path / name) for name in "ab"]), [*first, *second])


def test_a_model_of_the_last_layer_alone_needs_no_pooled_states(tmp_path):
    write_states(tmp_path / "a", make_clips([2], layers=1), count=1, layers=1)
    assert LowerStates.open(tmp_path / "a").lower_pooled(0) is None


def test_the_folder_depends_on_every_part_and_on_where_one_ends():
    parts = [
        [b"encoder", b"clip"],
        [b"encoderc", b"lip"],
        [b"encoder"],
        [b"encoder", b"clip", b""],
        [b"clip", b"encoder"],
    ]
    assert len({states_folder("cache", part) for part in parts}) == len(parts)
    assert states_folder("cache", parts[0]) == states_folder("cache", list(parts[0]))


def test_a_run_that_is_stopped_leaves_nothing_that_could_be_read(tmp_path):
    def stopped():
        yield make_clips([2])[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_states(tmp_path / "a", stopped(), count=2, layers=1)
    assert not list(tmp_path.iterdir())


def test_of_two_runs_at_once_the_first_one_s_states_stay(tmp_path):
    mine, theirs = make_clips([2, 2]), make_clips([2, 2], seed=1)

    def meanwhile():
        yield mine[0]
        write_states(tmp_path / "a", theirs, count=2, layers=1)
        yield mine[1]

    write_states(tmp_path / "a", meanwhile(), count=2, layers=1)
    check(LowerStates.open(tmp_path / "a"), theirs)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_room_they_take_is_bounded():
    check_room("cache", seconds=3600, hidden_size=512, max_gigabytes=0.37)
    with pytest.raises(
        ConfigError, match=r"states of 1.0 hours would take 0.4 GB in cache, more than cache_gigabytes of 0.3"
    ):
        check_room("cache", seconds=3600, hidden_size=512, max_gigabytes=0.3)
