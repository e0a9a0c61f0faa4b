"""The baseline of section 3.2: a dense network on ComParE 2016 features, which openSMILE extracts."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from paravox.modeling.audio import load_audio
from paravox.modeling.feature_extraction_compare import compare_2016_functionals
from paravox.study.clips import StudyClips
from paravox.study.draws import TrialClips, trial_seed
from paravox.study.grid import COMPARE_2016, StudySettings, Trial
from paravox.study.trials import train_and_score
from paravox.trainers.files import keep_array, whole_array
from paravox.trainers.lower_states import states_folder

# The paper gives no size. These are the widths of the ExVo 2022 challenge's baseline on the same features.
HIDDEN_SIZES = (128, 64)
LEARNING_RATE = 1e-3
SAMPLING_RATE = 16_000


def opensmile_features(clips: StudyClips, folder: Path) -> np.ndarray:
    """The 6,373 ComParE 2016 functionals of every clip, extracted once and then kept in a folder.

    Args:
        clips ([`StudyClips`]): of which only the samples count.
        folder (`Path`): where features are kept, under a name made of the clips' content and cut.

    Returns:
        `np.ndarray` of shape `(clips, 6373)`, float32.

    Raises:
        ConfigError: if openSMILE is not installed.
    """
    path = folder / f"{COMPARE_2016}-{states_folder(folder, clips.sample_identity()).name}.npy"
    features = whole_array(path)
    if features is None:
        length = None if clips.max_seconds is None else int(clips.max_seconds * SAMPLING_RATE)
        samples = (
            load_audio(clip, SAMPLING_RATE)[:length] for clip in tqdm(clips.paths, desc="ComParE 2016", unit="clip")
        )
        features = compare_2016_functionals(samples, SAMPLING_RATE)
        keep_array(path, features)
    return features


def run_baseline_trial(
    features: np.ndarray, trial: Trial, chosen: TrialClips, settings: StudySettings
) -> dict[str, Any]:
    """Runs one trial: a dense network on standardised features, one step per epoch on all training clips.

    Args:
        features (`np.ndarray` of float32, shape `(clips, size)`): with zero mean and unit variance over the train part.
        trial ([`Trial`]): which trial.
        chosen ([`TrialClips`]): its rows among the clips.
        settings ([`StudySettings`]): of which `max_epochs`, `patience`, `selection` and `seed` count.

    Returns:
        `dict`: the trial's row.
    """
    inputs = torch.from_numpy(features)
    labels = torch.from_numpy(chosen.train_labels.astype(np.int64))
    network = dense_network(features.shape[1], trial_seed(trial, settings.seed))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)

    def train_epoch(epoch: int) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs[chosen.train]), labels).backward()
        optimizer.step()

    started = time.perf_counter()
    row = train_and_score(network, train_epoch, lambda rows: predict(network, inputs[rows]), trial, chosen, settings)
    return row | {"seconds": time.perf_counter() - started}


def dense_network(size: int, seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, down to two classes, with weights drawn from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for width in HIDDEN_SIZES:
            layers += [nn.Linear(size, width), nn.ReLU()]
            size = width
        return nn.Sequential(*layers, nn.Linear(size, 2))


@torch.inference_mode()
def predict(network: nn.Sequential, inputs: torch.Tensor) -> np.ndarray:
    """(clips, size) -> (clips,) of bool"""
    logits = network(inputs)
    return (logits[:, 1] > logits[:, 0]).numpy()
