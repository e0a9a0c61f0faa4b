"""ExVo's tree in all its variants."""

import logging

import numpy as np
import pandas as pd
import pytest

from paravox.corpora.exvo import COUNTRIES, EMOTIONS, read_exvo
from paravox.modeling.errors import ConfigError, CorpusError

# In the order of data_info.csv, which is also that of the challenge's submissions.
FILE_ORDER = [
    *("Awe", "Excitement", "Amusement", "Awkwardness", "Fear", "Horror", "Distress", "Triumph", "Sadness", "Surprise"),
]
# As the challenge numbers them from 0.
NUMBERED = ["China", "South Africa", "USA", "Venezuela"]


@pytest.fixture
def table():
    """Two Train, one Val and two Test rows; the last Test row has labels, as a later copy has."""
    frame = pd.DataFrame(
        {
            "File_ID": [f"[{number:05d}]" for number in range(5)],
            "Split": ["Train", "Train", "Val", "Test", "Test"],
            "Subject_ID": ["Speaker_1", "Speaker_1", "Speaker_2", None, "Speaker_3"],
            "Country": [0, 2, 3, None, 1],
            "Age": [20.5, 39.9, 31.5, None, 25.0],
        }
    )
    for number, emotion in enumerate(FILE_ORDER):
        frame[emotion] = [float(number == 0), float(number == 1), float(number == 2), np.nan, float(number == 3)]
    return frame


@pytest.fixture
def write(tmp_path):
    def run(table, folder=".", audio=("wav", ".wav")):
        (tmp_path / folder).mkdir(exist_ok=True)
        table.to_csv(tmp_path / folder / "data_info.csv", index=False)
        (tmp_path / audio[0]).mkdir(exist_ok=True)
        for name in table["File_ID"]:
            (tmp_path / audio[0] / f"{name.strip('[]')}{audio[1]}").touch()
        return tmp_path

    return run


def test_rows_land_where_they_belong(write, table):
    corpus = read_exvo(write(table))
    assert {split: len(clips) for split, clips in corpus.items()} == {"train": 2, "validation": 1, "test": 2}
    train = corpus["train"].to_pandas()
    assert train["file_id"].tolist() == ["00000", "00001"] and train["country"].tolist() == ["China", "USA"]
    assert train["age"].tolist() == [20.5, 39.9] and train["Awe"].tolist() == [1.0, 0.0]
    assert all(path.endswith(f"wav/{name}.wav") for path, name in zip(train["path"], train["file_id"], strict=True))
    # A labelled Test row stays in Test.
    assert corpus["test"]["country"][:] == [None, "South Africa"]


def test_emotions_and_countries_are_in_the_order_of_the_challenge():
    assert list(EMOTIONS) == FILE_ORDER and list(COUNTRIES) == NUMBERED


def test_every_label_is_read_from_its_own_column_and_row(write, table):
    rng = np.random.default_rng(0)
    many = pd.DataFrame(
        {
            "File_ID": [f"[{number:05d}]" for number in range(8)],
            "Split": ["Train"] * 8,
            "Subject_ID": [f"Speaker_{number}" for number in range(8)],
            "Country": [0, 1, 2, 3] * 2,
            "Age": np.round(rng.uniform(20, 40, 8), 1),
        }
    )
    # Columns are found by name, so that another order must not matter.
    for emotion in sorted(FILE_ORDER):
        many[emotion] = np.round(rng.uniform(0, 1, 8), 3)
    clips = read_exvo(write(many))["train"].to_pandas()
    for column in ("Age", *FILE_ORDER):
        assert clips[column.lower() if column == "Age" else column].tolist() == many[column].tolist()
    assert clips["country"].tolist() == NUMBERED * 2
    assert clips["speaker"].tolist() == many["Subject_ID"].tolist()


@pytest.mark.parametrize(
    "variant",
    [
        lambda table: table.assign(Country=["China", "United States", " venezuela ", None, "south africa"]),
        lambda table: table.assign(Country_string="whatever")[
            [*table.columns[:4], "Country_string", *table.columns[4:]]
        ],
        lambda table: table.assign(**{emotion: table[emotion] * 100 for emotion in FILE_ORDER}),
    ],
    ids=["countries by name", "newer columns", "intensities to 100"],
)
def test_variants_of_the_table_read_alike(write, table, variant):
    expected = read_exvo(write(table))
    found = read_exvo(write(variant(table)))
    for split, clips in expected.items():
        pd.testing.assert_frame_equal(found[split].to_pandas(), clips.to_pandas())


def test_the_table_may_lie_in_baseline(write, table):
    assert len(read_exvo(write(table, folder="baseline"))["train"]) == 2


@pytest.mark.parametrize("audio", [("raw", ".webm"), ("webm", ".webm"), ("raw", ".wav"), ("webm", ".wav")])
def test_raw_files_are_found(write, table, audio):
    paths = read_exvo(write(table, audio=audio), audio="raw")["train"]["path"][:]
    assert paths[0].endswith(f"{audio[0]}/00000{audio[1]}")


@pytest.mark.parametrize(
    ("audio", "first", "second"),
    [
        ("provided", ("wav", ".wav"), ("wav_norm", ".wav")),
        ("raw", ("raw", ".wav"), ("webm", ".webm")),
        ("raw", ("raw", ".webm"), ("raw", ".wav")),
    ],
)
def test_of_two_recordings_the_first_folder_and_suffix_count(write, table, audio, first, second):
    write(table, audio=first)
    paths = read_exvo(write(table, audio=second), audio=audio)["train"]["path"][:]
    assert paths[0].endswith(f"/{first[0]}/00000{first[1]}")


def test_missing_audio_is_named(write, table):
    root = write(table)
    with pytest.raises(CorpusError, match="no folder raw/ or webm/.*audio: provided"):
        read_exvo(root, audio="raw")
    (root / "wav" / "00001.wav").unlink()
    with pytest.raises(CorpusError, match="missing recording: 1 .00001"):
        read_exvo(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Country": [0, 9, 3, None, 1]}, "country that is none of 0 to 3"),
        ({"Age": [20.5, 50, 31.5, None, 25]}, "age outside 20 to 40 years: 1 .50"),
        ({"Age": [20.5, None, 31.5, None, 25]}, "Train or Val row without all its labels: 1 .00001"),
        ({"Age": [20.5, 39, None, None, 25]}, "Train or Val row without all its labels: 1 .00002"),
        ({"Split": ["Train", "Dev", "Val", "Test", "Test"]}, "split that is none of Train, Val, Test: 1 .Dev"),
        ({"Subject_ID": ["Speaker_1", "Speaker_2", "Speaker_2", None, None]}, "speaker in more than one split"),
        ({"File_ID": ["[0]", "[0]", "[1]", "[2]", "[3]"]}, "File_ID listed twice"),
    ],
)
def test_what_is_wrong_is_named(write, table, change, message):
    with pytest.raises(CorpusError, match=message):
        read_exvo(write(table.assign(**change)))


def test_a_missing_column_file_or_kind_of_audio(write, table, tmp_path):
    with pytest.raises(CorpusError, match="has no data_info.csv"):
        read_exvo(tmp_path)
    with pytest.raises(CorpusError, match="has no column Age"):
        read_exvo(write(table.drop(columns="Age")))
    with pytest.raises(ConfigError, match="audio 'loud': use provided or raw"):
        read_exvo(tmp_path, audio="loud")


def test_other_counts_than_the_papers_are_a_warning(write, table, caplog):
    with caplog.at_level(logging.WARNING):
        read_exvo(write(table))
    assert "train 2 instead of 19,990" in caplog.text


def test_a_header_in_another_case_or_with_blanks_reads_alike(write, table):
    expected = {split: clips[:] for split, clips in read_exvo(write(table)).items()}
    renamed = table.rename(columns={"Split": " split", "File_ID": "file_id ", "Awe": "AWE"})
    root = write(table)
    renamed.to_csv(root / "data_info.csv", index=False, sep=";", encoding="utf-16")
    assert {split: clips[:] for split, clips in read_exvo(root).items()} == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b'File_ID,Split\n"[00000],Train\n', "a quotation mark is not closed"),
        ("File_ID,Split\n\u00e9,x\n".encode("cp1252"), "is not in UTF-8: line 2"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
        (b"File_ID,Split\n\0,x\n", "a character NUL in line 2"),
    ],
)
def test_a_table_that_cannot_be_read_is_our_error(write, table, content, message):
    root = write(table)
    (root / "data_info.csv").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read_exvo(root)


def test_trailing_commas_change_nothing(write, table):
    root = write(table)
    expected = {split: clips[:] for split, clips in read_exvo(root).items()}
    lines = (root / "data_info.csv").read_text().splitlines()
    (root / "data_info.csv").write_text("\n".join([lines[0], *(line + "," for line in lines[1:]), ",,,"]))
    assert {split: clips[:] for split, clips in read_exvo(root).items()} == expected


def test_a_row_without_an_id_is_named_by_its_line(write, table):
    root = write(table)
    table.loc[1, "File_ID"] = None
    table.to_csv(root / "data_info.csv", index=False)
    with pytest.raises(CorpusError, match="row without File_ID: 1 .line 3"):
        read_exvo(root)


def test_recordings_are_found_whatever_the_case_of_their_suffix(write, table):
    root = write(table, audio=("wav", ".WAV"))
    assert read_exvo(root)["train"]["path"][0].endswith("00000.WAV")


def test_a_test_split_alone_can_be_read_to_be_scored(write, table):
    alone = table[table["Split"] == "Test"]
    with pytest.raises(CorpusError, match="split without clips: 1 .train"):
        read_exvo(write(alone))
    assert list(read_exvo(write(alone), to_train=False)) == ["test"]
