"""Predictions beside a table: they are small, give the same scores, and fit together."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import planted_table
import pytest
import yaml
from planted_table import EFFECTS, SEEDS
from sklearn.metrics import recall_score

import paravox.recipes
from paravox.evaluation.predictions_file import read_predictions, write_predictions
from paravox.evaluation.table_2 import make_table
from paravox.evaluation.table_2_predictions import keep_predictions, read_table_predictions
from paravox.evaluation.table_2_suite import parse_suite
from paravox.modeling.errors import CheckpointError
from paravox.trainers.scoring import score_split

FACTS = {code: {"encoder": "base"} for code in EFFECTS}
CONFIGS = Path(paravox.recipes.__file__).parent / "burst2vec" / "configs"
RESULTS = CONFIGS.parent / "results"


@pytest.fixture
def runs(tmp_path):
    return planted_table.write_runs(tmp_path)


def keep(runs, folder="kept"):
    keep_predictions(Path(folder), runs, FACTS, "paravox table_2 suite.yaml")
    return Path(folder)


def read(folder, codes=tuple(EFFECTS), seeds=None):
    return read_table_predictions(folder, codes, seeds)


def test_scores_stay_the_same_and_half_of_the_bits_go(runs):
    folder = keep(runs)
    saved = read(folder)
    for (code, seed), by_split in saved.predictions.items():
        for split, values in by_split.items():
            labels = planted_table.true_labels(split)
            before = score_split(saved.tasks, planted_table.predicted(split, code, seed), labels)
            assert score_split(saved.tasks, values, labels) == pytest.approx(before, abs=1e-4)
            with np.load(folder / f"{code.replace(' ', '_')}_{seed}_{split}.npz") as file:
                kinds = {name: array.dtype for name, array in file.items()}
            assert kinds == {"emotion": np.float16, "age": np.float32, "country": np.float16}
    assert saved.clips["val"].speakers == planted_table.speakers("val")
    assert saved.clips["test"].clips[:2] == ["0.wav", "1.wav"]
    assert set(saved.predictions) == {(code, seed) for code in EFFECTS for seed in SEEDS}


def change(run, split, **changes):
    file = run.folder / "predictions" / f"{split}.npz"
    saved = dataclasses.replace(read_predictions(file), **changes)
    write_predictions(file, saved.predictions, saved.labels, saved.speakers, saved.clips)


def test_the_strongest_output_stays_the_strongest(runs):
    """Two outputs that rounding makes equal: the second one is larger, but the first one would be taken."""
    run = runs["V1", 1]
    predictions = planted_table.predicted("val", "V1", 1)
    predictions["country"] = np.tile(np.float32([0.49999, 0.50001]), (planted_table.CLIPS, 1))
    predictions["emotion"][:] = np.float32([0.2, 0.7, 0.70001])
    change(run, "val", predictions=predictions)
    kept = read(keep(runs)).predictions["V1", 1]["val"]
    assert (kept["country"].argmax(axis=1) == 1).all() and (kept["emotion"].argmax(axis=1) == 2).all()
    assert np.abs(kept["emotion"] - predictions["emotion"]).max() < 1.5 / 2048
    right = planted_table.true_labels("val")["country"]
    assert recall_score(right, kept["country"].argmax(axis=1), average="macro") == 0.5


def test_predictions_keep_all_bits_where_rounding_would_change_a_score(runs):
    """The intensities differ by less than a step, so that rounding would leave nothing of them."""
    predictions = planted_table.predicted("val", "V1", 1)
    labels = planted_table.true_labels("val") | {"emotion": (predictions["emotion"] / 4096).astype(np.float32)}
    predictions["emotion"] = labels["emotion"] * np.float32(0.9)
    for run in runs.values():
        change(run, "val", labels=labels)
    change(runs["V1", 1], "val", predictions=predictions)
    kept = read(keep(runs)).predictions["V1", 1]["val"]
    np.testing.assert_array_equal(kept["emotion"], predictions["emotion"])


def test_clips_without_a_label_have_no_prediction(runs):
    labels = planted_table.true_labels("val")
    labels["age"][:100] = np.nan
    labels["country"][50:] = -100
    labels["emotion"][7, 1] = np.nan
    for run in runs.values():
        change(run, "val", labels=labels)
    kept = read(keep(runs)).predictions["V3", 2]["val"]
    assert np.isnan(kept["age"][:100]).all() and not np.isnan(kept["age"][100:]).any()
    assert np.isnan(kept["country"][50:]).all() and not np.isnan(kept["country"][:50]).any()
    assert np.isnan(kept["emotion"][7]).all() and np.isnan(kept["emotion"]).sum() == 3


def test_a_split_without_labels_is_left_out(runs):
    unknown = {
        "emotion": np.full((planted_table.CLIPS, 3), np.nan, np.float32),
        "age": np.full(planted_table.CLIPS, np.nan, np.float32),
        "country": np.full(planted_table.CLIPS, -100),
    }
    for run in runs.values():
        change(run, "test", labels=unknown)
    assert list(read(keep(runs)).clips) == ["val"]


def test_what_is_known_of_the_runs(runs):
    results = json.loads((runs["V1", 1].folder / "results.json").read_text())
    (runs["V1", 1].folder / "results.json").write_text(json.dumps(results | {"seconds": 12, "machine": "one core"}))
    about = read(keep(runs)).about
    assert about["runs"][0] == {
        "code": "V1",
        "seed": 1,
        "seconds": 12,
        "machine": "one core",
        "selected_on_val": False,
    }
    assert about["settings"] == FACTS and about["command"] == "paravox table_2 suite.yaml"


def test_some_of_the_runs(runs):
    folder = keep(runs)
    saved = read(folder, ["V3"], [2])
    assert set(saved.predictions) == {("V3", 2)} and len(saved.about["runs"]) == 1
    with pytest.raises(CheckpointError, match="lacks V3 with seed 7: leave them out by --rows and --seeds"):
        read(folder, ["V3"], [2, 7])
    with pytest.raises(CheckpointError, match="holds no predictions of a table"):
        read(folder.parent)


def test_runs_on_other_clips_are_refused(runs):
    change(runs["V3", 2], "val", speakers=["somebody else"] * planted_table.CLIPS)
    with pytest.raises(CheckpointError, match="V3_2 was run on other clips than .*V1_1"):
        keep(runs)


def committed_tables():
    return sorted(RESULTS.glob("table_2_*.json"))


def numbers_of(value, path=()):
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers_of(part, (*path, key))
    elif isinstance(value, list):
        for key, part in enumerate(value):
            yield from numbers_of(part, (*path, key))
    else:
        yield path, value


def test_committed_tables_follow_from_their_predictions():
    if not committed_tables():
        pytest.skip("no table_2_*.json is committed in recipes/burst2vec/results")
    for file in committed_tables():
        suite_file = CONFIGS / f"{file.stem}.yaml"
        suite = parse_suite(yaml.safe_load(suite_file.read_text()), suite_file)
        table = json.loads(file.read_text())
        codes = {row["code"] for row in table["rows"]}
        suite = suite.only([row.code for row in suite.rows if row.code in codes])
        folder = file.with_name(f"{file.stem}_predictions")
        saved = read_table_predictions(folder, [row.code for row in suite.rows], table["seeds"])
        found = dict(numbers_of(make_table(suite, saved)))
        expected = dict(numbers_of(table))
        assert found.keys() == expected.keys(), file.name
        for path, value in expected.items():
            same = pytest.approx(value, abs=1e-4) if isinstance(value, float) else value
            assert found[path] == same, (file.name, path)
