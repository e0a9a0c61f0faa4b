"""MSP-Podcast's tree in the spellings of its releases."""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from paravox.corpora.msp_podcast import LABELS, PAPER_CLIPS, read_msp_podcast
from paravox.modeling.errors import ConfigError, CorpusError


def write_clip(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 400), 16_000)


@pytest.fixture
def table():
    """A turn of each code in every split there ever was; the last one is in Test3, without label."""
    codes = ["A", "H", "S", "D", "U", "F", "C", "N", "O", "X", None]
    return pd.DataFrame(
        {
            "FileName": [f"MSP-PODCAST_0001_{number:04d}.wav" for number in range(11)],
            "EmoClass": codes,
            "EmoAct": 4.2,
            "SpkrID": ["87", "87", "Unknown", "9", "12", "12", None, "Unknown", "13", "14", "15"],
            "Gender": "Unknown",
            "Split_Set": [*["Train"] * 3, "Validation", "Development", "Test1", "Test2", *["Train"] * 3, "Test3"],
        }
    )


@pytest.fixture
def write(tmp_path):
    def run(table, csv="Labels/labels_consensus.csv", audio="Audios", suffix=".wav"):
        root = tmp_path / "MSP-PODCAST-Publish-1.7"
        for name in table["FileName"].dropna():
            write_clip(root / audio / f"{Path(name).stem}{suffix}")
            (root / audio / f"._{name}").touch()
        (root / csv).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(root / csv, index=False)
        (root / csv).with_name("labels_detailed.csv").write_text("FileName,EmoClass_Major\n")
        return str(root)

    return run


def test_rows_land_where_they_belong(write, table):
    clips = read_msp_podcast(write(table))
    assert clips.column_names == ["path", "speaker", "emotion", "split", "sex"]
    assert [Path(path).stem[-4:] for path in clips["path"]] == [f"{number:04d}" for number in range(9)]
    assert clips["emotion"][:] == [
        *("anger", "happiness", "sadness", "disgust", "surprise", "fear", "contempt", "neutral", "other")
    ]
    assert tuple(clips["emotion"]) == LABELS
    assert clips["split"][:] == [*["train"] * 3, "validation", "validation", "test", "test", "train", "train"]
    assert all(soundfile.info(path).frames == 400 for path in clips["path"])


def test_unknown_speakers_are_missing(write, table):
    assert read_msp_podcast(write(table))["speaker"][:] == ["87", "87", None, "9", "12", "12", None, None, "13"]
    unknown = read_msp_podcast(write(table.assign(SpkrID="Unknown")))
    assert unknown["speaker"][:] == [None] * 9 and unknown.features["speaker"].dtype == "string"


def test_sexes_are_read_where_they_are_known(write, table):
    genders = ["Female", "Male", "Unknown", None, "male", "FEMALE", "other", "Male", "Female", "Male", "Male"]
    known = ["female", "male", None, None, "male", "female", None, "male", "female"]
    assert read_msp_podcast(write(table.assign(Gender=genders)))["sex"][:] == known
    assert read_msp_podcast(write(table.drop(columns="Gender")))["sex"][:] == [None] * 9


@pytest.mark.parametrize(("no_majority", "more"), [("drop", []), ("other", ["other"]), ("keep", ["X"])])
def test_turns_without_a_majority(write, table, no_majority, more):
    assert read_msp_podcast(write(table), no_majority=no_majority)["emotion"][:] == [*LABELS, *more]


def test_a_labelled_turn_of_test3_is_a_test_clip(write, table):
    clips = read_msp_podcast(write(table.fillna({"EmoClass": "N"})))
    assert len(clips) == 10 and clips[9]["split"] == "test" and clips[9]["emotion"] == "neutral"


@pytest.mark.parametrize(
    ("csv", "audio", "suffix"),
    [
        ("Labels/labels_concensus.csv", "Audios", ".wav"),
        ("label/labels_consensus.csv", "Audio", ".wav"),
        ("labels/labels_consensus.csv", "Audio", ".flac"),
        ("Labels/Labels/labels_concensus.csv", "Audios/Audios", ".ogg"),
    ],
)
def test_variants_of_the_tree_read_alike(write, table, csv, audio, suffix):
    clips = read_msp_podcast(write(table, csv, audio, suffix))
    assert tuple(clips["emotion"]) == LABELS
    assert all(f"/{audio}/" in path and path.endswith(suffix) for path in clips["path"])


def test_columns_are_found_by_name(write, table):
    clips = read_msp_podcast(write(table[table.columns[::-1]].assign(Extra="A")))
    assert tuple(clips["emotion"]) == LABELS


def test_a_copy_of_the_label_file_is_fine_and_another_one_is_not(write, table):
    root = write(table)
    write(table, csv="Labels/Labels/labels_consensus.csv")
    assert len(read_msp_podcast(root)) == 9
    write(table[:5], csv="Labels/labels_concensus.csv")
    with pytest.raises(CorpusError, match="3 tables with different contents .*give the folder of one release"):
        read_msp_podcast(root)


def test_labels_and_recordings_without_each_other_are_warnings(write, table, caplog):
    root = write(table)
    for number in range(4):
        Path(root, f"Audios/MSP-PODCAST_0001_{number:04d}.wav").unlink()
    write_clip(Path(root, "Audios/MSP-PODCAST_0009_0001.wav"))
    with caplog.at_level(logging.WARNING):
        clips = read_msp_podcast(root)
    assert len(clips) == 5
    names = "MSP-PODCAST_0001_0000, MSP-PODCAST_0001_0001, MSP-PODCAST_0001_0002"
    assert f"label without recording, left out: 4 ({names})" in caplog.text
    # The turn of Test3 has a row, if no label: it is no surprise.
    assert "recording without label, left out: 1 (MSP-PODCAST_0009_0001)" in caplog.text


def test_a_speaker_in_two_splits_is_a_warning(write, table, caplog):
    with caplog.at_level(logging.WARNING):
        read_msp_podcast(write(table))
    # 12 is heard in Development and in Test1; whoever is unknown is nobody.
    assert "speaker in more than one split: 1 (12)" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"EmoClass": [*"AHSDUFCNOQ", None]}, r"EmoClass that is none of A, .*X: 1 \(MSP-PODCAST_0001_0009 Q\)"),
        ({"EmoClass": [*"AHSDUFCN", None, "X", None]}, r"EmoClass that is none of .*: 1 \(MSP-PODCAST_0001_0008 nan\)"),
        ({"Split_Set": ["Training", *["Train"] * 9, "Test3"]}, r"Split_Set that is none of .*: 1 \(Training\)"),
        ({"FileName": ["MSP-PODCAST_0001_0000.wav"] * 11}, r"turn that is labelled twice: 10 \(MSP-PODCAST_0001_0000"),
        ({"FileName": [None, *[f"{number}.wav" for number in range(10)]]}, r"row without FileName: 1 \(line 2\)"),
    ],
)
def test_what_is_wrong_with_the_table_is_named(write, table, change, message):
    with pytest.raises(CorpusError, match=message):
        read_msp_podcast(write(table.assign(**change)))


def test_missing_columns_twice_the_same_recording(write, table):
    root = write(table)
    write_clip(Path(root, "Audio/MSP-PODCAST_0001_0000.wav"))
    with pytest.raises(CorpusError, match="recording found twice: 1 .*MSP-PODCAST_0001_0000.wav"):
        read_msp_podcast(root)
    with pytest.raises(CorpusError, match="has no column SpkrID .found FileName.*use the release's file"):
        read_msp_podcast(write(table.drop(columns="SpkrID")))


def test_no_clip_and_an_unknown_choice(write, table, tmp_path):
    with pytest.raises(CorpusError, match=r"labels_concensus.csv \(found nothing\): give the folder that holds Labels"):
        read_msp_podcast(str(tmp_path))
    root = write(table)
    for path in Path(root, "Audios").glob("*.wav"):
        path.unlink()
    with pytest.raises(CorpusError, match="no recording with an emotion in .*: put the recordings into Audios"):
        read_msp_podcast(root)
    with pytest.raises(ConfigError, match="no_majority 'guess': use drop, other or keep"):
        read_msp_podcast(root, no_majority="guess")


def test_another_count_than_the_papers_is_a_warning(write, table, caplog, monkeypatch):
    root = write(table[:3])
    with caplog.at_level(logging.WARNING):
        read_msp_podcast(root)
    assert PAPER_CLIPS == 62_140
    assert "MSP-Podcast: 3 clips instead of the paper's 62,140" in caplog.text and len(caplog.records) == 1
    caplog.clear()
    monkeypatch.setattr("paravox.corpora.msp_podcast.PAPER_CLIPS", 3)
    read_msp_podcast(root)
    assert not caplog.records


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'FileName,EmoClass\n"a.wav,A\n', "a quotation mark is not closed"),
        ("FileName,EmoClass\n\u00e9,A\n".encode("cp1252"), "is not in UTF-8: line 2"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    ],
)
def test_a_table_that_cannot_be_read_is_our_error(write, table, content, message):
    root = Path(write(table))
    next(root.rglob("labels_con*.csv")).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_msp_podcast(root)


def test_a_header_in_another_case_and_trailing_commas_read_alike(write, table):
    root = Path(write(table))
    expected = read_msp_podcast(root)[:]
    (file,) = root.rglob("labels_con*.csv")
    first, *rest = file.read_text().splitlines()
    file.write_text("\n".join([first.upper().replace("GENDER", " gender"), *(line + "," for line in rest), ",,"]))
    assert read_msp_podcast(root)[:] == expected
