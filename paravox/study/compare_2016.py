"""The baseline of section 3.2: ComParE 2016 features and a dense network, a trial at a time."""

import copy
import hashlib
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from paravox.modeling.audio import load_audio
from paravox.modeling.errors import ConfigError
from paravox.study.grid import COMPARE_2016, StudySettings, Trial, TrialClips, trial_seed
from paravox.study.scores import binary_scores
from paravox.study.trials import finished_row

# The paper gives no size; these are the widths of the ExVo 2022 challenge's baseline on the same features.
HIDDEN_SIZES = (128, 64)
LEARNING_RATE = 1e-3


def compare_features(paths: list[str], folder: Path, max_seconds: float | None = None) -> np.ndarray:
    """The 6,373 ComParE 2016 functionals of every clip, extracted once and kept in a folder.

    Args:
        paths (list of `str`): of the clips.
        folder (`Path`): where they are kept, by a digest of the clips' content.
        max_seconds (`float`, *optional*): clips are cut to this length.

    Returns:
        `np.ndarray` of shape `(clips, 6373)`, float32.

    Raises:
        ConfigError: if openSMILE is not installed.
    """
    try:
        import opensmile
    except ImportError:
        raise ConfigError(f"baseline {COMPARE_2016!r} needs openSMILE: pip install 'paravox[compare]'") from None
    digest = hashlib.blake2b(str(max_seconds).encode(), digest_size=16)
    for path in paths:
        digest.update(Path(path).read_bytes())
    kept = folder / f"{COMPARE_2016}-{digest.hexdigest()}.npy"
    if kept.is_file():
        return np.load(kept)
    smile = opensmile.Smile(opensmile.FeatureSet.ComParE_2016, opensmile.FeatureLevel.Functionals)
    rate = 16_000
    length = None if max_seconds is None else int(max_seconds * rate)
    rows = [
        smile.process_signal(load_audio(path, rate)[:length], rate).to_numpy()
        for path in tqdm(paths, desc="ComParE 2016", unit="clip")
    ]
    features = np.nan_to_num(np.concatenate(rows)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{uuid.uuid4().hex}.part.npy"
    np.save(part, features)
    part.replace(kept)
    return features


def run_dense_trial(features: np.ndarray, trial: Trial, chosen: TrialClips, settings: StudySettings) -> dict[str, Any]:
    """One trial: a dense network on standardised features, the epoch picked as `selection` says.

    Args:
        features (`np.ndarray` of float32, shape `(clips, size)`): at zero mean and unit variance over the train part.
        trial ([`Trial`]): which one.
        chosen ([`TrialClips`]): its rows among the clips.
        settings ([`StudySettings`]): for `max_epochs`, `patience`, `selection` and `seed`.

    Returns:
        `dict`: the trial's row.
    """
    started = time.perf_counter()
    inputs = torch.from_numpy(features)
    labels = torch.from_numpy(chosen.train_labels.astype(np.int64))
    network = dense_network(features.shape[1], trial_seed(trial, settings.seed))
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    best_score, best_epoch, best_weights, epoch = -1.0, None, None, 0
    for epoch in range(1, settings.max_epochs + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs[chosen.train]), labels).backward()
        optimizer.step()
        if settings.selection == "last":
            continue
        predicted = predict(network, inputs[chosen.evaluation])
        score = float(binary_scores(predicted, chosen.evaluation_labels)["macro_f1"])
        if score > best_score:
            best_score, best_epoch, best_weights = score, epoch, copy.deepcopy(network.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
    if best_weights is not None:
        network.load_state_dict(best_weights)
    row = finished_row(trial, chosen, predict(network, inputs[chosen.test]))
    evaluated = {"evaluation_macro_f1": best_score, "best_epoch": best_epoch} if best_epoch else {"best_epoch": epoch}
    return row | evaluated | {"epochs": epoch, "seconds": time.perf_counter() - started}


def dense_network(size: int, seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, down to two classes, from a seed."""
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
