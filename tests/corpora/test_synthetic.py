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


def test_full_bias_gives_every_country_its_age_in_train_only(corpora):
    table = pd.read_csv(corpora[1.0] / "metadata.csv").drop_duplicates("speaker")
    # The truth of the bias study, on average.
    biased = {"China": 23.0, "South Africa": 25.0, "USA": 35.0, "Venezuela": 27.0}
    assert biased == BIASED_AGE
    distance = (table["age"] - table["country"].map(biased)).abs()
    train = table["split"] == "train"
    # A standard deviation of 1.5 years.
    assert distance[train].max() < 6 and distance[train].std() < 1.5
    for split in ("validation", "test"):
        assert (distance[table["split"] == split] > 6).mean() > 0.2


def test_no_clip_or_split_is_a_copy_of_another(corpora):
    table = pd.read_csv(corpora[0.0] / "metadata.csv")
    assert set(table.groupby("speaker").size()) == {5}
    assert not table.duplicated([*EMOTIONS, "age", "country"]).any()


def test_labels_carry_noise_of_a_known_size(corpora):
    labels = pd.read_csv(corpora[0.0] / "metadata.csv")[list(EMOTIONS)].to_numpy()
    # Emotions that are not felt: half of their noise is cut off at 0; the other half has a mean of 0.05 * sqrt(2 / pi).
    small = labels[labels < 0.13]
    assert 0.4 < (small == 0).mean() < 0.6
    assert small[small > 0].mean() == pytest.approx(0.05 * (2 / np.pi) ** 0.5, abs=0.004)


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


# Mean amplitude and spectral centroid in hertz, measured in the version that made the published bias study.
NEUTRAL_BURSTS = {
    "China": (0.0563, 878),
    "South Africa": (0.0544, 1495),
    "USA": (0.0557, 1146),
    "Venezuela": (0.0614, 1500),
}
EMOTIONAL_BURSTS = {
    "Awe": (0.0619, 1200),
    "Excitement": (0.0636, 1032),
    "Amusement": (0.0322, 1032),
    "Awkwardness": (0.0844, 1184),
    "Fear": (0.0737, 1155),
    "Horror": (0.0585, 1349),
    "Distress": (0.0524, 991),
    "Triumph": (0.081, 1060),
    "Sadness": (0.0436, 965),
    "Surprise": (0.0279, 965),
}


def measure(country, intensities):
    speaker = {"country": country, "age": 30.0, "voice": 0.1}
    samples = synthesise(speaker, intensities, np.random.default_rng(7))
    spectrum = np.abs(np.fft.rfft(samples))
    centroid = (np.fft.rfftfreq(len(samples), 1 / 16_000) * spectrum).sum() / spectrum.sum()
    return float(np.abs(samples).mean()), float(centroid)


def test_countries_and_emotions_sound_as_in_the_published_study():
    for country, (amplitude, centroid) in NEUTRAL_BURSTS.items():
        assert measure(country, np.zeros(10)) == (
            pytest.approx(amplitude, abs=1e-4),
            pytest.approx(centroid, abs=2),
        )
    for number, (amplitude, centroid) in enumerate(EMOTIONAL_BURSTS.values()):
        assert measure("USA", np.eye(10)[number]) == (
            pytest.approx(amplitude, abs=1e-4),
            pytest.approx(centroid, abs=2),
        )
