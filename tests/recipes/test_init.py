"""The program that writes a first YAML file: it runs with paravox train as it is, on many sorts of corpora."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from little_corpora import write_clip

from paravox.modeling.errors import ConfigError, CorpusError
from paravox.recipes import describe, init
from paravox.recipes.burst2vec import train

CLIPS = 18
SPLITS = ["train"] * 10 + ["validation"] * 4 + ["test"] * 4
SPEAKERS = [f"s{number // 2}" for number in range(CLIPS)]
NAMED = {"speaker": SPEAKERS, "split": SPLITS}


def cycled(*cells):
    return [cells[number % len(cells)] for number in range(CLIPS)]


TABLES = {
    "intensities": NAMED | {"awe": cycled(0.1, 0.9, 0.5), "fear": cycled(1, 0, 0.25)},
    "scalars": NAMED | {"age": cycled(20, 33.5, 61), "valence": cycled(-1, 0, 1)},
    "classes": NAMED
    | {"mood": cycled("joy", "so-so", "no"), "country": cycled("China", "South Africa")}
    | {"home town: (which?)": cycled("a: b", "# c")},
    "mixed": NAMED | {"awe": cycled(0.1, 1), "fear": cycled(1, 0), "age": cycled(20, 61), "mood": cycled("a", "b")},
    "without_split": {"speaker": SPEAKERS, "age": cycled(20, 33, 61)},
    "without_speaker": {"split": SPLITS, "mood": cycled("joy", "sorrow")},
    "unknown_cells": NAMED | {"age": cycled(20, None, 61), "mood": cycled("joy", None, "null"), "x": cycled(None)},
    "integer_classes": NAMED | {"emotion": cycled(0, 1, 2), "laughs": cycled(0, 1)},
    "transcript": NAMED | {"transcript": [f"he said: '{n}'\n# yes" for n in range(CLIPS)], "mood": cycled("a", "b")},
    "id_column": NAMED | {"clip_id": list(range(CLIPS)), "uid": [f"x{n}" for n in range(CLIPS)], "age": cycled(9, 8)},
}
FOLDERS = {
    "class_folders": [f"{mood}/{n}.wav" for mood in ("joy", "in: pain") for n in range(8)],
    "split_folders": [f"{split}/{mood}/{n}.wav" for split in ("train", "dev", "test") for mood in "ab" for n in "123"],
}
# What the tasks of each corpus must be: a kind per task.
KINDS = {
    "intensities": {"emotion": "intensities"},
    "scalars": {"age": "scalar", "valence": "scalar"},
    "classes": {"mood": "classes", "country": "classes", "home town: (which?)": "classes"},
    "mixed": {"emotion": "intensities", "age": "scalar", "mood": "classes"},
    "semicolons": {"emotion": "intensities", "age": "scalar", "mood": "classes"},
    "without_split": {"age": "scalar"},
    "without_speaker": {"mood": "classes"},
    "unknown_cells": {"age": "scalar", "mood": "classes"},
    "integer_classes": {"emotion": "classes", "laughs": "classes"},
    "transcript": {"mood": "classes"},
    "id_column": {"age": "scalar"},
    "class_folders": {"label": "classes"},
    "split_folders": {"label": "classes"},
}
UNUSED = {"unknown_cells": ["x"], "transcript": ["transcript"], "id_column": ["clip_id", "uid"]}


def write_corpus(name):
    """A corpus of little recordings in the folder of its name."""
    folder = Path(name)
    if name in FOLDERS:
        for number, place in enumerate(FOLDERS[name]):
            write_clip(folder / place, number, 0.2)
        return folder
    for number in range(CLIPS):
        write_clip(folder / f"{number}.wav", number, 0.2)
    table = {"file_name": [f"{number}.wav" for number in range(CLIPS)]} | TABLES.get(name, TABLES["mixed"])
    place, sep = ("labels.csv", ";") if name == "semicolons" else ("metadata.csv", ",")
    pd.DataFrame(table).to_csv(folder / place, index=False, sep=sep)
    return folder


@pytest.mark.parametrize("name", KINDS)
def test_what_it_writes_are_settings_with_reasons(name, capsys):
    file = init.main([str(write_corpus(name))])
    assert str(file) == f"{name}.yaml"
    text = file.read_text()
    settings = yaml.safe_load(text)
    assert {task["name"]: task["kind"] for task in settings["tasks"]} == KINDS[name]
    expected = {"data_dir": name, "encoder": "openai/whisper-base", "output_dir": f"runs/{name}"}
    assert expected.items() <= settings.items() and max(map(len, text.splitlines())) <= 110
    printed = capsys.readouterr().out
    assert printed.endswith(f"paravox train {name}.yaml\n")
    for column in UNUSED.get(name, []):
        assert f"#   {column}: " in text and f"  {column}: not used, because " in printed
    assert ("# Not used:" in text) == (name in UNUSED)
    if name == "semicolons":
        assert settings["corpus_options"] == {"metadata": "labels.csv"}
    if name == "class_folders":
        assert settings["tasks"][0]["labels"] == ["in: pain", "joy"]
    if name == "scalars":
        assert [task["range"] for task in settings["tasks"]] == [[20, 61], [-1, 1]]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_it_trains_as_it_is(name, saved_encoders):
    init.main([str(write_corpus(name)), "--encoder", str(saved_encoders["wav2vec2"]), "--output", "first.yaml"])
    train.main(["first.yaml", *"--max_steps 2 --use_cpu true --eval_strategy no --save_strategy no".split()])
    results = json.loads(Path("runs/first/results.json").read_text())
    assert Path("runs/first/model/config.json").is_file() and "val" in json.dumps(results)


def test_describe_takes_a_folder(capsys):
    description = describe.main([str(write_corpus("mixed"))])
    labels = description["train"]["labels"]
    assert list(labels) == ["emotion", "age", "mood"] and labels["mood"]["counts"] == {"a": 5, "b": 5}
    description = describe.main([str(write_corpus("split_folders"))])
    assert description["validation"]["labels"]["label"]["counts"] == {"a": 3, "b": 3}
    assert "guessed" in capsys.readouterr().out


def test_files_and_folders_that_do_not_fit():
    folder = write_corpus("id_column")
    (folder / "metadata.csv").write_text("file_name,clip_id\n0.wav,7\n1.wav,8\n")
    with pytest.raises(
        CorpusError, match=r"no labels to learn in metadata.csv \(clip_id: it names things, by its name\)"
    ):
        init.main(["id_column"])
    assert not Path("id_column.yaml").exists()
    write_corpus("id_column")
    Path("id_column.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"id_column.yaml exists: give another file by --output, or replace it"):
        init.main(["id_column"])
    assert Path("id_column.yaml").read_text() == "mine"
    init.main(["id_column", "--overwrite"])
    with pytest.raises(ConfigError, match="'x.txt' is no YAML file"):
        init.main(["id_column", "--output", "x.txt"])
