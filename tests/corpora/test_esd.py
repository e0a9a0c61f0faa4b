"""ESD's tree with and without split folders, and a corpus laid out alike."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paravox.corpora.esd import PAPER_CLIPS, read_esd
from paravox.modeling.errors import CorpusError

FIRST = {"Neutral": 1, "Angry": 351, "Happy": 701, "Sad": 1051, "Surprise": 1401}
# At the edges of what the owners split: 1 to 20, 21 to 50, 51 to 350.
SPLITS = {1: "validation", 20: "validation", 21: "test", 50: "test", 51: "train", 350: "train"}
FOLDERS = {"validation": "evaluation", "test": "test", "train": "train"}


def write_clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 400), 16_000)


@pytest.fixture
def write(tmp_path):
    """Writes two speakers with all emotions; without split folders unless told so."""

    def run(folder=".", with_splits=False, suffix=".wav", splits=SPLITS):
        for speaker in ("0001", "0011"):
            for emotion, first in FIRST.items():
                for position, split in splits.items():
                    clips = tmp_path / folder / speaker / emotion / (FOLDERS[split] if with_splits else ".")
                    write_clip(clips / f"{speaker}_{first + position - 1:06d}{suffix}")
                    (clips / f"._{speaker}_{first + position - 1:06d}{suffix}").touch()
            (tmp_path / folder / speaker / f"{speaker}.txt").write_bytes("0011_000001\t打开\t中立".encode("gb2312"))
        (tmp_path / folder / "ReadMe.txt").touch()
        return str(tmp_path)

    return run


def in_words(clips):
    return {(Path(clip["path"]).stem, clip["emotion"], clip["split"], clip["position"]) for clip in clips}


EXPECTED = {
    (f"{speaker}_{first + position - 1:06d}", emotion.lower(), split, position)
    for speaker in ("0001", "0011")
    for emotion, first in FIRST.items()
    for position, split in SPLITS.items()
}


@pytest.mark.parametrize("with_splits", [True, False], ids=["tree A", "tree B"])
@pytest.mark.parametrize(
    "folder", [".", "Emotion Speech Dataset", "Emotional Speech Dataset (ESD)/Emotion Speech Dataset"]
)
def test_both_trees_read_alike(write, folder, with_splits):
    clips = read_esd(write(folder, with_splits))
    assert clips.column_names == ["path", "speaker", "emotion", "split", "position", "sex"]
    assert len(clips) == 60 and in_words(clips) == EXPECTED
    assert all(f"/{clip['speaker']}/" in clip["path"] for clip in clips) and clips.features["position"].dtype == "int64"
    assert clips["path"][:] == sorted(clips["path"])
    assert all(soundfile.info(path).frames == 400 for path in clips["path"])


def test_the_sex_of_every_speaker_is_the_documented_one(tmp_path):
    men = {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}
    # 21 to 29 are speakers of another corpus with this layout.
    expected = {f"{n:04}": "male" if n in men else "female" for n in range(1, 21)} | {"0021": None, "0029": None}
    for speaker in expected:
        write_clip(tmp_path / speaker / "Neutral" / f"{speaker}_000001.wav")
    assert {clip["speaker"]: clip["sex"] for clip in read_esd(tmp_path)} == expected


@pytest.mark.parametrize("suffix", [".ogg", ".flac"])
def test_any_suffix(write, suffix):
    assert in_words(read_esd(write(suffix=suffix))) == EXPECTED


def test_a_corpus_of_90_sentences_is_split_by_its_folders(write):
    splits = {12: "validation", 13: "test", 30: "test", 31: "train", 45: "train", 90: "train"}
    clips = read_esd(write(with_splits=True, splits=splits, suffix=".ogg"))
    assert len(clips) == 60 and {clip["position"]: clip["split"] for clip in clips} == splits


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        ("0002/Angry/0002_000350.wav", r"number does not fit its folder: 1 \(.*0002_000350.wav\)"),
        ("0002/Angry/0002_000701.wav", "number does not fit its folder: 1"),
        ("0002/Neutral/0002_000000.wav", "number does not fit its folder: 1"),
        ("0002/Surprise/0002_001751.wav", "number does not fit its folder: 1"),
        ("0002/Angry/train/0003_000351.wav", "number does not fit its folder: 1"),
        ("0002/Angry/spare/0002_000351.wav", r"split folder that is none of train, evaluation, test: 1 \(.*spare\)"),
        ("0002/Joy/0002_000351.wav", "recording outside the folders angry, happy, neutral, sad, surprise: 1"),
        ("copy/0001/Angry/0001_000351.wav", "recording found twice: 1"),
    ],
)
def test_what_is_wrong_is_named(write, clip, message):
    root = write()
    write_clip(Path(root, clip))
    with pytest.raises(CorpusError, match=message):
        read_esd(root)


def test_no_clip(tmp_path):
    for name in ("a.wav", "b.txt", "c.txt", "d.txt"):
        (tmp_path / name).touch()
    message = r"no recording in 0001/Angry/ or .*\(found a.wav, b.txt, c.txt and 1 more\): give the folder"
    with pytest.raises(CorpusError, match=message):
        read_esd(str(tmp_path))


def test_another_count_than_the_papers_is_a_warning(write, caplog, monkeypatch):
    root = write()
    with caplog.at_level(logging.WARNING):
        read_esd(root)
    assert PAPER_CLIPS == 35_000
    assert "ESD: 60 clips instead of the paper's 35,000" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    monkeypatch.setattr("paravox.corpora.esd.PAPER_CLIPS", 60)
    read_esd(root)
    assert not caplog.records
