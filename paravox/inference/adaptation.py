"""Adapts a model to a few labelled clips: a new head on its frozen encoder, as a model that opens like any other."""

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paravox.inference.adapted_heads import AdaptedHead, CrossValidation, adapt_head
from paravox.inference.defaults import ADAPTED_TASK
from paravox.inference.opening import encoder_of, open_encoder
from paravox.modeling.audio import load_clip
from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig
from paravox.modeling.encoders import SpeechEncoder
from paravox.modeling.errors import AudioError, ConfigError, CorpusError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning
from paravox.modeling.tasks import Task
from paravox.trainers.clip_pass import PassSettings, in_row_order, pass_over_clips
from paravox.trainers.device_features import DeviceFeatures
from paravox.trainers.file_pass import SamplesCollator
from paravox.trainers.pooled_layers import layer_moments, run_all_layers
from paravox.trainers.sampler import ClipDraw

SHOWN_CLIPS = 3


@dataclass(frozen=True, eq=False)
class Adaptation:
    """An adapted model, and how it came about.

    Args:
        model ([`EncoderForPreFinetuning`]): predicts probabilities of the labels, under the name of its one task. It
            has the layers of the encoder that it needs.
        feature_extractor ([`Burst2VecFeatureExtractor`]): of the model.
        head ([`AdaptedHead`]): which layer and penalty were chosen, and how.
        clips (`dict`): the number of clips by label.
        seconds (`dict`): their length in seconds by label.
        speakers (`int`, *optional*): how many speakers there were, where they were named.
        left_out (list of `str`): a sentence for each clip that was not used.
        validation ([`CrossValidation`], *optional*): how well unseen clips were told. It is absent if a label has only
            one clip.
    """

    model: EncoderForPreFinetuning
    feature_extractor: Burst2VecFeatureExtractor
    head: AdaptedHead
    clips: dict[str, int]
    seconds: dict[str, float]
    speakers: int | None = None
    left_out: list[str] = field(default_factory=list)
    validation: CrossValidation | None = None

    @property
    def task(self) -> str:
        """The name of what the model predicts."""
        return next(iter(self.model.tasks))

    @property
    def summary(self) -> str:
        """How well the model tells unseen clips, and how little that says, in plain sentences."""
        clips, labels, tested = sum(self.clips.values()), len(self.clips), self.validation
        layer = f"Layer {self.head.layer} of the encoder is used"
        if tested is None:
            alone = [label for label, count in self.clips.items() if count == 1]
            return (
                f"{layer}, which is the study's choice. How well the model tells new clips is not known, because "
                f"{alone[0]!r} has only one clip: with two of each label it could be tested."
            )
        of_whom = " by speakers whom it does not know" if tested.by_speaker else ""
        return (
            f"{layer}. In a cross-validation over the {clips} clips in {tested.folds} parts, {tested.score:.0%} of the "
            f"clips of a label{of_whom} were recognised, averaged over the labels; guessing gives {1 / labels:.0%}. "
            f"The 95 % interval goes from {tested.low:.0%} to {tested.high:.0%}: {clips} clips tell no more than that. "
            "It does not cover other voices, rooms and microphones."
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes the model and its feature extractor into a folder."""
        self.model.save_pretrained(folder)
        self.feature_extractor.save_pretrained(folder)


def adapt(
    model: Any,
    clips: Sequence[Any],
    labels: Sequence[str],
    speakers: Sequence[str] | None = None,
    *,
    feature_extractor: Burst2VecFeatureExtractor | None = None,
    task: str = ADAPTED_TASK,
    layer: int | None = None,
    skip_bad: bool = False,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Adaptation:
    """Adapts a model to a few labelled clips, in seconds: the encoder stays as it is, and a new head is fitted.

    The layer of the encoder and the penalty of the head are the study's recommended ones, unless a cross-validation
    over the given clips finds others that are clearly better.

    Args:
        model (`str`, `Path` or a model): a folder or Hub name of a Burst2Vec or pre-finetuned model or of an encoder,
            or such a model that is open already. It is not changed.
        clips (sequence): recordings in any form that the feature extractor takes: paths, bytes, `(array, rate)`, ...
        labels (sequence of `str`): the label of each clip. There are at least two different ones.
        speakers (sequence of `str`, *optional*): the speaker of each clip. With several, the cross-validation tells
            clips of speakers that the head does not know, where it is possible.
        feature_extractor ([`Burst2VecFeatureExtractor`], *optional*): needed for a model that is open already.
        task (`str`, *optional*, defaults to `"label"`): the name of what the model predicts.
        layer (`int`, *optional*): use this hidden state of the encoder, from 0, the one before the first layer.
        skip_bad (`bool`, *optional*, defaults to `False`): leave out clips that cannot be used instead of refusing.
        revision (`str`, *optional*): a branch, tag or commit of a model on the Hub.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the encoder runs.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): what the encoder computes in.

    Returns:
        [`Adaptation`]: the model, in float32 on the CPU, its feature extractor, and what was found.

    Raises:
        CorpusError: if there are not two labels, or one recording has two labels.
        AudioError: if clips cannot be used: they cannot be read, are shorter than one frame of the encoder or longer
            than it takes.
        ConfigError: if an argument does not fit.
        CheckpointError: if the model cannot be opened, or has no encoder of its own.
    """
    names = _check_labels(clips, labels, speakers)
    new_task = Task(task, "classes", tuple(names))
    if isinstance(model, (str, Path)):
        encoder, feature_extractor = open_encoder(str(model), revision, device)
    else:
        encoder = encoder_of(model)
    if feature_extractor is None:
        raise ConfigError("a model that is open already needs its feature_extractor: give it, or the model's folder")
    layers = len(encoder.layers)
    if layer is not None and not 0 <= layer <= layers:
        raise ConfigError(f"layer is {layer}: the encoder has the hidden states 0 to {layers}, so give one of these")
    samples, rows, left_out = _read(clips, labels, feature_extractor, skip_bad)
    kept = [labels[row] for row in rows]
    gone = [name for name in names if name not in kept]
    if gone:
        raise AudioError(f"no clip with the label {gone[0]!r} can be used ({left_out[0]}): add clips of it")
    moments = encode_clips(encoder, feature_extractor, samples, device, dtype)
    groups = None if speakers is None else np.array([str(speakers[row]) for row in rows])
    targets = np.array([names.index(label) for label in kept])
    head = adapt_head(moments, targets, len(names), groups, layer, device)
    seconds = np.array([len(clip) for clip in samples]) / feature_extractor.sampling_rate
    return Adaptation(
        model=model_with_head(encoder, head, new_task),
        feature_extractor=feature_extractor,
        head=head,
        clips={name: kept.count(name) for name in names},
        seconds={name: float(seconds[targets == number].sum()) for number, name in enumerate(names)},
        speakers=None if groups is None else len(set(groups.tolist())),
        left_out=left_out,
        validation=None if head.choice is None else head.choice.validation(),
    )


def encode_clips(
    encoder: SpeechEncoder,
    extractor: Burst2VecFeatureExtractor,
    samples: list[np.ndarray],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Runs an encoder over clips, each alone, so that its states are those that the model will have of it.

    Args:
        encoder ([`SpeechEncoder`]): moved to the device.
        extractor ([`Burst2VecFeatureExtractor`]): of the encoder.
        samples (list of `np.ndarray` of shape `(samples,)`): mono at the extractor's rate, not levelled.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the encoder runs.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): what it computes in.

    Returns:
        `np.ndarray` of shape `(clips, layers + 1, 2, hidden)`: mean and variance over time of each hidden state.
    """
    features = DeviceFeatures(extractor)

    def step(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"moments": layer_moments(*run_all_layers(encoder, features(**inputs)))}

    settings = PassSettings(device, dtype, batch_size=1)
    clips = _Samples(samples, extractor.sampling_rate)
    results = pass_over_clips(encoder, clips, SamplesCollator(extractor), step, settings)
    return in_row_order(results, len(samples))["moments"]


def model_with_head(encoder: SpeechEncoder, head: AdaptedHead, task: Task) -> EncoderForPreFinetuning:
    """A model of the layers that a head needs, with its weights, in float32 on the CPU.

    The projector of the model is the head, and what is behind the projector passes its logits on.

    Args:
        encoder ([`SpeechEncoder`]): whose weights are copied.
        head ([`AdaptedHead`]).
        task ([`Task`]): what the head predicts.
    """
    layers = len(encoder.layers)
    config = copy.deepcopy(encoder.model.config)
    config.name_or_path = ""  # which may be a folder of this machine
    config.dtype = torch.float32
    for name in ("num_hidden_layers", "encoder_layers"):
        if hasattr(config, name):
            # One more than the head needs, because some encoders have a norm behind their last layer.
            setattr(config, name, min(head.layer + 1, layers))
    model = EncoderForPreFinetuning(
        EncoderPreFinetuningConfig(
            encoder=config,
            tasks=[task],
            projection_size=task.outputs,
            layer=None if head.layer == layers else head.layer,
        )
    )
    weights = encoder.state_dict()
    model.encoder.load_state_dict({name: weights[name] for name in model.encoder.state_dict()})
    with torch.no_grad():
        model.projector.weight.copy_(torch.from_numpy(head.weights))
        model.projector.bias.copy_(torch.from_numpy(head.biases))
        model.heads[task.name].weight.copy_(torch.eye(task.outputs))
        model.heads[task.name].bias.zero_()
    return model.eval()


@dataclass(frozen=True)
class _Samples:
    """Decoded clips as a pass reads them."""

    samples: list[np.ndarray]
    sampling_rate: int

    @property
    def seconds(self) -> np.ndarray:
        return np.array([len(clip) for clip in self.samples]) / self.sampling_rate

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, draw: ClipDraw) -> dict[str, Any]:
        return {"draw": draw, "clip": self.samples[draw.index]}


def _check_labels(clips: Sequence[Any], labels: Sequence[str], speakers: Sequence[str] | None = None) -> list[str]:
    """The different labels, sorted."""
    counts = {"clips": len(clips), "labels": len(labels), "speakers": len(clips if speakers is None else speakers)}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{count} {what}" for what, count in counts.items())
        raise ConfigError(f"found {found}: give one label, and one speaker if any, for each clip")
    unusable = [label for label in labels if not isinstance(label, str) or not label.strip()]
    if unusable:
        raise CorpusError(f"{unusable[0]!r} is no label: give each clip a label of at least one letter")
    names = sorted(set(labels))
    if len(names) < 2:
        found = f"all {len(clips)} clips have the label {names[0]!r}" if names else "there is no clip"
        raise CorpusError(f"{found}, but a head tells at least two labels apart: add clips of another one")
    return names


def _read(
    clips: Sequence[Any], labels: Sequence[str], extractor: Burst2VecFeatureExtractor, skip_bad: bool
) -> tuple[list[np.ndarray], list[int], list[str]]:
    """The samples of the clips that can be used, their rows, and a sentence for each of the others."""
    samples: list[np.ndarray] = []
    rows: list[int] = []
    bad: list[str] = []
    doubles: list[str] = []
    seen: dict[bytes, int] = {}
    for row, clip in enumerate(clips):
        try:
            read = _read_one(clip, _shown(clip, row), extractor)
        except AudioError as error:
            bad.append(str(error))
            continue
        first = seen.setdefault(hashlib.blake2b(read.tobytes(), digest_size=16).digest(), row)
        if first == row:
            samples.append(read)
            rows.append(row)
            continue
        pair = f"{_shown(clips[first], first)} and {_shown(clip, row)} are the same recording"
        if labels[first] != labels[row]:
            raise CorpusError(f"{pair} with the labels {labels[first]!r} and {labels[row]!r}: remove one of them")
        doubles.append(f"{pair}, which counts once")
    if bad and not skip_bad:
        shown = "; ".join(bad[:SHOWN_CLIPS]) + ("; ..." if len(bad) > SHOWN_CLIPS else "")
        raise AudioError(
            f"{len(bad)} of {len(clips)} clips cannot be used: {shown}. Correct them, or leave them out with skip_bad"
        )
    return samples, rows, bad + doubles


def _read_one(clip: Any, shown: str, extractor: Burst2VecFeatureExtractor) -> np.ndarray:
    samples = load_clip(clip, None, extractor.sampling_rate, max_seconds=extractor.max_seconds)
    if len(samples) < extractor.minimum_samples:
        lasts, needed = (1000 * count / extractor.sampling_rate for count in (len(samples), extractor.minimum_samples))
        raise AudioError(
            f"{shown} lasts {lasts:.0f} ms, less than the {needed:.0f} ms that the encoder looks at at once"
        )
    return samples


def _shown(clip: Any, row: int) -> str:
    return str(clip) if isinstance(clip, (str, Path)) else f"clip {row + 1}"
