"""All corpora by name: their label sets, their options, and one way in for every program."""

from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from little_corpora import write_clip, write_metadata_corpus

from paravox.corpora import registry
from paravox.corpora.names import CORPUS_NAMES
from paravox.corpora.registry import CORPORA, EMOTION_CORPORA, emotion_tasks, load_corpus, read_corpus
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.tasks import Task, parse_tasks
from paravox.trainers.multi_task_dataset import MultiTaskDataset

# As the papers list them. The order counts: saved models predict a position in it.
LABEL_SETS = {
    "iemocap": ["anger", "happiness", "excitement", "sadness", "frustration", "fear", "surprise", "other", "neutral"],
    "msp_improv": ["anger", "happiness", "sadness", "neutral"],
    "msp_podcast": [
        *("anger", "happiness", "sadness", "disgust", "surprise", "fear", "contempt", "neutral", "other"),
    ],
    "masc": ["anger", "elation", "neutral", "panic", "sadness"],
    "esd": ["angry", "happy", "neutral", "sad", "surprise"],
    "emodb": ["anger", "boredom", "disgust", "fear", "happiness", "sadness", "neutral"],
    "ased": ["neutral", "fearful", "happy", "sad", "angry"],
    "turev": ["angry", "calm", "happy", "sad"],
    "ravdess": ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"],
}
EMOTION = Task("emotion", "classes", labels=("angry", "calm", "happy", "sad"))


def test_every_emotion_corpus_has_its_label_set():
    assert {name: list(CORPORA[name].emotions) for name in EMOTION_CORPORA} == LABEL_SETS
    assert set(CORPORA) == {"exvo", "metadata_csv", "class_folders", "dataset", *LABEL_SETS}
    assert tuple(CORPORA) == CORPUS_NAMES
    for name, labels in LABEL_SETS.items():
        assert emotion_tasks(name) == [Task("emotion", "classes", labels=tuple(labels))]
    assert emotion_tasks("exvo") == emotion_tasks("metadata_csv") == emotion_tasks("class_folders") == []


def write_iemocap(folder):
    """Three sessions of IEMOCAP, two turns each: an emotion, and no majority."""
    for seed, session in enumerate(("01", "02", "03")):
        lines = []
        for turn, code in ((f"Ses{session}F_impro01_F000", "hap"), (f"Ses{session}F_impro01_M001", "xxx")):
            write_clip(
                folder / f"Session{int(session)}/sentences/wav/x/{turn}.wav",
                seed=2 * seed + (code == "xxx"),
                seconds=0.02,
            )
            lines.append(f"[1.0 - 2.0]\t{turn}\t{code}\t[2.5, 2.5, 2.5]")
        table = folder / f"Session{int(session)}/dialog/EmoEvaluation/Ses{session}F_impro01.txt"
        table.parent.mkdir(parents=True)
        table.write_text("\n".join(lines))
    return folder


@pytest.mark.parametrize("name", ["emodb", "ased", "turev", "ravdess"])
def test_an_emotion_corpus_has_splits_by_speaker(name, open_corpora):
    clips, task = read_corpus(name, open_corpora / name)
    assert task == Task(name, "classes", labels=tuple(LABEL_SETS[name]))
    splits = load_corpus(name, str(open_corpora / name), emotion_tasks(name), "provided")
    assert list(splits) == ["train", "validation", "test"]
    assert [len(set(part["speaker"])) for part in splits.values()] == [2, 1, 1]
    found = sorted((clip["path"], clip["emotion"]) for part in splits.values() for clip in part)
    assert found == sorted(zip(clips["path"], clips["emotion"], strict=True))


def test_its_emotions_serve_a_task_of_the_user(open_corpora):
    # The labels in another order than those of the corpus, and one more.
    task = Task("emotion", "classes", labels=("sad", "happy", "bored", "calm", "angry"))
    clips = load_corpus("turev", open_corpora / "turev", [task])["train"]
    labels = MultiTaskDataset(clips, [task]).labels["emotion"]
    assert [task.labels[label] for label in labels] == [Path(path).parent.name.lower() for path in clips["path"]]


def test_options_go_to_the_reader_and_to_the_splits(open_corpora, tmp_path):
    root = open_corpora / "turev"
    tested = [set(load_corpus("turev", root, fold=fold, folds=4)["test"]["speaker"]) for fold in range(4)]
    assert sorted(speaker for speakers in tested for speaker in speakers) == ["1151", "1152", "1153", "1154"]
    assert {split: len(part) for split, part in load_corpus("turev", root, split_by="random").items()} == {
        **{"train": 26, "validation": 3},
        "test": 3,
    }
    folder = write_iemocap(tmp_path / "iemocap")
    assert {len(part) for part in load_corpus("iemocap", folder).values()} == {1}
    kept = load_corpus("iemocap", folder, no_majority="keep", fold=1)
    assert {session for part in kept.values() for session in part["session"]} == {"01", "02", "03"}
    assert all(sorted(part["emotion"]) == ["happiness", "xxx"] for part in kept.values())


def test_raw_codes_become_labels_behind_those_of_the_corpus(tmp_path):
    folder = write_iemocap(tmp_path / "iemocap")
    assert read_corpus("iemocap", folder)[1].labels == tuple(LABEL_SETS["iemocap"])
    assert read_corpus("iemocap", folder, no_majority="keep")[1].labels == (*LABEL_SETS["iemocap"], "xxx")


def test_the_own_split_of_a_corpus_stays(esd_folder):
    splits = load_corpus("esd", esd_folder)
    assert {split: len(part) for split, part in splits.items()} == {"train": 24, "validation": 12, "test": 18}
    for split, folder in (("train", "train"), ("validation", "evaluation"), ("test", "test")):
        assert {Path(path).parent.name for path in splits[split]["path"]} == {folder}


def test_tasks_and_audio_reach_the_readers_that_take_them(tmp_path, monkeypatch):
    age = {"name": "age", "kind": "scalar", "range": [20, 40]}
    folder = write_metadata_corpus(tmp_path / "metadata", [age])
    assert load_corpus("metadata_csv", str(folder), parse_tasks([age]), "raw")["train"]["age"][0] == 20
    with pytest.raises(CorpusError, match="missing column of task 'height'"):
        load_corpus("metadata_csv", folder, [Task("height", "scalar", range=(100, 200))])
    calls = []

    def read_exvo(data_dir, audio="provided"):
        calls.append((data_dir, audio))
        return DatasetDict({"train": Dataset.from_dict({"path": []})})

    monkeypatch.setitem(registry.CORPORA, "exvo", registry.Corpus(read_exvo))
    load_corpus("exvo", "somewhere", parse_tasks([age]), "raw")
    load_corpus("exvo", "somewhere")
    assert calls == [("somewhere", "raw"), ("somewhere", "provided")]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("emo_db", {}, "corpus 'emo_db' is not known: did you mean 'emodb'"),
        ("metadata", {}, "corpus 'metadata' is not known: did you mean 'metadata_csv'"),
        (
            "turev",
            {"no_majority": "drop"},
            "'turev' has no option 'no_majority': its options are fold, folds, seed, spl",
        ),
        ("iemocap", {"labelling": "intended"}, "'labelling': its options are fold, folds, no_majority, seed, split_by"),
        ("metadata_csv", {"folds": 3}, "corpus 'metadata_csv' has no option 'folds': its options are metadata, seed"),
        ("dataset", {"seed": 3}, "corpus 'dataset' has no option 'seed': it has none"),
    ],
)
def test_an_unknown_corpus_or_option_is_named(name, options, message):
    with pytest.raises(ConfigError, match=message):
        load_corpus(name, ".", [], **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("exvo", {}, "'exvo' does not have one emotion per clip, .*: use one of iemocap, .*, ravdess"),
        ("turev", {"fold": 1}, "corpus 'turev' has no option 'fold': it has none"),
        ("msp_improv", {"labels": "x"}, "no option 'labels': its options are labelling, no_majority"),
    ],
)
def test_pre_finetuning_reads_emotion_corpora_with_options_of_their_own(name, options, message):
    with pytest.raises(ConfigError, match=message):
        read_corpus(name, ".", **options)


def test_tasks_that_an_emotion_corpus_cannot_serve(open_corpora):
    labels = r"\[angry, calm, happy, sad\]"
    with pytest.raises(CorpusError, match=f"no label calm, sad, which corpus 'turev' has: give it the labels {labels}"):
        load_corpus("turev", open_corpora / "turev", [Task("emotion", "classes", labels=("angry", "happy"))])
    for task in (
        Task("age", "scalar", range=(20, 40)),
        Task("emotion", "scalar", range=(0, 1)),
        Task("emotion", "intensities", labels=("angry", "calm")),
    ):
        with pytest.raises(CorpusError, match=f"{task.kind}.*one emotion per clip instead.* classes, labels: {labels}"):
            load_corpus("turev", open_corpora / "turev", [EMOTION, task] if task.name == "age" else [task])
