"""The synthetic corpus: the same for a seed, unbiased where it must be, and audible labels."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from paravox.corpora.exvo import COUNTRIES, EMOTIONS
from paravox.corpora.synthetic import main, synthesise, write_synthetic_corpus

CLIPS = {"train": 300, "validation": 100, "test": 50}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    folders = {bias: tmp_path_factory.mktemp(f"bias{bias}") for bias in (0.0, 1.0)}
    for bias, folder in folders.items():
        write_synthetic_corpus(folder, CLIPS, bias=bias, seed=3)
    return folders


def age_spread_by_country(table):
    """Which share of the variance of age lies between the countries."""
    means = table.groupby("country")["age"].transform("mean")
    return means.var() / table["age"].var()


def test_counts_labels_and_speakers(corpora):
    table = pd.read_csv(corpora[0.0] / "metadata.csv")
    assert table["split"].value_counts().to_dict() == CLIPS
    assert (table.groupby("speaker")["split"].nunique() == 1).all()
    assert set(table["country"]) == set(COUNTRIES) and table["age"].between(20, 40).all()
    assert (table[list(EMOTIONS)].max(axis=1) == 1).all() and table[list(EMOTIONS)].min(axis=None) >= 0
    samples, rate = soundfile.read(corpora[0.0] / table["file_name"][0])
    assert rate == 16_000 and 0.4 < len(samples) / rate < 1.5 and np.abs(samples).max() <= 0.51


def test_bias_ties_age_to_country_in_train_only(corpora):
    biased = pd.read_csv(corpora[1.0] / "metadata.csv")
    fair = pd.read_csv(corpora[0.0] / "metadata.csv")
    assert age_spread_by_country(biased[biased["split"] == "train"]) > 0.7
    assert age_spread_by_country(biased[biased["split"] != "train"]) < 0.4
    assert age_spread_by_country(fair[fair["split"] == "train"]) < 0.2
    means = biased[biased["split"] == "train"].groupby("country")["age"].mean()
    assert means.idxmax() == "USA"


def test_a_seed_writes_the_same_files(tmp_path):
    for name in ("a", "b"):
        main([str(tmp_path / name), "--train", "6", "--validation", "2", "--test", "2", "--seed", "5"])
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 11
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_age_lowers_the_pitch():
    def pitch(age):
        speaker = {"country": "China", "age": age, "voice": 0.0}
        samples = synthesise(speaker, np.zeros(10), np.random.default_rng(0))
        spectrum = np.abs(np.fft.rfft(samples, 1 << 16)) ** 2
        products = np.fft.irfft(spectrum)[40:400]
        return 16_000 / (40 + products.argmax())

    # Without an emotion the voice has 110 Hz at 40 and 0.8 octaves more at 20.
    assert pitch(40) == pytest.approx(110, rel=0.05) and pitch(20) == pytest.approx(110 * 2**0.8, rel=0.05)
