"""Functionals are computed once per content, kept on disk, and never stale; the standardisation is that of Train."""

import numpy as np
import opensmile
import pytest
import torch
from datasets import Dataset
from little_corpora import write_clip
from sklearn.preprocessing import StandardScaler

from paravox.modeling.audio import load_audio
from paravox.modeling.configuration_compare import ComParEConfig
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.tasks import Task
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.functionals import Functionals, extract_functionals, standardise_by
from paravox.trainers.multi_task_dataset import MultiTaskDataset

AGE = Task("age", "scalar", range=(20, 40))
QUIET = PassSettings(batch_size=2, show_progress=False)


@pytest.fixture
def paths(tmp_path):
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.3 + 0.1 * number, rate=22_050)
    return paths


@pytest.fixture
def computed(monkeypatch):
    """Counts the clips whose functionals are computed."""
    clips = []
    load = ComParEFeatureExtractor.load
    monkeypatch.setattr(ComParEFeatureExtractor, "load", lambda *args: clips.append(args) or load(*args))
    return clips


def dataset_of(paths, **settings):
    return MultiTaskDataset(
        Dataset.from_dict({"path": list(map(str, paths)), "age": [20.0 + row for row in range(len(paths))]}),
        [AGE],
        **settings,
    )


def expected(paths):
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    return np.concatenate([smile.process_signal(load_audio(path, 16_000), 16_000).to_numpy() for path in paths])


@pytest.mark.parametrize("workers", [0, 2])
def test_every_row_has_its_own_functionals(paths, tmp_path, workers):
    rows = [paths[2], paths[0], paths[1], paths[0]]
    settings = PassSettings(batch_size=1, num_workers=workers, show_progress=False)
    dataset = extract_functionals(dataset_of(rows), ComParEFeatureExtractor(), tmp_path / "cache", settings)
    assert type(dataset.source) is Functionals and len(dataset) == 4
    np.testing.assert_array_equal(dataset.source.values, expected(rows))
    assert dataset.labels["age"].tolist() == [20, 21, 22, 23] and dataset.files == ["2.wav", "0.wav", "1.wav", "0.wav"]
    batch = dataset.source.collate([dataset.source.read(row, epoch=0) for row in (1, 2)], None)
    assert list(batch) == ["functionals"]
    np.testing.assert_array_equal(batch["functionals"].numpy(), expected([paths[0], paths[1]]))
    assert dataset.seconds.tolist() == [0, 0, 0, 0]


def test_they_are_computed_once_and_never_stale(paths, tmp_path, computed):
    extractor, folder = ComParEFeatureExtractor(), tmp_path / "cache"

    def values(rows, extractor=extractor):
        return extract_functionals(dataset_of(rows), extractor, folder, QUIET).source.values

    values([*paths, paths[1], paths[1]])
    assert len(computed) == 3  # a row that is repeated is computed once
    np.testing.assert_array_equal(values(paths[::-1]), expected(paths[::-1]))
    assert len(computed) == 3  # nor does another order need a new file
    assert [path.suffix for path in folder.iterdir()] == [".npy"]
    values(paths, ComParEFeatureExtractor(max_seconds=9.0))
    assert len(computed) == 6
    write_clip(paths[0], 17, seconds=0.3, rate=22_050)
    np.testing.assert_array_equal(values(paths), expected(paths))
    assert len(computed) == 9


def test_augmented_clips_are_refused(paths, tmp_path):
    dataset = dataset_of(paths, augmentation=lambda samples, rate, numbers: samples)
    with pytest.raises(ConfigError, match="augmentation does not go together with stored outputs"):
        extract_functionals(dataset, ComParEFeatureExtractor(), tmp_path, QUIET)


def test_the_standardisation_is_that_of_scikit_learn():
    """Also for a functional that is constant, one that hardly varies, and one of large numbers."""
    generator = np.random.default_rng(0)
    values = generator.normal(size=(50, 5)).astype(np.float32) * np.float32([1, 3, 1e-3, 1e4, 1])
    values[:, 4] = 0.3
    values += np.float32([0, -5, 20, 1e6, 0])
    model = ComParEForMultiTask(ComParEConfig([AGE.to_dict() | {"loss": "mse"}], functionals=5))
    standardise_by(model, values)
    assert model.standardisation.scale[4] == 1
    other = generator.normal(size=(4, 5)) * [1, 3, 1e-3, 1e4, 1] + [0, -5, 20, 1e6, 0.3]
    found = model.standardisation(torch.tensor(other, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, StandardScaler().fit(values).transform(other), atol=0.02)
    np.testing.assert_allclose(
        found[:, [0, 1]], (other - values.mean(0))[:, :2] / values.std(0)[:2], rtol=1e-4, atol=1e-5
    )
