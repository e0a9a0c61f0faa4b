"""The report of scores: what it states is what scikit-learn and the bootstrap say of the same predictions."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
import soundfile
from datasets import Dataset
from little_corpora import write_clip
from sklearn.metrics import mean_absolute_error, recall_score
from test_html_page import Reader

from paravox.evaluation import html_page, score_report
from paravox.evaluation.bootstrap import bootstrap_scores, draw_speakers, interval
from paravox.evaluation.score_report import ScoredSplit, clip_errors, model_titles, player_of_clip, write_score_report
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import MultiTaskDataset

NAUGHTY = "<script>alert(1)</script>.wav"
TASKS = [
    Task("emotion", "intensities", labels=("awe", "fear", "joy")),
    Task("age", "scalar", range=(20, 40), unit="years"),
    Task("country", "classes", labels=("China", "USA")),
]


@pytest.fixture
def scored():
    """100 clips of 20 speakers, of which some have no label; the first file has a name that is a script."""
    generator = np.random.default_rng(0)
    labels = {
        "emotion": generator.random((100, 3)).astype(np.float32),
        "age": generator.uniform(20, 40, 100).astype(np.float32),
        "country": np.arange(100) % 2,
    }
    predictions = {
        "emotion": labels["emotion"] * 0.5 + generator.random((100, 3)) * 0.4,
        "age": labels["age"] + generator.normal(0, 4, 100),
        "country": generator.dirichlet(np.ones(2), 100),
    }
    labels["emotion"][:10] = np.nan
    labels["age"][95:] = np.nan
    labels["country"][90:] = -100
    constant = {"emotion": np.full((100, 3), 0.5), "age": np.full(100, 30.0), "country": np.tile([0.0, 1.0], (100, 1))}
    return ScoredSplit(
        models=["mine/model"],
        corpus="my <corpus>",
        split="validation",
        tasks=TASKS,
        rows={"constant prediction": constant, "mine/model": predictions},
        labels=labels,
        speakers=[f"s{clip // 5}" for clip in range(100)],
        files=[NAUGHTY, *(f"{clip}.wav" for clip in range(1, 100))],
        groups={"sex": ["female" if clip % 10 < 5 else "male" for clip in range(100)]},
        seconds=12.3,
    )


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Writes a report, and returns its text, its tags and its tables by caption: for each row its cells.

    Figures take most of the time, so only the tests that ask for them have them drawn.
    """

    def write(scored, recording=None, drawn=False):
        if not drawn:
            monkeypatch.setattr(html_page, "figure_bytes", lambda figure, suffix: b"<svg/>")
        write_score_report(tmp_path / "report.html", scored, recording)
        html = (tmp_path / "report.html").read_text(encoding="utf-8")
        tables = {}
        for caption, body in re.findall(r"<figcaption>([^<]*)</figcaption>\n<div.*?<tbody>(.*?)</tbody>", html, re.S):
            rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S) for row in body.split("</tr>")[:-1]]
            rows = [[" ".join(re.sub(r"<[^>]*>", "", cell).split()) for cell in row] for row in rows]
            tables[caption] = {row[0]: row[1:] for row in rows}
        return html, Reader(html), tables

    return write


def table_of(tables, start):
    return next(rows for caption, rows in tables.items() if caption.startswith(start))


def with_interval(value, ends):
    return f"{value:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


def test_scores_are_those_of_scikit_learn_with_the_intervals_of_the_bootstrap(scored, page):
    html, _, tables = page(scored)
    drawn = bootstrap_scores(TASKS, scored.predictions, scored.labels, draw_speakers(scored.speakers))
    known = scored.labels["country"] >= 0
    truth = scored.labels["country"][known]
    uar = recall_score(truth, scored.predictions["country"][known].argmax(1), average="macro")
    mae = mean_absolute_error(scored.labels["age"][:95], scored.predictions["age"][:95])
    rows = table_of(tables, "A higher CCC")
    assert rows["country UAR"][1] == with_interval(uar, interval(drawn["country_uar"]))
    assert rows["age MAE (years)"][1] == with_interval(mae, interval(drawn["age_mae"]))
    assert rows["country UAR"][0] == "0.500 (0.500 to 0.500)" and rows["emotion CCC"][0] == "0.000 (0.000 to 0.000)"
    assert table_of(tables, "The clips that have") == {
        "emotion": ["90", "18"],
        "age": ["95", "19"],
        "country": ["90", "18"],
    }
    assert "mine/model predicts emotion, age and country" in html
    assert "the split validation of the corpus my &lt;corpus&gt;: 100 clips of 20 speakers" in html
    assert re.search(r"by paravox [\d.]+ in 12 seconds", html)


def test_groups_are_scored_with_their_own_clips(scored, page):
    _, _, tables = page(scored)
    rows = [row for row in range(100) if row % 10 < 5]
    labelled = [row for row in rows if row < 95]
    mae = mean_absolute_error(scored.labels["age"][labelled], scored.predictions["age"][labelled])
    female, everyone = table_of(tables, "By sex")["female"], table_of(tables, "By sex")["all clips"]
    assert female[:2] == ["50", "10"] and everyone[:2] == ["100", "20"]
    assert female[4].startswith(f"{mae:.3f} (")
    assert everyone[4] == table_of(tables, "A higher CCC")["age MAE (years)"][1]
    by_age = table_of(tables, "By age (bands of 5 years); 5 clips in no group")
    assert list(by_age) == ["20 to 25", "25 to 30", "30 to 35", "35 to 40", "all clips"]
    assert sum(int(row[0]) for name, row in by_age.items() if name != "all clips") == 95
    assert set(table_of(tables, "By country")) == {"China", "USA", "all clips"}


def test_the_worst_clips_are_named_with_what_is_right(scored, page):
    _, _, tables = page(scored)
    errors = {row: abs(scored.labels["age"][row] - scored.predictions["age"][row]) for row in range(95)}
    expected = sorted(errors, key=errors.get, reverse=True)[:10]
    rows = table_of(tables, "Worst clips of age")
    names = [scored.files[row] for row in expected]
    assert [name.replace("&lt;", "<").replace("&gt;", ">") for name in rows] == names
    first = expected[0]
    texts = [f"{values['age'][first]:.1f} years" for values in (scored.predictions, scored.labels)]
    assert list(rows.values())[0] == texts
    probability = scored.predictions["country"][np.arange(90), scored.labels["country"][:90]]
    worst = int(probability.argmin())
    predicted, right = list(table_of(tables, "Worst clips of country").values())[0]
    names = TASKS[2].labels
    assert right == f"{names[worst % 2]} ({probability.min():.2f})"
    assert predicted == f"{names[1 - worst % 2]} ({1 - probability.min():.2f})"


def test_errors_of_clips():
    emotion = clip_errors(TASKS[0], np.array([[0.5, 0.0, 1.0]]), np.array([[0.0, 0.0, 0.9]]))
    country = clip_errors(TASKS[2], np.array([[0.25, 0.75], [0.9, 0.1]]), np.array([0, 0]))
    assert emotion == pytest.approx([0.2]) and country == pytest.approx([0.75, 0.1])


def test_a_page_without_recordings_has_none_and_fetches_nothing(scored, page):
    scored.labels["age"][0], scored.predictions["age"][0] = 40, 0
    html, reader, _ = page(scored, drawn=True)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.wav" in html
    tags = {tag for tag, _ in reader.tags}
    assert not {"script", "audio", "iframe", "object"} & tags and "media-src" in html
    assert "The page holds no recording" in html
    for tag, attributes in reader.tags:
        for name in {"src", "href"} & set(attributes):
            assert attributes[name].startswith(("data:", "#")), tag
    assert all(image["alt"] for image in reader.attributes("img")) and len(reader.attributes("img")) == 9


def test_players_hold_the_recordings(scored, page, tmp_path):
    for row in range(100):
        write_clip(tmp_path / f"{row}.wav", row, seconds=0.1)
    clips = Dataset.from_dict({"path": [str(tmp_path / f"{row}.wav") for row in range(100)]})
    dataset = MultiTaskDataset(clips, [], sampling_rate=16_000)
    html, reader, tables = page(scored, lambda row, caption: player_of_clip(dataset, row, caption))
    players = reader.attributes("audio")
    assert len(players) == 30 and "The page holds recordings: do not publish it" in html
    worst = list(table_of(tables, "Worst clips of emotion"))[0]
    assert players[0]["aria-label"] == worst
    kind, _, content = players[0]["src"].partition(",")
    assert kind == "data:audio/flac;base64"
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(content)))
    expected, _ = soundfile.read(tmp_path / worst)
    assert rate == 16_000
    np.testing.assert_allclose(heard, expected, atol=1e-4)


def test_a_player_has_the_beginning_of_a_long_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(score_report, "MAX_PLAYER_SECONDS", 0.25)
    write_clip(tmp_path / "long.wav", 1, seconds=0.5)
    dataset = MultiTaskDataset(Dataset.from_dict({"path": [str(tmp_path / "long.wav")]}), [], sampling_rate=16_000)
    heard, _ = soundfile.read(io.BytesIO(player_of_clip(dataset, 0, "long").recording))
    np.testing.assert_allclose(heard, soundfile.read(tmp_path / "long.wav")[0][:4_000], atol=1e-4)


def only(scored, rows, speakers="kept"):
    return dataclasses.replace(
        scored,
        rows={name: {task: values[rows] for task, values in row.items()} for name, row in scored.rows.items()},
        labels={task: values[rows] for task, values in scored.labels.items()},
        speakers=[scored.speakers[row] for row in rows] if speakers == "kept" else speakers,
        files=[scored.files[row] for row in rows],
        groups={name: [values[row] for row in rows] for name, values in scored.groups.items()},
    )


def test_one_clip_of_one_speaker(scored, page):
    html, _, tables = page(only(scored, [50]), drawn=True)
    error = abs(scored.labels["age"][50] - scored.predictions["age"][50])
    assert table_of(tables, "A higher CCC")["age MAE (years)"][1] == f"{error:.3f}"
    assert "1 clip of 1 speaker," in html and table_of(tables, "By sex")["female"] == ["1", "1"]


def test_no_speakers_and_no_label_of_a_task(scored, page):
    scored.labels["country"][:] = -100
    html, _, tables = page(only(scored, list(range(95, 100)), speakers=None))
    assert "100 clips of" not in html and "5 clips of 0 speakers" in html
    assert "The corpus names no speakers, so that each clip counts as a speaker of its own." in html
    assert "No clip of this split has a label of the task country." in html
    assert "No clip of this split has a label of the task age." in html
    assert set(table_of(tables, "A higher CCC")) == {"emotion CCC", "emotion UAR"}


def test_no_labels_at_all(scored, page):
    for task, values in scored.labels.items():
        values[:] = -100 if task == "country" else np.nan
    html, _, _ = page(dataclasses.replace(scored, groups={}))
    assert "No clip of this split has a label.</p>" in html


def test_a_class_that_nobody_has_and_speakers_of_whom_some_are_unknown(scored, page):
    scored.labels["country"][:90] = 0
    scored.speakers[:3] = [None, "", None]
    html, _, tables = page(scored)
    hits = (scored.predictions["country"][:90].argmax(axis=1) == 0).mean()
    assert table_of(tables, "A higher CCC")["country UAR"][1].startswith(f"{hits:.3f} (")
    assert "3 clips without a known speaker count as speakers of their own." in html


def test_several_models_are_named_and_their_mean_is_shown(scored, page):
    rows = scored.rows | {"his/model": scored.rows["constant prediction"], "mean of 2 models": scored.predictions}
    html, _, tables = page(dataclasses.replace(scored, models=["mine/model", "his/model"], rows=rows))
    assert "the mean of 2 models (mine/model, his/model) predicts" in html and "<h1>Scores of the mean of 2" in html
    cells = table_of(tables, "A higher CCC")["age MAE (years)"]
    assert len(cells) == 4 and cells[1] == cells[3] and cells[0] == cells[2]


def test_models_are_named_without_the_folders_of_this_machine(tmp_path):
    for name in ("runs/hl/model", "runs/wl/model", "old/hl/model"):
        (tmp_path / name).mkdir(parents=True)
    first, second, third = (str(tmp_path / name) for name in ("runs/hl/model", "runs/wl/model", "old/hl/model"))
    assert model_titles([first, second, "me/mine"]) == ["hl/model", "wl/model", "me/mine"]
    # Two models of one short name could not be told apart.
    assert model_titles([first, third]) == [first, third]
