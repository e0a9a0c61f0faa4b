"""The file of the predict program: records as they come, going on, bad recordings, precision and several processes."""

import csv
import json
import math
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from little_corpora import write_clip

from paravox.modeling.errors import AudioError, ConfigError
from paravox.recipes.burst2vec import predict


@pytest.fixture
def clips(tmp_path):
    """Forty files, which are three chunks; the lengths are not in the order of the names."""
    for number, seconds in enumerate(np.random.default_rng(0).uniform(0.1, 0.4, size=40)):
        write_clip(tmp_path / "clips" / f"{number:02}.wav", number, seconds)
    return tmp_path / "clips"


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_both_formats_hold_what_json_prints(saved_members, clips, tmp_path, capsys):
    command = [str(clips), "--model", saved_members[2]]
    expected = predict.main([*command, "--json"])
    assert "running on cpu in float32" in capsys.readouterr().err
    assert predict.main([*command, "--output", "out/predictions.jsonl"]) == []
    assert [json.loads(line) for line in open("out/predictions.jsonl")] == expected
    assert "out/predictions.jsonl: 40 recordings, 0 of them cannot be used" in capsys.readouterr().out
    predict.main([*command, "--output", "predictions.csv", "--batch_seconds", "0.5", "--num_workers", "1"])
    rows = read_csv("predictions.csv")
    labels = ["emotion/amusement", "emotion/awe", "emotion/fear"]
    countries = [f"country/{name}" for name in ("China", "South Africa", "USA", "Venezuela")]
    assert list(rows[0]) == ["file", *labels, "age", *countries, "unusual", "warning", "error"]
    for row, record in zip(rows, expected, strict=True):
        assert row["file"] == record["file"] and row["error"] == ""
        assert float(row["age"]) == pytest.approx(record["age"], rel=1e-5)
        assert [float(row[name]) for name in labels] == pytest.approx(list(record["emotion"].values()), abs=1e-5)
        assert [float(row[name]) for name in countries] == pytest.approx(list(record["country"].values()), abs=1e-5)


def test_a_stopped_run_reads_only_what_is_missing(saved_members, clips, monkeypatch):
    command = [str(clips), "--model", saved_members[2], "--output", "predictions.csv"]
    predict.main(command)
    whole = read_csv("predictions.csv")
    lines = open("predictions.csv").readlines()
    with open("predictions.csv", "w") as file:
        file.write("".join(lines[:11]) + lines[11][:20])  # ten records and a part of one
    given = []
    run = predict.predict_records
    monkeypatch.setattr(
        predict,
        "predict_records",
        lambda model, extractor, files, *s: given.append(files) or run(model, extractor, files, *s),
    )
    predict.main(command)
    assert given == [[str(clips / f"{number:02}.wav") for number in range(10, 40)]]
    again = read_csv("predictions.csv")
    assert [row["file"] for row in again] == [row["file"] for row in whole]
    np.testing.assert_allclose([float(row["age"]) for row in again], [float(row["age"]) for row in whole], rtol=1e-5)
    predict.main(command)
    assert given[1] == []
    (clips / "00.wav").rename(clips / "99.wav")
    others = [command]
    for other in (["--dtype", "bfloat16"], ["--model", saved_members[0]], ["--skip_bad"]):
        others.append([*command, *other])
    for other in others:
        with pytest.raises(ConfigError, match="holds predictions of another model"):
            predict.main(other)
    (clips / "99.wav").rename(clips / "00.wav")
    for other in others[1:]:
        with pytest.raises(ConfigError, match="holds predictions of another model"):
            predict.main(other)
    predict.main([*command, "--dtype", "bfloat16", "--overwrite"])
    ages = [[float(row["age"]) for row in rows] for rows in (whole, read_csv("predictions.csv"))]
    np.testing.assert_allclose(*ages, atol=0.03 * 19)
    assert ages[0] != ages[1]


def test_a_csv_of_windows_goes_on_behind_the_last_recording_that_is_complete(saved_members, clips, monkeypatch):
    (clips / "01.wav").write_bytes(b"no audio")
    command = [str(clips), "--model", saved_members[2], "--window_seconds", "0.15", "--output", "windows.csv"]
    with pytest.raises(AudioError, match="1 of 40"):
        predict.main(command)
    whole = read_csv("windows.csv")
    assert list(whole[0])[:6] == ["file", "window", "windows", "start", "end", "emotion/amusement"]
    for row in whole:
        length = soundfile.info(row["file"]).duration if not row["error"] else 0.0
        assert row["error"] or int(row["windows"]) == max(1, math.ceil(length / 0.15 - 1e-9)), row
    assert [row["file"][-6:-4] for row in whole if row["error"]] == ["01"]
    assert sorted({row["file"] for row in whole}) == sorted(map(str, clips.iterdir()))
    # Cut in the middle of a recording that has several windows.
    cut = next(place for place, row in enumerate(whole) if place > 30 and row["window"] == "2")
    lines = open("windows.csv").readlines()
    with open("windows.csv", "w") as file:
        file.write("".join(lines[: cut + 1]))
    given = []
    run = predict.predict_records
    monkeypatch.setattr(
        predict,
        "predict_records",
        lambda model, extractor, files, *s: given.append(files) or run(model, extractor, files, *s),
    )
    with pytest.raises(AudioError, match="1 of 40"):
        predict.main(command)
    assert given[0][0] == whole[cut]["file"]
    again = read_csv("windows.csv")
    assert [(row["file"], row["window"], row["start"]) for row in again] == [
        (row["file"], row["window"], row["start"]) for row in whole
    ]
    with pytest.raises(ConfigError, match="holds predictions of another model"):
        predict.main([*command, "--stride_seconds", "0.1"])


def test_a_bad_recording_becomes_a_record_and_the_exit_code_is_1(saved_members, clips, capsys):
    (clips / "07.wav").write_bytes(b"no audio")
    (clips / "31.wav").write_bytes(b"")
    command = [str(clips), "--model", saved_members[2], "--output", "predictions.jsonl"]
    message = r"2 of 40 recordings cannot be used: .*07.wav is not audio .*; .*31.wav is empty"
    for _ in range(2):  # the second time, nothing is left to do
        with pytest.raises(AudioError, match=message):
            predict.main(command)
        records = [json.loads(line) for line in open("predictions.jsonl")]
        assert len(records) == 40 and [row for row, record in enumerate(records) if "error" in record] == [7, 31]
        assert list(records[7]) == ["file", "error"] and "age" in records[8]
    predict.main([*command, "--skip_bad", "--overwrite"])
    assert len(open("predictions.jsonl").readlines()) == 38
    assert "2 clips skipped" in capsys.readouterr().err
    with pytest.raises(AudioError, match=message):
        predict.main(command[:-2])
    assert "is not audio" in capsys.readouterr().out


def test_brackets_in_a_name_are_shown(saved_members, clips, capsys):
    (clips / "00.wav").rename(clips / "[red]a.wav")
    predict.main(["clips/[red]a.wav", "--model", saved_members[2]])
    assert "clips/[red]a.wav" in capsys.readouterr().out


def test_several_processes_need_a_file(saved_members, clips, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="prediction by 2 processes needs a file"):
        predict.main([str(clips), "--model", saved_members[2]])


def started(command, processes=1):
    """Starts the program in processes of its own."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    program = [sys.executable, *launcher, "-m", "paravox.recipes.burst2vec.predict", *command]
    return subprocess.Popen(program, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_equal_one(saved_members, clips, monkeypatch):
    (clips / "25.wav").write_bytes(b"no audio")
    command = [str(clips), "--model", saved_members[2]]
    with pytest.raises(AudioError):
        predict.main([*command, "--output", "one.csv"])
    process = started([*command, "--output", "two.csv"], processes=2)
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 1 and "1 of 40 recordings cannot be used" in errors
    one, two = read_csv("one.csv"), read_csv("two.csv")
    assert [row["file"] for row in one] == [row["file"] for row in two]
    for first, second in zip(one, two, strict=True):
        assert first["error"] == second["error"]
        for name in set(first) - {"file", "error"}:
            assert first[name] == second[name] or float(first[name]) == pytest.approx(float(second[name]), abs=1e-5)
    assert not [name for name in os.listdir() if ".part-" in name]
    # A second time, nothing is left to do, so that no process waits for the other one.
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = open("two.csv").read()
    with pytest.raises(AudioError, match="1 of 40 recordings cannot be used"):
        predict.main([*command, "--output", "two.csv"])
    assert open("two.csv").read() == before


@pytest.mark.slow
def test_a_killed_run_goes_on(saved_members, clips):
    command = [str(clips)] * 15 + ["--model", saved_members[2], "--batch_seconds", "1"]
    process = started([*command, "--output", "killed.jsonl"])
    while process.poll() is None:
        if os.path.exists("killed.jsonl") and os.path.getsize("killed.jsonl") > 20_000:
            process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = open("killed.jsonl").read()
    assert 0 < kept.count("\n") < 600
    predict.main([*command, "--output", "killed.jsonl"])
    content = open("killed.jsonl").read()
    assert content.startswith(kept[: kept.rfind("\n") + 1])
    found = [json.loads(line) for line in content.splitlines()]
    expected = predict.main([str(clips), "--model", saved_members[2], "--json"])
    assert len(found) == 600
    for row, record in enumerate(found):
        assert record["file"] == expected[row % 40]["file"]
        assert record["age"] == pytest.approx(expected[row % 40]["age"], rel=1e-5)
