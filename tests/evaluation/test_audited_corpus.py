"""What an audit takes from a corpus: who is in which part, the groups, chance, and how errors are split."""

import numpy as np
import pytest
from datasets import Dataset, DatasetDict

from paravox.evaluation.audited_corpus import open_audited_corpus
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.tasks import Task

TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear")),
    Task("age", "scalar", range=(0, 100), unit="years"),
    Task("country", "classes", labels=("China", "Peru", "USA")),
]


def corpus_of(train, validation):
    """Clips as rows of speaker, awe, fear, age, country and source."""
    names = ("speaker", "awe", "fear", "age", "country", "source")
    return DatasetDict(
        {
            split: Dataset.from_dict(
                {"path": [f"{split}/{row}.wav" for row in range(len(rows))]}
                | {name: [row[column] for row in rows] for column, name in enumerate(names)}
            )
            for split, rows in (("train", train), ("validation", validation))
        }
    )


@pytest.fixture
def corpus():
    train = [
        ("a", 0.2, 0.4, 10.0, "China", "x"),
        ("a", 0.4, 0.4, 20.0, "China", "x"),
        ("b", 0.9, 0.1, 30.0, "USA", "y"),
        ("c", 0.5, 0.7, 40.0, "USA", None),
        ("e", 0.5, 0.7, 99.0, "Peru", "z"),  # also in Val
        (None, 0.0, 1.0, 50.0, "China", "y"),
        (None, 1.0, 0.0, None, "", "y"),
    ]
    validation = [
        ("d", 0.3, 0.1, 15.0, "China", "x"),
        ("e", 0.2, 0.6, 24.9, "China", "x"),
        ("f", 0.1, 0.8, 25.0, "USA", "y"),
        ("f", 0.1, 0.8, 60.0, "USA", "z"),
        ("g", 0.7, None, 55.0, "USA", "x"),
        ("d", 0.9, 0.0, None, "USA", ""),
    ]
    return corpus_of(train, validation)


def test_no_speaker_is_in_both_parts(corpus):
    audited = open_audited_corpus(corpus, TASKS, "validation")
    assert audited.train.clips["path"] == [f"train/{row}.wav" for row in (0, 1, 2, 3, 5, 6)]
    assert audited.scored.clips["path"] == [f"validation/{row}.wav" for row in range(6)]
    assert not set(audited.train.speakers) & set(audited.scored.speakers)
    # Clips whose speaker is not known may be of two people.
    assert len(set(audited.train.speakers)) == 5
    assert audited.train.labels["age"][:5].tolist() == [10, 20, 30, 40, 50]


def test_a_group_is_a_column_with_classes(corpus):
    audited = open_audited_corpus(corpus, TASKS, "validation", "source")
    (group,) = audited.groups
    assert (group.name, group.kind, group.labels) == ("source", "classes", ("x", "y", "z"))
    assert audited.train.labels["source"].tolist() == [0, 0, 1, -100, 1, 1]
    assert audited.scored.labels["source"].tolist() == [0, 0, 1, 2, 0, -100]
    assert [target.name for target in audited.targets] == ["emotion", "age", "country", "source"]


def test_the_task_of_a_clip_is_a_group_where_each_clip_has_one():
    rows = [("a", 0.1, 0.2, None, None, "x"), ("b", None, None, 40.0, None, "y"), ("c", None, None, None, "Peru", "y")]
    rows.append(("d", None, None, None, None, "z"))
    others = [(f"v{speaker}", *labels) for speaker, *labels in reversed(rows)]
    audited = open_audited_corpus(corpus_of(rows, others), TASKS, "validation")
    (group,) = audited.groups
    assert (group.name, group.labels) == ("task_of_clip", ("emotion", "age", "country"))
    assert audited.train.labels["task_of_clip"].tolist() == [0, 1, 2, -100]
    assert audited.scored.labels["task_of_clip"].tolist() == [-100, 2, 1, 0]
    assert audited.error_groups == []
    # A single clip with two labels, and the task of a clip is no longer a property of it.
    others[0] = ("v", 0.3, 0.3, 30.0, None, "x")
    assert open_audited_corpus(corpus_of(rows, others), TASKS, "validation").groups == []


def test_chance_is_a_constant_prediction_of_train(corpus):
    audited = open_audited_corpus(corpus, TASKS, "validation")
    ages, constant = np.array([15, 24.9, 25, 60, 55]), np.median([10, 20, 30, 40, 50])
    assert audited.chance["age"]["mae"] == pytest.approx(np.abs(ages - constant).mean(), abs=1e-4)
    assert audited.chance["age"]["r2"] == pytest.approx(
        1 - ((ages - constant) ** 2).sum() / ((ages - ages.mean()) ** 2).sum(), abs=1e-4
    )
    assert audited.chance["age"]["mean_error"] == pytest.approx(np.mean(constant - ages), abs=1e-4)
    assert audited.chance["country"] == {"uar": 0.5}  # Val has two countries, of which Train's most frequent is one
    assert audited.chance["emotion"]["ccc"] == 0


def test_errors_are_split_by_the_labels_of_other_tasks(corpus):
    audited = open_audited_corpus(corpus, TASKS, "validation", "source")
    found = {(task.name, by, label): rows.tolist() for task, by, label, rows in audited.error_groups}
    # Groups of a single speaker are left out, such as the two clips of source y or z.
    assert found == {
        ("emotion", "age", "20 to 30"): [1, 2],
        ("emotion", "country", "China"): [0, 1],
        ("emotion", "country", "USA"): [2, 3, 5],
        ("emotion", "source", "x"): [0, 1],
        ("age", "emotion", "fear"): [1, 2, 3],
        ("age", "country", "China"): [0, 1],
        ("age", "country", "USA"): [2, 3, 4],
        ("age", "source", "x"): [0, 1, 4],
        ("country", "emotion", "fear"): [1, 2, 3],
        ("country", "age", "20 to 30"): [1, 2],
        ("country", "age", "40 or more"): [3, 4],
        ("country", "source", "x"): [0, 1, 4],
    }


@pytest.mark.parametrize(
    ("change", "split", "group", "error", "message"),
    [
        (None, "test", None, CorpusError, r"split 'test' is missing \(found train, validation\)"),
        (None, "validation", "sex", CorpusError, r"column 'sex' is missing \(found path, speaker"),
        (None, "validation", "country", ConfigError, "group 'country' is a task of the model"),
        ("speaker", "validation", None, CorpusError, "column 'speaker' is missing"),
    ],
)
def test_what_an_audit_needs(corpus, change, split, group, error, message):
    if change:
        corpus = corpus.remove_columns(change)
    with pytest.raises(error, match=message):
        open_audited_corpus(corpus, TASKS, split, group)


def test_a_group_needs_two_values_and_train_other_speakers(corpus):
    one = DatasetDict({split: clips.filter(lambda clip: clip["source"] == "x") for split, clips in corpus.items()})
    with pytest.raises(CorpusError, match="column 'source' has 1 different values, expected at least 2"):
        open_audited_corpus(one, TASKS, "validation", "source")
    same = DatasetDict({"train": corpus["validation"], "validation": corpus["validation"]})
    with pytest.raises(CorpusError, match="every speaker of Train is also in validation"):
        open_audited_corpus(same, TASKS, "validation")
