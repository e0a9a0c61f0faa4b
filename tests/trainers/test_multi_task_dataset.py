"""The trainer's view of a corpus: labels of the three kinds, crops, lengths, and clips that cannot be read."""

import numpy as np
import pytest
from datasets import Audio, ClassLabel, Dataset
from little_corpora import write_clip

from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.tasks import Task
from paravox.trainers.clip_sources import PooledStates
from paravox.trainers.lower_states import EncodedClip, LowerStates, write_states
from paravox.trainers.multi_task_dataset import MultiTaskDataset, audio_column, read_labels
from paravox.trainers.sampler import ClipDraw

EMOTION = Task("emotion", kind="intensities", labels=("awe", "fear"))
AGE = Task("age", kind="scalar", range=(20, 40), unit="years")
COUNTRY = Task("country", kind="classes", labels=("China", "USA"))
TASKS = [EMOTION, AGE, COUNTRY]
COLUMNS = {
    "awe": [0.0, 0.5, None],
    "fear": [1.0, float("nan"), None],
    "age": ["25", "", "40"],
    "country": ["USA", None, "China"],
}


@pytest.fixture
def paths(tmp_path):
    for clip in range(3):
        write_clip(tmp_path / f"{clip}.wav", clip, seconds=0.5 + 0.5 * clip)
    return [str(tmp_path / f"{clip}.wav") for clip in range(3)]


@pytest.fixture
def dataset(paths):
    return MultiTaskDataset(Dataset.from_dict({"path": paths} | COLUMNS), TASKS)


def test_labels_of_every_kind(dataset):
    nan = np.nan
    np.testing.assert_array_equal(dataset.labels["emotion"], np.float32([[0, 1], [0.5, nan], [nan, nan]]))
    np.testing.assert_array_equal(dataset.labels["age"], np.float32([25, nan, 40]))
    assert dataset.labels["country"].tolist() == [1, -100, 0]
    # A clip with one of its intensities known is labelled.
    found = {task.name: dataset.labelled_clips(task.name).tolist() for task in TASKS}
    assert found == {"emotion": [0, 1], "age": [0, 2], "country": [0, 2]}


def test_a_column_of_class_labels_goes_by_its_names(paths):
    corpus = Dataset.from_dict({"path": paths, "country": [1, 0, 0]})
    corpus = corpus.cast_column("country", ClassLabel(names=["USA", "China"]))
    assert read_labels(corpus, COUNTRY).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("task", "columns", "message"),
    [
        (AGE, {"years": [1]}, r"task 'age': column 'age' is missing \(found path, years\)"),
        (AGE, {"age": [41.0]}, "1 values lie outside 20 to 40, the first is 41 in row 0, column 'age'"),
        (EMOTION, {"awe": [0.1], "fear": [-0.5]}, "outside 0 to 1, the first is -0.5 in row 0, column 'fear'"),
        (AGE, {"age": ["old"]}, "column 'age' holds a value that is not a number"),
        (COUNTRY, {"country": ["Peru"]}, r"'Peru' is not one of its labels \('China', 'USA'\)"),
    ],
)
def test_labels_that_do_not_fit(task, columns, message):
    with pytest.raises(CorpusError, match=message):
        read_labels(Dataset.from_dict({"path": ["a.wav"]} | columns), task)


def test_the_column_of_audio(paths):
    corpus = Dataset.from_dict({"path": paths, "sound": paths})
    assert audio_column(corpus) == "path"
    one = corpus.cast_column("sound", Audio(decode=False))
    assert audio_column(one) == "sound"
    with pytest.raises(CorpusError, match="columns path, sound all hold audio"):
        audio_column(one.cast_column("path", Audio(decode=False)))
    with pytest.raises(CorpusError, match="column 'sound' would be decoded: cast it with Audio"):
        audio_column(corpus.cast_column("sound", Audio()))
    with pytest.raises(CorpusError, match="no column of audio among file"):
        audio_column(Dataset.from_dict({"file": paths}))


def test_seconds_come_from_the_headers_and_end_at_the_crop(dataset, paths):
    np.testing.assert_allclose(dataset.seconds, [0.5, 1.0, 1.5])
    cropped = MultiTaskDataset(Dataset.from_dict({"path": paths} | COLUMNS), TASKS, max_seconds=0.8)
    np.testing.assert_allclose(cropped.seconds, [0.5, 0.8, 0.8])


def test_crops_are_drawn_from_seed_epoch_and_clip(paths):
    def crop(clip, epoch, seed=0):
        corpus = Dataset.from_dict({"path": paths} | COLUMNS)
        dataset = MultiTaskDataset(corpus, TASKS, max_seconds=0.8, seed=seed)
        return dataset[ClipDraw(clip, "age", epoch)]["clip"]

    whole = MultiTaskDataset(Dataset.from_dict({"path": paths} | COLUMNS), TASKS)[ClipDraw(2)]["clip"]
    first = crop(2, epoch=0)
    assert len(first) == 12_800 and len(crop(0, epoch=0)) == 8_000
    starts = [start for start in range(len(whole) - 12_799) if np.array_equal(whole[start : start + 12_800], first)]
    assert len(starts) == 1
    np.testing.assert_array_equal(crop(2, epoch=0), first)
    assert not np.array_equal(crop(2, epoch=1), first) and not np.array_equal(crop(2, epoch=0, seed=1), first)


def test_clips_can_stand_for_what_an_encoder_made_of_them(dataset, tmp_path):
    pooled = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    changed = dataset.with_source(PooledStates(pooled))
    item = changed[ClipDraw(1, "age")]
    np.testing.assert_array_equal(item["clip"], pooled[1])
    assert item["labels"]["country"] == -100 and len(changed) == 3
    clips = [EncodedClip(row, np.full((5 + row, 4), row, np.float32), pooled[row]) for row in range(3)]
    write_states(tmp_path / "states", clips, count=3, layers=0)
    changed = dataset.with_source(LowerStates.open(tmp_path / "states", dataset.seconds))
    states, lower_pooled = changed[ClipDraw(2)]["clip"]
    np.testing.assert_array_equal(states, clips[2].states)
    np.testing.assert_array_equal(lower_pooled, pooled[2, :1])
    np.testing.assert_allclose(changed.seconds, [0.5, 1.0, 1.5])
    assert len(dataset[ClipDraw(0)]["clip"]) == 8_000  # the given one is left as it was


def test_drawn_clips_are_augmented_after_the_crop(paths):
    calls = []

    def augmentation(samples, rate, numbers):
        calls.append((len(samples), rate, tuple(numbers)))
        return -samples

    corpus = Dataset.from_dict({"path": paths} | COLUMNS)
    settings = {"max_seconds": 0.8, "seed": 5}
    augmented = MultiTaskDataset(corpus, TASKS, augmentation=augmentation, **settings)
    plain = MultiTaskDataset(corpus, TASKS, **settings)
    unchanged = augmented.with_source(augmented.source.without_augmentation())
    for draw in (ClipDraw(0, "age", 1), ClipDraw(2, None, 3)):
        np.testing.assert_array_equal(augmented[draw]["clip"], -plain[draw]["clip"])
        np.testing.assert_array_equal(unchanged[draw]["clip"], plain[draw]["clip"])
    assert calls == [(8_000, 16_000, (5, 1, 0)), (12_800, 16_000, (5, 3, 2))]
    np.testing.assert_array_equal(augmented.seconds, plain.seconds)
    shuffled = augmented.with_shuffled_labels(0).skip_unreadable()[0]
    np.testing.assert_array_equal(shuffled[draw]["clip"], -plain[draw]["clip"])


def test_augmentation_does_not_go_with_stored_outputs(paths):
    corpus = Dataset.from_dict({"path": paths} | COLUMNS)
    augmented = MultiTaskDataset(corpus, TASKS, augmentation=lambda samples, rate, numbers: samples)
    message = "augmentation does not go together with stored outputs.*: turn one of the two off"
    with pytest.raises(ConfigError, match=message):
        augmented.source.refuse_augmentation()
    augmented.source.without_augmentation().refuse_augmentation()
    assert augmented.source.augmentation is not None


def test_shuffled_labels_are_the_same_labels_in_another_order(dataset):
    shuffled = [dataset.with_shuffled_labels(seed).labels for seed in range(8)]
    for labels in shuffled:
        assert sorted(labels["country"]) == [-100, 0, 1]
        # A clip's labels stay together.
        for age, country in zip(labels["age"], labels["country"], strict=True):
            assert {25: 1, 40: 0}.get(age, -100) == country
    assert len({tuple(labels["country"]) for labels in shuffled}) > 2
    np.testing.assert_array_equal(dataset.with_shuffled_labels(3).labels["age"], shuffled[3]["age"])


def test_unreadable_clips_are_left_out_with_their_labels(dataset, paths):
    with open(paths[1], "wb") as file:
        file.write(b"not audio")
    readable, messages = dataset.skip_unreadable()
    assert len(messages) == 1 and "1.wav" in messages[0]
    assert len(readable) == 2 and readable.labels["country"].tolist() == [1, 0]
    assert len(readable[ClipDraw(1)]["clip"]) == 24_000 and len(dataset) == 3
