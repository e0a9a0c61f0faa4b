"""What a corpus holds, counted by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from little_corpora import write_clip

from paravox.modeling.errors import ConfigError
from paravox.recipes import describe

YAML = """
tasks:
  - {name: emotion, kind: intensities, labels: [awe, fear]}
  - {name: age, kind: scalar, range: [20, 40], unit: years}
  - {name: country, kind: classes, labels: [China, USA]}
"""
ROWS = [
    "file_name,speaker,split,awe,fear,age,country",
    "0.wav,a,train,1,0,20,China",
    "1.wav,a,train,0,1,30,China",
    "2.wav,b,train,,,34,USA",
    "3.wav,c,validation,1,0.5,,USA",
    "4.wav,d,test,0,1,25,",
]


@pytest.fixture
def corpus():
    for clip in range(5):
        write_clip(Path(f"corpus/{clip}.wav"), clip, seconds=0.5 * (clip + 1))
    Path("corpus/metadata.csv").write_text("\n".join(ROWS))
    Path("tasks.yaml").write_text(YAML)
    return ["corpus", "--config", "tasks.yaml", "--output_dir", "out"]


def test_counts_hours_and_labels(corpus, capsys):
    description = describe.main(corpus)
    assert json.loads(Path("out/describe.json").read_text()) == description
    train = description["train"]
    assert (train["clips"], train["speakers"]) == (3, 2)
    assert train["hours"] == round(3.0 / 3600, 3)
    labels = train["labels"]
    assert labels["country"]["known"] == 3 and labels["country"]["counts"] == {"China": 2, "USA": 1}
    assert labels["emotion"]["known"] == 2 and labels["emotion"]["strongest"] == {"awe": 1, "fear": 1}
    assert (labels["age"]["min"], labels["age"]["median"], labels["age"]["max"]) == (20, 30, 34)
    assert description["validation"]["labels"]["age"]["known"] == 0
    printed = capsys.readouterr().out
    assert "country (clips)" in printed and "age (years)" in printed


def test_figures_are_pictures(corpus):
    import matplotlib.image

    describe.main(corpus)
    for name in ("lengths", "age_by_country"):
        picture = matplotlib.image.imread(f"out/{name}.png")
        assert min(picture.shape[:2]) > 300 and np.unique(picture.reshape(-1, picture.shape[2]), axis=0).shape[0] > 10


def test_a_yaml_without_tasks():
    Path("tasks.yaml").write_text("seed: 0\n")
    with pytest.raises(ConfigError, match="tasks.yaml has no key tasks"):
        describe.main(["corpus", "--config", "tasks.yaml", "--output_dir", "out"])
    with pytest.raises(ConfigError, match="nowhere.yaml does not exist"):
        describe.main(["corpus", "--config", "nowhere.yaml", "--output_dir", "out"])
