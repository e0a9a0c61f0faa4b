"""MSP-IMPROV's tree in both labellings and all spellings."""

import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from paravox.corpora.msp_improv import LABELS, PAPER_CLIPS, read_msp_improv
from paravox.modeling.errors import ConfigError, CorpusError

# The consensus differs from what the actors intended in all but the first.
CONSENSUS = {
    "MSP-IMPROV-S01A-F01-P-FM01": "A",
    "MSP-IMPROV-S01H-M01-R-MM02": "N",
    "MSP-IMPROV-S20S-F06-S-FF03": "H",
    "MSP-IMPROV-S20N-M06-T-MF04": "S",
    "MSP-IMPROV-S05H-M03-S-MF02": "O",
    "MSP-IMPROV-S05N-M03-S-MF12": "X",
}


def write_clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 400), 16_000)


@pytest.fixture
def write(tmp_path):
    def run(table="Evalution.txt", flat=False, suffix=".wav", consensus=CONSENSUS):
        root = tmp_path / "MSP-IMPROV"
        blocks = []
        for turn, code in consensus.items():
            _, _, sentence, speaker, setting, _ = turn.split("-")
            folder = root / ("Audios" if flat else f"session{int(speaker[1:])}/{sentence}/{setting}")
            write_clip(folder / f"{turn}{suffix}")
            (folder / f"{turn}.avi").touch()
            (folder / f"._{turn}{suffix}").touch()
            name = turn.replace("MSP", "UTD")
            rater = "worker1; Angry; Sad,Other; A:2.0; V:NaN; D:3.0 ; N:4.0;\n"
            blocks.append(f"{name}.avi; {code}; A:2.800000; V:3.2; D:NaN ; N:4.0;\n{rater}{rater}\n")
        if table:
            (root / table).write_text("".join([*blocks, blocks[0]]))
        return str(root)

    return run


def emotions(clips):
    return {Path(clip["path"]).stem: clip["emotion"] for clip in clips}


def test_intended_emotions_speakers_and_sessions(write):
    clips = read_msp_improv(write())
    assert clips.column_names == ["path", "speaker", "emotion", "session", "sex"]
    assert emotions(clips) == {
        "MSP-IMPROV-S01A-F01-P-FM01": "anger",
        "MSP-IMPROV-S01H-M01-R-MM02": "happiness",
        "MSP-IMPROV-S20S-F06-S-FF03": "sadness",
        "MSP-IMPROV-S20N-M06-T-MF04": "neutral",
        "MSP-IMPROV-S05H-M03-S-MF02": "happiness",
        "MSP-IMPROV-S05N-M03-S-MF12": "neutral",
    }
    assert clips["path"][:] == sorted(clips["path"])
    assert all(f"-{clip['speaker']}-" in clip["path"] and clip["speaker"][1:] == clip["session"] for clip in clips)
    sexes = {clip["speaker"]: clip["sex"] for clip in clips}
    assert sexes == {"F01": "female", "M01": "male", "M03": "male", "F06": "female", "M06": "male"}
    assert set(clips["speaker"]) == {"F01", "M01", "M03", "F06", "M06"} and set(clips["emotion"]) == set(LABELS)
    assert all(soundfile.info(path).frames == 400 for path in clips["path"])


@pytest.mark.parametrize(
    ("no_majority", "more"),
    [("drop", {}), ("other", {"S05H": "other", "S05N": "other"}), ("keep", {"S05H": "O", "S05N": "X"})],
)
def test_consensus_emotions(write, no_majority, more):
    clips = read_msp_improv(write(), labelling="consensus", no_majority=no_majority)
    found = {name.split("-")[2]: emotion for name, emotion in emotions(clips).items()}
    assert found == {"S01A": "anger", "S01H": "neutral", "S20S": "happiness", "S20N": "sadness"} | more


@pytest.mark.parametrize("table", ["Evalution.txt", "Evaluation.txt", "evaluation.txt"])
@pytest.mark.parametrize("flat", [True, False], ids=["flat", "sessions"])
@pytest.mark.parametrize("suffix", [".wav", ".ogg"])
def test_variants_of_the_tree_read_alike(write, table, flat, suffix):
    clips = read_msp_improv(write(table, flat, suffix), labelling="consensus")
    assert len(clips) == 4 and all(path.endswith(suffix) for path in clips["path"])
    assert all(("Audios" in path) == flat for path in clips["path"])


def test_intentions_need_no_label_file_but_the_consensus_does(write):
    root = write(table=None)
    assert len(read_msp_improv(root)) == 6
    with pytest.raises(CorpusError, match=r"no Evalution.txt or Evaluation.txt \(found session1, .*: intended"):
        read_msp_improv(root, labelling="consensus")


@pytest.mark.parametrize("labelling", ["intended", "consensus"])
def test_missing_recordings_are_named(write, labelling):
    root = write(flat=True)
    Path(root, "Audios/MSP-IMPROV-S20S-F06-S-FF03.wav").unlink()
    with pytest.raises(CorpusError, match=r"labelled turn without recording: 1 \(MSP-IMPROV-S20S-F06-S-FF03\)"):
        read_msp_improv(root, labelling=labelling)


def test_a_recording_without_label_counts_by_its_intention_only(write, caplog):
    root = write(flat=True)
    write_clip(Path(root, "Audios/MSP-IMPROV-S02A-F02-P-FM01.wav"))
    assert len(read_msp_improv(root)) == 7
    assert "without label" not in caplog.text
    with caplog.at_level(logging.WARNING):
        assert len(read_msp_improv(root, labelling="consensus")) == 4
    assert "recording without label, left out: 1 (MSP-IMPROV-S02A-F02-P-FM01)" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:2;", r"turn with two labels: 1 \(MSP-IMPROV-S01A-F01-P-FM01\)"),
        ("UTD-IMPROV-S01A-F01-P-FM01.avi; Q; A:2;", r"emotion code that is none of A, H, S, N, O, X: 1 \(Q\)"),
        ("UTD-IMPROV-S01A-F01-P-FM01.avi", "line of Evalution.txt that is not name; code; values: 1"),
    ],
)
def test_unknown_lines_are_named(write, line, message):
    root = write()
    with open(f"{root}/Evalution.txt", "a") as table:
        table.write(line + "\n")
    with pytest.raises(CorpusError, match=message):
        read_msp_improv(root)


def test_unknown_names_copies_and_two_label_files_are_named(write):
    root = write(flat=True)
    write_clip(Path(root, "Audios/MSP-IMPROV-S02Q-F02-P-FM01.wav"))
    write_clip(Path(root, "more/MSP-IMPROV-S01A-F01-P-FM01.flac"))
    message = "twice: 1 .*FM01.flac.*; name that is not MSP-IMPROV-S01A-F01-P-FM01: 1 .MSP-IMPROV-S02Q"
    with pytest.raises(CorpusError, match=message):
        read_msp_improv(root)
    Path(root, "Evaluation.txt").write_text("another")
    with pytest.raises(CorpusError, match="2 tables with different contents .*give the folder of one release"):
        read_msp_improv(root)


def test_no_clip_and_unknown_choices(tmp_path):
    (tmp_path / "talk.wav").touch()
    with pytest.raises(CorpusError, match=r"Audios/ \(found talk.wav\): give the folder that holds session1"):
        read_msp_improv(str(tmp_path))
    with pytest.raises(ConfigError, match="labelling 'heard': use intended or consensus"):
        read_msp_improv(str(tmp_path), labelling="heard")
    with pytest.raises(ConfigError, match="no_majority 'guess': use drop, other or keep"):
        read_msp_improv(str(tmp_path), no_majority="guess")


def test_another_count_than_the_papers_is_a_warning(write, caplog, monkeypatch):
    root = write()
    with caplog.at_level(logging.WARNING):
        read_msp_improv(root)
    assert PAPER_CLIPS == 8_438
    assert "MSP-IMPROV: 6 clips instead of the paper's 8,438" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    monkeypatch.setattr("paravox.corpora.msp_improv.PAPER_CLIPS", 6)
    read_msp_improv(root)
    assert not caplog.records
