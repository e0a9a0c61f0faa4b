"""The score program: rows, scores and the challenge's file, worked out from the models and the corpus by hand."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from little_corpora import write_clip

from paravox.corpora.exvo import EMOTIONS
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import Task
from paravox.recipes.burst2vec import score

COUNTRIES = ("China", "South Africa", "USA", "Venezuela")


@pytest.fixture
def corpus(tmp_path):
    """A folder with metadata.csv: 9 train and 12 validation clips of several lengths."""
    folder, generator, rows = tmp_path / "corpus", np.random.default_rng(0), []
    for number in range(21):
        write_clip(folder / f"audio/{number}.wav", number, seconds=0.2 + 0.03 * ((7 * number) % 21))
        train = number < 9
        age = 20 + 2 * number if train else 20 + (5 * number) % 19
        labels = [*np.round(generator.random(3), 3), min(age, 39), COUNTRIES[number % 4 if train else 1 + number % 3]]
        rows.append([f"audio/{number}.wav", f"s{number}", "train" if train else "validation", *labels])
    with open(folder / "metadata.csv", "w", newline="") as file:
        header = ["file_name", "speaker", "split", "amusement", "awe", "fear", "age", "country"]
        csv.writer(file).writerows([header, *rows])
    return folder


def clips_of(corpus, split):
    return [row for row in csv.DictReader((corpus / "metadata.csv").open()) if row["split"] == split]


def predict_alone(folder, paths):
    """The predictions for one clip at a time, by the model alone."""
    model = Burst2VecForMultiTask.from_pretrained(folder).eval()
    extractor = Burst2VecFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        alone = [model(**extractor([str(path)], return_tensors="pt")).predictions for path in paths]
    return {task: np.concatenate([predictions[task].numpy() for predictions in alone]) for task in alone[0]}


def scores_by_hand(predictions, rows):
    """CCC, UAR, MAE and S_MTL from their definitions."""
    emotion = np.array([[float(row[label]) for label in ("amusement", "awe", "fear")] for row in rows])
    age = np.array([float(row["age"]) for row in rows])
    country = np.array([COUNTRIES.index(row["country"]) for row in rows])

    def recall(guess, truth):
        return np.mean([(guess[truth == label] == label).mean() for label in np.unique(truth)])

    columns = []
    for guess, truth in zip(predictions["emotion"].T.astype(float), emotion.T, strict=True):
        spread = guess.var() + truth.var() + (guess.mean() - truth.mean()) ** 2
        columns.append(2 * ((guess - guess.mean()) * (truth - truth.mean())).mean() / spread)
    found = {
        "emotion_ccc": np.mean(columns),
        "emotion_uar": recall(predictions["emotion"].argmax(1), emotion.argmax(1)),
        "age_mae": np.abs(predictions["age"] - age).mean(),
        "country_uar": recall(predictions["country"].argmax(1), country),
    }
    positive = found["emotion_ccc"] > 0 and found["country_uar"] > 0
    found["s_mtl"] = 3 / (1 / found["emotion_ccc"] + 1 / found["country_uar"] + found["age_mae"]) if positive else 0.0
    return found


def test_every_row_is_what_its_predictions_score(saved_members, corpus, tmp_path, capsys):
    rows = clips_of(corpus, "validation")
    paths = [corpus / row["file_name"] for row in rows]
    members = [predict_alone(folder, paths) for folder in saved_members[:2]]
    mean = {task: (members[0][task] + members[1][task]) / 2 for task in members[0]}
    ages = [float(row["age"]) for row in clips_of(corpus, "train")]
    most_frequent = 0  # China has three of nine Train clips, the other countries have two each
    constant = {
        "emotion": np.tile(
            np.mean(
                [[float(row[label]) for label in ("amusement", "awe", "fear")] for row in clips_of(corpus, "train")], 0
            ),
            (len(rows), 1),
        ),
        "age": np.full(len(rows), np.median(ages)),
        "country": np.tile(np.eye(4)[most_frequent], (len(rows), 1)),
    }
    expected = {
        "constant prediction": scores_by_hand(constant, rows),
        saved_members[0]: scores_by_hand(members[0], rows),
        saved_members[1]: scores_by_hand(members[1], rows),
        "mean of 2 models": scores_by_hand(mean, rows),
    }
    assert expected["mean of 2 models"]["age_mae"] != pytest.approx(expected[saved_members[0]]["age_mae"], abs=1e-2)
    val_ages = [float(row["age"]) for row in rows]
    assert np.median(val_ages) != np.median(ages)

    found = score.main([*saved_members[:2], "--data_dir", str(corpus), "--output", str(tmp_path / "out/scores.json")])
    assert list(found) == list(expected)
    for row, scores in expected.items():
        assert found[row] == pytest.approx(scores, abs=1e-4), row
    assert json.loads((tmp_path / "out/scores.json").read_text()) == found
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if "mean of 2 models" in line)
    cells = [cell.strip() for cell in line.split("│")[2:-1]]
    assert cells == [f"{value:.3f}" for value in found["mean of 2 models"].values()]


def test_a_constant_prediction_that_saw_the_scored_labels_says_so(saved_members, corpus, monkeypatch):
    load = score.load_corpus
    monkeypatch.setattr(
        score, "load_corpus", lambda *given, **options: {"validation": load(*given, **options)["validation"]}
    )
    found = score.main([saved_members[0], "--data_dir", str(corpus)])
    assert list(found) == ["constant prediction fitted on validation", saved_members[0]]
    ages = np.array([float(row["age"]) for row in clips_of(corpus, "validation")])
    expected = np.abs(ages - np.median(ages)).mean()
    assert found["constant prediction fitted on validation"]["age_mae"] == pytest.approx(expected)


def test_a_split_that_is_not_there_is_named(saved_members, corpus):
    with pytest.raises(CorpusError, match="split 'test' is not in .*corpus: it has train, validation"):
        score.main([saved_members[0], "--data_dir", str(corpus), "--split", "test"])


def test_a_revision_is_of_one_model(saved_members, corpus):
    with pytest.raises(ConfigError, match="revision is given for several models"):
        score.main([*saved_members, "--data_dir", str(corpus), "--revision", "main"])


@pytest.fixture
def submission():
    """Clips of ExVo, tasks whose labels are in another order than the challenge's, and predictions for them."""
    tasks = [
        Task("emotion", "intensities", labels=EMOTIONS[::-1]),
        Task("age", "scalar", range=(20, 40)),
        Task("country", "classes", labels=("USA", "China", "Venezuela", "South Africa")),
    ]
    predictions = {
        "emotion": np.arange(20, dtype=float).reshape(2, 10) / 20,
        "age": np.array([21.5, 33.25]),
        "country": np.array([[0.1, 0.2, 0.6, 0.1], [0.1, 0.1, 0.1, 0.7]]),
    }
    return Dataset.from_dict({"file_id": ["00014", "00007"]}), tasks, predictions


def test_the_submission_is_numbered_and_ordered_as_the_challenge_does(submission, tmp_path):
    score.write_submission(tmp_path / "new" / "team.csv", *submission)
    lines = (tmp_path / "new" / "team.csv").read_text().splitlines()
    # As in the challenge's table: China 0, South Africa 1, USA 2, Venezuela 3.
    emotions = "Awe,Excitement,Amusement,Awkwardness,Fear,Horror,Distress,Triumph,Sadness,Surprise"
    assert lines == [
        f"File_ID,Country,Age,{emotions}",
        "[00014],3,21.5,0.45,0.4,0.35,0.3,0.25,0.2,0.15,0.1,0.05,0.0",
        "[00007],1,33.25,0.95,0.9,0.85,0.8,0.75,0.7,0.65,0.6,0.55,0.5",
    ]


def test_labels_in_the_challenges_order_stay_in_it(submission, tmp_path):
    clips, _, predictions = submission
    tasks = [
        Task("emotion", "intensities", labels=EMOTIONS),
        Task("age", "scalar", range=(20, 40)),
        Task("country", "classes", labels=COUNTRIES),
    ]
    score.write_submission(tmp_path / "team.csv", clips, tasks, predictions)
    rows = list(csv.DictReader((tmp_path / "team.csv").open()))
    assert [row["Country"] for row in rows] == ["2", "3"]
    assert rows[0]["Awe"] == "0.0" and rows[0]["Surprise"] == "0.45" and rows[1]["Excitement"] == "0.55"


@pytest.mark.parametrize("missing", ["the exvo corpus", "emotion", "age", "country"])
def test_what_a_submission_lacks_is_named(submission, missing):
    clips, tasks, _ = submission
    score.check_submission(clips, tasks)
    if missing == "the exvo corpus":
        clips = clips.rename_column("file_id", "name")
    else:
        tasks = [task for task in tasks if task.name != missing]
    with pytest.raises(ConfigError, match=f"missing here: {missing}$"):
        score.check_submission(clips, tasks)


def test_a_submission_that_cannot_be_is_refused_before_anything_is_predicted(saved_members, corpus, monkeypatch):
    monkeypatch.setattr(score, "predict_dataset", None)
    with pytest.raises(ConfigError, match="missing here: the exvo corpus, emotion$"):
        score.main([saved_members[0], "--data_dir", str(corpus), "--submission", "team.csv"])


def test_the_submission_of_a_model(saved_members, corpus, monkeypatch):
    """What is written belongs to the mean of the models, not to one of them."""
    written = []
    monkeypatch.setattr(score, "check_submission", lambda clips, tasks: None)
    monkeypatch.setattr(score, "write_submission", lambda *arguments: written.extend(arguments))
    score.main([*saved_members[:2], "--data_dir", str(corpus), "--submission", "team.csv"])
    path, clips, tasks, predictions = written
    rows = clips_of(corpus, "validation")
    members = [predict_alone(folder, [corpus / row["file_name"] for row in rows]) for folder in saved_members[:2]]
    assert path == Path("team.csv") and len(clips) == 12 and [task.name for task in tasks] == list(members[0])
    np.testing.assert_allclose(predictions["age"], (members[0]["age"] + members[1]["age"]) / 2, rtol=1e-5)


def test_the_report_is_about_the_mean_of_the_models(saved_members, corpus, tmp_path, monkeypatch, capsys):
    written = []
    monkeypatch.setattr(score, "write_score_report", lambda *arguments: written.extend(arguments))
    header, *lines = (corpus / "metadata.csv").read_text().splitlines()
    lines = [f"{line},{'female' if row % 2 else 'male'}" for row, line in enumerate(lines)]
    (corpus / "metadata.csv").write_text("\n".join([f"{header},sex", *lines]))
    file = tmp_path / "report.html"
    scores = score.main([*saved_members[:2], "--data_dir", str(corpus), "--report", str(file)])
    path, scored, recording = written
    assert path == file and recording is None and f"report written to {file}" in capsys.readouterr().out
    titles = ["/".join(Path(folder).parts[-2:]) for folder in saved_members[:2]]
    assert scored.models == titles and list(scored.rows) == ["constant prediction", *titles, "mean of 2 models"]
    rows = clips_of(corpus, "validation")
    assert (scored.corpus, scored.split) == ("corpus", "validation") and 0 < scored.seconds < 600
    assert scored.files == [Path(row["file_name"]).name for row in rows]
    assert scored.speakers == [row["speaker"] for row in rows]
    assert scored.groups == {"sex": [row["sex"] for row in rows]}
    ages = np.array([float(row["age"]) for row in rows])
    assert np.abs(scored.predictions["age"] - ages).mean() == pytest.approx(scores["mean of 2 models"]["age_mae"])


def test_the_report_has_players_only_where_they_are_asked_for(saved_members, corpus, tmp_path):
    file = tmp_path / "report.html"
    score.main([saved_members[0], "--data_dir", str(corpus), "--report", str(file), "--report_audio"])
    # Ten of the twelve clips for each of three tasks.
    assert file.read_text().count("<audio controls") == 30
    with pytest.raises(ConfigError, match="report_audio puts recordings into a report: give --report FILE.html, too"):
        score.main([saved_members[0], "--data_dir", str(corpus), "--report_audio"])


def test_a_test_set_alone_is_scored(saved_members, corpus):
    """Neither clips in Train nor every class in it are needed."""
    table = corpus / "metadata.csv"
    header, *rows = table.read_text().splitlines()
    rows = [row.replace(",validation,", ",test,") for row in rows if ",validation," in row]
    table.write_text("\n".join([header, *rows]))
    found = score.main([saved_members[0], "--data_dir", str(corpus), "--split", "test"])
    assert list(found) == ["constant prediction fitted on test", saved_members[0]]
    with pytest.raises(CorpusError, match="it has test, so give one of these by --split"):
        score.main([saved_members[0], "--data_dir", str(corpus)])


def test_a_train_split_that_lacks_labels_does_not_stop_the_scoring(saved_members, corpus):
    table = corpus / "metadata.csv"
    rows = [row.split(",") for row in table.read_text().splitlines()]
    place = rows[0].index("age")
    kept = [row for row in rows if row[2] != "train" or row[-1] == "USA"]
    for row in kept:
        row[place] = "" if row[2] == "train" else row[place]
    table.write_text("\n".join(",".join(row) for row in kept))
    found = score.main([saved_members[0], "--data_dir", str(corpus)])
    assert list(found)[0] == "constant prediction fitted on validation" and found[saved_members[0]]["age_mae"] > 0
