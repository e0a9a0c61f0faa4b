"""IEMOCAP's tree, its codes without a majority, and what can be wrong with it."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paravox.corpora.iemocap import LABELS, PAPER_CLIPS, read_iemocap
from paravox.modeling.errors import ConfigError, CorpusError

CODES = {
    "Ses01F_impro01_F000": "ang",
    "Ses01F_impro01_M000": "hap",
    "Ses01M_script01_1b_F001": "exc",
    "Ses01M_script01_1b_M010": "sad",
    "Ses05M_impro08a_F002": "fru",
    "Ses05M_impro08a_M002": "fea",
    "Ses05M_impro08a_M003": "sur",
    "Ses05M_impro08a_M004": "oth",
    "Ses05M_impro08a_M005": "neu",
    "Ses05M_impro08a_M006": "xxx",
    "Ses05M_impro08a_M007": "dis",
}


def write_clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 400), 16_000)


@pytest.fixture
def write(tmp_path):
    """Writes a tree with what else lies there: header, rater lines, per-rater files, twins, turns without label."""

    def run(codes=CODES, root="IEMOCAP_full_release", suffix=".wav"):
        for turn, code in codes.items():
            dialogue, session = turn[:-5], f"Session{int(turn[3:5])}"
            folder = tmp_path / root / session
            write_clip(folder / "sentences/wav" / dialogue / f"{turn}{suffix}")
            write_clip(folder / "dialog/wav" / f"{dialogue}{suffix}")
            labels = folder / "dialog/EmoEvaluation"
            (labels / "Categorical").mkdir(parents=True, exist_ok=True)
            block = f"[1.2 - 3.4]\t{turn}\t{code}\t[2.5, 3.0, 3.5]\nC-E2:\tNeutral;\t()\nA-E3:\tval 3;\n\n"
            table = labels / f"{dialogue}.txt"
            header = "" if table.exists() else "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            table.open("a").write(header + block)
            (labels / f"._{dialogue}.txt").write_bytes(b"[\xff\x00")
            (labels / "Categorical" / f"{dialogue}_e2_cat.txt").write_text(block.replace(code, "fea"))
            (folder / "sentences/wav" / dialogue / f"._{turn}{suffix}").write_bytes(b"\x00")
        return str(tmp_path / root)

    return run


def test_rows_land_where_they_belong(write):
    clips = read_iemocap(write())
    assert clips.column_names == ["path", "speaker", "emotion", "session", "sex"]
    found = {clip["path"].rsplit("/", 1)[1]: clip for clip in clips}
    assert len(found) == len(clips) == 9
    assert [found[f"{turn}.wav"]["emotion"] for turn in list(CODES)[:9]] == [
        *("anger", "happiness", "excitement", "sadness", "frustration", "fear", "surprise", "other", "neutral")
    ]
    assert set(clips["emotion"]) == set(LABELS) and clips["path"][:] == sorted(clips["path"])
    assert all(soundfile.info(path).frames == 400 for path in clips["path"])


def test_the_last_letter_of_a_turn_is_its_speaker(write):
    clips = read_iemocap(write())
    speakers = {Path(clip["path"]).stem: (clip["speaker"], clip["session"]) for clip in clips}
    assert speakers["Ses01F_impro01_F000"] == ("01F", "01")
    assert speakers["Ses01F_impro01_M000"] == ("01M", "01")
    sexes = {clip["speaker"]: clip["sex"] for clip in clips}
    assert sexes == {"01F": "female", "01M": "male", "05F": "female", "05M": "male"}
    assert {(clip["speaker"], clip["path"][-8]) for clip in clips} == {
        ("01F", "F"),
        ("01M", "M"),
        ("05F", "F"),
        ("05M", "M"),
    }


@pytest.mark.parametrize(
    ("no_majority", "more"),
    [("drop", []), ("other", ["other", "other"]), ("keep", ["xxx", "dis"])],
)
def test_turns_without_a_majority(write, no_majority, more):
    root = write()
    without = read_iemocap(root)["emotion"][:]
    found = read_iemocap(root, no_majority=no_majority)["emotion"][:]
    assert sorted(found) == sorted(without + more)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".WAV"])
def test_any_suffix_and_a_folder_around_the_root(write, tmp_path, suffix):
    write(suffix=suffix)
    clips = read_iemocap(str(tmp_path))
    assert len(clips) == 9 and all(path.endswith(suffix) for path in clips["path"])


def test_linked_sessions_are_followed(write, tmp_path):
    root = write()
    (tmp_path / "links").mkdir()
    (tmp_path / "links/Session1").symlink_to(f"{root}/Session1")
    assert set(read_iemocap(str(tmp_path / "links"))["session"]) == {"01"}


def test_recordings_without_label_are_a_warning(write, tmp_path, caplog):
    root = write()
    write_clip(tmp_path / "IEMOCAP_full_release/Session1/sentences/wav/x/Ses01F_impro01_MXX0.wav")
    write_clip(tmp_path / "IEMOCAP_full_release/Session1/sentences/wav/x/Ses01F_impro01_M099.wav")
    with caplog.at_level(logging.WARNING):
        assert len(read_iemocap(root)) == 9
    assert "turn without label, left out: 1 (Ses01F_impro01_M099)" in caplog.text


def test_missing_recordings_are_named(write, tmp_path):
    root = write()
    for path in (tmp_path / "IEMOCAP_full_release/Session5/sentences").rglob("*M00[2-5].wav"):
        path.unlink()
    offenders = "Ses05M_impro08a_M002, Ses05M_impro08a_M003, Ses05M_impro08a_M004"
    with pytest.raises(CorpusError, match=rf"labelled turn without recording: 4 \({offenders}\)"):
        read_iemocap(root)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[1 - 2]\tSes01F_impro01_F000\tsad\t[1, 2, 3]\n", r"turn with two labels: 1 \(Ses01F_impro01_F000\)"),
        ("[1 - 2]\tSes01F_impro01_F000\tjoy\t[1, 2, 3]\n", r"emotion code that is none of ang, hap.*dis: 1 \(joy\)"),
        ("[1 - 2] Ses01F_impro01_F000 ang\n", r"line that is not \[time\], turn, code, \[values\]: 1 \(Ses01F_impro01"),
        ("[1 - 2]\tSomething\tang\t[1, 2, 3]\n", r"line that is not .*Something"),
    ],
)
def test_unknown_lines_are_named(write, line, message):
    root = write()
    with open(f"{root}/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", "a") as table:
        table.write(line)
    with pytest.raises(CorpusError, match=message):
        read_iemocap(root)


def test_a_turn_in_two_places_is_named(write):
    root = write()
    write_clip(Path(root, "copy/Ses01F_impro01_F000.flac"))
    with pytest.raises(CorpusError, match="recording found twice: 1 .*Ses01F_impro01_F000"):
        read_iemocap(root)


def test_no_clip_and_an_unknown_choice(write, tmp_path):
    with pytest.raises(CorpusError, match=r"EmoEvaluation/\*.txt \(found nothing\): give the folder IEMOCAP_full_rel"):
        read_iemocap(str(tmp_path))
    with pytest.raises(CorpusError, match="found no such folder"):
        read_iemocap(str(tmp_path / "nowhere"))
    with pytest.raises(CorpusError, match=r"found Session5\)"):
        read_iemocap(write({"Ses05M_impro08a_M006": "xxx"}))
    with pytest.raises(ConfigError, match="no_majority 'guess': use drop, other or keep"):
        read_iemocap(str(tmp_path), no_majority="guess")


def test_another_count_than_the_papers_is_a_warning(write, caplog, monkeypatch):
    root = write()
    with caplog.at_level(logging.WARNING):
        read_iemocap(root)
    assert PAPER_CLIPS == 10_039
    assert "IEMOCAP: 9 clips instead of the paper's 10,039" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    monkeypatch.setattr("paravox.corpora.iemocap.PAPER_CLIPS", 9)
    read_iemocap(root)
    assert not caplog.records
