"""The predict program: one record per file, in the order of the files, with the values of that file."""

import json
import re

import numpy as np
import pytest
import soundfile
import torch
from little_corpora import write_clip

from paravox.modeling.errors import AudioError, CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.recipes.burst2vec import predict

LABELS = {"emotion": ["amusement", "awe", "fear"], "country": ["China", "South Africa", "USA", "Venezuela"]}


@pytest.fixture
def clips(tmp_path):
    """Six files whose lengths are not in the order of their names."""
    for number, seconds in enumerate((0.5, 0.2, 0.9, 0.3, 0.7, 0.4)):
        write_clip(tmp_path / "clips" / f"{number}.wav", number, seconds)
    return tmp_path / "clips"


def predict_alone(folder, path):
    """The record of one file, by the model alone."""
    model = Burst2VecForMultiTask.from_pretrained(folder).eval()
    with torch.no_grad():
        output = model(**Burst2VecFeatureExtractor.from_pretrained(folder)([path], return_tensors="pt"))
    return {
        task: dict(zip(LABELS[task], values[0].tolist(), strict=True)) if task in LABELS else values[0].item()
        for task, values in output.predictions.items()
    }


def test_records_are_in_the_order_of_the_files(saved_members, clips, capsys):
    given = [str(clips / f"{number}.wav") for number in (4, 1, 2)]
    folder = saved_members[0]
    records = predict.main([*given, str(clips), "--model", folder, "--json"])
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == records
    paths = [*given, *(str(clips / f"{number}.wav") for number in range(6))]
    assert [record["file"] for record in records] == paths
    assert len({record["age"] for record in records}) > 3
    for record, path in zip(records, paths, strict=True):
        expected = predict_alone(folder, path)
        assert list(record) == ["file", "emotion", "age", "country"]
        for task, values in expected.items():
            assert record[task] == pytest.approx(values, abs=1e-4, rel=1e-4), (path, task)


def test_the_size_of_the_batches_changes_nothing(saved_members, clips):
    command = [str(clips), "--model", saved_members[0]]
    one_by_one, together = predict.main([*command, "--batch_seconds", "0.1"]), predict.main(command)
    np.testing.assert_allclose([r["age"] for r in one_by_one], [r["age"] for r in together], rtol=1e-4)


def test_the_table_shows_the_strongest_labels_first(saved_members, clips, capsys):
    for arguments, top in (([], 3), (["--top", "1"], 1), (["--top", "9"], 4)):
        (record,) = predict.main(["clips/2.wav", "--model", saved_members[0], *arguments])
        header, row = capsys.readouterr().out.splitlines()
        assert re.split("  +", header) == ["clip", "emotion", "age (years)", "country"]
        name, emotion, age, country = re.split("  +", row)
        strongest = sorted(record["country"], key=lambda label: record["country"][label], reverse=True)[:top]
        assert country == ", ".join(f"{label} {record['country'][label]:.2f}" for label in strongest)
        assert (name, age) == ("clips/2.wav", f"{record['age']:.1f}") and emotion.count(",") == min(top, 3) - 1


def test_rows_are_printed_as_they_come(saved_members, clips, monkeypatch, capsys):
    printed = []

    def records(model, extractor, paths, *settings):
        for number, path in enumerate(paths):
            yield {"file": path, "emotion": {"awe": 1.0}, "age": 20.0 + number, "country": {"USA": 1.0}}
            printed.append(capsys.readouterr().out.splitlines())

    monkeypatch.setattr(predict, "predict_records", records)
    predict.main([str(clips), "--model", saved_members[0]])
    assert [len(lines) for lines in printed] == [2, 1, 1, 1, 1, 1] and "24.0" in printed[4][0]


def windows_alone(folder, path, starts, length):
    """The model's own predictions for parts of a recording."""
    samples, rate = soundfile.read(path, dtype="float32")
    parts = [(samples[start : start + length], rate) for start in starts]
    model = Burst2VecForMultiTask.from_pretrained(folder).eval()
    extractor = Burst2VecFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        return [model(**extractor([part], return_tensors="pt")) for part in parts]


def test_windows_and_embeddings_are_those_of_each_part_alone(saved_members, clips, capsys):
    command = [str(clips), "--model", saved_members[0], "--window_seconds", "0.3", "--stride_seconds", "0.25"]
    records = predict.main([*command, "--embeddings", "--json"])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == records
    starts = {0: [0, 3200], 1: [0], 2: [0, 4000, 8000, 9600], 3: [0], 4: [0, 4000, 6400], 5: [0, 1600]}
    for number, record in enumerate(records):
        windows = record["windows"]
        expected = windows_alone(saved_members[0], record["file"], starts[number], 4800)
        assert [window["start"] for window in windows] == [start / 16_000 for start in starts[number]]
        for window, output in zip(windows, expected, strict=True):
            assert window["age"] == pytest.approx(output.predictions["age"].item(), rel=1e-4)
            for place in ("shared", "projected"):
                values = output.representations[place][0].tolist()
                assert window["embeddings"][place] == pytest.approx(values, abs=1e-4)
            joint = output.representations["joint"]["age"][0].tolist()
            assert window["embeddings"]["joint"]["age"] == pytest.approx(joint, abs=1e-4)
        assert record["age"] == pytest.approx(np.mean([window["age"] for window in windows]))
        assert len(record["embeddings"]["specific"]["emotion"]) == 12
    assert [window["end"] for window in records[2]["windows"]] == [0.3, 0.55, 0.8, 0.9]
    predict.main(command)
    rows = [re.split("  +", line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0][:2] == ["clip", "seconds"] and len(rows) == 1 + 13
    assert rows[4][:2] == [str(clips / "2.wav"), "0.00-0.30"] and rows[7][1] == "0.60-0.90"


def test_a_recording_longer_than_the_model_takes(saved_members, clips, capsys):
    write_clip(clips / "long.wav", 1, 31)
    command = [str(clips / "long.wav"), "--model", saved_members[2]]  # Whisper, which takes 30 s
    with pytest.raises(AudioError, match="lasts 31.0 s, longer than max_seconds of 30: cut it, or give window_seconds"):
        predict.main(command)
    (record,) = predict.main([*command, "--window_seconds", "20"])
    assert [(window["start"], window["end"]) for window in record["windows"]] == [(0, 20), (11, 31)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--top", "0"], "top is 0: give the number of labels"),
        (["--top", "5", "--json"], "top is for the table"),
        (["--embeddings"], "give --json, or an --output that ends in .jsonl"),
        (["--embeddings", "--output", "x.csv"], "embeddings are too long for a table"),
        (["--stride_seconds", "1"], "stride_seconds is given without window_seconds"),
        (["--window_seconds", "-1"], "window_seconds is -1.0: give a number of seconds above 0"),
    ],
)
def test_options_that_do_not_fit(arguments, message):
    """Before the model is opened, which may take long."""
    with pytest.raises(ConfigError, match=message):
        predict.main(["clip.wav", "--model", "nowhere", *arguments])


def test_clips_that_cannot_be_read_are_skipped_on_request_alone(saved_members, clips, capsys):
    (clips / "1.wav").write_bytes(b"no audio")
    (clips / "3.wav").write_bytes((clips / "3.wav").read_bytes()[:100])
    command = [str(clips), "--model", saved_members[0]]
    with pytest.raises(AudioError, match=r"[13]\.wav"):
        predict.main(command)
    capsys.readouterr()
    records = predict.main([*command, "--json", "--skip_bad"])
    captured = capsys.readouterr()
    assert [record["file"][-5] for record in records] == ["0", "2", "4", "5"]
    assert len(captured.out.splitlines()) == 4
    first, *messages = captured.err.strip().splitlines()[-3:]
    assert first == "2 clips skipped" and "1.wav" in messages[0] and "3.wav" in messages[1]
    expected = predict_alone(saved_members[0], str(clips / "2.wav"))
    assert records[1]["age"] == pytest.approx(expected["age"], rel=1e-4)


def test_nothing_is_predicted_where_no_clip_can_be_read(saved_members, clips, capsys):
    (clips / "1.wav").write_bytes(b"no audio")
    assert predict.main([str(clips / "1.wav"), "--model", saved_members[0], "--skip_bad"]) == []
    assert "1 clip skipped" in capsys.readouterr().err


def test_the_command_line(tmp_path, capsys):
    with pytest.raises(CheckpointError, match="checkpoint .*nowhere"):
        predict.main(["clip.wav", "--model", str(tmp_path / "nowhere")])
    for arguments, message in (
        (["clip.wav"], "required: --model"),
        (["clip.wav", "--mod", "x"], "required: --model"),
        (["--model", "x"], "required: CLIP"),
    ):
        with pytest.raises(SystemExit, match="2"):
            predict.main(arguments)
        assert message in capsys.readouterr().err
