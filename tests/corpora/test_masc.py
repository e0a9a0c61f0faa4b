"""MASC's tree, wherever its speakers lie."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paravox.corpora.masc import LABELS, PAPER_CLIPS, read_masc
from paravox.modeling.errors import CorpusError

CLIPS = (
    *(f"{speaker}/{emotion}/utterance/2113" for speaker in ("001", "068") for emotion in LABELS),
    "001/anger/phrase/1011",
    "068/neutral/phrase/1011",
    "068/neutral/paragraph/3011",
)


def write_clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 400), 22_050)


@pytest.fixture
def write(tmp_path):
    def run(clips=CLIPS, folder="man_aff_spch/data", suffix=".wav"):
        for clip in clips:
            write_clip(tmp_path / folder / f"{clip}{suffix}")
            (tmp_path / folder / clip).with_name(f"._{Path(clip).name}{suffix}").touch()
        (tmp_path / folder / "readme.txt").touch()
        return tmp_path

    return run


def test_rows_land_where_they_belong(write):
    clips = read_masc(str(write()))
    assert clips.column_names == ["path", "speaker", "emotion", "kind"]
    found = [(clip["path"], f"{clip['speaker']}/{clip['emotion']}/{clip['kind']}") for clip in clips]
    assert sorted(name for _, name in found) == sorted(clip.rpartition("/")[0] for clip in CLIPS)
    assert all(f"/{name}/" in path for path, name in found) and found == sorted(found)
    assert all(soundfile.info(path).frames == 400 for path in clips["path"])


@pytest.mark.parametrize("suffix", [".wav", ".ogg"])
@pytest.mark.parametrize(
    ("folder", "given"),
    [
        ("man_aff_spch/data", "."),
        ("man_aff_spch/data", "man_aff_spch"),
        ("man_aff_spch/data", "man_aff_spch/data"),
        ("MASC", "."),
        ("MASC", "MASC"),
        (".", "."),
    ],
)
def test_any_folder_at_or_above_the_speakers(write, folder, given, suffix):
    clips = read_masc(str(write(folder=folder, suffix=suffix) / given))
    assert len(clips) == len(CLIPS) and set(clips["speaker"]) == {"001", "068"}


def test_any_third_folder_of_neutral_is_paragraphs(write):
    kinds = read_masc(str(write(("002/neutral/whatever/01", "002/neutral/utterance/2011"))))["kind"]
    assert sorted(kinds) == ["paragraph", "utterance"]


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("003/joy/phrase/1011", r"none of anger, elation, neutral, panic, sadness: 1 \(.*data/003/joy\)"),
        (
            "003/panic/paragraph/3011",
            r"neither phrase nor utterance, of an emotion without paragraphs: 1 \(.*paragraph\)",
        ),
    ],
)
def test_unknown_folders_are_named(write, clip, message):
    with pytest.raises(CorpusError, match=message):
        read_masc(str(write((*CLIPS, clip))))


def test_only_folders_of_three_digits_are_speakers(write):
    others = ("01/anger/phrase/1011", "0001/anger/phrase/1011", "music/anger/phrase/1011")
    assert len(read_masc(write((*CLIPS, *others)))) == len(CLIPS)


def test_copies_are_named(write):
    write()
    with pytest.raises(CorpusError, match="recording found twice: 13 "):
        read_masc(str(write(folder="MASC")))


def test_no_clip(tmp_path):
    write_clip(tmp_path / "anger/phrase/1011.wav")
    message = r"no recording in data/001/anger/phrase/ .*\(found anger\): give the folder that holds the speakers"
    with pytest.raises(CorpusError, match=message):
        read_masc(str(tmp_path))


def test_another_count_than_the_papers_is_a_warning(write, caplog, monkeypatch):
    root = str(write())
    with caplog.at_level(logging.WARNING):
        read_masc(root)
    assert PAPER_CLIPS == 68 * (5 * 25 * 3 + 2)
    assert "MASC: 13 clips instead of the paper's 25,636" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    monkeypatch.setattr("paravox.corpora.masc.PAPER_CLIPS", 13)
    read_masc(root)
    assert not caplog.records
