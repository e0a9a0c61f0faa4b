"""The program that shows what a corpus holds: with a YAML file, without one, and by the name of a corpus."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from little_corpora import write_clip, write_metadata_corpus
from matplotlib.image import imread

from paravox.modeling.errors import AudioError, ConfigError, CorpusError
from paravox.recipes import describe

YAML = """
tasks:
  - {name: emotion, kind: intensities, labels: [awe, fear]}
  - {name: age, kind: scalar, range: [20, 40], unit: years}
  - {name: country, kind: classes, labels: [China, USA], class_weights: balanced}
learning_rate: 1e-3
"""
ROWS = [
    "file_name,speaker,split,awe,fear,age,country",
    "0.wav,a,train,1,0,20,China",
    "1.wav,a,train,0,1,30,China",
    "2.wav,b,train,,,34,USA",
    "3.wav,c,validation,1,0.5,,USA",
    "4.wav,d,test,0,1,25,",
]

# What --output_dir receives for any corpus.
FILES = ["describe.json", "lengths.png", "table_1.csv", "table_1.md", "table_1.tex"]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for clip in range(5):
        write_clip(Path(f"corpus/{clip}.wav"), clip, seconds=0.5 * (clip + 1))
    Path("corpus/metadata.csv").write_text("\n".join(ROWS))
    Path("tasks.yaml").write_text(YAML)


def test_a_yaml_file_says_which_labels_to_count(corpus, capsys):
    description = describe.main(["tasks.yaml", "--data_dir", "corpus", "--output_dir", "out/deep"])
    assert json.loads(Path("out/deep/describe.json").read_text()) == description
    train = description["train"]
    assert (train["clips"], train["speakers"], train["hours"]) == (3, 2, round(3.0 / 3600, 3))
    labels = train["labels"]
    assert labels["country"] == {"known": 3, "counts": {"China": 2, "USA": 1}}
    assert labels["emotion"]["known"] == 2 and labels["emotion"]["strongest"] == {"awe": 1, "fear": 1}
    assert (labels["age"]["min"], labels["age"]["median"], labels["age"]["max"]) == (20, 30, 34)
    assert description["validation"]["labels"]["age"] == {"known": 0}
    assert description["test"]["seconds"]["max"] == 2.5
    printed = capsys.readouterr().out
    assert "country (clips)" in printed and "age (years)" in printed and "lengths.png" in printed


def test_figures_are_pictures_of_train_and_val(corpus, monkeypatch):
    drawn = []
    plot = describe.plot_scalar_by_class
    monkeypatch.setattr(describe, "plot_scalar_by_class", lambda *given: drawn.append(given) or plot(*given))
    describe.main(["tasks.yaml", "--data_dir", "corpus", "--output_dir", "out"])
    for name in ("lengths", "age_by_country"):
        picture = imread(f"out/{name}.png")
        assert min(picture.shape[:2]) > 300 and np.unique(picture.reshape(-1, picture.shape[2]), axis=0).shape[0] > 10
    assert sorted(path.name for path in Path("out").iterdir()) == ["age_by_country.png", *FILES]
    ((scalar, classes, ages, countries),) = drawn
    assert (scalar.name, classes.name) == ("age", "country")
    np.testing.assert_array_equal(ages, [20, 30, 34, np.nan])
    np.testing.assert_array_equal(countries, [0, 0, 1, 1])


def test_table_1_is_printed_and_written(corpus, capsys, caplog):
    sexes = ["sex", "F", "m", "male", "", "Female"]
    rows = [f"{row},{sex}" for row, sex in zip(ROWS, sexes, strict=True)]
    Path("corpus/metadata.csv").write_text("\n".join(rows))
    description = describe.main(["tasks.yaml", "--data_dir", "corpus", "--output_dir", "out"])
    with open("out/table_1.csv", newline="") as file:
        table = list(csv.reader(file))
    # Speaker a has clips of both sexes; the clips of Train last 0.5, 1 and 1.5 seconds, that of Test 2.5.
    assert table == [
        ["", "Train", "Validation", "Test"],
        ["HH:MM:SS", "00:00:03", "00:00:02", "00:00:02"],
        ["No.", "3", "1", "1"],
        ["Speakers", "2", "1", "1"],
        ["F:M", "0:1", "-", "1:0"],
        ["China", "1", "0", "-"],
        ["USA", "1", "1", "-"],
    ]
    text = Path("out/table_1.md").read_text()
    assert "| F:M | 0:1 | - | 1:0 |" in text and "1 of 2 speakers in Train (the clips of 1 of them differ)" in text
    assert "F:M & 0:1 & - & 1:0 \\\\" in Path("out/table_1.tex").read_text()
    assert description["train"]["speakers_by"] == {
        "sex": {"counts": {"female": 0, "male": 1}, "unknown": 1, "disagreeing": 1},
        "country": {"counts": {"China": 1, "USA": 1}, "unknown": 0, "disagreeing": 0},
    }
    assert json.loads(Path("out/describe.json").read_text()) == description
    printed = [[cell.strip() for cell in line.split("│")] for line in capsys.readouterr().out.splitlines()]
    assert ["", *table[4], ""] in printed and ["", *table[5], ""] in printed
    assert "Train: speakers whose clips differ in sex, counted as unknown: 1 (a)" in caplog.text


def test_without_clips_that_have_both_labels_there_is_no_second_figure(corpus):
    rows = [ROWS[0], "0.wav,a,train,1,0,20,", "1.wav,a,train,0,1,,China", "2.wav,b,train,0,1,,USA"]
    Path("corpus/metadata.csv").write_text("\n".join([*rows, "3.wav,c,test,0,1,30,USA"]))
    describe.main(["tasks.yaml", "--data_dir", "corpus", "--output_dir", "out"])
    assert sorted(path.name for path in Path("out").iterdir()) == FILES


def test_keys_of_the_yaml_file_are_defaults_for_the_options(corpus, open_corpora):
    Path("tasks.yaml").write_text(f"{YAML}corpus: metadata_csv\ndata_dir: corpus\noutput_dir: runs/of_training\n")
    assert describe.main(["tasks.yaml"])["train"]["clips"] == 3
    # A description is written only where the command line says so.
    assert sorted(path.name for path in Path().iterdir()) == ["corpus", "tasks.yaml"]
    Path("place.yaml").write_text("corpus: exvo\ndata_dir: nowhere\n")
    options = ["--corpus", "turev", "--data_dir", str(open_corpora / "turev")]
    assert describe.main(["place.yaml", *options])["train"]["clips"] == 16


def test_options_of_the_reader_are_those_of_the_training(open_corpora, tmp_path):
    (tmp_path / "turev.yaml").write_text("corpus: turev\ncorpus_options: {split_by: random}\n")
    description = describe.main([str(tmp_path / "turev.yaml"), "--data_dir", str(open_corpora / "turev")])
    # 80, 10 and 10 % of 32 clips.
    assert [split["clips"] for split in description.values()] == [26, 3, 3]


def test_an_emotion_corpus_describes_itself(open_corpora, capsys):
    description = describe.main(["--corpus", "turev", "--data_dir", str(open_corpora / "turev")])
    assert [split["speakers"] for split in description.values()] == [2, 1, 1]
    # Two clips of each emotion by each speaker.
    for split in description.values():
        counts = dict.fromkeys(("angry", "calm", "happy", "sad"), 2 * split["speakers"])
        assert split["labels"] == {"emotion": {"known": sum(counts.values()), "counts": counts}}
    assert "emotion (clips)" in capsys.readouterr().out


def test_any_other_corpus_without_settings_has_no_labels(corpus, capsys):
    description = describe.main(["--data_dir", "corpus"])
    assert description["train"]["clips"] == 3 and description["train"]["labels"] == {}
    assert "written" not in capsys.readouterr().out


def test_settings_that_do_not_fit(corpus, open_corpora):
    for argv, message in (
        (["nowhere.yaml", "--data_dir", "corpus"], "nowhere.yaml does not exist"),
        (
            ["corpus", "--data_dir", "corpus"],
            "corpus is a folder, expected a YAML file beside --corpus and --data_dir: give",
        ),
        (["tasks.yaml"], "no data_dir is given: add --data_dir"),
        (["--data_dir", "corpus", "--corpus", "emo_db"], "corpus 'emo_db' is not known: did you mean 'emodb'"),
    ):
        with pytest.raises(ConfigError, match=message):
            describe.main(argv)
    with pytest.raises(CorpusError, match=r"labels: \[angry, calm, happy, sad\]"):
        describe.main(["tasks.yaml", "--corpus", "turev", "--data_dir", str(open_corpora / "turev")])


def test_a_shipped_yaml_with_balanced_class_weights_describes_a_corpus(tmp_path):
    """The first command of the README: the weights need Train, and describing needs no weights."""
    shipped = Path(describe.__file__).parent / "burst2vec/configs/real_bursts.yaml"
    settings = yaml.safe_load(shipped.read_text())
    assert any(task.get("class_weights") == "balanced" for task in settings["tasks"])
    write_metadata_corpus(tmp_path / "bursts", settings["tasks"])
    found = describe.main([str(shipped), "--data_dir", str(tmp_path / "bursts")])
    assert found["train"]["labels"]["origin"]["known"] == 8


def test_a_test_split_alone_and_a_figure_that_fails(corpus, monkeypatch, caplog):
    Path("corpus/metadata.csv").write_text("\n".join([ROWS[0], ROWS[1].replace("train", "test"), ROWS[5]]))

    def fail(*arguments):
        raise RuntimeError("no font")

    monkeypatch.setattr(describe, "plot_lengths", fail)
    assert list(describe.main(["tasks.yaml", "--data_dir", "corpus", "--output_dir", "out"])) == ["test"]
    assert "the figure of the lengths could not be drawn" in caplog.text
    assert Path("out/describe.json").is_file() and Path("out/age_by_country.png").is_file()


def test_every_clip_that_cannot_be_read_is_counted_at_once(corpus):
    clips = sorted(Path("corpus").rglob("*.wav"))
    for clip in clips[:2]:
        clip.write_bytes(b"none")
    with pytest.raises(AudioError, match=rf"^2 clips cannot be used .*{clips[0].name}.*; .*{clips[1].name}"):
        describe.main(["tasks.yaml", "--data_dir", "corpus"])
