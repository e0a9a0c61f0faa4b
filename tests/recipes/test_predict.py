"""The predict program: one record per file, in the order of the files, with the values of that file."""

import json

import numpy as np
import pytest
import torch
from little_corpora import write_clip

from paravox.modeling.errors import AudioError, CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import Task
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
    (record,) = predict.main(["clips/2.wav", "--model", saved_members[0]])
    header, row = [line for line in capsys.readouterr().out.splitlines() if line[0] in "┃│"]
    assert [cell.strip() for cell in header.split("┃")[1:-1]] == ["clip", "emotion", "age (years)", "country"]
    cells = [cell.strip() for cell in row.split("│")[2:-1]]
    strongest = sorted(record["country"], key=lambda name: record["country"][name], reverse=True)[:3]
    assert cells[2] == ", ".join(f"{name} {record['country'][name]:.2f}" for name in strongest)
    assert cells[1] == f"{record['age']:.1f}"


def test_cells_of_the_table(capsys):
    tasks = [
        Task("age", "scalar", range=(0, 100), unit="years"),
        Task("mood", "intensities", labels=("a", "b", "c", "d")),
        Task("level", "scalar", range=(0, 1)),
    ]
    predict.print_table(
        tasks, [{"file": "x.wav", "age": 31.26, "mood": {"a": 0.1, "b": 0.9, "c": 0.0, "d": 0.5}, "level": 0.25}]
    )
    printed = capsys.readouterr().out
    assert "│ x.wav │ 31.3        │ b 0.90, d 0.50, a 0.10 │ 0.2   │" in printed and "┃ level ┃" in printed


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
    assert "1 clips skipped" in capsys.readouterr().err


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
