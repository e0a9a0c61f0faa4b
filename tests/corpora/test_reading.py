"""What the readers of emotion corpora share."""

import logging
import os
from pathlib import Path

import pytest

from paravox.corpora.faults import Faults
from paravox.corpora.reading import (
    audio_by_name,
    check_choice,
    clips_by_path,
    emotion_of_code,
    find_table,
    list_audio,
    list_files,
    nothing_found,
    warn_unless_complete,
    warn_with_examples,
)
from paravox.modeling.errors import ConfigError, CorpusError


def test_files_are_found_in_linked_folders_and_sorted(tmp_path):
    for name in ("root/b.wav", "root/a/z.WAV", "root/a/._z.wav", "elsewhere/c.ogg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root/link").symlink_to(tmp_path / "elsewhere")
    found = [path.relative_to(tmp_path / "root") for path in list_files(tmp_path / "root")]
    assert found == [Path("a/z.WAV"), Path("b.wav"), Path("link/c.ogg")]


def test_recordings_go_by_their_suffix():
    names = ["a.wav", "a.WAV", "a.flac", "a.ogg", "a.opus", "a.mp3", "a.sph", "a.aif", "a.txt", "a.raw", "a.avi", "wav"]
    assert [path.name for path in list_audio([Path(name) for name in names])] == names[:8]


def test_two_recordings_of_one_name_are_a_fault():
    faults = Faults(Path("corpus"))
    paths = [Path("a/1.wav"), Path("b/1.flac"), Path("b/2.wav"), Path("2.txt")]
    assert set(audio_by_name(faults, paths)) == {"1", "2"}
    assert faults.offenders == {"recording found twice": ["b/1.flac"]}


def test_one_table_or_copies_of_it(tmp_path):
    names = ("labels.csv", "lables.csv")
    assert find_table([], names) is None
    paths = [tmp_path / name for name in ("other.csv", "Labels.csv", "lables.csv")]
    for path in paths:
        path.write_text("x")
    assert find_table(paths, names) == paths[1]
    paths[2].write_text("y")
    with pytest.raises(CorpusError, match="2 tables with different contents"):
        find_table(paths, names)


def test_a_code_without_an_emotion_is_dropped_merged_or_kept():
    words = {"A": "anger", "O": "other"}
    for choice in ("drop", "other", "keep"):
        assert emotion_of_code("A", words, choice) == "anger"
    assert [emotion_of_code("X", words, choice) for choice in ("drop", "other", "keep")] == [None, "other", "X"]


def test_clips_are_sorted_by_path_with_their_columns():
    rows = [{"path": "b", "speaker": None, "position": 2}, {"path": "a", "speaker": "01", "position": 1}]
    clips = clips_by_path(rows)
    assert [dict(clip) for clip in clips] == rows[::-1]
    assert {name: feature.dtype for name, feature in clips.features.items()} == {
        **{"path": "string", "speaker": "string"},
        "position": "int64",
    }


def test_an_unknown_choice_is_named():
    check_choice("no_majority", "keep", ("drop", "other", "keep"))
    with pytest.raises(ConfigError, match="no_majority 'all': use drop, other or keep"):
        check_choice("no_majority", "all", ("drop", "other", "keep"))


def test_what_was_found_instead_of_clips(tmp_path):
    for name in "dcba":
        (tmp_path / name).touch()
    assert str(nothing_found(tmp_path, "clip", "look elsewhere")) == (
        f"{tmp_path} has no clip (found a, b, c and 1 more): look elsewhere"
    )


def test_warnings_have_counts_and_three_examples(caplog):
    with caplog.at_level(logging.WARNING):
        warn_with_examples("ESD", "left out", [])
        warn_unless_complete("ESD", 35_000, 35_000)
        assert not caplog.records
        warn_with_examples("ESD", "left out", {"d", "c", "b", "a"})
        warn_unless_complete("ESD", 1_234, 35_000)
    assert [record.message for record in caplog.records] == [
        "ESD: left out: 4 (a, b, c)",
        "ESD: 1,234 clips instead of the paper's 35,000: results cannot be compared directly with the paper's",
    ]


def test_links_that_lead_in_circles_are_survived_and_nothing_behind_them_is_lost(tmp_path):
    for name in ("root/a/1.wav", "root/b/2.wav", "outside/3.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/a/self").symlink_to(tmp_path / "root/a")
    (tmp_path / "outside/back").symlink_to(tmp_path / "root")
    (tmp_path / "root/b/out").symlink_to(tmp_path / "outside")
    # Two names of one folder are no circle: both lead to recordings that were named so.
    (tmp_path / "root/c").symlink_to(tmp_path / "root/b")
    (tmp_path / "root/broken").symlink_to(tmp_path / "gone")
    found = [str(path.relative_to(tmp_path / "root")) for path in list_audio(list_files(tmp_path / "root"))]
    assert found == ["a/1.wav", "b/2.wav", "b/out/3.wav", "c/2.wav", "c/out/3.wav"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    scan = os.scandir

    def refuse(place):
        if Path(place).name == "locked":
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CorpusError, match="the folder .*locked cannot be read .Permission denied"):
        list_files(tmp_path)
    assert list_files(tmp_path / "no such folder") == []


@pytest.mark.parametrize("name", ["a.m4a", "a.AAC", "a.3gp", "a.amr", "a.webm", "a.opus", "a.mp3", "a.WAV", "a.aif"])
def test_what_a_phone_records_is_a_recording(name):
    assert list_audio([Path(name)]) == [Path(name)]
    assert list_audio([Path("a.raw"), Path("a.mp4"), Path("a.txt"), Path("wav")]) == []
