"""The synthetic corpus: the same for a seed, unbiased where it must be, and audible labels."""

import numpy as np
import pandas as pd
import pytest
import soundfile

from paravox.corpora.exvo import COUNTRIES, EMOTIONS
from paravox.corpora.synthetic import BIASED_AGE, draw_intensities, synthesise, write_synthetic_corpus

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
    clips = {"train": 6, "validation": 2, "test": 2}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_synthetic_corpus(tmp_path / name, clips, bias=0.5, seed=seed)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 11
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)
    assert all((tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes() for file in files)


def test_full_bias_gives_every_country_its_age(corpora):
    table = pd.read_csv(corpora[1.0] / "metadata.csv")
    speakers = table[table["split"] == "train"].drop_duplicates("speaker")
    for country, ages in speakers.groupby("country")["age"]:
        # Standard deviation 1.5 years over about fifteen speakers.
        assert ages.mean() == pytest.approx(BIASED_AGE[country], abs=1.5) and ages.std() < 2.5


def test_one_emotion_is_at_its_height_and_at_most_two_others_are_felt():
    generator = np.random.default_rng(0)
    drawn = np.array([draw_intensities(generator) for _ in range(600)])
    assert (np.sum(drawn == 1, axis=1) == 1).all()
    others = drawn[(drawn > 0) & (drawn < 1)]
    assert others.min() >= 0.2 and others.max() <= 0.7
    felt = np.bincount((drawn > 0).sum(axis=1), minlength=4)
    assert felt[0] == 0 and len(felt) == 4 and felt[1:].min() > 150
    # Each emotion is the strongest one in about a tenth of the clips.
    assert (np.bincount(drawn.argmax(axis=1), minlength=10) > 30).all()


def test_age_lowers_the_pitch():
    def pitch(age):
        speaker = {"country": "China", "age": age, "voice": 0.0}
        samples = synthesise(speaker, np.zeros(10), np.random.default_rng(0))
        spectrum = np.abs(np.fft.rfft(samples, 1 << 16)) ** 2
        products = np.fft.irfft(spectrum)[40:400]
        return 16_000 / (40 + products.argmax())

    # Without an emotion the voice has 110 Hz at 40 and 0.8 octaves more at 20.
    assert pitch(40) == pytest.approx(110, rel=0.05) and pitch(20) == pytest.approx(110 * 2**0.8, rel=0.05)
